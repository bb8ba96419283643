// The forward pass with AVX-512 VNNI: 6 rows x 64 outputs in 24 of the 32 registers.

#include "kernels/x86.hpp"
#include "kernels/encoder.hpp"
#include "kernels/encoder_simd.inl"
#include "kernels/encoder_x86.inl"

namespace polyvec {
namespace {

// 2 ** (-i / 32) and 2 ** (-i / 1024), in units of 2 ** -15.
struct Powers {
  std::int16_t coarse[32], fine[32];
};

constexpr Powers kPowers = {
    {32767, 32066, 31379, 30706, 30048, 29405, 28774, 28158, 27554, 26964, 26386, 25821, 25268, 24726, 24196, 23678,
     23170, 22674, 22188, 21713, 21247, 20792, 20347, 19911, 19484, 19066, 18658, 18258, 17867, 17484, 17109, 16743},
    {32767, 32746, 32724, 32702, 32679, 32657, 32635, 32613, 32591, 32569, 32547, 32525, 32503, 32481, 32459, 32437,
     32415, 32393, 32371, 32349, 32327, 32306, 32284, 32262, 32240, 32218, 32196, 32175, 32153, 32131, 32109, 32088}};

struct Avx512 {
  using fvec = __m512;
  using ivec = __m512i;
  static constexpr std::size_t lanes = 16, vectors = 4, rows = 6, int_rows = 6, attention_vectors = 2, attention_rows = 12;
  static constexpr bool int16_attention = true;
  static constexpr float levels = 255.0f, zero = 0.0f;
  static fvec set(float value) { return _mm512_set1_ps(value); }
  static fvec load(const float* from) { return _mm512_loadu_ps(from); }
  static void store(float* to, fvec value) { _mm512_storeu_ps(to, value); }
  static fvec add(fvec a, fvec b) { return _mm512_add_ps(a, b); }
  static fvec sub(fvec a, fvec b) { return _mm512_sub_ps(a, b); }
  static fvec mul(fvec a, fvec b) { return _mm512_mul_ps(a, b); }
  static fvec fma(fvec a, fvec b, fvec c) { return _mm512_fmadd_ps(a, b, c); }
  static fvec min(fvec a, fvec b) { return _mm512_min_ps(a, b); }
  static fvec max(fvec a, fvec b) { return _mm512_max_ps(a, b); }
  static __m256 upper(fvec a) { return _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a), 1)); }
  static float total(fvec a) { return total_of(_mm256_add_ps(_mm512_castps512_ps256(a), upper(a))); }
  static float lowest(fvec a) { return lowest_of(_mm256_min_ps(_mm512_castps512_ps256(a), upper(a))); }
  static float highest(fvec a) { return highest_of(_mm256_max_ps(_mm512_castps512_ps256(a), upper(a))); }
  static fvec raised(fvec a, fvec power) {
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), _mm512_slli_epi32(_mm512_castps_si512(power), 23)));
  }
  static void transpose(fvec (&rows)[16]) {
    fvec pairs[16], fours[16];
    POLYVEC_UNROLL for (int i = 0; i < 16; i += 2) {
      pairs[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
      pairs[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
    POLYVEC_UNROLL for (int i = 0; i < 16; i += 4) {
      fours[i] = _mm512_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
      fours[i + 1] = _mm512_shuffle_ps(pairs[i], pairs[i + 2], 0xee);
      fours[i + 2] = _mm512_shuffle_ps(pairs[i + 1], pairs[i + 3], 0x44);
      fours[i + 3] = _mm512_shuffle_ps(pairs[i + 1], pairs[i + 3], 0xee);
    }
    // Quarters 0 and 2, or 1 and 3, of each of two vectors.
    const ivec even = _mm512_setr_epi32(0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
    const ivec odd = _mm512_setr_epi32(4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
    POLYVEC_UNROLL for (int i = 0; i < 4; ++i) {
      const fvec low = _mm512_permutex2var_ps(fours[i], even, fours[i + 4]), high = _mm512_permutex2var_ps(fours[i + 8], even, fours[i + 12]);
      const fvec low_odd = _mm512_permutex2var_ps(fours[i], odd, fours[i + 4]);
      const fvec high_odd = _mm512_permutex2var_ps(fours[i + 8], odd, fours[i + 12]);
      rows[i] = _mm512_permutex2var_ps(low, even, high);
      rows[i + 8] = _mm512_permutex2var_ps(low, odd, high);
      rows[i + 4] = _mm512_permutex2var_ps(low_odd, even, high_odd);
      rows[i + 12] = _mm512_permutex2var_ps(low_odd, odd, high_odd);
    }
  }
  static fvec as_float(ivec a) { return _mm512_castsi512_ps(a); }
  static ivec as_int(fvec a) { return _mm512_castps_si512(a); }
  static ivec int_zero() { return _mm512_setzero_si512(); }
  static ivec load_int(const std::int32_t* from) { return _mm512_loadu_si512(from); }
  static void store_int(std::int32_t* to, ivec value) { _mm512_storeu_si512(to, value); }
#if defined(POLYVEC_SIMDE)  // which has neither conversion
  static fvec to_float(ivec value) {
    std::int32_t whole[lanes];
    float all[lanes];
    store_int(whole, value);
    for (std::size_t lane = 0; lane < lanes; ++lane) all[lane] = static_cast<float>(whole[lane]);
    return load(all);
  }
  static void store_bytes(std::uint8_t* to, fvec values) {
    float all[lanes];
    store(all, values);
    for (std::size_t lane = 0; lane < lanes; ++lane) to[lane] = static_cast<std::uint8_t>(std::nearbyint(all[lane]));
  }
  static ivec to_int(fvec values) {
    float all[lanes];
    std::int32_t whole[lanes];
    store(all, values);
    for (std::size_t lane = 0; lane < lanes; ++lane) whole[lane] = static_cast<std::int32_t>(std::nearbyint(all[lane]));
    return load_int(whole);
  }
  static ivec shifted(ivec words, ivec by) {
    std::uint16_t all[2 * lanes], shifts[2 * lanes];
    std::memcpy(all, &words, sizeof all), std::memcpy(shifts, &by, sizeof shifts);
    for (std::size_t lane = 0; lane < 2 * lanes; ++lane) all[lane] = shifts[lane] < 16 ? static_cast<std::uint16_t>(all[lane] >> shifts[lane]) : 0;
    return _mm512_loadu_si512(all);
  }
#else
  static fvec to_float(ivec value) { return _mm512_cvtepi32_ps(value); }
  static void store_bytes(std::uint8_t* to, fvec values) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(values)));
  }
  static ivec to_int(fvec values) { return _mm512_cvtps_epi32(values); }
  static ivec shifted(ivec words, ivec by) { return _mm512_srlv_epi16(words, by); }
#endif
  static ivec load_weights(const std::int8_t* from) { return _mm512_loadu_si512(from); }
  static ivec spread(const std::uint8_t* from) {
    std::int32_t four;
    std::memcpy(&four, from, 4);
    return _mm512_set1_epi32(four);
  }
  static ivec spread_int(const std::int32_t* from) { return _mm512_set1_epi32(*from); }
  static ivec int_set(std::int32_t value) { return _mm512_set1_epi32(value); }
  static ivec int_sub(ivec a, ivec b) { return _mm512_sub_epi32(a, b); }
  static ivec int_max(ivec a, ivec b) { return _mm512_max_epi32(a, b); }
  static __m256i lower_ints(ivec a) { return _mm512_castsi512_si256(a); }
  static __m256i upper_ints(ivec a) { return _mm512_extracti64x4_epi64(a, 1); }
  static std::int32_t int_total(ivec a) { return total_of(_mm256_add_epi32(lower_ints(a), upper_ints(a))); }
  static std::int32_t int_highest(ivec a) { return highest_of(_mm256_max_epi32(lower_ints(a), upper_ints(a))); }
  static ivec packed(ivec a, ivec b) { return _mm512_packs_epi32(a, b); }
  static ivec interleaved(ivec even, ivec odd) { return _mm512_mask_blend_epi16(0xaaaaaaaa, even, _mm512_slli_epi32(odd, 16)); }
  static ivec dot_pairs(ivec sum, ivec a, ivec b) { return _mm512_dpwssd_epi32(sum, a, b); }
  // 2 ** 12 times 2 ** -x, rounded; x has `bits` behind the point, of which ten are taken, five a table.
  static ivec shares(ivec first, ivec second, int bits) {
    const __m128i shift = _mm_cvtsi32_si128(bits - 10);
    const ivec x = _mm512_packus_epi32(_mm512_srl_epi32(first, shift), _mm512_srl_epi32(second, shift));
    const ivec coarse = _mm512_permutexvar_epi16(_mm512_srli_epi16(x, 5), _mm512_loadu_si512(kPowers.coarse));
    const ivec fine = _mm512_permutexvar_epi16(x, _mm512_loadu_si512(kPowers.fine));
    const ivec whole = _mm512_add_epi16(_mm512_srli_epi16(x, 10), _mm512_set1_epi16(2));
    return _mm512_avg_epu16(shifted(_mm512_mulhrs_epi16(coarse, fine), whole), _mm512_setzero_si512());
  }
  static ivec dot(ivec sum, ivec activations, ivec weights) { return _mm512_dpbusd_epi32(sum, activations, weights); }
};

}  // namespace

const EncoderKernel& encoder_avx512() {
  static constexpr EncoderKernel kernel = encoder_kernel_of<Avx512>("avx512", cpu_has_avx512_vnni);
  return kernel;
}

}  // namespace polyvec
