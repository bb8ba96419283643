// MaxSim in plain C++: the definition that the other instruction sets are tested against.

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/half.hpp"
#include "kernels/maxsim.hpp"

namespace polyvec {
namespace {

float element(const MaxsimJob& job, std::size_t row, std::size_t k) {
  const std::size_t at = row * job.d + k;
  if (job.dtype == Dtype::f32) return static_cast<const float*>(job.tokens)[at];
  return half_to_float(static_cast<const std::uint16_t*>(job.tokens)[at]);
}

void score(const MaxsimJob& job, std::size_t begin, std::size_t end, float*) {
  for (std::size_t i = begin; i < end; ++i) {
    const std::int64_t document = job.which ? job.which[i] : static_cast<std::int64_t>(i);
    const std::size_t first = static_cast<std::size_t>(job.offsets[document]);
    const std::size_t last = static_cast<std::size_t>(job.offsets[document + 1]);
    float total = 0.0f;
    bool finite = true;
    for (std::size_t token = 0; token < job.q && first < last; ++token) {
      float best = -std::numeric_limits<float>::infinity();
      for (std::size_t row = first; row < last; ++row) {
        float sum = 0.0f;
        for (std::size_t k = 0; k < job.d; ++k) sum = std::fmaf(job.query[token * job.d + k], element(job, row, k), sum);
        finite = finite && std::isfinite(sum);
        if (sum > best) best = sum;
      }
      total += best;
    }
    job.scores[i] = finite ? total : std::numeric_limits<float>::quiet_NaN();
  }
}

}  // namespace

const MaxsimKernel& maxsim_scalar() {
  static constexpr MaxsimKernel kernel = {
      "scalar",
      [] { return true; },
      [](std::size_t q, std::size_t d) { return q * d; },
      [](std::size_t, std::size_t) { return std::size_t{0}; },
      [](const float* query, std::size_t q, std::size_t d, float* packed) {
        std::memcpy(packed, query, q * d * sizeof(float));
      },
      score,
  };
  return kernel;
}

}  // namespace polyvec
