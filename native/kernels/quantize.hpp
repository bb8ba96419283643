// Residuals -> codes and scales, for every token of a build. Sums run over dimensions in order, unfused, so that every machine writes
// the same file.
//
// A dimension's value is codebook[window] times the token's scale. Its window is its own code and those that follow, four bits in
// all (see codes.hpp), so that at 1 and 2 bits each of 16 values is possible although a code has 2 or 4. The best codes of a block are
// the shortest path through a trellis of 2^(4 - nbits) states (Viterbi). With 4 bits a window is a code, and each value takes its
// nearest entry.
//
// Cost: three times p * 16 distances a token, one token a lane.
#pragma once

#include <cstddef>
#include <cstdint>

namespace polyvec {

struct QuantizeJob {
  const float* residuals;  // (n, p)
  std::size_t p;
  const float* steps;    // (256,) ascending
  const float* codebook;   // (16,), the values of the windows at scale 1
  unsigned nbits;        // 1, 2 or 4
  std::uint8_t* scales;  // (n,)
  std::uint8_t* packed;  // (n, p * nbits / 8)
};

constexpr std::size_t kQuantizeLanes = 16;

struct QuantizeKernel {
  const char* name;
  bool (*supported)();
  void (*quantize)(const QuantizeJob& job, std::size_t begin, std::size_t end, void* scratch);  // which begins on a cache line
};

inline std::size_t quantize_scratch_bytes(std::size_t p) { return 2 * p * kQuantizeLanes * sizeof(float); }

const QuantizeKernel& quantize_scalar();
#if defined(POLYVEC_X86)
const QuantizeKernel& quantize_avx2();
const QuantizeKernel& quantize_avx512();
#endif

}  // namespace polyvec
