#include "kernels/x86.hpp"
#include "kernels/assign.hpp"
#include "kernels/assign_simd.inl"

namespace polyvec {
namespace {

struct Avx512 {
  using vec = __m512;
  static constexpr std::size_t lanes = 16, rows = 12;
  static vec zero() { return _mm512_setzero_ps(); }
  static vec set(float value) { return _mm512_set1_ps(value); }
  static vec load(const float* from) { return _mm512_loadu_ps(from); }
  static void store(float* to, vec value) { _mm512_storeu_ps(to, value); }
  static vec add(vec a, vec b) { return _mm512_add_ps(a, b); }
  static vec fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
};

}  // namespace

const AssignKernel& assign_avx512() {
  static constexpr AssignKernel kernel{"avx512", cpu_has_avx512, assign_range<Avx512>};
  return kernel;
}

}  // namespace polyvec
