#if defined(POLYVEC_SIMDE)
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/arm/neon.h>
#else
#include <arm_neon.h>
#endif

#include "kernels/assign.hpp"
#include "kernels/assign_simd.inl"

namespace polyvec {
namespace {

struct Neon {
  using vec = float32x4_t;
  static constexpr std::size_t lanes = 4, rows = 6;
  static vec zero() { return vdupq_n_f32(0.0f); }
  static vec set(float value) { return vdupq_n_f32(value); }
  static vec load(const float* from) { return vld1q_f32(from); }
  static void store(float* to, vec value) { vst1q_f32(to, value); }
  static vec add(vec a, vec b) { return vaddq_f32(a, b); }
  static vec fma(vec a, vec b, vec c) { return vfmaq_f32(c, a, b); }
};

}  // namespace

const AssignKernel& assign_neon() {
  static constexpr AssignKernel kernel{"neon", [] { return true; }, assign_range<Neon>};
  return kernel;
}

}  // namespace polyvec
