"""A query in codes -> the documents of coded segments that are worth a full score.

Four steps, each of which keeps fewer documents: probing, candidate generation, centroid interaction, approximate scores.
docs/engine.md has what each costs and finds, definitions.py what it computes. The settings of the steps are here; they run in
one native call. Knows nothing about rows, files or hits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from polyvec.errors import IndexCorruptError
from polyvec.index import kernels
from polyvec.index.codec.codec import Codec, CodedQuery
from polyvec.index.coded_segment import CodesSegment
from polyvec.index.engine.options import SearchOptions
from polyvec.index.kernels import Bytes, Int64

_COARSE_PER_PROBED = 1  # coarse centroids whose centroids a query row is compared with, for each centroid probed
_MISSING = (
    0.95  # of the score of a row's last probed centroid: imputed to a document that has none of the probed centroids
)
_DOUBLING = 0.005  # of the highest possible score: what twice the length takes from a document's centroid interaction
_NEAR = (
    0.98  # of the score of a row's last probed centroid: tokens of centroids from there on count in approximate scores
)
_MANY, _NEAR_OF_MANY = 50, 0.93  # the same where so many hits are wanted
_IMPUTED = 0.85  # of that: imputed to a document that has no such token
# How far below the k-th best a document may be after each step and stay, where the number of candidates is left open. At 128
# dimensions, and of the root of the summed squares of the query's rows: that is how errors of rows add up.
_GENERATED_WITHIN, _ORDERED_WITHIN, _APPROXIMATELY_SCORED_WITHIN = 0.3, 0.36, 0.2


@dataclass(frozen=True)
class Narrowing:
    """The settings of the steps, for one query; the fields are arguments of kernels.find_candidates."""

    k: int
    nprobe: int
    coarse_probe: int
    missing: float
    near: float
    imputed: float
    doubling: float
    generated: int
    approximately_scored: int
    scored: int
    generated_within: float
    ordered_within: float
    approximately_scored_within: float


def narrowing(options: SearchOptions, n_centroids: int) -> Narrowing:
    """How these options narrow documents down in a collection with so many centroids."""
    nprobe = min(options.nprobe, n_centroids)
    near = _NEAR if options.k < _MANY else _NEAR_OF_MANY
    within = (
        (_GENERATED_WITHIN, _ORDERED_WITHIN, _APPROXIMATELY_SCORED_WITHIN)
        if options.candidates is None
        else (math.inf,) * 3
    )
    return Narrowing(
        options.k,
        nprobe,
        _COARSE_PER_PROBED * nprobe,
        _MISSING,
        near,
        _IMPUTED,
        _DOUBLING,
        options.generated,
        options.approximately_scored,
        options.scored,
        *within,
    )


def find_candidates(
    codec: Codec,
    query: CodedQuery,
    options: SearchOptions,
    segments: Sequence[CodesSegment],
    masks: Sequence[Bytes | None],
    threads: int,
) -> list[Int64]:
    """The documents of each segment that get a full score.

    Args:
        codec: Of all segments.
        query: Of that codec.
        options: How far to narrow down.
        segments: With postings.
        masks: For each segment, (n_documents,) uint8 with 0 for a document that may not be returned; None for all.
        threads: At most this many.

    Returns:
        For each segment, ascending int64 positions; of all segments together, options.scored at most. The same whatever the
        number of threads; ties go to the lower position.

    Raises:
        IndexCorruptError: A segment's numbers point nowhere.
    """
    steps = narrowing(options, len(codec.centroids))
    try:
        return kernels.find_candidates(
            codec.searched, [segment.searched for segment in segments], masks, query.rows, query.scales, **vars(steps),
            threads=threads,
        )  # fmt: skip
    except kernels.DamagedSegmentError as error:
        raise IndexCorruptError(f"{segments[error.segment].path} is damaged: {error}.") from error
