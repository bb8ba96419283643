// Arithmetic on quantized token vectors: full and approximate scores of documents in codes, and plain int8 dot products.
//
// A token is v = clip(centroid + levels[scale][window], -127, 127) in int8, divided by its own length; with 8 bits the code
// bytes are v itself. A dimension's window is four bits: its code and those that follow in its block of 32 dimensions. Every dot
// product is an exact int32 (views.hpp says why it fits), lengths and sums are fp32 in one order, so all kernels return the same
// bits, and scalar is the definition.
//
// Cost of a full score: q * t * p multiply-adds in int8, and p * nbits / 8 + 3 bytes a token plus its centroid's row. An
// approximate score costs that for the tokens of some centroids, and the centroid number of every token.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/centroid_interaction.hpp"
#include "kernels/views.hpp"

namespace polyvec {

// A query as CodesKernel::pack leaves it.
struct PackedQuery {
  const void* packed;
  const float* scales;  // (q,): value of one unit of a row
  std::size_t q, p;
};

struct ScoreJob {
  PackedQuery query;
  CodecView codec;
  SegmentView segment;
  const std::int64_t* documents;  // those to score
  float* scores;                  // one for each
};

// An approximate score leaves out the tokens of centroids that are far from every query row.
struct Approximation {
  const std::uint8_t* near;  // (n_centroids,): 0 for a centroid whose tokens are left out
  const float* imputed;      // (q,): dot / length that a query row has where no token of a document gives more
};

// What probing writes of every row it has seen: for each query row the byte (dot * weight + 2^15) >> 16, cut to [0, 255], in int32
// that wraps around.
struct ScoreBytes {
  const std::int32_t* weights;  // (q,)
  std::uint8_t* bytes;          // (rows, stride), or null to write none
  std::size_t stride;           // at least q, a multiple of kTableLanes; what is beyond q becomes 0
};

inline std::uint8_t score_byte(std::int32_t dot, std::int32_t weight) {
  const auto wrapped = static_cast<std::int32_t>(static_cast<std::uint32_t>(dot) * static_cast<std::uint32_t>(weight) + 32768u) >> 16;
  return static_cast<std::uint8_t>(wrapped < 0 ? 0 : wrapped > 255 ? 255 : wrapped);
}

struct DotJob {
  PackedQuery query;
  const std::int8_t* rows;         // (n, p)
  std::size_t n;
  const std::int32_t* thresholds;  // (q,)
  ScoreBytes bytes;
};

struct FoundDot {
  std::uint32_t query_row, row;
  std::int32_t dot;
};

struct CodesKernel {
  const char* name;
  bool (*supported)();
  // Bytes of a packed query, and of the scratch memory that each thread hands in; both begin on a cache line.
  std::size_t (*packed_bytes)(std::size_t q, std::size_t p);
  std::size_t (*scratch_bytes)(std::size_t q, std::size_t p);
  void (*pack)(const QueryView& query, void* packed);
  // Scores the job's documents number `begin` to `end`. False where a number in the arrays is out of range.
  bool (*full_scores)(const ScoreJob& job, std::size_t begin, std::size_t end, void* scratch);
  bool (*approximate_scores)(const ScoreJob& job, const Approximation& approximation, std::size_t begin, std::size_t end, void* scratch);
  bool (*centroid_interaction)(const CentroidInteractionJob& job, std::size_t begin, std::size_t end);
  // The dot products of the job's rows with the query's that reach the query row's threshold. Returns how many; `found` has room for n * q.
  std::size_t (*find_dots)(const DotJob& job, FoundDot* found, void* scratch);
  // near[i] = whether some byte of row i of the table reaches that column's threshold, (stride,).
  void (*mark_near)(const CentroidScores& scores, const std::uint8_t* thresholds, std::uint8_t* near);
};

const CodesKernel& codes_scalar();
#if defined(POLYVEC_X86)
const CodesKernel& codes_avx2();
const CodesKernel& codes_avx512();
const CodesKernel& codes_avx512_intrinsics();
#endif
#if defined(POLYVEC_NEON)
const CodesKernel& codes_neon();
#endif

}  // namespace polyvec
