"""What the native kernels compute, in NumPy: one obvious definition each, which they equal bit for bit.

Slow, and called by tests alone. Shapes and dtypes are those of the functions in `kernels.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.index.kernels import Bytes, Float, Int8, Int32, Int64, Narrowing, expand

TABLE_LANES = 32  # columns of a table of centroid scores come in whole multiples of it

Double = npt.NDArray[np.float64]


def full_scores_definition(
    query: Int8,
    query_scales: Float,
    centroids: Int8,
    levels: Int8,
    codes: npt.NDArray[np.uint32],
    scales: Bytes,
    packed: Bytes,
    offsets: Int64,
    which: Int64,
    nbits: int,
) -> Float:
    """(m,) float32: MaxSim of a quantized query with documents in codes.

    query: (q, p) · query_scales: (q,), the value of a unit of a query row · offsets: (n + 1,), document i is rows offsets[i] to
    offsets[i + 1] · which: (m,) documents. A document's score is the sum over query rows, in order and in fp32, of
    query_scale * max over its tokens of (dot / length), where dot is an exact int32 and length = sqrt(sum v^2) in
    fp32; a token whose v is all zeros counts 0; a document without tokens scores 0.
    """
    scores = np.zeros(len(which), np.float32)
    for i, document in enumerate(which.tolist()):
        rows = slice(int(offsets[document]), int(offsets[document + 1]))
        v = expand(centroids, levels, codes[rows], scales[rows], packed[rows], nbits).astype(np.int32)
        if not len(v):
            continue
        best = _over_lengths(query, v).max(axis=1)
        for scale, value in zip(query_scales, best, strict=True):
            scores[i] += scale * value
    return scores


def approximate_scores_definition(
    query: Int8,
    query_scales: Float,
    near: Bytes,
    imputed: Float,
    centroids: Int8,
    levels: Int8,
    codes: npt.NDArray[np.uint32],
    scales: Bytes,
    packed: Bytes,
    offsets: Int64,
    which: Int64,
    nbits: int,
) -> Float:
    """(m,) float32: what `full_scores_definition` would give if documents had the tokens of near centroids alone.

    near: (K,), 0 for a centroid whose tokens are left out · imputed: (q,), what each query row's maximum begins with. A
    document without such tokens scores the sum of query_scale * imputed.
    """
    scores = np.zeros(len(which), np.float32)
    for i, document in enumerate(which.tolist()):
        rows = np.arange(int(offsets[document]), int(offsets[document + 1]))
        rows = rows[near[codes[rows]] != 0]
        best = imputed
        if len(rows):
            v = expand(centroids, levels, codes[rows], scales[rows], packed[rows], nbits).astype(np.int32)
            best = np.maximum(_over_lengths(query, v).max(axis=1), imputed)
        for scale, value in zip(query_scales, best, strict=True):
            scores[i] += scale * value
    return scores


def _over_lengths(query: Int8, v: Int32) -> Float:
    """(q, t) float32: dot products with rows divided by their lengths; 0 for a row of zeros."""
    squares = (v * v).sum(axis=1).astype(np.float32)
    with np.errstate(divide="ignore"):
        inverse = np.where(squares > 0, np.float32(1) / np.sqrt(squares), np.float32(0))
    return np.asarray((query.astype(np.int32) @ v.T).astype(np.float32) * inverse[None, :], np.float32)


def probe_definition(
    query: Int8, coarse_centroids: Int8, coarse_offsets: Int64, centroids: Int8, nprobe: int, coarse_nprobe: int
) -> tuple[Int32, Int32]:
    """The best centroids of each query row, best first, ties by number: (q, nprobe) int32 numbers, and their int32 dots.

    coarse_centroids: (C, p); coarse centroid i has the centroids coarse_offsets[i] to coarse_offsets[i + 1], at least one. Each
    query row probes its `coarse_nprobe` best coarse centroids (ties by number), and then the next ones as long as those have fewer
    than nprobe centroids; and every row takes from the centroids that any of them probes. nprobe <= K.
    """
    numbers = np.empty((len(query), nprobe), np.int32)
    dots = np.empty((len(query), nprobe), np.int32)
    wide = query.astype(np.int32)
    seen = np.flatnonzero(_coarse_centroids_probed(query, coarse_centroids, coarse_offsets, nprobe, coarse_nprobe))
    for i in range(len(query)):
        found = centroids[seen].astype(np.int32) @ wide[i]
        best = np.lexsort((seen, -found))[:nprobe]
        numbers[i], dots[i] = seen[best], found[best]
    return numbers, dots


def _coarse_centroids_probed(
    query: Int8, coarse_centroids: Int8, coarse_offsets: Int64, nprobe: int, coarse_nprobe: int
) -> npt.NDArray[np.bool_]:
    """(K,) bool: the centroids whose coarse centroid some query row probes."""
    coarse_dots = query.astype(np.int32) @ coarse_centroids.astype(np.int32).T
    wanted = np.zeros(len(coarse_centroids), bool)
    for row in coarse_dots:
        order = np.lexsort((np.arange(len(coarse_centroids)), -row))
        sizes = np.cumsum(np.diff(coarse_offsets)[order])
        wanted[order[: max(min(coarse_nprobe, len(coarse_centroids)), int(np.searchsorted(sizes, nprobe)) + 1)]] = True
    return np.repeat(wanted, np.diff(coarse_offsets))


def table_definition(
    query: Int8,
    coarse_centroids: Int8,
    coarse_offsets: Int64,
    centroids: Int8,
    nprobe: int,
    coarse_nprobe: int,
    weights: Int32,
    width: int,
) -> Bytes:
    """(K, width) uint8: what probing keeps of every centroid, zeros beyond the query's rows.

    weights: (q,) the value of a unit of a dot product, in 65,536ths of a byte's unit; the rest as `probe_definition`. A byte is
    (dot * weight + 2^15) >> 16, cut to [0, 255], in int32 that wraps around. A centroid that is not probed has the bytes of its
    coarse centroid.
    """
    coarse = np.repeat(coarse_centroids, np.diff(coarse_offsets), axis=0)
    probed = _coarse_centroids_probed(query, coarse_centroids, coarse_offsets, nprobe, coarse_nprobe)
    dots = np.where(probed[:, None], centroids, coarse).astype(np.int32) @ query.astype(np.int32).T
    table = np.zeros((len(centroids), width), np.uint8)
    table[:, : len(query)] = np.clip((dots * weights + np.int32(1 << 15)) >> 16, 0, 255)
    return table


def mark_near_definition(table: Bytes, thresholds: Bytes) -> Bytes:
    """(K,) uint8: 1 for the rows of the table that reach `thresholds`, (width,), in some column."""
    return np.asarray((table >= thresholds).any(axis=1), np.uint8)


def centroid_interaction_definition(table: Bytes, codes: npt.NDArray[np.uint32], offsets: Int64, which: Int64) -> Int32:
    """(m,) int32: MaxSim with each token in the place of its centroid, from a table of bytes; see `table_definition`.

    codes: (T,) centroid numbers · offsets: (n + 1,), document i is tokens offsets[i] to offsets[i + 1] · which: (m,) documents. The
    sum over the table's columns of the largest byte of any token, 0 for a document without tokens.
    """
    sums = np.zeros(len(which), np.int32)
    for i, document in enumerate(which.tolist()):
        rows = table[codes[int(offsets[document]) : int(offsets[document + 1])]]
        sums[i] = rows.max(axis=0).sum(dtype=np.int32) if len(rows) else 0
    return sums


def table_width(query_rows: int) -> int:
    """Bytes a centroid has in a table that probing fills for so many query rows."""
    return -(-query_rows // TABLE_LANES) * TABLE_LANES


def generate_candidates_definition(
    numbers: Int32,
    gains: npt.NDArray[np.uint16],
    stream: Bytes,
    offsets: Int64,
    documents: int,
    allowed: Bytes | None,
    limit: int,
) -> tuple[Int64, Int32]:
    """The `limit` documents with the best approximate scores: ascending (m,) int64 numbers and (m,) int32 scores.

    numbers, gains: (q, nprobe) centroids of each query row, and what a document gets for a token near each; the largest of each row
    add up to 65,535 at most · stream, offsets: postings, the documents of each centroid · allowed: (documents,) uint8, 0 for a
    document to leave out, or None. A document that no list has is not a candidate. Score: the sum of the gain of its first list
    in each query row. Ties at the limit go to the lower number.
    """
    scores = np.zeros(documents, np.int32)
    found = np.zeros(documents, bool)
    for i in range(len(numbers)):
        fresh = np.ones(documents, bool)
        for number, gain in zip(numbers[i].tolist(), gains[i].tolist(), strict=True):
            rows = decode_postings(stream, offsets, number)
            rows = rows[fresh[rows]]
            fresh[rows] = False
            found[rows] = True
            scores[rows] += gain
    if allowed is not None:
        found &= allowed != 0
    candidates = np.flatnonzero(found)
    best = np.sort(candidates[np.lexsort((candidates, -scores[candidates]))[:limit]])
    return best.astype(np.int64), scores[best]


def decode_postings(stream: Bytes, offsets: Int64, number: int) -> Int64:
    """One list of `encode_postings`."""
    out: list[int] = []
    value = shift = row = 0
    for byte in stream[int(offsets[number]) : int(offsets[number + 1])].tolist():
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            row += value
            out.append(row)
            value = shift = 0
    return np.array(out, np.int64)


def rotate_definition(rows: Float, signs: Float, *, forward: bool) -> Float:
    """(n, d) float32 -> (n, d) float32, an orthogonal map: for each row of signs, signs and then a Walsh-Hadamard transform.

    signs: (rounds, d), 1 or -1. A transform covers the largest power of two that fits d, from the begin of a row and from
    its end in turn. forward=False undoes it.
    """
    turned: Float = rows.copy()
    d: int = rows.shape[1]
    block = 1 << (d.bit_length() - 1)
    for number in range(len(signs)) if forward else reversed(range(len(signs))):
        if forward:
            turned *= signs[number]
        start, step = d - block if number % 2 else 0, 1
        while step < block:
            pairs = turned[:, start : start + block].reshape(len(rows), block // (2 * step), 2, step)
            both = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2)
            turned[:, start : start + block] = both.reshape(len(rows), block)
            step *= 2
        turned[:, start : start + block] *= np.float32(1 / np.sqrt(block))
        if not forward:
            turned *= signs[number]
    return turned


def assign_definition(vectors: Float, groups: Int32, centroids: Float, biases: Float, group_offsets: Int64) -> Int64:
    """(n,) int64: for each vector, the centroid of its own group with the largest dot product plus bias, ties by number.

    vectors: (n, d) · groups: (n,) · centroids: (K, d) · biases: (K,) · group g has group_offsets[g] to group_offsets[g + 1], at
    least one. A dot product is one chain of fused multiply-adds over the dimensions, first to last, to which the bias is added.
    """
    nearest = np.empty(len(vectors), np.int64)
    for group in np.unique(groups).tolist():
        here = np.flatnonzero(groups == group)
        begin, end = int(group_offsets[group]), int(group_offsets[group + 1])
        nearest[here] = begin + np.argmax(vectors[here] @ centroids[begin:end].T + biases[begin:end], axis=1)
    return nearest


def cluster_sums_definition(vectors: Float, nearest: Int64, clusters: int) -> Double:
    """(clusters, d) float64: the sum of the vectors, (n, d), of each cluster; nearest: (n,) their clusters. In fp64, in order."""
    sums = np.zeros((clusters, vectors.shape[1]))
    np.add.at(sums, nearest, vectors.astype(np.float64))
    return sums


def quantize_definition(residuals: Float, steps: Float, codebook: Float, nbits: int) -> tuple[Bytes, Bytes]:
    """Residuals -> (n, p) uint8 codes below 2**nbits and (n,) uint8 scales. nbits: 1, 2 or 4.

    residuals: (n, p) fp32, zeros in the padding · steps: (256,) ascending, the scales there are · codebook: (16,), the values of
    the windows at scale 1 (what a window is: kernels.py). Begins with the root mean square as scale; twice: the windows nearest to
    the residuals at this scale, then the least-squares scale for these; the nearest step below the geometric middle is
    taken, and the codes of the nearest windows at that step.
    All sums run over the dimensions in order, in fp32, without fused multiply-adds.
    """
    n = len(residuals)

    def total(values: Float) -> Float:
        return np.add.accumulate(values, axis=1, dtype=np.float32)[:, -1] if n else np.zeros(0, np.float32)

    scale = np.sqrt(total(residuals * residuals) / np.float32(residuals.shape[1]))
    for _ in range(2):
        chosen = codebook[_nearest_windows(residuals, scale[:, None] * codebook, nbits)]
        below = total(chosen * chosen)
        fitted = total(residuals * chosen) / np.where(below > 0, below, np.float32(1))
        scale = np.where(fitted > 0, fitted, scale).astype(np.float32)
    middles = np.sqrt(steps[1:] * steps[:-1])
    scales = (scale[:, None] > middles[None, :]).sum(axis=1).astype(np.uint8)
    windows = _nearest_windows(residuals, steps[scales][:, None] * codebook, nbits)
    return (windows & ((1 << nbits) - 1)).astype(np.uint8), scales


def _nearest_windows(residuals: Float, values: Float, nbits: int) -> Int64:
    """(n, p) int64: the windows of the codes whose values, (n, 16), are nearest to the residuals, in every block of 32 dimensions.

    A path through the block's codes, along its bits: window w follows state w mod S, the bits shared with the window before,
    and leads to state w >> nbits, for S = 2**(4 - nbits) states; the last one leads to state 0. Distances squared are added up in
    fp32 along the path. Of two equal paths into a state the one with the lower code is taken.
    """
    n, p = residuals.shape
    states, codes, block, width = 1 << (4 - nbits), 1 << nbits, 32, 4 * nbits
    windows = np.empty((n, p), np.int64)
    steps = np.arange(block)
    order = steps // (8 // nbits) + width * (steps % (8 // nbits))  # of a block's dimensions, along its bits
    came_from = np.arange(16).reshape(states, codes)  # the windows that lead to each state
    for first in range(0, p, block):
        cost = np.zeros((n, states), np.float32)
        taken = []
        for dimension in order:
            apart = residuals[:, first + dimension, None] - values
            paths = (cost[:, np.arange(16) % states] + apart * apart)[:, came_from]
            taken.append(paths.argmin(axis=2))
            cost = paths.min(axis=2)
        state = np.zeros(n, np.int64)
        for dimension, code in zip(order[::-1], taken[::-1], strict=True):
            window = state * codes + code[np.arange(n), state]
            windows[:, first + dimension] = window
            state = window % states
    return windows


def find_candidates_definition(
    centroids: Int8,
    directions: Int8,
    coarse_centroids: Int8,
    coarse_offsets: Int64,
    levels: Int8,
    step: float,
    dim: int,
    nbits: int,
    segments: Sequence[Mapping[str, Any]],
    masks: Sequence[Bytes | None],
    query: Int8,
    query_scales: Float,
    narrowing: Narrowing,
) -> list[Int64]:
    """The ascending positions of each segment that are left after all steps.

    directions: (K, p) centroids as unit vectors in int8, whose unit has the value `step`; coarse centroids are of them ·
    segments: arguments of `kernels.native_segment` · masks: for each (documents,), 0 for a document to leave out, or None. All in
    fp64 but for what the kernels take and give; sums run in order. After each step the best stay (`generated`,
    `approximately_scored`, `fully_scored` of all segments together, ties to those that come first), as far as they are at most a
    margin below the k-th best. Margins are of the root of the summed squares of the query's rows, at 128 dimensions; infinity for
    none.

    Candidate generation: a centroid that a row probes gives its score, less the score imputed to documents without one:
    `generation_imputed` of the row's last. Centroid interaction: every token in the place of its centroid, less `length_penalty` of
    the highest possible score for each doubling of a document's length. Approximate scores: over tokens whose centroid's score
    comes to `near` of some row's last; a row without any counts `approximate_imputed` of that.
    """
    values = query_scales.astype(np.float64)
    norms = [math.sqrt(square) * scale for square, scale in zip(_squares(query), values.tolist(), strict=True)]
    largest = max(*norms, 1e-30)
    unit = largest / 255
    spread = math.sqrt(_sum(norm * norm for norm in norms) * 128 / dim)

    width = table_width(len(query))
    probing = (
        query, coarse_centroids, coarse_offsets, directions, narrowing.nprobe, narrowing.coarse_nprobe
    )  # fmt: skip
    numbers, dots = probe_definition(*probing)
    table = table_definition(*probing, np.rint(values * (step / unit * 65536)).astype(np.int32), width)
    last = dots[:, -1] * step
    thresholds = np.full(width, 255, np.uint8)
    thresholds[: len(query)] = np.clip(np.ceil(last * values * (narrowing.near / unit)), 1, 255)
    near = mark_near_definition(table, thresholds)
    imputed = (last * (narrowing.near * narrowing.approximate_imputed)).astype(np.float32)

    scores = dots * step * values[:, None]
    over = scores - (scores[:, -1:] - (1 - narrowing.generation_imputed) * np.abs(scores[:, -1:]))
    gain = max(_sum(over[:, 0].tolist()), 1e-30) / (65535 * 0.999)
    gains = (over / gain).astype(np.uint16)
    generated = [
        generate_candidates_definition(
            numbers, gains, segment["stream"], segment["starts"], len(segment["offsets"]) - 1, mask, narrowing.generated
        )
        for segment, mask in zip(segments, masks, strict=True)
    ]
    kept = _best(
        [rows for rows, _ in generated], [found.astype(np.float64) for _, found in generated], narrowing.generated,
        narrowing.k, narrowing.generation_margin * spread / gain,
    )  # fmt: skip

    penalty = narrowing.length_penalty * 255 * _sum(norms) / largest
    interaction = []
    for segment, rows in zip(segments, kept, strict=True):
        sums = centroid_interaction_definition(table, segment["codes"], segment["offsets"], rows)
        lengths = segment["offsets"][rows + 1] - segment["offsets"][rows]
        interaction.append(sums - penalty * _doublings(lengths))
    margin = narrowing.interaction_margin * spread / unit
    kept = _best(kept, interaction, narrowing.approximately_scored, narrowing.k, margin)

    approximate = [
        approximate_scores_definition(
            query, query_scales, near, imputed, centroids, levels, segment["codes"], segment["scales"], segment["packed"],
            segment["offsets"], rows, nbits,
        ).astype(np.float64)
        for segment, rows in zip(segments, kept, strict=True)
    ]  # fmt: skip
    return _best(kept, approximate, narrowing.fully_scored, narrowing.k, narrowing.approximate_margin * spread)


def _squares(rows: Int8) -> list[int]:
    return [int(square) for square in (rows.astype(np.int64) ** 2).sum(axis=1)]


def _sum(values: Iterable[float]) -> float:
    """One after another; Python's own sum and NumPy's have ways of their own."""
    total = 0.0
    for value in values:
        total += value
    return total


def _doublings(lengths: Int64) -> Double:
    """log2, along straight lines between powers of two: the same bits on every machine. At least 1 counts."""
    mantissas, exponents = np.frexp(np.maximum(lengths, 1).astype(np.float64))
    doublings: Double = exponents - 2 + 2 * mantissas
    return doublings


def _best(rows: list[Int64], scores: list[Double], count: int, k: int, margin: float) -> list[Int64]:
    flat = np.concatenate(scores)
    order = np.lexsort((np.arange(len(flat)), -flat))
    keep = np.zeros(len(flat), bool)
    keep[order[:count]] = True
    if len(flat) > k:
        keep &= flat >= flat[order[k - 1]] - margin
    cuts = np.cumsum([len(part) for part in rows])[:-1]
    return [part[kept] for part, kept in zip(rows, np.split(keep, cuts), strict=True)]
