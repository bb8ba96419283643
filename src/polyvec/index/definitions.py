"""What the native kernels compute, in NumPy: one obvious definition each, which they equal bit for bit.

Slow, and called by tests alone. Shapes and dtypes are those of the functions in `kernels.py`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from polyvec.index.kernels import Bytes, Float, Int8, Int32, Int64, decode_postings, expand


def refine_definition(
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
    """(m,) float32: MaxSim of a quantised query with documents in codes.

    query: (q, p) · query_scales: (q,), what a unit of a query row is worth · offsets: (n + 1,), document i is rows offsets[i] to
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


def look_definition(
    query: Int8,
    query_scales: Float,
    marked: Bytes,
    least: Float,
    centroids: Int8,
    levels: Int8,
    codes: npt.NDArray[np.uint32],
    scales: Bytes,
    packed: Bytes,
    offsets: Int64,
    which: Int64,
    nbits: int,
) -> Float:
    """(m,) float32: what `refine_definition` would give if documents had the tokens of marked centroids alone.

    marked: (K,), 0 for a centroid whose tokens are passed over · least: (q,), what each query row's maximum begins with. A
    document without such tokens scores the sum of query_scale * least.
    """
    scores = np.zeros(len(which), np.float32)
    for i, document in enumerate(which.tolist()):
        rows = np.arange(int(offsets[document]), int(offsets[document + 1]))
        rows = rows[marked[codes[rows]] != 0]
        best = least
        if len(rows):
            v = expand(centroids, levels, codes[rows], scales[rows], packed[rows], nbits).astype(np.int32)
            best = np.maximum(_over_lengths(query, v).max(axis=1), least)
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
    query: Int8, parents: Int8, parent_offsets: Int64, centroids: Int8, nprobe: int, parent_probe: int
) -> tuple[Int32, Int32]:
    """The best centroids of each query row, best first, ties by number: (q, nprobe) int32 numbers, and their int32 dots.

    parents: (P, p); parent i has the centroids parent_offsets[i] to parent_offsets[i + 1], at least one. Each query row looks
    into its `parent_probe` best parents (ties by number), and then into the next ones as long as it has seen fewer than
    nprobe centroids there; and every row takes from the centroids that any of them looks at. nprobe <= K.
    """
    wide = query.astype(np.int32)
    of_parents = wide @ parents.astype(np.int32).T
    numbers = np.empty((len(query), nprobe), np.int32)
    dots = np.empty((len(query), nprobe), np.int32)
    wanted = np.zeros(len(parents), bool)
    for i in range(len(query)):
        order = np.lexsort((np.arange(len(parents)), -of_parents[i]))
        sizes = np.cumsum(np.diff(parent_offsets)[order])
        wanted[order[: max(min(parent_probe, len(parents)), int(np.searchsorted(sizes, nprobe)) + 1)]] = True
    seen = np.flatnonzero(np.repeat(wanted, np.diff(parent_offsets)))
    for i in range(len(query)):
        found = centroids[seen].astype(np.int32) @ wide[i]
        best = np.lexsort((seen, -found))[:nprobe]
        numbers[i], dots[i] = seen[best], found[best]
    return numbers, dots


def gather_definition(
    numbers: Int32,
    values: Float,
    missing: Float,
    stream: Bytes,
    offsets: Int64,
    documents: int,
    allowed: Bytes | None,
    limit: int,
) -> tuple[Int64, Float]:
    """The `limit` documents with the best approximate scores: ascending (m,) int64 numbers and (m,) float32 scores.

    numbers, values: (q, nprobe) centroids of each query row, best first, and what a token near each is worth · missing: (q,)
    what a document gets for a query row that none of its tokens was probed for · stream, offsets: postings, the documents of each
    centroid · allowed: (documents,) uint8, 0 for a document to pass over, or None. A document that no list has is not a
    candidate. Score: fp32 sum of missing, + the sum of (value - missing) of its first list in each query row, both in row order.
    Ties at the limit go to the lower number.
    """
    base = np.float32(0)
    for value in missing:
        base += value
    scores = np.zeros(documents, np.float32)
    found = np.zeros(documents, bool)
    for i in range(len(numbers)):
        fresh = np.ones(documents, bool)
        for number, value in zip(numbers[i].tolist(), values[i], strict=True):
            rows = decode_postings(stream, offsets, number)
            rows = rows[fresh[rows]]
            fresh[rows] = False
            found[rows] = True
            scores[rows] += value - missing[i]
    scores += base
    if allowed is not None:
        found &= allowed != 0
    candidates = np.flatnonzero(found)
    best = np.sort(candidates[np.lexsort((candidates, -scores[candidates]))[:limit]])
    return best.astype(np.int64), scores[best]


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


def assign_definition(vectors: Float, groups: Int32, centroids: Float, group_offsets: Int64) -> Int64:
    """(n,) int64: for each vector, the centroid of its own group with the largest dot product, ties by number.

    vectors: (n, d) · groups: (n,) · centroids: (K, d), group g has group_offsets[g] to group_offsets[g + 1], at least one. A dot
    product is one chain of fused multiply-adds over the dimensions, first to last.
    """
    nearest = np.empty(len(vectors), np.int64)
    for group in np.unique(groups).tolist():
        here = np.flatnonzero(groups == group)
        begin, end = int(group_offsets[group]), int(group_offsets[group + 1])
        nearest[here] = begin + np.argmax(vectors[here] @ centroids[begin:end].T, axis=1)
    return nearest


def quantise_definition(residuals: Float, steps: Float, points: Float, thresholds: Float) -> tuple[Bytes, Bytes]:
    """Residuals -> (n, p) uint8 codes below 2**nbits and (n,) uint8 scales.

    residuals: (n, p) fp32, zeros in the padding · steps: (256,) ascending, the scales there are · points: (2**nbits,)
    ascending, the
    values of the codes at scale 1 · thresholds: (2**nbits - 1,) between them. Code c stands for step * points[c]. Begins with
    the root mean square as scale; twice: codes by thresholds (value > step * threshold counts one up), then the
    least-squares scale for these codes; the nearest step below the geometric middle is taken, and the codes of that step.
    All sums run over the dimensions in order, in fp32, without fused multiply-adds.
    """
    n = len(residuals)

    def total(values: Float) -> Float:
        return np.add.accumulate(values, axis=1, dtype=np.float32)[:, -1] if n else np.zeros(0, np.float32)

    def codes_at(scale: Float) -> npt.NDArray[np.int64]:
        above = residuals[:, :, None] > (scale[:, None] * thresholds[None, :])[:, None, :]
        return np.asarray(above.sum(axis=2), np.int64)

    scale = np.sqrt(total(residuals * residuals) / np.float32(residuals.shape[1]))
    for _ in range(2):
        chosen = points[codes_at(scale)]
        below = total(chosen * chosen)
        fitted = total(residuals * chosen) / np.where(below > 0, below, np.float32(1))
        scale = np.where(fitted > 0, fitted, scale).astype(np.float32)
    middles = np.sqrt(steps[1:] * steps[:-1])
    scales = (scale[:, None] > middles[None, :]).sum(axis=1).astype(np.uint8)
    return codes_at(steps[scales]).astype(np.uint8), scales
