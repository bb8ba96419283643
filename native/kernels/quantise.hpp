// Residuals -> codes and scales; what the build does for every token. Sums run over dimensions in order, unfused, so that
// every machine writes the same file.
//
// Cost: about 3 * p * 2^nbits comparisons a token, 16 tokens side by side in lanes that the compiler vectorises.
#pragma once

#include <cstddef>
#include <cstdint>

namespace polyvec {

struct QuantiseJob {
  const float* residuals;   // (n, p)
  std::size_t p;
  const float* steps;       // (256,) ascending
  const float* points;      // (2^nbits,) ascending, the values of the codes at scale 1
  const float* thresholds;  // (2^nbits - 1,) between them
  unsigned nbits;           // 1, 2 or 4
  std::uint8_t* scales;     // (n,)
  std::uint8_t* packed;     // (n, p * nbits / 8)
};

constexpr std::size_t kQuantiseLanes = 16;

inline std::size_t quantise_scratch_floats(std::size_t p) { return 2 * p * kQuantiseLanes; }

void quantise(const QuantiseJob& job, std::size_t begin, std::size_t end, float* scratch);

}  // namespace polyvec
