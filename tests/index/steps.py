"""The steps of finding candidates one at a time, as the native code has them: so that each is compared with its definition.

polyvec itself runs them in one call, `kernels.find_candidates`. Shapes are those of polyvec.index.definitions.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from polyvec import _native
from polyvec.index.kernels import Bytes, Float, Int8, Int32, Int64


def approximate_scores(
    query: Int8,
    query_scales: Float,
    marked: Bytes,
    imputed: Float,
    centroids: Int8,
    levels: Int8,
    codes: npt.NDArray[np.generic],
    scales: Bytes,
    packed: Bytes,
    offsets: Int64,
    which: Int64,
    nbits: int,
    *,
    threads: int = 1,
    kernel: str = "",
) -> Float:
    """(m,) float32: as `approximate_scores_definition`."""
    scores = np.empty(len(which), np.float32)
    _native.full_scores(
        query, query_scales, centroids, levels, codes, scales, packed, offsets, which, nbits, scores, threads, kernel,
        marked, imputed,
    )  # fmt: skip
    return scores


def probe(
    query: Int8,
    coarse_centroids: Int8,
    coarse_offsets: Int64,
    centroids: Int8,
    nprobe: int,
    coarse_probe: int,
    *,
    worth: Int32 | None = None,
    table: Bytes | None = None,
    threads: int = 1,
    kernel: str = "",
) -> tuple[Int32, Int32]:
    """As `probe_definition`. worth: (q,) and table: (K, table_width(q)), given together: see `table_definition`."""
    numbers = np.empty((len(query), nprobe), np.int32)
    dots = np.empty((len(query), nprobe), np.int32)
    _native.probe(
        query, coarse_centroids, coarse_offsets, centroids, numbers, dots, coarse_probe, worth, table, threads, kernel
    )
    return numbers, dots


def mark(table: Bytes, threshold: Bytes, *, kernel: str = "") -> Bytes:
    """(K,) uint8: as `mark_definition`."""
    marked = np.empty(len(table), np.uint8)
    _native.mark(table, threshold, marked, kernel)
    return marked


def centroid_interaction(
    table: Bytes,
    codes: npt.NDArray[np.generic],
    offsets: Int64,
    which: Int64,
    *,
    threads: int = 1,
    kernel: str = "",
) -> Int32:
    """(m,) int32: as `centroid_interaction_definition`."""
    sums = np.empty(len(which), np.int32)
    _native.centroid_interaction(table, codes, offsets, which, sums, threads, kernel)
    return sums


def generate_candidates(
    numbers: Int32,
    gains: npt.NDArray[np.uint16],
    stream: Bytes,
    offsets: Int64,
    documents: int,
    allowed: Bytes | None,
    limit: int,
) -> tuple[Int64, Int32]:
    """As `generate_candidates_definition`."""
    room = min(limit, documents)
    rows, scores = np.empty(room, np.int64), np.empty(room, np.int32)
    if not room:
        return rows, scores
    found = _native.generate_candidates(numbers, gains, stream, offsets, documents, allowed, rows, scores)
    return rows[:found], scores[:found]
