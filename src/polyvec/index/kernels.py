"""The engine's arithmetic in native code, and how codes and postings are packed.

What each kernel computes is written in `definitions.py`, in NumPy. Codes are integers and every sum of products is exact in
int32, so all kernels agree with it bit for bit. Knows nothing about files.

A token vector in codes (nbits 1, 2 or 4) is v = clip(centroid + levels[scale][window], -127, 127) in int8, divided by its own
length; with nbits 8 the code bytes are v itself. Rows are padded with zeros to a multiple of 32 dimensions. In each
block of 32 dimensions, 8 / nbits codes share a byte: byte j holds dimensions j, j + w, j + 2w ... from its low bits up, with
w = 4 * nbits bytes a block. The window of a dimension is four bits of the block, read as one little-endian number: its own code,
and above it the codes that follow, zeros beyond the block. With 4 bits it is the code alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from polyvec import _native

BLOCK = 32  # dimensions that are packed together
MAX_DIM = 65_536  # more, and sums of products would not fit int32; native/kernels/views.hpp has the proof

Int8 = npt.NDArray[np.int8]
Bytes = npt.NDArray[np.uint8]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Float = npt.NDArray[np.float32]
NativeCodec = _native.Codec
NativeSegment = _native.Segment
Narrowing = _native.Narrowing
CentroidNumbers = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]


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


def unpack_windows(packed: Bytes, nbits: int) -> Bytes:
    """(n, p * nbits / 8) uint8 bytes -> (n, p) uint8 windows below 16. nbits: 1, 2 or 4."""
    if nbits == 4:
        return unpack_codes(packed, nbits)
    n, width = len(packed), 4 * nbits
    dimensions = np.arange(BLOCK)
    shifts = (dimensions % width * 8 + dimensions // width * nbits).astype(np.uint64)
    words = np.ascontiguousarray(packed).view(np.dtype(f"<u{width}")).astype(np.uint64)
    windows: Bytes = (words[:, :, None] >> shifts & np.uint64(15)).reshape(n, words.shape[1] * BLOCK).astype(np.uint8)
    return windows


def expand(
    centroids: Int8, levels: Int8, codes: npt.NDArray[np.uint32], scales: Bytes, packed: Bytes, nbits: int
) -> Int8:
    """Codes -> (n, p) int8 vectors v, not yet divided by their lengths.

    centroids: (K, p) · levels: (256, 16) · codes: (n,) centroid numbers · scales: (n,) rows
    of levels · packed: (n, p * nbits / 8).
    """
    if nbits == 8:
        return packed.view(np.int8)
    residuals = levels[scales[:, None], unpack_windows(packed, nbits)].astype(np.int16)
    v: Int8 = np.clip(centroids[codes].astype(np.int16) + residuals, -127, 127).astype(np.int8)
    return v


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


class DamagedSegmentError(ValueError):
    """A number in a segment is out of range. segment: its place among those that were given."""

    def __init__(self, segment: int) -> None:
        super().__init__("a document, an offset, a posting or a centroid number is out of range")
        self.segment = segment


def native_codec(
    *,
    centroids: Int8,
    directions: Int8,
    coarse_centroids: Int8,
    coarse_offsets: Int64,
    levels: Int8,
    step: float,
    dim: int,
    nbits: int,
) -> NativeCodec:
    """What searching takes of a codec, checked once. Raises ValueError for shapes that do not fit."""
    return NativeCodec(
        centroids=centroids, directions=directions, coarse_centroids=coarse_centroids, coarse_offsets=coarse_offsets,
        levels=levels, step=step, dim=dim, nbits=nbits,
    )  # fmt: skip


def native_segment(
    *,
    codes: CentroidNumbers,
    scales: Bytes,
    packed: Bytes,
    offsets: Int64,
    stream: Bytes | None = None,
    starts: Int64 | None = None,
) -> NativeSegment:
    """What searching takes of a segment, checked once. Raises ValueError for shapes that do not fit.

    stream, starts: postings, as `encode_postings` makes them; without them a segment can be scored in full, not searched.
    """
    return NativeSegment(codes=codes, scales=scales, packed=packed, offsets=offsets, stream=stream, starts=starts)


def find_candidates(
    codec: NativeCodec,
    segments: Sequence[NativeSegment],
    masks: Sequence[Bytes | None],
    query: Int8,
    query_scales: Float,
    narrowing: Narrowing,
    *,
    threads: int = 1,
    kernel: str = "",
) -> list[Int64]:
    """The ascending positions that are left of each segment: as `find_candidates_definition`.

    kernel: a name from `codes_kernels`, the fastest by default. Raises DamagedSegmentError, and ValueError for what does not fit.
    """
    found = _native.find_candidates(
        codec, segments, masks, query, query_scales, narrowing, threads=threads, kernel=kernel
    )
    if isinstance(found, int):
        raise DamagedSegmentError(found)
    return found


def full_scores(
    codec: NativeCodec,
    segment: NativeSegment,
    query: Int8,
    query_scales: Float,
    documents: Int64,
    *,
    threads: int = 1,
    kernel: str = "",
) -> Float:
    """(m,) float32: the MaxSim of these documents, (m,), as `full_scores_definition`.

    kernel: a name from `codes_kernels`, the fastest by default. Raises ValueError for shapes that do not fit and numbers that are
    out of range.
    """
    chosen = np.ascontiguousarray(documents)
    return _native.full_scores(codec, segment, query, query_scales, chosen, threads=threads, kernel=kernel)


def assign(
    vectors: Float,
    groups: Int32,
    centroids: Float,
    biases: Float,
    group_offsets: Int64,
    *,
    threads: int = 1,
    kernel: str = "",
) -> Int64:
    """As `assign_definition`, for vectors without NaN. Raises ValueError for shapes that do not fit."""
    order = np.argsort(groups, kind="stable").astype(np.int64)
    return _native.assign(vectors, order, groups, centroids, biases, group_offsets, threads, kernel)


def cluster_sums(vectors: Float, nearest: Int64, clusters: int, *, threads: int = 1) -> npt.NDArray[np.float64]:
    """(clusters, d) float64: as `cluster_sums_definition`. Raises ValueError for shapes that do not fit, clusters out of range."""
    return _native.cluster_sums(vectors, nearest, clusters, threads)


def quantize(
    residuals: Float, steps: Float, codebook: Float, nbits: int, *, threads: int = 1, kernel: str = ""
) -> tuple[Bytes, Bytes]:
    """(n,) uint8 scales and (n, p * nbits / 8) uint8 packed codes: as `quantize_definition` and `pack_codes`."""
    return _native.quantize(residuals, steps, codebook, nbits, threads, kernel)


def rotate(rows: Float, signs: Float, *, forward: bool, threads: int = 1) -> None:
    """Turn (n, d) float32 rows in place, as `rotate_definition`. Raises ValueError for shapes that do not fit."""
    _native.rotate(rows, signs, float(1 / np.sqrt(1 << (rows.shape[1].bit_length() - 1))), forward, threads)


def codes_kernels() -> list[str]:
    """Names of the kernels for `find_candidates` and `full_scores` that this machine can run, best first."""
    return _native.codes_kernels()


def assign_kernels() -> list[str]:
    """Names of the kernels for `assign` that this machine can run, best first."""
    return _native.assign_kernels()


def quantize_kernels() -> list[str]:
    """Names of the kernels for `quantize` that this machine can run, best first."""
    return _native.quantize_kernels()
