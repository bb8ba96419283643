"""Documents in codes <-> one immutable file: residuals, centroid numbers, scales, and which documents each centroid has.

Written as a stream, searched through a memory map. Needs the codec that made it. docs/format.md is the specification.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.errors import IndexCorruptError
from polyvec.index import kernels
from polyvec.index.codec.codec import Codec, CodedQuery, Codes
from polyvec.index.format import BlockFile, BlockWriter
from polyvec.index.segment import SegmentInfo, checked_offsets

_VERSION = 2  # offsets of 4 bytes, and other_offsets only where they differ; version 1 had 8, and both
POSTINGS_FROM = 1 << 14  # tokens: smaller segments are scored whole, so that small additions stay small on disk

Float = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]


class CodedSegmentWriter:
    """Streams documents into a new file. Memory: 12 bytes a document, 3 to 9 a token, no vectors."""

    def __init__(self, path: Path, codec: Codec, codec_checksum: str, threads: int) -> None:
        self._codec, self._threads = codec, threads
        self._codec_checksum = int(codec_checksum, 16)
        self._file = BlockWriter(path, _VERSION)
        self._file.begin("residuals", np.uint8, codec.packed_width)
        self._doclens: list[Int64] = []
        self._codes: list[npt.NDArray[np.generic]] = []
        self._scales: list[npt.NDArray[np.uint8]] = []
        self._other_ids: list[Int32] | None = []

    def append(self, vectors: Float, doclens: Int64, token_ids: Int32 | None = None) -> None:
        """Encode and add documents. vectors: (T, dim) · doclens: (n,), adding up to T · token_ids: (T,), or None where unknown."""
        if int(doclens.sum()) != len(vectors):
            raise ValueError(f"doclens add up to {int(doclens.sum())}, but there are {len(vectors)} token vectors")
        self.append_codes(self._codec.encode(vectors, token_ids, threads=self._threads), doclens, token_ids)

    def append_codes(self, codes: Codes, doclens: Int64, token_ids: Int32 | None) -> None:
        """Add documents that this codec has encoded before."""
        self._file.append(codes.packed)
        self._doclens.append(doclens)
        self._codes.append(codes.centroids.astype(self._codec.code_dtype))
        self._scales.append(codes.scales)
        if token_ids is None or self._other_ids is None:
            self._other_ids = None
        else:
            self._other_ids.append(token_ids[self._codec.owner[codes.centroids] < 0])

    def finish(self) -> SegmentInfo:
        """Make the file durable. Raises StorageError where the disk is full."""
        doclens = np.concatenate(self._doclens) if self._doclens else np.empty(0, np.int64)
        offsets = np.concatenate([[0], np.cumsum(doclens)]).astype(np.int64)
        codes = np.concatenate(self._codes) if self._codes else np.empty(0, self._codec.code_dtype)
        self._block("codes", codes)
        self._block("scales", np.concatenate(self._scales) if self._scales else np.empty(0, np.uint8))
        self._block("offsets", offsets.astype(np.uint32 if len(codes) < 1 << 32 else np.int64))
        self._block("codec", np.array([self._codec_checksum], np.int64))
        if self._other_ids is not None:
            others = np.concatenate(self._other_ids) if self._other_ids else np.empty(0, np.int32)
            self._block("other_ids", others.astype(np.uint16) if len(others) and others.max() < 1 << 16 else others)
            if len(others) < len(codes):
                unowned = np.concatenate([[0], np.cumsum(self._codec.owner[codes] < 0)])
                self._block("other_offsets", unowned[offsets].astype(np.int32 if unowned[-1] < 1 << 31 else np.int64))
        if len(codes) >= POSTINGS_FROM:
            stream, starts = derived_postings(codes, doclens, len(self._codec.centroids))
            self._block("postings", stream)
            self._block("posting_starts", starts.astype(np.uint32 if len(stream) < 1 << 32 else np.int64))
        size, checksum = self._file.finish()
        return SegmentInfo(len(doclens), int(offsets[-1]), size, checksum)

    def abort(self) -> None:
        """Remove what was written; safe to call twice."""
        self._file.abort()

    def _block(self, name: str, array: npt.NDArray[np.generic]) -> None:
        self._file.begin(name, array.dtype)
        self._file.append(array)


def derived_postings(
    codes: npt.NDArray[np.generic], doclens: Int64, centroids: int
) -> tuple[npt.NDArray[np.uint8], Int64]:
    """The documents of each centroid, each once: a stream and where each centroid's part of it begins."""
    pairs = codes.astype(np.int64)
    pairs *= len(doclens)
    pairs += np.repeat(np.arange(len(doclens), dtype=np.int64), doclens)
    pairs.sort()  # in place: there are as many as tokens
    pairs = pairs[np.concatenate([[True], pairs[1:] != pairs[:-1]])]
    owners = pairs // len(doclens)
    lengths = np.bincount(owners, minlength=centroids).astype(np.int64)
    pairs -= owners * len(doclens)
    return kernels.encode_postings(pairs, lengths)


class CodedSegment:
    """An open file of codes; safe to share between threads. Raises IndexCorruptError where its parts do not fit."""

    def __init__(self, path: Path, codec: Codec, codec_checksum: str) -> None:
        self._file = BlockFile(path)
        self.path, self._codec = path, codec
        made_by = self._file.array("codec", np.int64)
        if len(made_by) != 1 or int(made_by[0]) != int(codec_checksum, 16):
            raise IndexCorruptError(f"{path} was made with another codec than the one that the catalog lists.")
        self._packed = self._file.array("residuals", np.uint8, codec.packed_width)
        self._codes = self._file.array("codes", codec.code_dtype)
        self._scales = self._file.array("scales", np.uint8)
        self._offsets: Int64 = checked_offsets(self._file, len(self._packed))
        tokens, documents = len(self._packed), len(self._offsets) - 1
        if len(self._codes) != tokens or len(self._scales) != tokens:
            raise IndexCorruptError(f"{path} is damaged: it has codes for other tokens than its own.")
        self._other_ids = self._other_offsets = self._postings = self._starts = None
        if "other_ids" in self._file.blocks:
            self._other_ids = self._any("other_ids")
            self._other_offsets = self._any("other_offsets") if "other_offsets" in self._file.blocks else self._offsets
            if len(self._other_offsets) != documents + 1 or self._other_offsets[-1] != len(self._other_ids):
                raise IndexCorruptError(f"{path} is damaged: its token ids do not cover its documents.")
        if "postings" in self._file.blocks:
            self._postings = self._file.array("postings", np.uint8)
            self._starts = self._any("posting_starts").astype(np.int64)
            rising = bool((np.diff(self._starts) >= 0).all())
            if len(self._starts) != len(codec.centroids) + 1 or self._starts[-1] != len(self._postings) or not rising:
                raise IndexCorruptError(f"{path} is damaged: its postings do not cover the centroids.")

    def _any(self, name: str) -> npt.NDArray[np.generic]:
        """A block of whole numbers of whichever width it was written with."""
        kind = self._file.blocks[name].dtype if name in self._file.blocks else np.dtype(np.int64)
        if kind.kind not in "iu":
            raise IndexCorruptError(f"{self.path} is damaged: block {name!r} holds no whole numbers.")
        return self._file.array(name, kind)

    @property
    def n_documents(self) -> int:
        """Documents in the segment, deleted ones included."""
        return len(self._offsets) - 1

    @property
    def n_tokens(self) -> int:
        """Tokens in the segment, those of deleted documents included."""
        return len(self._packed)

    @property
    def doclens(self) -> Int64:
        """(n_documents,) int64: token vectors of each document."""
        return np.diff(self._offsets)

    @property
    def checksum(self) -> str:
        """The checksum of the header, as the catalog records it."""
        return f"{self._file.checksum:08x}"

    @property
    def has_postings(self) -> bool:
        """Whether candidates can be gathered; small segments are scored whole."""
        return self._postings is not None

    def score(self, query: CodedQuery, positions: Int64 | None, threads: int) -> Float:
        """(n,) float32 MaxSim of these positions, or of all. Raises IndexCorruptError where codes point nowhere."""
        chosen = np.arange(self.n_documents, dtype=np.int64) if positions is None else positions
        try:
            return kernels.full_scores(
                self._codec.searched, self.searched, query.rows, query.scales, chosen, threads=threads
            )
        except ValueError as error:
            raise IndexCorruptError(f"{self.path} is damaged: {error}.") from error

    @cached_property
    def searched(self) -> kernels.NativeSegment:
        """What `kernels.find_candidates` and `kernels.full_scores` take."""
        return kernels.native_segment(**self.for_search())

    def for_search(self) -> dict[str, Any]:
        """Arguments of `kernels.native_segment`."""
        return {
            "codes": self._codes, "scales": self._scales, "packed": self._packed, "offsets": self._offsets,
            "stream": self._postings, "starts": self._starts,
        }  # fmt: skip

    def codes(self, position: int, end: int | None = None) -> Codes:
        """One document as it is stored, or those up to position `end`, one after another."""
        rows = slice(int(self._offsets[position]), int(self._offsets[position + 1 if end is None else end]))
        codes = Codes(self._codes[rows].astype(np.uint32), self._scales[rows], self._packed[rows])
        if len(codes.centroids) and codes.centroids.max() >= len(self._codec.centroids):
            raise IndexCorruptError(f"{self.path} is damaged: a code names a centroid that the codec has not.")
        return codes

    def decode(self, position: int) -> Float:
        """(t, dim) float32 unit rows: one document's vectors as search sees them."""
        return self._codec.decode(self.codes(position))

    def token_ids(self, position: int) -> Int32 | None:
        """(t,) int32: vocabulary ids of one document's tokens, None where they were not known."""
        if self._other_ids is None or self._other_offsets is None:
            return None
        ids: Int32 = self._codec.owner[self.codes(position).centroids].copy()
        begin, end = int(self._other_offsets[position]), int(self._other_offsets[position + 1])
        others = self._other_ids[begin:end]
        if int((ids < 0).sum()) != len(others):
            raise IndexCorruptError(f"{self.path} is damaged: its token ids do not cover its documents.")
        ids[ids < 0] = others
        return ids

    def verify(self) -> list[str]:
        """Read every checksum. Returns the problems found; empty if there are none."""
        return self._file.verify()
