// The forward pass with AVX-VNNI: AVX2 and the dot products of AVX-512 VNNI, 256 bits wide. Activations have no sign.

#include "kernels/encoder_avx2.inl"

#if defined(POLYVEC_SIMDE)
#define _mm256_dpbusd_avx_epi32 simde_mm256_dpbusd_epi32
#define _mm256_dpwssd_avx_epi32 simde_mm256_dpwssd_epi32
#endif

namespace polyvec {
namespace {

struct AvxVnni : Avx2 {
  static constexpr std::size_t int_rows = 6;
  static constexpr float zero = 0.0f;
  static ivec dot(ivec sum, ivec activations, ivec weights) { return _mm256_dpbusd_avx_epi32(sum, activations, weights); }
  static ivec dot_pairs(ivec sum, ivec a, ivec b) { return _mm256_dpwssd_avx_epi32(sum, a, b); }
  static void store_bytes(std::uint8_t* to, fvec values) {
    const ivec whole = _mm256_cvtps_epi32(values);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packus_epi16(words, words));
  }
};

}  // namespace

const EncoderKernel& encoder_avxvnni() {
  static constexpr EncoderKernel kernel = encoder_kernel_of<AvxVnni>("avxvnni", cpu_has_avx_vnni);
  return kernel;
}

}  // namespace polyvec
