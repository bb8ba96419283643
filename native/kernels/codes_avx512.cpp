// The codes family with AVX-512 VNNI: four int8 products a lane and instruction. It multiplies unsigned by signed bytes, so
// tokens are stored as v + 128, and accumulators begin at -128 times the sum of the query's row.

#include <cstring>

#include "kernels/x86.hpp"
#include "kernels/codes.hpp"
#include "kernels/codes_simd.inl"
#include "kernels/codes_x86.inl"

namespace polyvec {
namespace {

struct Avx512 {
  using ivec = __m512i;
  using qvec = __m512i;
  using fvec = __m512;
  using Packed = std::int8_t;
  using Stored = std::uint8_t;
  static constexpr std::size_t lanes = 16, group = 4, widest = 2;
  static constexpr std::size_t rows(std::size_t vectors) { return vectors >= 3 ? 5 : 8; }
  static std::int32_t start(std::int32_t sum) { return -128 * sum; }
  static ivec load_int(const std::int32_t* from) { return _mm512_loadu_si512(from); }
  static void store_int(std::int32_t* to, ivec value) { _mm512_storeu_si512(to, value); }
  static qvec load_query(const Packed* from) { return _mm512_loadu_si512(from); }
  static ivec spread(const Stored* token) {
    std::int32_t four;
    std::memcpy(&four, token, 4);
    return _mm512_set1_epi32(four);
  }
  static ivec dot(ivec sum, qvec query, ivec token) { return _mm512_dpbusd_epi32(sum, token, query); }
  static fvec to_float(ivec value) {
#if defined(POLYVEC_SIMDE)  // which lacks this one
    float lane[lanes];
    std::int32_t whole[lanes];
    store_int(whole, value);
    for (std::size_t i = 0; i < lanes; ++i) lane[i] = static_cast<float>(whole[i]);
    return load(lane);
#else
    return _mm512_cvtepi32_ps(value);
#endif
  }
  static fvec times(fvec a, fvec b) { return _mm512_mul_ps(a, b); }
  static fvec max(fvec a, fvec b) { return _mm512_max_ps(a, b); }
  static fvec set(float value) { return _mm512_set1_ps(value); }
  static fvec load(const float* from) { return _mm512_loadu_ps(from); }
  static void store(float* to, fvec value) { _mm512_storeu_ps(to, value); }
  template <class T>
  static void pin(T& value) {
#if defined(POLYVEC_SIMDE)
    (void)value;
#else
    __asm__ volatile("" : "+v"(value));
#endif
  }
  static std::int32_t dot_one(const std::int8_t* a, const std::int8_t* b, std::size_t p) { return dot_bytes(a, b, p); }

  static void keep(__m256i values, Stored* to) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_xor_si256(values, _mm256_set1_epi8(-128)));
  }
  static void widen(const std::int8_t* row, std::size_t p, Stored* to) {
    for (std::size_t k = 0; k < p; k += 32) keep(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + k)), to + k);
  }
  template <unsigned nbits>
  static std::int32_t expand(const std::int8_t* centroid, const std::uint8_t* bytes, const std::int8_t* levels, std::size_t p,
                             Stored* to) {
    const __m256i table = levels_of(levels);
    __m256i squares = _mm256_setzero_si256();
    for (std::size_t k = 0; k < p; k += 32) {
      const __m256i values = expanded<nbits>(centroid + k, bytes + k * nbits / 8, table);
      const __m256i low = low_half(values), high = high_half(values);
      keep(values, to + k);
      squares = _mm256_add_epi32(squares, _mm256_add_epi32(_mm256_madd_epi16(low, low), _mm256_madd_epi16(high, high)));
    }
    return total(squares);
  }
};

}  // namespace

const CodesKernel& codes_avx512() {
  static constexpr CodesKernel kernel = codes_kernel_of<Avx512>("avx512", cpu_has_avx512_vnni);
  return kernel;
}

}  // namespace polyvec
