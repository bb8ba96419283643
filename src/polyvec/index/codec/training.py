"""A sample of token vectors -> a trained codec.

The number of centroids grows with the collection. Vectors are clustered into cells, and each cell into its share of the
centroids. Deterministic for a sample and a seed, whatever the number of threads.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from polyvec.index import kernels
from polyvec.index.codec.codec import STEPS, WINDOWS, Codec
from polyvec.index.codec.kmeans import grouped_kmeans, nearest_centroids
from polyvec.index.codec.rotation import Rotation, drawn_signs

Float = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]

SAMPLE_TOKENS = 400_000  # tokens to train on, at most: the build's memory stays under 1 GB
_TOKENS_A_CENTROID = 120
_MOST_CENTROIDS = 1 << 16  # numbers fit 16 bits
_CELL_CENTROIDS = 64  # centroids in a cell, about
_ROUNDS = 6
TRAINING_SEED = 1
_SCALE_FLOOR = 1e-3  # smallest scale that is not taken for zero, as a share of the largest
_TRELLIS_SAMPLE, _TRELLIS_ROUNDS = 1 << 13, 8
# Codebooks to begin with at 1 and 2 bits: the best of 3,000 random orders of a normal distribution's quantiles, each followed by
# Lloyd's rounds on values of that distribution. Mean squared error there: .310 and .092; scalar quantizers have .363 and .117.
_STARTS = {
    1: (0.5964, -0.8370, -0.5832, 0.7744, 0.2395, -1.2892, 1.3633, -0.2550,
        -1.1736, 0.4160, 1.0435, -0.4218, -1.3231, 0.3330, -0.2219, 1.4510),
    2: (1.2877, -1.5219, 0.3326, -0.5212, 0.9020, -0.6183, 0.0664, -2.0261,
        -0.0198, 2.1408, -0.9294, 0.8082, -1.1246, 0.4389, 1.3967, -0.2611),
}  # fmt: skip


def centroid_count(tokens: int) -> int:
    """Centroids for a collection: one for 120 tokens, more of them a token in small collections, at most 65,536."""
    return int(np.clip(max(tokens // _TOKENS_A_CENTROID, min(tokens // 24, 1024)), 1, _MOST_CENTROIDS))


def train_codec(
    vectors: Float, *, nbits: int, total_tokens: int, seed: int = TRAINING_SEED, threads: int
) -> tuple[Codec, float]:
    """Train a codec on a sample of token vectors.

    Args:
        vectors: (n, dim) float32 unit rows, n >= 1. They are overwritten.
        nbits: Bits a dimension: 1, 2, 4 or 8.
        total_tokens: Of the collection that the sample stands for.
        seed: Of every random choice.
        threads: At most this many.

    Returns:
        The codec, and what coding loses of a part of the sample: see `coding_error`.
    """
    dim = vectors.shape[1]
    measured = vectors[_some(len(vectors), seed)]
    signs = drawn_signs(dim, seed)
    Rotation(signs).apply_in_place(vectors, threads=threads)
    turned = vectors
    k = min(centroid_count(total_tokens), len(turned))
    cells, groups, per_group = _shares(turned, k, seed, threads)
    grouped = grouped_kmeans(turned, groups, per_group, rounds=_ROUNDS, seed=seed, threads=threads)
    unit = float(np.quantile(np.abs(turned[: 1 << 16]), 0.9999)) / 127 or 1.0 / 127
    padded = np.zeros((len(grouped), kernels.padded_dim(dim)), np.int8)
    padded[:, :dim] = np.clip(np.rint(grouped / unit), -127, 127).astype(np.int8)
    order, coarse_centroids, coarse_offsets = _coarse_centroids(padded, dim, seed, threads)
    members = np.empty(len(order), np.int32)
    members[order] = np.arange(len(order), dtype=np.int32)
    codec = Codec(
        dim=dim,
        nbits=nbits,
        signs=signs,
        unit=unit,
        centroids=np.ascontiguousarray(padded[order]),
        coarse_centroids=coarse_centroids,
        coarse_offsets=coarse_offsets,
        cells=cells,
        cell_offsets=np.concatenate([[0], np.cumsum(per_group)]).astype(np.int64),
        cell_members=members,
        steps=np.ones(STEPS, np.float32),
        codebook=np.zeros(0, np.float32),
    )
    if nbits < 8:
        chosen = _some(len(turned), seed)
        nearest = nearest_centroids(turned[chosen], groups[chosen], codec.by_cell, codec.cell_offsets, threads)
        residuals = turned[chosen] / np.float32(unit) - codec.centroids[members[nearest], :dim]
        steps, codebook = _quantizer(residuals, nbits, threads)
        codec = replace(codec, steps=steps, codebook=codebook)
    return codec, coding_error(codec, measured, threads)


def coding_error(codec: Codec, vectors: Float, threads: int) -> float:
    """Mean squared length of what coding loses of unit rows, (n, dim) float32.

    At least what rounding to int8 loses of any vector: vectors that come out of such codes seem to lose nothing.
    """
    lost = vectors - codec.decode(codec.encode(vectors, threads=threads))
    measured = float((lost * lost).sum(axis=1).mean()) if len(lost) else 0.0
    return max(measured, codec.dim * codec.unit**2 / 12)


def _some(rows: int, seed: int) -> Int64:
    """Row numbers of a smaller sample, ascending."""
    return np.sort(np.random.default_rng([seed, 1]).permutation(rows)[: 1 << 16])


def _shares(turned: Float, k: int, seed: int, threads: int) -> tuple[Float, Int32, Int64]:
    """How k centroids are shared out: the cells, the cell of each vector, and the centroids of each."""
    wanted = np.array([max(1, k // _CELL_CENTROIDS)], np.int64)
    zeros = np.zeros(len(turned), np.int32)
    cells = grouped_kmeans(turned, zeros, wanted, rounds=_ROUNDS, seed=seed + 1, threads=threads)
    near = nearest_centroids(turned, zeros, cells, np.array([0, len(cells)], np.int64), threads)
    used, groups = np.unique(near, return_inverse=True)  # an empty cell has nothing to share
    return np.ascontiguousarray(cells[used]), groups.astype(np.int32), _apportioned(np.bincount(groups), k)


def _apportioned(counts: Int64, k: int) -> Int64:
    """k centroids over groups in proportion to their vectors, at least one each and never more than vectors."""
    shares = np.maximum(counts * (k / max(int(counts.sum()), 1)), 1.0)
    apportioned: Int64 = np.minimum(np.maximum(np.floor(shares), 1), np.maximum(counts, 1)).astype(np.int64)
    return apportioned


def _coarse_centroids(
    padded: npt.NDArray[np.int8], dim: int, seed: int, threads: int
) -> tuple[Int64, npt.NDArray[np.int8], Int64]:
    """The order of centroids by coarse centroid, the coarse centroids (P, p) int8, and the offsets of their centroids."""
    values = padded[:, :dim].astype(np.float32)
    wanted = int(np.clip(round(4 * np.sqrt(len(values))), 1, len(values)))
    zeros = np.zeros(len(values), np.int32)
    whole = np.array([wanted], np.int64)
    centers = grouped_kmeans(values, zeros, whole, rounds=_ROUNDS, seed=seed + 2, threads=threads)
    near = nearest_centroids(values, zeros, centers, np.array([0, wanted], np.int64), threads)
    used, near = np.unique(near, return_inverse=True)
    sums = kernels.cluster_sums(values, near.astype(np.int64), len(used), threads=threads)
    sizes = np.bincount(near, minlength=len(used))
    coarse_centroids = np.zeros((len(used), padded.shape[1]), np.int8)
    coarse_centroids[:, :dim] = np.clip(np.rint(sums / sizes[:, None]), -127, 127).astype(np.int8)
    return np.argsort(near, kind="stable"), coarse_centroids, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _quantizer(residuals: Float, nbits: int, threads: int) -> tuple[Float, Float]:
    """Steps, and the codebook of the windows for residuals divided by their own root mean square."""
    spread = np.sqrt((residuals * residuals).mean(axis=1))
    largest = float(spread.max()) or 1.0
    some = spread > 0
    lowest = max(float(np.quantile(spread[some], 0.001)) / 2 if some.any() else 0.1, largest * _SCALE_FLOOR)
    steps = np.geomspace(lowest, largest * 1.5, STEPS).astype(np.float32)
    if nbits == 4:
        return steps, _lloyd_codebook(residuals[some] / spread[some, None])
    return steps, _trellis_codebook(residuals[some][:_TRELLIS_SAMPLE], steps, nbits, threads)


def _lloyd_codebook(values: Float) -> Float:
    """(16,) ascending: Lloyd's quantizer, symmetric. With 4 bits a window is a code."""
    values = np.sort(np.abs(values).ravel()[: 1 << 21])
    if not len(values):
        values = np.linspace(0.1, 2, 64, dtype=np.float32)
    codebook = np.quantile(values, (np.arange(8) + 0.5) / 8)
    for _ in range(60):
        edges = np.searchsorted(values, (codebook[1:] + codebook[:-1]) / 2)
        parts = np.split(values, edges)
        codebook = np.array([part.mean() if len(part) else old for part, old in zip(parts, codebook, strict=True)])
    codebook = np.maximum.accumulate(np.maximum(codebook, 1e-3 * np.arange(1, 9)))
    return np.concatenate([-codebook[::-1], codebook]).astype(np.float32)


def _trellis_codebook(residuals: Float, steps: Float, nbits: int, threads: int) -> Float:
    """(16,) the codebook of windows: in turn, residuals get codes and values are fitted to them (Lloyd), from a good start."""
    codebook = np.array(_STARTS[nbits], np.float32)
    n, dim = residuals.shape
    padded = np.zeros((n, kernels.padded_dim(dim)), np.float32)
    padded[:, :dim] = residuals
    for _ in range(_TRELLIS_ROUNDS):
        scales, packed = kernels.quantize(padded, steps, codebook, nbits, threads=threads)
        windows = kernels.unpack_windows(packed, nbits)[:, :dim].ravel()
        scale = np.repeat(steps[scales].astype(np.float64), dim)
        squares = np.bincount(windows, scale * scale, WINDOWS)
        products = np.bincount(windows, scale * residuals.ravel(), WINDOWS)
        codebook = np.where(squares > 0, products / np.maximum(squares, 1e-30), codebook).astype(np.float32)
    return codebook
