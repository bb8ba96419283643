// MaxSim with AVX2, FMA and F16C: 16 query tokens x 6 token vectors in 12 of the 16 registers.

#include "kernels/x86.hpp"
#include "kernels/maxsim.hpp"
#include "kernels/half.hpp"
#include "kernels/maxsim_simd.inl"

namespace polyvec {
namespace {

struct Avx2 {
  using vec = __m256;
  static constexpr std::size_t lanes = 8, vectors = 2, rows = 6;
  static vec zero() { return _mm256_setzero_ps(); }
  static vec set(float value) { return _mm256_set1_ps(value); }
  static vec load(const float* from) { return _mm256_loadu_ps(from); }
  static void store(float* to, vec value) { _mm256_storeu_ps(to, value); }
  static vec fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
  static vec max(vec a, vec b) { return _mm256_max_ps(a, b); }
  static void half_row(const std::uint16_t* row, std::size_t d, float* to) {
    std::size_t k = 0;
    for (; k + 8 <= d; k += 8) {
      _mm256_storeu_ps(to + k, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row + k))));
    }
    for (; k < d; ++k) to[k] = half_to_float(row[k]);
  }
};

}  // namespace

const MaxsimKernel& maxsim_avx2() {
  static constexpr MaxsimKernel kernel = kernel_of<Avx2>("avx2", cpu_has_avx2);
  return kernel;
}

}  // namespace polyvec
