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
from polyvec.index.engine.protocol import SegmentInfo, StoredDocuments
from polyvec.index.format import CODES, BlockFile, BlockWriter
from polyvec.index.segment import check_doclens, checked_offsets, decoded, offsets_of, read_offsets, stored_offsets

POSTINGS_FROM = 1 << 14  # tokens: smaller segments are scored whole, so that small additions stay small on disk
_BLOCKS = ("codec_checksum", "residuals", "codes", "scales", "offsets", "postings", "posting_offsets")

Float = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


class CodesWriter:
    """Streams documents into a new file; a `SegmentWriter`. Memory: 8 bytes a document, 2 to 5 a token, no vectors."""

    def __init__(self, path: Path, codec: Codec, codec_checksum: str, threads: int) -> None:
        self._codec, self._threads = codec, threads
        self._codec_checksum = codec_checksum
        self._file = BlockWriter(path, CODES)
        self._file.write("codec_checksum", np.array([int(codec_checksum, 16)], np.uint32))
        self._file.begin("residuals", np.uint8, codec.packed_width)
        self._doclens: list[Int64] = []
        self._codes: list[npt.NDArray[np.generic]] = []
        self._scales: list[npt.NDArray[np.uint8]] = []

    def append(self, vectors: Float, doclens: Int64) -> None:
        """Encode and add documents: vectors (T, dim), and doclens (n,) that add up to T."""
        check_doclens(doclens, len(vectors))
        self._append_codes(self._codec.encode(vectors, threads=self._threads), doclens)

    def copy(self, source: StoredDocuments, positions: Int64, doclens: Int64) -> None:
        """Add stored documents: their codes where this codec has made them, otherwise their decoded vectors."""
        codes = source.codes(positions, self._codec_checksum)
        if codes is None:
            self.append(decoded(source, positions), doclens)
        else:
            self._append_codes(codes, doclens)

    def _append_codes(self, codes: Codes, doclens: Int64) -> None:
        self._file.append(codes.packed)
        self._doclens.append(doclens)
        self._codes.append(codes.centroids.astype(self._codec.code_dtype))
        self._scales.append(codes.scales)

    def finish(self) -> SegmentInfo:
        """Make the file durable. Raises StorageError where the disk is full."""
        offsets = offsets_of(self._doclens)
        codes = np.concatenate(self._codes) if self._codes else np.empty(0, self._codec.code_dtype)
        self._file.write("codes", codes)
        if self._codec.has_scales:
            self._file.write("scales", np.concatenate(self._scales) if self._scales else np.empty(0, np.uint8))
        self._file.write("offsets", stored_offsets(offsets))
        if len(codes) >= POSTINGS_FROM:
            stream, starts = derived_postings(codes, np.diff(offsets), len(self._codec.centroids))
            self._file.write("postings", stream, optional=True)
            self._file.write("posting_offsets", stored_offsets(starts), optional=True)
        size, checksum = self._file.finish()
        return SegmentInfo(len(offsets) - 1, int(offsets[-1]), size, checksum)

    def abort(self) -> None:
        """Remove what was written; safe to call twice."""
        self._file.abort()


def derived_postings(
    codes: npt.NDArray[np.generic], doclens: Int64, centroids: int
) -> tuple[npt.NDArray[np.uint8], Int64]:
    """The documents of each centroid, each once: a stream and where each centroid's part of it begins."""
    pairs = codes.astype(np.int64)
    pairs *= len(doclens)
    pairs += np.repeat(np.arange(len(doclens), dtype=np.int64), doclens)
    pairs.sort()  # in place: there are as many as tokens
    pairs = pairs[np.concatenate([[True], pairs[1:] != pairs[:-1]])]
    numbers = pairs // len(doclens)
    lengths = np.bincount(numbers, minlength=centroids).astype(np.int64)
    pairs -= numbers * len(doclens)
    return kernels.encode_postings(pairs, lengths)


class CodesSegment:
    """An open file of codes, an `OpenSegment`. Raises IndexCorruptError where its parts do not fit."""

    def __init__(self, path: Path, codec: Codec, codec_checksum: str) -> None:
        self._file = BlockFile(path, CODES, _BLOCKS)
        self.path, self._codec, self._codec_checksum = path, codec, codec_checksum
        made_by = self._file.array("codec_checksum", np.uint32)
        if len(made_by) != 1 or int(made_by[0]) != int(codec_checksum, 16):
            raise IndexCorruptError(f"{path} was made with another codec than the one that the catalog lists.")
        self._packed = self._file.array("residuals", np.uint8, codec.packed_width)
        tokens = len(self._packed)
        self._codes = self._file.array("codes", codec.code_dtype)
        self._scales = self._file.array("scales", np.uint8) if codec.has_scales else np.zeros(tokens, np.uint8)
        self._offsets = checked_offsets(self._file, tokens)
        if len(self._codes) != tokens or len(self._scales) != tokens:
            raise IndexCorruptError(f"{path} is damaged: it has codes for other tokens than its own.")
        self._postings = self._posting_offsets = None
        if self._file.has("postings"):
            self._postings = self._file.array("postings", np.uint8)
            size, centroids = len(self._postings), len(codec.centroids)
            self._posting_offsets = read_offsets(self._file, "posting_offsets", centroids, size)
            if self._posting_offsets is None:
                raise IndexCorruptError(f"{path} is damaged: its postings do not cover the centroids.")

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
        """Of the file's first page, in hex, as the catalog records it."""
        return f"{self._file.checksum:08x}"

    @property
    def generates_candidates(self) -> bool:
        """Whether it has postings; small segments have none, and every document in them gets a full score."""
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
            "stream": self._postings, "starts": self._posting_offsets,
        }  # fmt: skip

    def codes(self, positions: Int64, codec_checksum: str) -> Codes | None:
        """The codes of these documents, one after another; None where another codec made them."""
        if int(codec_checksum, 16) != int(self._codec_checksum, 16):
            return None
        parts = [self._codes_of(int(run[0]), int(run[-1]) + 1) for run in _runs(positions)]
        return Codes(
            np.concatenate([part.centroids for part in parts]),
            np.concatenate([part.scales for part in parts]),
            np.concatenate([part.packed for part in parts]),
        )

    def decode(self, position: int) -> Float:
        """(t, dim) float32 unit rows: one document's vectors as search sees them."""
        return self._codec.decode(self._codes_of(position, position + 1))

    def _codes_of(self, begin: int, end: int) -> Codes:
        """The codes of the documents from position `begin` to before `end`."""
        rows = slice(int(self._offsets[begin]), int(self._offsets[end]))
        codes = Codes(self._codes[rows].astype(np.uint32), self._scales[rows], self._packed[rows])
        if len(codes.centroids) and codes.centroids.max() >= len(self._codec.centroids):
            raise IndexCorruptError(f"{self.path} is damaged: a code names a centroid that the codec does not have.")
        return codes

    def verify(self) -> list[str]:
        """Read every checksum. Returns the problems found; empty if there are none."""
        return self._file.verify()


def _runs(positions: Int64) -> list[Int64]:
    """Ascending positions in parts without gaps."""
    return np.split(positions, np.flatnonzero(np.diff(positions) != 1) + 1)
