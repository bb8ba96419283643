// The forward pass with AVX-512 VNNI: 6 rows x 64 outputs in 24 of the 32 registers.

#include "kernels/x86.hpp"
#include "kernels/encoder.hpp"
#include "kernels/encoder_simd.inl"
#include "kernels/encoder_x86.inl"

namespace polyvec {
namespace {

struct Avx512 {
  using fvec = __m512;
  using ivec = __m512i;
  static constexpr std::size_t lanes = 16, vectors = 4, rows = 6, int_rows = 6, attention_vectors = 2, attention_rows = 12;
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
#else
  static fvec to_float(ivec value) { return _mm512_cvtepi32_ps(value); }
  static void store_bytes(std::uint8_t* to, fvec values) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(values)));
  }
#endif
  static ivec load_weights(const std::int8_t* from) { return _mm512_loadu_si512(from); }
  static ivec spread(const std::uint8_t* from) {
    std::int32_t four;
    std::memcpy(&four, from, 4);
    return _mm512_set1_epi32(four);
  }
  static ivec dot(ivec sum, ivec activations, ivec weights) { return _mm512_dpbusd_epi32(sum, activations, weights); }
};

}  // namespace

const EncoderKernel& encoder_avx512() {
  static constexpr EncoderKernel kernel = encoder_kernel_of<Avx512>("avx512", cpu_has_avx512_vnni);
  return kernel;
}

}  // namespace polyvec
