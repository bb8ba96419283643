// Arithmetic on quantized token vectors: MaxSim of an int8 query with documents in codes (refine), and plain int8 dot products.
//
// A token is v = clip(centroid + levels[scale][window], -127, 127) in int8, divided by its own length; with 8 bits the code
// bytes are v itself. A dimension's window is four bits: its code and those that follow in its block of 32 dimensions. Rows are
// p int8 values, p a multiple of 32. Every dot product is an exact int32, lengths and sums are fp32 in one order, so all kernels
// return the same bits, and scalar is the definition.
//
// Cost of refine: q * t * p multiply-adds a document in int8, and p * nbits / 8 + 3 bytes a token plus its centroid's row. Looking
// (the same sum over the tokens of some centroids) costs that for the tokens of these, and the centroid number of every token.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/centroid_interaction.hpp"

namespace polyvec {

// Whether a document is one of `documents`, and its tokens, offsets[document] to offsets[document + 1], lie among `tokens`.
inline bool lies_inside(std::int64_t document, const std::int64_t* offsets, std::size_t documents, std::size_t tokens) {
  if (document < 0 || static_cast<std::size_t>(document) >= documents) return false;
  const std::int64_t begin = offsets[document], end = offsets[document + 1];
  return begin >= 0 && begin <= end && static_cast<std::size_t>(end) <= tokens;
}

struct CodedJob {
  const void* query;           // packed by CodesKernel::pack
  const float* query_scales;   // (q,), what a unit of a query row is worth
  std::size_t q, p;            // query rows, dimensions of a row
  const std::int8_t* centroids;  // (K, p)
  std::size_t n_centroids;
  const std::int8_t* levels;   // (256, 16), what a window adds at each scale
  const void* codes;           // (T,) centroid numbers
  std::size_t code_bytes;      // 2 or 4 each
  const std::uint8_t* scales;  // (T,) rows of levels
  const std::uint8_t* packed;  // (T, p * nbits / 8)
  const std::int64_t* offsets;  // (n + 1): document i is the rows offsets[i] to offsets[i + 1]
  std::size_t tokens, documents;
  const std::int64_t* which;   // documents to score
  unsigned nbits;              // 1, 2, 4 or 8
  float* scores;               // one a document scored
  const std::uint8_t* marked;  // of look: (K,), 0 for a centroid whose tokens are passed over
  const float* least;          // of look: (q,), what a query row has where no token of a document gives more; of dot / length

  std::size_t code(std::size_t token) const {
    return code_bytes == 2 ? static_cast<const std::uint16_t*>(codes)[token] : static_cast<const std::uint32_t*>(codes)[token];
  }
  bool holds(std::int64_t document) const { return lies_inside(document, offsets, documents, tokens); }
};

// What probing keeps of every row it has seen, for centroid_interaction.hpp: a byte a query row, (dot * worth + 2^15) >> 16 cut to [0, 255], in
// int32 that wraps around.
struct Table {
  const std::int32_t* worth;  // (q,)
  std::uint8_t* bytes;        // (rows, stride), or null for no table
  std::size_t stride;         // at least q, a multiple of kTableLanes; what is beyond q becomes 0
};

constexpr std::size_t kTableLanes = 32;

inline std::uint8_t table_byte(std::int32_t dot, std::int32_t worth) {
  const auto wrapped = static_cast<std::int32_t>(static_cast<std::uint32_t>(dot) * static_cast<std::uint32_t>(worth) + 32768u) >> 16;
  return static_cast<std::uint8_t>(wrapped < 0 ? 0 : wrapped > 255 ? 255 : wrapped);
}

struct Reached {
  std::uint32_t query_row, row;
  std::int32_t dot;
};

struct CodesKernel {
  const char* name;
  bool (*supported)();
  // Bytes of a packed query, and of the scratch memory that each thread hands in, for scoring or looking; both begin on a cache line.
  std::size_t (*packed_bytes)(std::size_t q, std::size_t p);
  std::size_t (*scratch_bytes)(std::size_t q, std::size_t p);
  void (*pack)(const std::int8_t* query, std::size_t q, std::size_t p, void* packed);
  // Scores number `begin` to `end` of the job. False where a number in the arrays points outside of them.
  bool (*score)(const CodedJob& job, std::size_t begin, std::size_t end, void* scratch);
  // The same over the tokens of marked centroids alone, from `least` up.
  bool (*approximate_scores)(const CodedJob& job, std::size_t begin, std::size_t end, void* scratch);
  // The dot products of n int8 rows with a packed query that reach `least`, one int32 a query row. Returns how many; found has
  // room for n * q. The rows' bytes go to `table`.
  std::size_t (*reaching)(const void* packed, std::size_t q, std::size_t p, const std::int8_t* rows, std::size_t n,
                          const std::int32_t* least, Reached* found, const Table& table, void* scratch);
  // Scores number `begin` to `end` of the job. False where a number in the arrays points outside of them.
  bool (*centroid_interaction)(const CentroidInteractionJob& job, std::size_t begin, std::size_t end);
  // marked[i] = whether some byte of row i of the table, (n_centroids, stride), reaches that column's `least`, (stride,).
  void (*mark)(const std::uint8_t* table, const std::uint8_t* least, std::size_t n_centroids, std::size_t stride, std::uint8_t* marked);
  // Runs int8 multiply-adds from registers for a while; returns how many.
  double (*run_multiply_adds)(std::size_t rounds);
};

const CodesKernel& codes_scalar();
#if defined(POLYVEC_X86)
const CodesKernel& codes_avx2();
const CodesKernel& codes_avx512();
#endif
#if defined(POLYVEC_NEON)
const CodesKernel& codes_neon();
#endif

}  // namespace polyvec
