"""The engine of segments in codes, on the CPU: candidate generation and approximate scores where documents are many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from polyvec.index.codec.codec import Codec, CodedQuery
from polyvec.index.coded_segment import CodesSegment
from polyvec.index.engine.candidates import find_candidates
from polyvec.index.engine.options import SearchOptions
from polyvec.index.engine.protocol import Allowed

Int64 = npt.NDArray[np.int64]


class CodesEngine:
    """The `Engine` of codes.

    Args:
        codec: That its segments were made with.
        codec_checksum: Of the codec's file, in hex.
    """

    def __init__(self, codec: Codec, codec_checksum: str) -> None:
        self._codec, self._codec_checksum = codec, codec_checksum

    def open(self, path: Path) -> CodesSegment:
        """Open a segment."""
        return CodesSegment(path, self._codec, self._codec_checksum)

    def prepare(self, vectors: npt.NDArray[np.float32]) -> CodedQuery:
        """The query rotated and rounded to int8."""
        return self._codec.query(vectors)

    def candidates(
        self,
        query: CodedQuery,
        options: SearchOptions,
        segments: Sequence[CodesSegment],
        allowed: Sequence[Allowed | None],
        threads: int,
    ) -> Sequence[Int64 | None]:
        """What `find_candidates` leaves of segments with postings; of all others, and where documents are few, the allowed ones."""
        chosen = [None if one is None else one.positions for one in allowed]
        narrowed = [i for i, segment in enumerate(segments) if segment.generates_candidates]
        if sum(_size(chosen[i], segments[i].n_documents) for i in narrowed) <= options.enough:
            return chosen
        masks = [None if (one := allowed[i]) is None else one.mask for i in narrowed]
        best = find_candidates(self._codec, query, options, [segments[i] for i in narrowed], masks, threads)
        for i, positions in zip(narrowed, best, strict=True):
            chosen[i] = positions
        return chosen


def _size(positions: Int64 | None, documents: int) -> int:
    return documents if positions is None else len(positions)
