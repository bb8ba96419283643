"""Token vectors of many documents <-> one immutable file of fp16 vectors.

Positions count documents inside a segment; rows are the catalog's business. docs/format.md is the specification.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.errors import IndexCorruptError
from polyvec.index.codec.codec import Codes
from polyvec.index.engine.protocol import SegmentInfo, StoredDocuments
from polyvec.index.format import VECTORS, BlockFile, BlockWriter
from polyvec.scoring import maxsim_packed

_BLOCKS = ("vectors", "offsets")
_FEW = 1024  # scores that are sorted as they are: that is one call of NumPy in place of six

Float = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


class VectorsWriter:
    """Streams documents into a new segment file; a `SegmentWriter`. Memory: 8 bytes a document, no vectors."""

    def __init__(self, path: Path, dim: int) -> None:
        self._file = BlockWriter(path, VECTORS)
        self._file.begin("vectors", np.float16, dim)
        self._doclens: list[Int64] = []

    def append(self, vectors: Float, doclens: Int64) -> None:
        """Add documents: vectors (T, dim), and doclens (n,) that add up to T."""
        check_doclens(doclens, len(vectors))
        self._file.append(vectors)
        self._doclens.append(doclens)

    def copy(self, source: StoredDocuments, positions: Int64, doclens: Int64) -> None:
        """Add stored documents, decoded."""
        self.append(decoded(source, positions), doclens)

    def finish(self) -> SegmentInfo:
        """Make the file durable. Raises StorageError where the disk is full."""
        offsets = offsets_of(self._doclens)
        self._file.write("offsets", stored_offsets(offsets))
        size, checksum = self._file.finish()
        return SegmentInfo(len(offsets) - 1, int(offsets[-1]), size, checksum)

    def abort(self) -> None:
        """Remove what was written; safe to call twice."""
        self._file.abort()


class VectorsSegment:
    """An open segment of fp16 vectors, an `OpenSegment`. Raises IndexCorruptError where the file's parts do not fit."""

    def __init__(self, path: Path, dim: int) -> None:
        self._file = BlockFile(path, VECTORS, _BLOCKS)
        self.path = path
        self._vectors: npt.NDArray[np.float16] = self._file.array("vectors", np.float16, dim)
        self._offsets = checked_offsets(self._file, len(self._vectors))

    @property
    def n_documents(self) -> int:
        """Documents in the segment, deleted ones included."""
        return len(self._offsets) - 1

    @property
    def n_tokens(self) -> int:
        """Token vectors in the segment, those of deleted documents included."""
        return len(self._vectors)

    @property
    def doclens(self) -> Int64:
        """(n_documents,) int64: token vectors of each document."""
        return np.diff(self._offsets)

    @property
    def checksum(self) -> str:
        """Of the file's first page, in hex, as the catalog records it."""
        return f"{self._file.checksum:08x}"

    @property
    def generates_candidates(self) -> bool:
        """False: every document gets a full score."""
        return False

    def score(self, query: Float, positions: Int64 | None, threads: int) -> Float:
        """(n,) float32 MaxSim of these positions, or of all, with a query of (q, dim) float32."""
        return maxsim_packed(query, self._vectors, self._offsets, which=positions, threads=threads)

    def decode(self, position: int) -> Float:
        """(t, dim) float32: the stored token vectors of one document."""
        return self._vectors[self._offsets[position] : self._offsets[position + 1]].astype(np.float32)

    def codes(self, positions: Int64, codec_checksum: str) -> Codes | None:
        """None: these documents are not in codes."""
        return None

    def verify(self) -> list[str]:
        """Read every checksum. Returns the problems found; empty if there are none."""
        return self._file.verify()


def check_doclens(doclens: Int64, tokens: int) -> None:
    """Raise ValueError unless documents of these lengths have so many token vectors together."""
    if int(doclens.sum()) != tokens:
        raise ValueError(f"doclens add up to {int(doclens.sum())}, but there are {tokens} token vectors")


def decoded(source: StoredDocuments, positions: Int64) -> Float:
    """(T, dim) float32: the token vectors of these documents, one after another."""
    return np.concatenate([source.decode(position) for position in positions.tolist()])


def offsets_of(doclens: list[Int64]) -> Int64:
    """(n + 1,) int64: where each document begins, and the last one ends."""
    lengths = np.concatenate(doclens) if doclens else np.empty(0, np.int64)
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def stored_offsets(offsets: Int64) -> npt.NDArray[Any]:
    """Ascending offsets as files hold them: uint32 where they fit, int64 otherwise."""
    return offsets.astype(np.uint32) if offsets[-1] < 1 << 32 else offsets


def read_offsets(file: BlockFile, name: str, parts: int | None, total: int) -> Int64 | None:
    """The offsets in a block, as int64; None where they do not cut `total` entries into parts, `parts` of them if given."""
    small = file.has(name) and file.blocks[name].dtype == np.dtype("<u4")
    offsets: Int64 = file.array(name, np.uint32 if small else np.int64).astype(np.int64)
    fits = len(offsets) and offsets[0] == 0 and offsets[-1] == total and (np.diff(offsets) >= 0).all()
    return offsets if fits and parts in (None, len(offsets) - 1) else None


def checked_offsets(file: BlockFile, tokens: int) -> Int64:
    """Where each document begins. Raises IndexCorruptError where documents do not cover `tokens` tokens."""
    offsets = read_offsets(file, "offsets", None, tokens)
    if offsets is None:
        raise IndexCorruptError(f"{file.path} is damaged: its documents do not cover its token vectors.")
    return offsets


def top_k(scores: Float, k: int) -> npt.NDArray[Any]:
    """Indices of the k highest scores, best first, ties by index; of many scores without sorting the rest."""
    if len(scores) <= _FEW:
        return np.argsort(-scores, kind="stable")[:k]
    if k < len(scores):
        threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
        above = np.flatnonzero(scores > threshold)
        level = np.flatnonzero(scores == threshold)[: k - len(above)]
        chosen = np.concatenate([above, level])
    else:
        chosen = np.arange(len(scores))
    return chosen[np.lexsort((chosen, -scores[chosen]))]
