// The codes family with AVX-512 VNNI: four int8 products a lane and instruction. It multiplies unsigned by signed bytes, so
// tokens are stored as v + 128, and accumulators start at -128 times the sum of the query's row. 8-bit codes never hold -128, whose
// square this file alone would get wrong.

#include <cstring>

#include "kernels/x86.hpp"
#include "kernels/codes.hpp"
#include "kernels/codes_simd.inl"
#include "kernels/codes_x86.inl"

#if defined(POLYVEC_SIMDE) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define POLYVEC_ASSEMBLY 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define POLYVEC_ASSEMBLY 0
#endif
#endif
#if !defined(POLYVEC_ASSEMBLY)
#define POLYVEC_ASSEMBLY 1
#include "kernels/codes_avx512_assembly.inl"
#endif

namespace polyvec {
namespace {

struct Intrinsics {
  using ivec = __m512i;
  using qvec = __m512i;
  using fvec = __m512;
  using Packed = std::int8_t;
  using Stored = std::uint8_t;
  static constexpr std::size_t lanes = 16, group = 4, widest = 2;
  static constexpr std::size_t rows(std::size_t) { return 8; }
  static std::int32_t start(std::int32_t sum) { return -128 * sum; }
  static ivec load_int(const std::int32_t* from) { return _mm512_loadu_si512(from); }
  static void store_int(std::int32_t* to, ivec value) { _mm512_storeu_si512(to, value); }
  static qvec load_query(const Packed* from) { return _mm512_loadu_si512(from); }
  static ivec spread(const Stored* token) {
    std::int32_t four;
    std::memcpy(&four, token, 4);
    return _mm512_set1_epi32(four);
  }
  static void dot(ivec& sum, qvec query, ivec token) { sum = _mm512_dpbusd_epi32(sum, token, query); }
  template <std::size_t V, std::size_t R>
  static void products(const Packed* query, const std::int32_t* starts, const Stored* tokens, std::size_t p, std::int32_t* sums) {
    generic_products<Intrinsics, V, R>(query, starts, tokens, p, sums);
  }
  static std::uint32_t reaches(ivec sums, ivec thresholds) { return _mm512_cmpge_epi32_mask(sums, thresholds); }
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

  static void keep(__m256i values, Stored* to) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_xor_si256(values, _mm256_set1_epi8(-128)));
  }
  static void widen(const std::int8_t* row, std::size_t p, Stored* to) {
    for (std::size_t k = 0; k < p; k += 32) keep(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + k)), to + k);
  }
  // + the squares of 32 values: |v| is at most 127, so it serves as the unsigned and as the signed factor.
  static __m256i with_squares(__m256i sums, __m256i values) {
    const __m256i positive = _mm256_abs_epi8(values);
    return _mm256_dpbusd_epi32(sums, positive, positive);
  }
  template <unsigned nbits>
  static std::int32_t expand(const std::int8_t* centroid, const std::uint8_t* bytes, const std::int8_t* levels, std::size_t p,
                             Stored* to) {
    const __m256i table = levels_of(levels);
    __m256i squares = _mm256_setzero_si256(), more = squares;
    std::size_t k = 0;
    for (; k + 64 <= p; k += 64) {
      const __m256i first = expanded<nbits>(centroid + k, bytes + k * nbits / 8, table);
      const __m256i second = expanded<nbits>(centroid + k + 32, bytes + (k + 32) * nbits / 8, table);
      keep(first, to + k);
      keep(second, to + k + 32);
      squares = with_squares(squares, first);
      more = with_squares(more, second);
    }
    if (k < p) {
      const __m256i values = expanded<nbits>(centroid + k, bytes + k * nbits / 8, table);
      keep(values, to + k);
      squares = with_squares(squares, values);
    }
    return total(_mm256_add_epi32(squares, more));
  }
};

#if POLYVEC_ASSEMBLY
struct Avx512 : Intrinsics {
  template <std::size_t V, std::size_t R>
  static void products(const Packed* query, const std::int32_t* starts, const Stored* tokens, std::size_t p, std::int32_t* sums) {
    static_assert(R == 8 && (V == 1 || V == 2));
    if constexpr (V == 2) {
      eight_by_two(query, starts, tokens, p, sums);
    } else {
      eight_by_one(query, starts, tokens, p, sums);
    }
  }
};
#else
using Avx512 = Intrinsics;
#endif

}  // namespace

const CodesKernel& codes_avx512() {
  static constexpr CodesKernel kernel = codes_kernel_of<Avx512>("avx512", cpu_has_avx512_vnni);
  return kernel;
}

const CodesKernel& codes_avx512_intrinsics() {
  static constexpr CodesKernel kernel = codes_kernel_of<Intrinsics>("avx512-intrinsics", cpu_has_avx512_vnni);
  return kernel;
}

}  // namespace polyvec
