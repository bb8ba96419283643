// What a search reads, as plain buffers: a codec, the documents of a segment in codes, their postings, a query in int8.
//
// Rows have p int8 values: the dimensions of a vector, padded with zeros to a multiple of kBlockDims.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

namespace polyvec {

// For functions that do nothing but prefetch: GCC takes them for functions without effect and drops calls that it has not inlined yet.
#define POLYVEC_PREFETCHING __attribute__((always_inline)) inline

constexpr std::size_t kBlockDims = 32;    // dimensions whose codes are packed together
constexpr std::size_t kWindows = 16;      // values that a dimension of a residual can have at one scale
constexpr std::size_t kScales = 256;      // scales that a token's residual can have
constexpr std::size_t kMaxDims = 65'536;  // dimensions of a row, at most

// Why no sum of products leaves int32, whatever the bytes and whatever order a kernel adds them in:
//   - int8 by int8 (scalar, AVX2, NEON): every product is in [-128 * 127, 128 * 128], so a sum of any of a row's p products is at
//     most 128 * 128 * p <= 2^30.
//   - VNNI multiplies unsigned bytes by signed ones, so it stores a token's value v as v + 128, in [0, 255], and starts each
//     accumulator at -128 * (sum of the query's row). The products alone are at most 255 * 128 * p = 2,139,095,040 < 2^31. With
//     the start, an accumulator that has seen some of the dimensions holds v * q of these and -128 * q of the others: at most
//     128 * 128 * p again.
//   - Squares of a token are at most 128 * 128 * p.
static_assert(std::int64_t{255} * 128 * kMaxDims <= std::numeric_limits<std::int32_t>::max(), "sums of products must fit int32");

struct CodecView {
  const std::int8_t* centroids;         // (K, p)
  const std::int8_t* directions;        // (K, p): the centroids at length 1
  const std::int8_t* coarse_centroids;  // (C, p): centers of clusters of directions, at length 1
  const std::int64_t* coarse_offsets;   // (C + 1,): coarse centroid i stands for centroids coarse_offsets[i] to coarse_offsets[i + 1]
  const std::int8_t* levels;            // (kScales, kWindows): what a window adds to a centroid at each scale
  std::size_t n_centroids, n_coarse_centroids;
  std::size_t p, dim;  // values of a row; dimensions of a vector
  double step;         // value of one unit of a direction
  unsigned nbits;      // of a residual's dimension: 1, 2, 4, or 8 where the code bytes are the vector itself
};

struct SegmentView {
  const void* codes;            // (T,) centroid numbers
  std::size_t code_bytes;       // 2 or 4 each
  const std::uint8_t* scales;   // (T,) rows of levels
  const std::uint8_t* packed;   // (T, p * nbits / 8)
  const std::int64_t* offsets;  // (n_documents + 1,): document i is the tokens offsets[i] to offsets[i + 1]
  std::size_t n_tokens, n_documents;

  std::size_t code(std::size_t token) const {
    return code_bytes == 2 ? static_cast<const std::uint16_t*>(codes)[token] : static_cast<const std::uint32_t*>(codes)[token];
  }
  // Whether this is one of the documents and its tokens are tokens of the segment. Files may be damaged, so kernels ask before they read.
  bool contains(std::int64_t document) const {
    if (document < 0 || static_cast<std::size_t>(document) >= n_documents) return false;
    const std::int64_t begin = offsets[document], end = offsets[document + 1];
    return begin >= 0 && begin <= end && static_cast<std::size_t>(end) <= n_tokens;
  }
};

struct PostingsView {
  const std::uint8_t* stream;  // for each centroid its documents, ascending: gaps as LEB128
  std::size_t stream_size;
  const std::int64_t* starts;  // (n_centroids + 1,): centroid i has the bytes starts[i] to starts[i + 1]
  std::size_t n_centroids;
};

struct QueryView {
  const std::int8_t* rows;  // (q, p)
  const float* scales;      // (q,): value of one unit of a row
  std::size_t q, p;
};

}  // namespace polyvec
