"""The engine's arithmetic: what each step computes, in NumPy, and the native kernels that compute the same bits.

`*_definition` functions are the one obvious definition of the native kernels that have their names without it; packing,
expanding and postings are written and read here alone. Codes are
integers and every sum of products is exact in int32, so all kernels agree bit for bit. Knows nothing about files.

A token vector in codes (nbits 1, 2 or 4) is v = clip(centroid + levels[scale][code], -127, 127) in int8, divided by its own
length; with nbits 8 the code bytes are v itself. Rows are padded with zeros to a multiple of 32 dimensions. In each
block of 32 dimensions, 8/nbits codes share a byte: byte j holds dimensions j, j + w, j + 2w ... from its low bits up, with
w = 4 * nbits bytes a block.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from polyvec import _native

BLOCK = 32  # dimensions that are packed together

Int8 = npt.NDArray[np.int8]
Bytes = npt.NDArray[np.uint8]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Float = npt.NDArray[np.float32]


def padded_dim(dim: int) -> int:
    """Dimensions of a code row: dim rounded up to whole blocks."""
    return -(-dim // BLOCK) * BLOCK


def pack_codes(codes: Bytes, nbits: int) -> Bytes:
    """(n, p) uint8 codes below 2**nbits -> (n, p * nbits / 8) uint8 bytes. p: a multiple of 32 · nbits: 1, 2, 4 or 8."""
    n, p = codes.shape
    parts = codes.reshape(n, p // BLOCK, 8 // nbits, 4 * nbits)
    shifts = (np.arange(8 // nbits, dtype=np.uint8) * nbits)[:, None]
    packed: Bytes = np.bitwise_or.reduce(parts << shifts, axis=2).reshape(n, p * nbits // 8).astype(np.uint8)
    return packed


def unpack_codes(packed: Bytes, nbits: int) -> Bytes:
    """(n, p * nbits / 8) uint8 bytes -> (n, p) uint8 codes; undoes `pack_codes`."""
    n, width = packed.shape
    blocks = packed.reshape(n, width // (4 * nbits), 1, 4 * nbits)
    shifts = (np.arange(8 // nbits, dtype=np.uint8) * nbits)[:, None]
    codes: Bytes = ((blocks >> shifts) & np.uint8((1 << nbits) - 1)).reshape(n, width * 8 // nbits)
    return codes


def expand(
    centroids: Int8, levels: Int8, codes: npt.NDArray[np.uint32], scales: Bytes, packed: Bytes, nbits: int
) -> Int8:
    """Codes -> (n, p) int8 vectors v, not yet divided by their lengths.

    centroids: (K, p) · levels: (256, 16), the first 2**nbits columns used · codes: (n,) centroid numbers · scales: (n,) rows
    of levels · packed: (n, p * nbits / 8).
    """
    if nbits == 8:
        return packed.view(np.int8)
    residuals = levels[scales[:, None], unpack_codes(packed, nbits)].astype(np.int16)
    v: Int8 = np.clip(centroids[codes].astype(np.int16) + residuals, -127, 127).astype(np.int8)
    return v


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


def encode_postings(rows: Int64, lengths: Int64) -> tuple[Bytes, Int64]:
    """Lists of ascending numbers -> one stream of bytes and (n + 1,) int64 offsets into it.

    rows: all lists one after another · lengths: (n,) of each list. A list is its first number and then the gaps, each as
    LEB128: seven bits a byte, low ones first, the high bit set on all but the last byte.
    """
    starts = np.cumsum(lengths) - lengths
    gaps = np.diff(rows, prepend=0)
    filled = starts[lengths > 0]
    gaps[filled] = rows[filled]
    sizes = np.ones(len(gaps), np.int64)
    for bits in (7, 14, 21, 28, 35):
        sizes += gaps >= (1 << bits)
    ends = np.cumsum(sizes)
    stream = np.zeros(int(ends[-1]) if len(ends) else 0, np.uint8)
    begins = ends - sizes
    for byte in range(6):
        here = sizes > byte
        last = sizes == byte + 1
        value = (gaps >> (7 * byte)) & 0x7F
        stream[begins[here] + byte] = (value | np.where(last, 0, 0x80))[here]
    totals = np.concatenate([[0], ends])
    return stream, totals[np.concatenate([[0], np.cumsum(lengths)])].astype(np.int64)


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


def refine(
    query: Int8,
    query_scales: Float,
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
    """(m,) float32: as `refine_definition`; codes may be uint16 or uint32.

    kernel: a name from `codes_kernels`, the fastest by default. Raises ValueError for shapes that do not fit and numbers
    that point nowhere.
    """
    scores = np.empty(len(which), np.float32)
    _native.refine(
        query, query_scales, centroids, levels, codes, scales, packed, offsets, which, nbits, scores, threads, kernel
    )
    return scores


def look(
    query: Int8,
    query_scales: Float,
    marked: Bytes,
    least: Float,
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
    """(m,) float32: as `look_definition`; the rest as `refine`."""
    scores = np.empty(len(which), np.float32)
    _native.look(
        query, query_scales, marked, least, centroids, levels, codes, scales, packed, offsets, which, nbits, scores,
        threads, kernel,
    )  # fmt: skip
    return scores


def probe(
    query: Int8,
    parents: Int8,
    parent_offsets: Int64,
    centroids: Int8,
    nprobe: int,
    parent_probe: int,
    *,
    threads: int = 1,
    kernel: str = "",
) -> tuple[Int32, Int32]:
    """As `probe_definition`. Raises ValueError for shapes that do not fit."""
    numbers = np.empty((len(query), nprobe), np.int32)
    dots = np.empty((len(query), nprobe), np.int32)
    _native.probe(query, parents, parent_offsets, centroids, numbers, dots, parent_probe, threads, kernel)
    return numbers, dots


def gather(
    numbers: Int32,
    values: Float,
    missing: Float,
    stream: Bytes,
    offsets: Int64,
    documents: int,
    allowed: Bytes | None,
    limit: int,
) -> tuple[Int64, Float]:
    """As `gather_definition`. Raises ValueError for shapes that do not fit and postings that are damaged."""
    room = min(limit, documents)
    rows, scores = np.empty(room, np.int64), np.empty(room, np.float32)
    if not room:
        return rows, scores
    found = _native.gather(numbers, values, missing, stream, offsets, documents, allowed, rows, scores)
    return rows[:found], scores[:found]


def assign(
    vectors: Float, groups: Int32, centroids: Float, group_offsets: Int64, *, threads: int = 1, kernel: str = ""
) -> Int64:
    """As `assign_definition`, for vectors without NaN. Raises ValueError for shapes that do not fit."""
    nearest = np.empty(len(vectors), np.int64)
    order = np.argsort(groups, kind="stable").astype(np.int64)
    _native.assign(vectors, order, groups, centroids, group_offsets, nearest, threads, kernel)
    return nearest


def quantise(
    residuals: Float, steps: Float, points: Float, thresholds: Float, *, threads: int = 1
) -> tuple[Bytes, Bytes]:
    """(n,) uint8 scales and (n, p * nbits / 8) uint8 packed codes: as `quantise_definition` and `pack_codes`."""
    nbits = len(points).bit_length() - 1
    scales = np.empty(len(residuals), np.uint8)
    packed = np.empty((len(residuals), residuals.shape[1] * nbits // 8), np.uint8)
    _native.quantise(residuals, steps, points, thresholds, scales, packed, threads)
    return scales, packed


def codes_kernels() -> list[str]:
    """Names of the kernels for `refine`, `look` and `probe` that this machine can run, best first."""
    return list(_native.codes_kernels())


def assign_kernels() -> list[str]:
    """Names of the kernels for `assign` that this machine can run, best first."""
    return list(_native.assign_kernels())


def int8_peak(kernel: str = "") -> float:
    """int8 multiply-adds a second that a kernel's instructions reach from registers alone, on one thread."""
    return float(_native.int8_peak(kernel))
