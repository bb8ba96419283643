// The codes family with NEON: int8 products widened to int16, pairs summed to int32, exactly.

#if defined(POLYVEC_SIMDE)
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/arm/neon.h>
#else
#include <arm_neon.h>
#endif

#include <cstring>

#include "kernels/codes.hpp"
#include "kernels/codes_simd.inl"

namespace polyvec {
namespace {

inline std::int32_t total(int32x4_t sums) { return vaddvq_s32(sums); }

inline int32x4_t with_products(int32x4_t sum, int8x16_t a, int8x16_t b) {
  sum = vpadalq_s16(sum, vmull_s8(vget_low_s8(a), vget_low_s8(b)));
  return vpadalq_s16(sum, vmull_s8(vget_high_s8(a), vget_high_s8(b)));
}

// The windows of dimensions 0 to 15 (half 0) or 16 to 31 (half 1) of a block.
template <unsigned nbits>
inline uint8x16_t unpacked(const std::uint8_t* bytes, int half) {
  if constexpr (nbits == 4) {
    const uint8x16_t both = vld1q_u8(bytes);
    return half ? vshrq_n_u8(both, 4) : vandq_u8(both, vdupq_n_u8(15));
  } else if constexpr (nbits == 2) {
    std::uint64_t word;
    std::memcpy(&word, bytes, 8);
    static constexpr std::int64_t shifts[2][2] = {{0, -2}, {-4, -6}};
    return vandq_u8(vreinterpretq_u8_u64(vshlq_u64(vdupq_n_u64(word), vld1q_s64(shifts[half]))), vdupq_n_u8(15));
  } else {
    std::uint32_t word;
    std::memcpy(&word, bytes, 4);
    static constexpr std::int32_t shifts[2][4] = {{0, -1, -2, -3}, {-4, -5, -6, -7}};
    return vandq_u8(vreinterpretq_u8_u32(vshlq_u32(vdupq_n_u32(word), vld1q_s32(shifts[half]))), vdupq_n_u8(15));
  }
}

struct Neon {
  using ivec = int32x4_t;
  using qvec = int8x8_t;
  using fvec = float32x4_t;
  using Packed = std::int8_t;
  using Stored = std::int8_t;
  static constexpr std::size_t lanes = 4, group = 2, widest = 4;
  static constexpr std::size_t rows(std::size_t) { return 4; }
  static std::int32_t start(std::int32_t) { return 0; }
  static ivec load_int(const std::int32_t* from) { return vld1q_s32(from); }
  static void store_int(std::int32_t* to, ivec value) { vst1q_s32(to, value); }
  static qvec load_query(const Packed* from) { return vld1_s8(from); }
  static qvec spread(const Stored* token) {
    std::int16_t pair;
    std::memcpy(&pair, token, 2);
    return vreinterpret_s8_s16(vdup_n_s16(pair));
  }
  static void dot(ivec& sum, qvec query, qvec token) { sum = vpadalq_s16(sum, vmull_s8(query, token)); }
  template <std::size_t V, std::size_t R>
  static void products(const Packed* query, const std::int32_t* starts, const Stored* tokens, std::size_t p, std::int32_t* sums) {
    generic_products<Neon, V, R>(query, starts, tokens, p, sums);
  }
  static std::uint32_t reaches(ivec sums, ivec thresholds) {
    static constexpr std::uint32_t bits[4] = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(vcgeq_s32(sums, thresholds), vld1q_u32(bits)));
  }
  static fvec to_float(ivec value) { return vcvtq_f32_s32(value); }
  static fvec times(fvec a, fvec b) { return vmulq_f32(a, b); }
  static fvec max(fvec a, fvec b) { return vmaxq_f32(a, b); }
  static fvec set(float value) { return vdupq_n_f32(value); }
  static fvec load(const float* from) { return vld1q_f32(from); }
  static void store(float* to, fvec value) { vst1q_f32(to, value); }
  static std::int32_t square(const std::int8_t* row, std::size_t p) {
    int32x4_t sum = vdupq_n_s32(0);
    for (std::size_t k = 0; k < p; k += 16) sum = with_products(sum, vld1q_s8(row + k), vld1q_s8(row + k));
    return total(sum);
  }
  static void widen(const std::int8_t* row, std::size_t p, Stored* to) { std::memcpy(to, row, p); }
  template <unsigned nbits>
  static std::int32_t expand(const std::int8_t* centroid, const std::uint8_t* bytes, const std::int8_t* levels, std::size_t p,
                             Stored* to) {
    if constexpr (nbits == 8) {
      std::memcpy(to, bytes, p);
    } else {
      const int8x16_t table = vld1q_s8(levels);
      for (std::size_t k = 0; k < p; k += 32) {
        for (int half = 0; half < 2; ++half) {
          const int8x16_t residual = vqtbl1q_s8(table, unpacked<nbits>(bytes + k * nbits / 8, half));
          const int8x16_t sum = vqaddq_s8(vld1q_s8(centroid + k + 16 * half), residual);
          vst1q_s8(to + k + 16 * half, vmaxq_s8(sum, vdupq_n_s8(-127)));
        }
      }
    }
    return square(to, p);
  }
};

}  // namespace

const CodesKernel& codes_neon() {
  static constexpr CodesKernel kernel = codes_kernel_of<Neon>("neon", [] { return true; });
  return kernel;
}

}  // namespace polyvec
