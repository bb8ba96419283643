"""What the reader asks of an engine and of the segments that it opens, and what merging asks of a segment's writer.

Everything that searches, checks, merges and repairs knows segments by these protocols alone, so another engine can stand beside
those that are there: `choice.py` says which one opens a kind of segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from polyvec.index.codec.codec import Codes
from polyvec.index.engine.options import SearchOptions

Float = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

Query = TypeVar("Query")
Query_contra = TypeVar("Query_contra", contravariant=True)


@dataclass(frozen=True)
class SegmentInfo:
    """What a writer has written.

    Attributes:
        n_documents: Documents in the segment.
        n_tokens: Token vectors in the segment.
        size_bytes: Of the file.
        checksum: Of the file's first page, in hex.
    """

    n_documents: int
    n_tokens: int
    size_bytes: int
    checksum: str


@dataclass(frozen=True, eq=False)
class Allowed:
    """The documents of a segment that searches may return; safe to share between threads.

    Attributes:
        positions: (n,) int64, ascending.
        n_documents: Of the segment.
    """

    positions: Int64
    n_documents: int

    @cached_property
    def mask(self) -> npt.NDArray[np.uint8]:
        """(n_documents,) uint8: 1 for a document that may be returned, 0 for others. Made once, since many searches ask."""
        mask = np.zeros(self.n_documents, np.uint8)
        mask[self.positions] = 1
        return mask


class StoredDocuments(Protocol):
    """Documents by position, as a segment stores them."""

    def decode(self, position: int, /) -> Float:
        """(t, dim) float32: one document's token vectors, as search sees them."""

    def codes(self, positions: Int64, codec_checksum: str, /) -> Codes | None:
        """The codes of these documents, one after another.

        Args:
            positions: (n,) int64, ascending.
            codec_checksum: Of a codec, in hex.

        Returns:
            None where this codec has not made them.
        """


class OpenSegment(StoredDocuments, Protocol[Query_contra]):
    """An immutable segment, open for reading; safe to share between threads. Positions count its documents from 0."""

    @property
    def path(self) -> Path:
        """Of its file."""

    @property
    def n_documents(self) -> int:
        """Documents in the segment, deleted ones included."""

    @property
    def n_tokens(self) -> int:
        """Token vectors in the segment, those of deleted documents included."""

    @property
    def doclens(self) -> Int64:
        """(n_documents,) int64: token vectors of each document."""

    @property
    def checksum(self) -> str:
        """Of the file's first page, in hex, as the catalog records it."""

    @property
    def generates_candidates(self) -> bool:
        """Whether a search may leave out documents without a full score."""

    def score(self, query: Query_contra, positions: Int64 | None, threads: int, /) -> Float:
        """Full scores.

        Args:
            query: As the engine prepared it.
            positions: (n,) int64 documents to score; None for all.
            threads: At most this many.

        Returns:
            (n,) float32 MaxSim over all tokens as they are stored.

        Raises:
            IndexCorruptError: What is stored names something that is not there.
        """

    def verify(self) -> list[str]:
        """Read every checksum. Returns the problems found; empty if there are none."""


Segment = TypeVar("Segment", bound=OpenSegment[Any])


class Engine(Protocol[Query, Segment]):
    """Opens the segments of one kind and narrows down which of their documents get a full score."""

    def open(self, path: Path, /) -> Segment:
        """Open a segment, an `OpenSegment`.

        Raises:
            IndexCorruptError: The file is damaged or of another kind.
            StorageError: The file needs another version of polyvec.
        """

    def prepare(self, vectors: Float, /) -> Query:
        """A query, (q, dim) float32 unit rows, as this engine's segments take it. Once a search."""

    def candidates(
        self,
        query: Query,
        options: SearchOptions,
        segments: Sequence[Segment],
        allowed: Sequence[Allowed | None],
        threads: int,
        /,
    ) -> Sequence[Int64 | None]:
        """Candidate generation and approximate scores, over all segments together.

        Args:
            query: As `prepare` made it.
            options: How far to narrow down.
            segments: All segments that this engine has opened for the search.
            allowed: Of each segment, the documents to choose from; None for all.
            threads: At most this many.

        Returns:
            Of each segment, the ascending int64 positions to score in full; None for all. Where every document is scored in
            full, these are the allowed ones. The same whatever the number of threads.

        Raises:
            IndexCorruptError: What is stored names something that is not there.
        """


class SegmentWriter(Protocol):
    """Streams documents into a new segment file, in the order of their positions."""

    def append(self, vectors: Float, doclens: Int64, /) -> None:
        """Add documents.

        Args:
            vectors: (T, dim) float32 unit rows, document after document.
            doclens: (n,) int64 token vectors of each document; they add up to T.
        """

    def copy(self, source: StoredDocuments, positions: Int64, doclens: Int64, /) -> None:
        """Add stored documents: as they are where this segment stores the same, otherwise decoded.

        Args:
            source: Where they are stored.
            positions: (n,) int64, ascending.
            doclens: (n,) int64 token vectors of each.
        """

    def finish(self) -> SegmentInfo:
        """Make the file durable. Raises StorageError where the disk is full."""

    def abort(self) -> None:
        """Remove what was written; safe to call twice."""
