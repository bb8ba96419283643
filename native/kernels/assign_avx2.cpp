#include "kernels/x86.hpp"
#include "kernels/assign.hpp"
#include "kernels/assign_simd.inl"

namespace polyvec {
namespace {

struct Avx2 {
  using vec = __m256;
  static constexpr std::size_t lanes = 8, rows = 6;
  static vec zero() { return _mm256_setzero_ps(); }
  static vec set(float value) { return _mm256_set1_ps(value); }
  static vec load(const float* from) { return _mm256_loadu_ps(from); }
  static void store(float* to, vec value) { _mm256_storeu_ps(to, value); }
  static vec add(vec a, vec b) { return _mm256_add_ps(a, b); }
  static vec fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
};

}  // namespace

const AssignKernel& assign_avx2() {
  static constexpr AssignKernel kernel{"avx2", cpu_has_avx2, assign_range<Avx2>};
  return kernel;
}

}  // namespace polyvec
