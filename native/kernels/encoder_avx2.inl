// The forward pass's steps in AVX2, for files that are compiled for it or for more. Its instruction for bytes takes one side without sign and
// adds pairs of products in int16, which 255 * 127 * 2 would overflow. So activations are signed, their signs go over to the weights, and
// 128 * 127 * 2 fits.

#include "kernels/x86.hpp"
#include "kernels/encoder.hpp"
#include "kernels/encoder_simd.inl"
#include "kernels/encoder_x86.inl"

namespace polyvec {
namespace {

struct Avx2 {
  using fvec = __m256;
  using ivec = __m256i;
  static constexpr std::size_t lanes = 8, vectors = 2, rows = 6, int_rows = 4, attention_vectors = 2, attention_rows = 6;
  static constexpr bool int16_attention = true;
  static constexpr float levels = 255.0f, zero = 128.0f;
  static fvec set(float value) { return _mm256_set1_ps(value); }
  static fvec load(const float* from) { return _mm256_loadu_ps(from); }
  static void store(float* to, fvec value) { _mm256_storeu_ps(to, value); }
  static fvec add(fvec a, fvec b) { return _mm256_add_ps(a, b); }
  static fvec sub(fvec a, fvec b) { return _mm256_sub_ps(a, b); }
  static fvec mul(fvec a, fvec b) { return _mm256_mul_ps(a, b); }
  static fvec fma(fvec a, fvec b, fvec c) { return _mm256_fmadd_ps(a, b, c); }
  static fvec min(fvec a, fvec b) { return _mm256_min_ps(a, b); }
  static fvec max(fvec a, fvec b) { return _mm256_max_ps(a, b); }
  static float total(fvec a) { return total_of(a); }
  static float lowest(fvec a) { return lowest_of(a); }
  static float highest(fvec a) { return highest_of(a); }
  static fvec raised(fvec a, fvec power) {
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), _mm256_slli_epi32(_mm256_castps_si256(power), 23)));
  }
  static void transpose(fvec (&rows)[8]) {
    fvec pairs[8], fours[8];
    POLYVEC_UNROLL for (int i = 0; i < 8; i += 2) {
      pairs[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
      pairs[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
    }
    POLYVEC_UNROLL for (int i = 0; i < 8; i += 4) {
      fours[i] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
      fours[i + 1] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0xee);
      fours[i + 2] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0x44);
      fours[i + 3] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0xee);
    }
    POLYVEC_UNROLL for (int i = 0; i < 4; ++i) {
      rows[i] = _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x20);
      rows[i + 4] = _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x31);
    }
  }
  static fvec as_float(ivec a) { return _mm256_castsi256_ps(a); }
  static ivec as_int(fvec a) { return _mm256_castps_si256(a); }
  static ivec int_zero() { return _mm256_setzero_si256(); }
  static ivec load_int(const std::int32_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
  static void store_int(std::int32_t* to, ivec value) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), value); }
  static fvec to_float(ivec value) { return _mm256_cvtepi32_ps(value); }
  static ivec load_weights(const std::int8_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
  static ivec spread(const std::uint8_t* from) {
    std::int32_t four;
    std::memcpy(&four, from, 4);
    return _mm256_set1_epi32(four);
  }
  static ivec to_int(fvec values) { return _mm256_cvtps_epi32(values); }
  static ivec spread_int(const std::int32_t* from) { return _mm256_set1_epi32(*from); }
  static ivec int_set(std::int32_t value) { return _mm256_set1_epi32(value); }
  static ivec int_sub(ivec a, ivec b) { return _mm256_sub_epi32(a, b); }
  static ivec int_max(ivec a, ivec b) { return _mm256_max_epi32(a, b); }
  static std::int32_t int_total(ivec a) { return total_of(a); }
  static std::int32_t int_highest(ivec a) { return highest_of(a); }
  static ivec packed(ivec a, ivec b) { return _mm256_packs_epi32(a, b); }
  static ivec interleaved(ivec even, ivec odd) { return _mm256_blend_epi16(even, _mm256_slli_epi32(odd, 16), 0xaa); }
  static ivec dot_pairs(ivec sum, ivec a, ivec b) { return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)); }
  // 2 ** 12 times 2 ** -x, rounded; x has `bits` behind the point, of which ten are taken.
  static ivec shares(ivec first, ivec second, int bits) {
    const __m128i shift = _mm_cvtsi32_si128(bits - 10);
    return packed(share(_mm256_srl_epi32(first, shift)), share(_mm256_srl_epi32(second, shift)));
  }
  static ivec share(ivec x) {
    return to_int(coarse_power_of_two<Avx2>(max(fma(to_float(x), set(-1.0f / 1024), set(12.0f)), set(-20.0f))));
  }
  static ivec dot(ivec sum, ivec activations, ivec weights) {
    const ivec pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(activations), _mm256_sign_epi8(weights, activations));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  static void store_bytes(std::uint8_t* to, fvec values) {
    const ivec whole = _mm256_sub_epi32(_mm256_cvtps_epi32(values), _mm256_set1_epi32(128));
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packs_epi16(words, words));
  }
};

}  // namespace
}  // namespace polyvec
