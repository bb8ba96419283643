// The codes family with AVX2: int8 values widened to int16, pairs of products summed to int32, exactly.

#include <cstring>

#include "kernels/x86.hpp"
#include "kernels/codes.hpp"
#include "kernels/codes_simd.inl"
#include "kernels/codes_x86.inl"

namespace polyvec {
namespace {

struct Avx2 {
  using ivec = __m256i;
  using qvec = __m256i;
  using fvec = __m256;
  using Packed = std::int16_t;
  using Stored = std::int16_t;
  static constexpr std::size_t lanes = 8, group = 2, widest = 4;
  static constexpr std::size_t rows(std::size_t vectors) { return vectors > 2 ? 2 : vectors == 2 ? 4 : 8; }
  static std::int32_t start(std::int32_t) { return 0; }
  static ivec load_int(const std::int32_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
  static void store_int(std::int32_t* to, ivec value) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), value); }
  static qvec load_query(const Packed* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
  static ivec spread(const Stored* token) {
    std::int32_t pair;
    std::memcpy(&pair, token, 4);
    return _mm256_set1_epi32(pair);
  }
  static void dot(ivec& sum, qvec query, ivec token) { sum = _mm256_add_epi32(sum, _mm256_madd_epi16(query, token)); }
  template <std::size_t V, std::size_t R>
  static void products(const Packed* query, const std::int32_t* starts, const Stored* tokens, std::size_t p, std::int32_t* sums) {
    generic_products<Avx2, V, R>(query, starts, tokens, p, sums);
  }
  static std::uint32_t reaches(ivec sums, ivec thresholds) {
    return ~static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(thresholds, sums)))) & 0xff;
  }
  static fvec to_float(ivec value) { return _mm256_cvtepi32_ps(value); }
  static fvec times(fvec a, fvec b) { return _mm256_mul_ps(a, b); }
  static fvec max(fvec a, fvec b) { return _mm256_max_ps(a, b); }
  static fvec set(float value) { return _mm256_set1_ps(value); }
  static fvec load(const float* from) { return _mm256_loadu_ps(from); }
  static void store(float* to, fvec value) { _mm256_storeu_ps(to, value); }

  static void keep(__m256i values, Stored* to) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), low_half(values));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 16), high_half(values));
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
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + k), low);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + k + 16), high);
      squares = _mm256_add_epi32(squares, _mm256_add_epi32(_mm256_madd_epi16(low, low), _mm256_madd_epi16(high, high)));
    }
    return total(squares);
  }
};

}  // namespace

const CodesKernel& codes_avx2() {
  static constexpr CodesKernel kernel = codes_kernel_of<Avx2>("avx2", cpu_has_avx2);
  return kernel;
}

}  // namespace polyvec
