"""Vectors in groups -> centroids: k-means inside every group at once, deterministic for a seed.

Clustering inside cells is many times cheaper than one k-means over everything. Distances are Euclidean: the native kernel finds
the largest x . c - |c|^2 / 2.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from polyvec.index.kernels import assign, cluster_sums

Float = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


def grouped_kmeans(
    vectors: Float, groups: npt.NDArray[np.int32], per_group: Int64, *, rounds: int, seed: int, threads: int
) -> Float:
    """Cluster every group of vectors by itself (Lloyd).

    A cluster that loses its last vector keeps its place.

    Args:
        vectors: (n, d) float32.
        groups: (n,) int32 group of each vector.
        per_group: (G,) int64 centroids of each group, at least 1; a group with fewer vectors than that repeats some.
        rounds: Of Lloyd's algorithm.
        seed: Of the first centroids, which are drawn from the vectors.
        threads: At most this many.

    Returns:
        (K, d) float32 centroids, those of group 0 first, K = per_group.sum().
    """
    order = np.argsort(groups, kind="stable")
    counts = np.bincount(groups, minlength=len(per_group))
    starts = np.cumsum(counts) - counts
    generator = np.random.default_rng(seed)
    chosen = [
        start
        + np.sort(generator.permutation(count)[:wanted] if count >= wanted else generator.integers(0, count, wanted))
        for start, count, wanted in zip(starts, counts, per_group, strict=True)
    ]
    in_order = (groups[1:] >= groups[:-1]).all()
    ordered = vectors if in_order else vectors[order]  # a sample may be half of what the memory holds
    centroids: Float = ordered[np.concatenate(chosen)].astype(np.float32)
    offsets = np.concatenate([[0], np.cumsum(per_group)]).astype(np.int64)
    ordered_groups = groups[order]
    for _ in range(rounds):
        nearest = nearest_centroids(ordered, ordered_groups, centroids, offsets, threads)
        sums = cluster_sums(ordered, nearest, len(centroids), threads=threads)
        sizes = np.bincount(nearest, minlength=len(centroids))
        filled = sizes > 0
        centroids[filled] = (sums[filled] / sizes[filled, None]).astype(np.float32)
    return centroids


def nearest_centroids(
    vectors: Float, groups: npt.NDArray[np.int32], centroids: Float, offsets: Int64, threads: int
) -> Int64:
    """(n,) int64: the centroid of each vector's group that is nearest to it."""
    biases = (-0.5 * (centroids * centroids).sum(axis=1)).astype(np.float32)
    return assign(vectors, groups, centroids, biases, offsets, threads=threads)
