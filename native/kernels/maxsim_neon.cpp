// MaxSim with NEON: 16 query tokens x 6 token vectors in 24 of the 32 registers.

#if defined(POLYVEC_SIMDE)
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/arm/neon.h>
#else
#include <arm_neon.h>
#endif

#include "kernels/maxsim.hpp"
#include "kernels/half.hpp"
#include "kernels/maxsim_simd.inl"

namespace polyvec {
namespace {

struct Neon {
  using vec = float32x4_t;
  static constexpr std::size_t lanes = 4, vectors = 4, rows = 6;
  static vec zero() { return vdupq_n_f32(0.0f); }
  static vec set(float value) { return vdupq_n_f32(value); }
  static vec load(const float* from) { return vld1q_f32(from); }
  static void store(float* to, vec value) { vst1q_f32(to, value); }
  static vec fma(vec a, vec b, vec c) { return vfmaq_f32(c, a, b); }
  static vec max(vec a, vec b) { return vmaxq_f32(a, b); }
  static void half_row(const std::uint16_t* row, std::size_t d, float* to) {
    std::size_t k = 0;
#if !defined(POLYVEC_SIMDE)
    for (; k + 4 <= d; k += 4) vst1q_f32(to + k, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(row + k))));
#endif
    for (; k < d; ++k) to[k] = half_to_float(row[k]);
  }
};

}  // namespace

const MaxsimKernel& maxsim_neon() {
  static constexpr MaxsimKernel kernel = kernel_of<Neon>("neon", [] { return true; });
  return kernel;
}

}  // namespace polyvec
