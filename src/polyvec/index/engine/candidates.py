"""A query in codes -> the documents of coded segments that are worth a full score: probe, gather, interact, look.

Each step keeps fewer documents and looks at them more closely; docs/engine.md has what each costs and finds, definitions.py what
it computes. The settings of the steps are here; they run in one native call. Knows nothing about rows, files or hits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from polyvec.errors import IndexCorruptError
from polyvec.index import kernels
from polyvec.index.codec.codec import Codec, CodedQuery
from polyvec.index.coded_segment import CodedSegment
from polyvec.index.engine.options import SearchOptions
from polyvec.index.kernels import Bytes, Int64

_COARSE_PER_PROBED = 1  # parents a query row looks into for each centroid probed
_MISSING = 0.95  # of the score of a row's last probed centroid: what a document is taken to have where it met none
_DOUBLING = 0.005  # of the highest possible score: what twice the length takes from a document's order when interacting
_NEAR = 0.98  # of the score of a row's last probed centroid: tokens of centroids from there on are looked at
_MANY, _NEAR_OF_MANY = 50, 0.93  # the same where so many hits are wanted
_LEAST = 0.85  # of that: what a document is taken to have where it has no such token
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
    least: float
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
        _LEAST,
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
    segments: Sequence[CodedSegment],
    masks: Sequence[Bytes | None],
    threads: int,
) -> list[Int64]:
    """The ascending positions of each segment to score in full, options.scored of all at most.

    segments: with postings · masks: for each (n_documents,) 0 for a document to pass over, or None. Deterministic, whatever the
    number of threads; ties go to the lower position. Raises IndexCorruptError where a segment's numbers point nowhere.
    """
    steps = narrowing(options, len(codec.centroids))
    try:
        return kernels.find_candidates(
            codec.searched, [segment.searched for segment in segments], masks, query.rows, query.scales, **vars(steps),
            threads=threads,
        )  # fmt: skip
    except kernels.DamagedSegmentError as error:
        raise IndexCorruptError(f"{segments[error.segment].path} is damaged: {error}.") from error
