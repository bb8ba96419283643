// MaxSim with AVX-512: 32 query tokens x 12 token vectors in 24 of the 32 registers.

#include "kernels/x86.hpp"
#include "kernels/maxsim.hpp"
#include "kernels/half.hpp"
#include "kernels/maxsim_simd.inl"

namespace polyvec {
namespace {

struct Avx512 {
  using vec = __m512;
  static constexpr std::size_t lanes = 16, vectors = 2, rows = 12;
  static vec zero() { return _mm512_setzero_ps(); }
  static vec set(float value) { return _mm512_set1_ps(value); }
  static vec load(const float* from) { return _mm512_loadu_ps(from); }
  static void store(float* to, vec value) { _mm512_storeu_ps(to, value); }
  static vec fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
  static vec max(vec a, vec b) { return _mm512_max_ps(a, b); }
  static void half_row(const std::uint16_t* row, std::size_t d, float* to) {
    std::size_t k = 0;
#if !defined(POLYVEC_SIMDE)
    for (; k + 16 <= d; k += 16) {
      _mm512_storeu_ps(to + k, _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + k))));
    }
#endif
    for (; k < d; ++k) to[k] = half_to_float(row[k]);
  }
};

}  // namespace

const MaxsimKernel& maxsim_avx512() {
  static constexpr MaxsimKernel kernel = kernel_of<Avx512>("avx512", cpu_has_avx512);
  return kernel;
}

}  // namespace polyvec
