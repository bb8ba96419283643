"""Token ids of several texts -> unit vectors, on the native kernels.

Texts lie one after another, nothing is padded, and a text's vectors depend on nothing but the text: not on its neighbors, the
size of the batch or the number of threads.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.encoder.encoded import unit
from polyvec.encoder.native.architecture import Architecture
from polyvec.encoder.native.bigrams import Bigrams
from polyvec.encoder.tokens import Piece
from polyvec.errors import ModelError

Vectors = npt.NDArray[np.float32]

_FIRST_LENGTH = 512  # positions that rotary tables are made for at first


class NativeForward:
    """Runs one model over batches. Safe to call from several threads at once.

    backbone: made by `build_backbone` · bigrams: added to the unit vectors, or None · threads: that a call may use.
    """

    packed = True  # batches hold no padding

    def __init__(
        self, backbone: Any, architecture: Architecture, bigrams: Bigrams | None, threads: int, name: str
    ) -> None:
        self._backbone = backbone
        self._architecture = architecture
        self._bigrams = bigrams
        self._threads = threads
        self._name = name
        self._lock = threading.Lock()
        self._rotary = rotary_tables(architecture, _FIRST_LENGTH)

    def __call__(self, pieces: Sequence[Piece]) -> list[Vectors]:
        """Unit vectors of every token of every piece, float32, in the order given.

        Raises:
            ModelError: where a vector is not finite, as broken weights make them.
        """
        ids = np.concatenate([piece.ids for piece in pieces]).astype(np.int32)
        lengths = [len(piece) for piece in pieces]
        offsets = np.cumsum([0, *lengths], dtype=np.int64)
        attended = np.array([piece.attended for piece in pieces], dtype=np.int32)
        rows = np.empty((len(ids), self._backbone.width), dtype=np.float32)
        self._backbone.encode(
            ids, offsets, attended, self._architecture.first_position, self._tables(max(lengths)), rows, self._threads
        )
        vectors = unit(rows)
        if self._bigrams is not None:
            vectors = unit(self._bigrams.added(vectors, ids))
        if not np.isfinite(vectors).all():
            raise ModelError(
                f"{self._name} made vectors that are not finite: its weights are broken. Download them again."
            )
        return np.split(vectors, offsets[1:-1])

    def _tables(self, length: int) -> npt.NDArray[np.float32]:
        """Rotary tables for texts of this length; twice as long as before where they are too short."""
        with self._lock:
            if self._architecture.rotary_bases and self._rotary.shape[2] < length:
                longer = min(max(length, 2 * self._rotary.shape[2]), max(length, self._architecture.max_length))
                self._rotary = rotary_tables(self._architecture, longer)
            return self._rotary


def rotary_tables(architecture: Architecture, length: int) -> npt.NDArray[np.float32]:
    """(tables, 2, length, size / 2) cosines and sines of every rotary table, in single precision as torch computes them."""
    half = architecture.hidden // architecture.heads // 2
    tables = np.zeros(
        (len(architecture.rotary_bases), 2, length if architecture.rotary_bases else 0, half), dtype=np.float32
    )
    exponents = np.arange(0, 2 * half, 2, dtype=np.float32) / np.float32(2 * half)
    for table, base in zip(tables, architecture.rotary_bases, strict=True):
        angles = np.arange(length, dtype=np.float32)[:, None] * (np.float32(1) / np.float32(base) ** exponents)
        np.cos(angles, out=table[0])
        np.sin(angles, out=table[1])
    return tables
