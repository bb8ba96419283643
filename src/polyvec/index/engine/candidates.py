"""A query in codes -> the documents of coded segments that are worth a full score.

Four steps, each of which keeps fewer documents and scores them more closely: probing, candidate generation, centroid
interaction, approximate scores. docs/engine.md has how they work, definitions.py what they compute. Their settings are here; they
run in one native call. Knows nothing about rows, files or hits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from polyvec.errors import IndexCorruptError
from polyvec.index import kernels
from polyvec.index.codec.codec import Codec, CodedQuery
from polyvec.index.coded_segment import CodesSegment
from polyvec.index.engine.options import SearchOptions
from polyvec.index.kernels import Bytes, Int64, Narrowing

_COARSE_PER_PROBED = 1  # coarse centroids that a query row probes for each centroid that it takes
# Imputed score of a document that met none of a row's probed centroids, as a share of the last one's score.
_GENERATION_IMPUTED = 0.95
# What a doubling of a document's length takes off its centroid interaction, as a share of the highest possible score.
_LENGTH_PENALTY = 0.005
# Centroids are near a row from this share of its last probed one's score on: approximate scores are over their tokens. The second
# where that many hits are wanted.
_NEAR = 0.98
_MANY, _NEAR_OF_MANY = 50, 0.93
# Imputed score of a document without such a token, as a share of that.
_APPROXIMATE_IMPUTED = 0.85
# How far below the k-th best a document may be after each step and stay, where the number of candidates is left open. At 128
# dimensions, and of the root of the summed squares of the query's rows: that is how errors of rows add up.
_GENERATION_MARGIN, _INTERACTION_MARGIN, _APPROXIMATE_MARGIN = 0.3, 0.36, 0.2


def narrowing(options: SearchOptions, n_centroids: int) -> Narrowing:
    """How these options narrow documents down in a collection with so many centroids."""
    nprobe = min(options.nprobe, n_centroids)
    left_open = options.candidates is None
    return Narrowing(
        k=options.k,
        nprobe=nprobe,
        coarse_nprobe=_COARSE_PER_PROBED * nprobe,
        generation_imputed=_GENERATION_IMPUTED,
        near=_NEAR if options.k < _MANY else _NEAR_OF_MANY,
        approximate_imputed=_APPROXIMATE_IMPUTED,
        length_penalty=_LENGTH_PENALTY,
        generated=options.generated,
        approximately_scored=options.approximately_scored,
        fully_scored=options.scored,
        generation_margin=_GENERATION_MARGIN if left_open else math.inf,
        interaction_margin=_INTERACTION_MARGIN if left_open else math.inf,
        approximate_margin=_APPROXIMATE_MARGIN if left_open else math.inf,
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
        IndexCorruptError: A number in a segment is out of range.
    """
    try:
        return kernels.find_candidates(
            codec.searched, [segment.searched for segment in segments], masks, query.rows, query.scales,
            narrowing(options, len(codec.centroids)), threads=threads,
        )  # fmt: skip
    except kernels.DamagedSegmentError as error:
        raise IndexCorruptError(f"{segments[error.segment].path} is damaged: {error}.") from error
