// MaxSim over ragged documents: for each document, every query token takes its highest dot product, and these add up.
//
// One dot product is one chain of fused multiply-adds over the dimensions, first to last, in every instruction set, and
// the highest dot products add up in query order. So all kernels return the same bits, and scalar is the definition.
//
// Cost: q * t * d multiply-adds a document; each token vector is read once, the query stays in the first-level cache.
#pragma once

#include <cstddef>
#include <cstdint>

namespace polyvec {

enum class Dtype { f32, f16 };

struct MaxsimJob {
  const float* query;          // packed by MaxsimKernel::pack
  std::size_t q, d;            // query tokens, dimensions
  const void* tokens;          // (T, d) row-major, of `dtype`
  Dtype dtype;
  const std::int64_t* offsets;  // (n + 1): document i is the rows offsets[i] to offsets[i + 1]
  const std::int64_t* which;    // documents to score, or null for all in order
  float* scores;                // one a document scored
};

struct MaxsimKernel {
  const char* name;
  bool (*supported)();
  // Floats of the packed query, and of the scratch memory that each thread hands to `score`.
  std::size_t (*packed_floats)(std::size_t q, std::size_t d);
  std::size_t (*scratch_floats)(std::size_t q, std::size_t d);
  void (*pack)(const float* query, std::size_t q, std::size_t d, float* packed);
  // Scores number `begin` to `end` of the job. An empty document scores 0; where a dot product is not finite, NaN.
  void (*score)(const MaxsimJob& job, std::size_t begin, std::size_t end, float* scratch);
};

const MaxsimKernel& maxsim_scalar();
#if defined(POLYVEC_X86)
const MaxsimKernel& maxsim_avx2();
const MaxsimKernel& maxsim_avx512();
#endif
#if defined(POLYVEC_NEON)
const MaxsimKernel& maxsim_neon();
#endif

}  // namespace polyvec
