// What NEON with and without its dot product instruction share: 6 rows x 16 outputs in 24 of the 32 registers.

#if defined(POLYVEC_SIMDE)
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/arm/neon.h>
#else
#include <arm_neon.h>
#endif

#include "kernels/encoder_simd.inl"

namespace polyvec {
namespace {

struct NeonBase {
  using fvec = float32x4_t;
  using ivec = int32x4_t;
  static constexpr std::size_t lanes = 4, vectors = 4, rows = 6, int_rows = 6, attention_vectors = 4, attention_rows = 6;
  static constexpr bool int16_attention = false;  // four products an instruction, as in fp32
  static constexpr float levels = 255.0f, zero = 128.0f;
  static fvec set(float value) { return vdupq_n_f32(value); }
  static fvec load(const float* from) { return vld1q_f32(from); }
  static void store(float* to, fvec value) { vst1q_f32(to, value); }
  static fvec add(fvec a, fvec b) { return vaddq_f32(a, b); }
  static fvec sub(fvec a, fvec b) { return vsubq_f32(a, b); }
  static fvec mul(fvec a, fvec b) { return vmulq_f32(a, b); }
  static fvec fma(fvec a, fvec b, fvec c) { return vfmaq_f32(c, a, b); }
  static fvec min(fvec a, fvec b) { return vminq_f32(a, b); }
  static fvec max(fvec a, fvec b) { return vmaxq_f32(a, b); }
  static float total(fvec a) { return vaddvq_f32(a); }
  static float lowest(fvec a) { return vminvq_f32(a); }
  static float highest(fvec a) { return vmaxvq_f32(a); }
  static fvec raised(fvec a, fvec power) {
    return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(a), vshlq_n_s32(vreinterpretq_s32_f32(power), 23)));
  }
  static void transpose(fvec (&rows)[4]) {
    const float32x4x2_t low = vzipq_f32(rows[0], rows[2]), high = vzipq_f32(rows[1], rows[3]);
    const float32x4x2_t first = vzipq_f32(low.val[0], high.val[0]), second = vzipq_f32(low.val[1], high.val[1]);
    rows[0] = first.val[0], rows[1] = first.val[1], rows[2] = second.val[0], rows[3] = second.val[1];
  }
  static ivec int_zero() { return vdupq_n_s32(0); }
  static ivec load_int(const std::int32_t* from) { return vld1q_s32(from); }
  static void store_int(std::int32_t* to, ivec value) { vst1q_s32(to, value); }
  static fvec to_float(ivec value) { return vcvtq_f32_s32(value); }
  static int8x16_t load_weights(const std::int8_t* from) { return vld1q_s8(from); }
  static int8x16_t spread(const std::uint8_t* from) {
    std::int32_t four;
    std::memcpy(&four, from, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
  }
  static void store_bytes(std::uint8_t* to, fvec values) {
    const uint32x4_t whole = vreinterpretq_u32_f32(vaddq_f32(values, vdupq_n_f32(12582912.0f)));  // in the lowest bits, as 1.5 * 2 ** 23 is added
    const uint16x4_t words = vmovn_u32(whole);
    const uint8x8_t bytes = veor_u8(vmovn_u16(vcombine_u16(words, words)), vdup_n_u8(128));  // less 128
    vst1_lane_s32(reinterpret_cast<std::int32_t*>(to), vreinterpret_s32_u8(bytes), 0);
  }
};

}  // namespace
}  // namespace polyvec
