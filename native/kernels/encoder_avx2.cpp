// The forward pass with AVX2. Products of two bytes are added in pairs in int16, which 8-bit activations would overflow, so they have 7.

#include "kernels/x86.hpp"
#include "kernels/encoder.hpp"
#include "kernels/encoder_simd.inl"

namespace polyvec {
namespace {

struct Avx2 {
  using fvec = __m256;
  using ivec = __m256i;
  static constexpr std::size_t lanes = 8, vectors = 2, rows = 6, attention_vectors = 2, attention_rows = 6;
  static constexpr float levels = 127.0f, zero = 0.0f;
  static fvec set(float value) { return _mm256_set1_ps(value); }
  static fvec load(const float* from) { return _mm256_loadu_ps(from); }
  static void store(float* to, fvec value) { _mm256_storeu_ps(to, value); }
  static fvec add(fvec a, fvec b) { return _mm256_add_ps(a, b); }
  static fvec sub(fvec a, fvec b) { return _mm256_sub_ps(a, b); }
  static fvec mul(fvec a, fvec b) { return _mm256_mul_ps(a, b); }
  static fvec fma(fvec a, fvec b, fvec c) { return _mm256_fmadd_ps(a, b, c); }
  static fvec min(fvec a, fvec b) { return _mm256_min_ps(a, b); }
  static fvec max(fvec a, fvec b) { return _mm256_max_ps(a, b); }
  static fvec round(fvec a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static fvec binary_exponent(fvec whole) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(whole), _mm256_set1_epi32(127)), 23));
  }
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
  static ivec dot(ivec sum, ivec activations, ivec weights) {
    const ivec pairs = _mm256_maddubs_epi16(activations, weights);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  static void store_bytes(std::uint8_t* to, fvec values) {
    const ivec whole = _mm256_cvtps_epi32(values);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packus_epi16(words, words));
  }
};

}  // namespace

const EncoderKernel& encoder_avx2() {
  static constexpr EncoderKernel kernel = encoder_kernel_of<Avx2>("avx2", cpu_has_avx2);
  return kernel;
}

}  // namespace polyvec
