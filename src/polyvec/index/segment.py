"""Token vectors of many documents <-> one immutable file.

Plain segments keep fp16 vectors and score them exactly. Positions count documents inside a segment; rows are the
catalog's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.errors import IndexCorruptError
from polyvec.index.format import BlockFile, BlockWriter
from polyvec.scoring import maxsim_packed


@dataclass(frozen=True)
class SegmentInfo:
    """What `SegmentWriter.finish` wrote."""

    n_documents: int
    n_tokens: int
    size_bytes: int
    checksum: str


class SegmentWriter:
    """Streams documents into a new segment file. Memory: 12 bytes a document and 4 a token, no vectors."""

    def __init__(self, path: Path, dim: int) -> None:
        self._file = BlockWriter(path)
        self._file.begin("vectors", np.float16, dim)
        self._doclens: list[npt.NDArray[np.int64]] = []
        self._token_ids: list[npt.NDArray[np.int32]] | None = []

    def append(
        self,
        vectors: npt.NDArray[np.float32],
        doclens: npt.NDArray[np.int64],
        token_ids: npt.NDArray[np.int32] | None = None,
    ) -> None:
        """Add documents. vectors: (T, dim) · doclens: (n,), adding up to T · token_ids: (T,), or None where unknown."""
        if int(doclens.sum()) != len(vectors):
            raise ValueError(f"doclens add up to {int(doclens.sum())}, but there are {len(vectors)} token vectors")
        self._file.append(vectors)
        self._doclens.append(doclens)
        if token_ids is None or self._token_ids is None:
            self._token_ids = None
        else:
            self._token_ids.append(token_ids)

    def finish(self) -> SegmentInfo:
        """Make the file durable. Raises StorageError where the disk is full."""
        doclens = np.concatenate(self._doclens) if self._doclens else np.empty(0, np.int64)
        offsets = np.zeros(len(doclens) + 1, np.int64)
        np.cumsum(doclens, out=offsets[1:])
        self._file.begin("offsets", np.int64)
        self._file.append(offsets)
        if self._token_ids:
            self._file.begin("token_ids", np.int32)
            for part in self._token_ids:
                self._file.append(part)
        size, checksum = self._file.finish()
        return SegmentInfo(len(doclens), int(offsets[-1]), size, checksum)

    def abort(self) -> None:
        """Remove what was written; safe to call twice."""
        self._file.abort()


class Segment:
    """An open segment; safe to share between threads. Raises IndexCorruptError where the file's parts do not fit."""

    def __init__(self, path: Path, dim: int) -> None:
        self._file = BlockFile(path)
        self.path = path
        self._vectors: npt.NDArray[np.float16] = self._file.array("vectors", np.float16, dim)
        self._offsets = checked_offsets(self._file, len(self._vectors))
        self._token_ids: npt.NDArray[np.int32] | None = None
        if "token_ids" in self._file.blocks:
            self._token_ids = self._file.array("token_ids", np.int32)
            if len(self._token_ids) != len(self._vectors):
                raise IndexCorruptError(f"{path} is damaged: it has token ids for other tokens than its own.")

    @property
    def n_documents(self) -> int:
        """Documents in the segment, deleted ones included."""
        return len(self._offsets) - 1

    @property
    def n_tokens(self) -> int:
        """Token vectors in the segment, those of deleted documents included."""
        return len(self._vectors)

    @property
    def doclens(self) -> npt.NDArray[np.int64]:
        """(n_documents,) int64: token vectors of each document."""
        return np.diff(self._offsets)

    @property
    def checksum(self) -> str:
        """The checksum of the header, as the catalog records it."""
        return f"{self._file.checksum:08x}"

    def score(
        self, query: npt.NDArray[np.float32], positions: npt.NDArray[np.int64] | None, threads: int | None
    ) -> npt.NDArray[np.float32]:
        """(n,) float32 MaxSim of these positions, or of all, with a query of (q, dim) float32."""
        return maxsim_packed(query, self._vectors, self._offsets, which=positions, threads=threads)

    def decode(self, position: int) -> npt.NDArray[np.float32]:
        """(t, dim) float32: the stored token vectors of one document."""
        return self._vectors[self._offsets[position] : self._offsets[position + 1]].astype(np.float32)

    def token_ids(self, position: int) -> npt.NDArray[np.int32] | None:
        """(t,) int32: vocabulary ids of one document's tokens, None where they were not known."""
        if self._token_ids is None:
            return None
        return self._token_ids[self._offsets[position] : self._offsets[position + 1]]

    def verify(self) -> list[str]:
        """Read every checksum. Returns the problems found; empty if there are none."""
        return self._file.verify()


def checked_offsets(file: BlockFile, tokens: int) -> npt.NDArray[np.int64]:
    """Where each document begins. Raises IndexCorruptError where documents do not cover `tokens` tokens."""
    small = "offsets" in file.blocks and file.blocks["offsets"].dtype == np.dtype("<u4")
    offsets: npt.NDArray[np.int64] = file.array("offsets", np.uint32 if small else np.int64).astype(
        np.int64, copy=False
    )
    if not len(offsets) or offsets[0] != 0 or offsets[-1] != tokens or (np.diff(offsets) < 0).any():
        raise IndexCorruptError(f"{file.path} is damaged: its documents do not cover its token vectors.")
    return offsets


def top_k(scores: npt.NDArray[np.float32], k: int) -> npt.NDArray[Any]:
    """Indices of the k highest scores, best first, ties by index, without sorting the rest."""
    if k < len(scores):
        threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
        above = np.flatnonzero(scores > threshold)
        level = np.flatnonzero(scores == threshold)[: k - len(above)]
        chosen = np.concatenate([above, level])
    else:
        chosen = np.arange(len(scores))
    return chosen[np.lexsort((chosen, -scores[chosen]))]
