// The codes family with AVX-512 VNNI: four int8 products a lane and instruction. It multiplies unsigned by signed bytes, so
// tokens are stored as v + 128, and accumulators begin at -128 times the sum of the query's row.

#include <cstring>

#include "kernels/x86.hpp"
#include "kernels/codes.hpp"
#include "kernels/codes_simd.inl"
#include "kernels/codes_x86.inl"

namespace polyvec {
namespace {

#if !defined(POLYVEC_SIMDE)
// The loops that refine lives in, by hand: compilers keep neither all accumulators in registers nor copies away. Eight tokens, p
// bytes apart; one step takes four dimensions. Accumulators are zmm0 to zmm15, token by token.
#define POLYVEC_TOKEN(at, value) "vpbroadcastd " at ", %%zmm" value "\n\t"
#define POLYVEC_ONE(value, sum) "vpdpbusd %%zmm16, %%zmm" value ", %%zmm" sum "\n\t"
#define POLYVEC_TWO(value, sum, other) POLYVEC_ONE(value, sum) "vpdpbusd %%zmm17, %%zmm" value ", %%zmm" other "\n\t"
#define POLYVEC_REGISTERS                                                                                                      \
  "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",   \
      "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25"

// sums: (8, 2, 16)
inline void eight_by_two(const std::int8_t* query, const std::int32_t* starts, const std::uint8_t* tokens, std::size_t p,
                         std::int32_t* sums) {
  const std::int8_t* other = query + 16 * p;
  const std::uint8_t* half = tokens + 4 * p;
  std::size_t steps = p / 4;
  __asm__ volatile(
      "vmovdqu64 (%[starts]), %%zmm0\n\t"
      "vmovdqu64 64(%[starts]), %%zmm1\n\t"
      "vmovdqa64 %%zmm0, %%zmm2\n\t"
      "vmovdqa64 %%zmm1, %%zmm3\n\t"
      "vmovdqa64 %%zmm0, %%zmm4\n\t"
      "vmovdqa64 %%zmm1, %%zmm5\n\t"
      "vmovdqa64 %%zmm0, %%zmm6\n\t"
      "vmovdqa64 %%zmm1, %%zmm7\n\t"
      "vmovdqa64 %%zmm0, %%zmm8\n\t"
      "vmovdqa64 %%zmm1, %%zmm9\n\t"
      "vmovdqa64 %%zmm0, %%zmm10\n\t"
      "vmovdqa64 %%zmm1, %%zmm11\n\t"
      "vmovdqa64 %%zmm0, %%zmm12\n\t"
      "vmovdqa64 %%zmm1, %%zmm13\n\t"
      "vmovdqa64 %%zmm0, %%zmm14\n\t"
      "vmovdqa64 %%zmm1, %%zmm15\n\t"
      ".p2align 4\n"
      "1:\n\t"
      "vmovdqu64 (%[query]), %%zmm16\n\t"
      "vmovdqu64 (%[other]), %%zmm17\n\t"
      POLYVEC_TOKEN("(%[tokens])", "18")
      POLYVEC_TOKEN("(%[tokens],%[p])", "19")
      POLYVEC_TWO("18", "0", "1")
      POLYVEC_TOKEN("(%[tokens],%[p],2)", "20")
      POLYVEC_TWO("19", "2", "3")
      POLYVEC_TOKEN("(%[tokens],%[p3])", "21")
      POLYVEC_TWO("20", "4", "5")
      POLYVEC_TOKEN("(%[half])", "22")
      POLYVEC_TWO("21", "6", "7")
      POLYVEC_TOKEN("(%[half],%[p])", "23")
      POLYVEC_TWO("22", "8", "9")
      POLYVEC_TOKEN("(%[half],%[p],2)", "24")
      POLYVEC_TWO("23", "10", "11")
      POLYVEC_TOKEN("(%[half],%[p3])", "25")
      POLYVEC_TWO("24", "12", "13")
      POLYVEC_TWO("25", "14", "15")
      "add $64, %[query]\n\t"
      "add $64, %[other]\n\t"
      "add $4, %[tokens]\n\t"
      "add $4, %[half]\n\t"
      "dec %[steps]\n\t"
      "jnz 1b\n\t"
      "vmovdqu64 %%zmm0, (%[sums])\n\t"
      "vmovdqu64 %%zmm1, 64(%[sums])\n\t"
      "vmovdqu64 %%zmm2, 128(%[sums])\n\t"
      "vmovdqu64 %%zmm3, 192(%[sums])\n\t"
      "vmovdqu64 %%zmm4, 256(%[sums])\n\t"
      "vmovdqu64 %%zmm5, 320(%[sums])\n\t"
      "vmovdqu64 %%zmm6, 384(%[sums])\n\t"
      "vmovdqu64 %%zmm7, 448(%[sums])\n\t"
      "vmovdqu64 %%zmm8, 512(%[sums])\n\t"
      "vmovdqu64 %%zmm9, 576(%[sums])\n\t"
      "vmovdqu64 %%zmm10, 640(%[sums])\n\t"
      "vmovdqu64 %%zmm11, 704(%[sums])\n\t"
      "vmovdqu64 %%zmm12, 768(%[sums])\n\t"
      "vmovdqu64 %%zmm13, 832(%[sums])\n\t"
      "vmovdqu64 %%zmm14, 896(%[sums])\n\t"
      "vmovdqu64 %%zmm15, 960(%[sums])\n\t"
      : [query] "+r"(query), [other] "+r"(other), [tokens] "+r"(tokens), [half] "+r"(half), [steps] "+r"(steps)
      : [starts] "r"(starts), [p] "r"(p), [p3] "r"(3 * p), [sums] "r"(sums)
      : POLYVEC_REGISTERS);
}

// sums: (8, 16). The loop above for half as many query rows; what gcc 12 makes of the generic one takes 29 ns a token, this 16.
inline void eight_by_one(const std::int8_t* query, const std::int32_t* starts, const std::uint8_t* tokens, std::size_t p,
                         std::int32_t* sums) {
  const std::uint8_t* half = tokens + 4 * p;
  std::size_t steps = p / 4;
  __asm__ volatile(
      "vmovdqu64 (%[starts]), %%zmm0\n\t"
      "vmovdqa64 %%zmm0, %%zmm1\n\t"
      "vmovdqa64 %%zmm0, %%zmm2\n\t"
      "vmovdqa64 %%zmm0, %%zmm3\n\t"
      "vmovdqa64 %%zmm0, %%zmm4\n\t"
      "vmovdqa64 %%zmm0, %%zmm5\n\t"
      "vmovdqa64 %%zmm0, %%zmm6\n\t"
      "vmovdqa64 %%zmm0, %%zmm7\n\t"
      ".p2align 4\n"
      "1:\n\t"
      "vmovdqu64 (%[query]), %%zmm16\n\t"
      POLYVEC_TOKEN("(%[tokens])", "18")
      POLYVEC_TOKEN("(%[tokens],%[p])", "19")
      POLYVEC_ONE("18", "0")
      POLYVEC_TOKEN("(%[tokens],%[p],2)", "20")
      POLYVEC_ONE("19", "1")
      POLYVEC_TOKEN("(%[tokens],%[p3])", "21")
      POLYVEC_ONE("20", "2")
      POLYVEC_TOKEN("(%[half])", "22")
      POLYVEC_ONE("21", "3")
      POLYVEC_TOKEN("(%[half],%[p])", "23")
      POLYVEC_ONE("22", "4")
      POLYVEC_TOKEN("(%[half],%[p],2)", "24")
      POLYVEC_ONE("23", "5")
      POLYVEC_TOKEN("(%[half],%[p3])", "25")
      POLYVEC_ONE("24", "6")
      POLYVEC_ONE("25", "7")
      "add $64, %[query]\n\t"
      "add $4, %[tokens]\n\t"
      "add $4, %[half]\n\t"
      "dec %[steps]\n\t"
      "jnz 1b\n\t"
      "vmovdqu64 %%zmm0, (%[sums])\n\t"
      "vmovdqu64 %%zmm1, 64(%[sums])\n\t"
      "vmovdqu64 %%zmm2, 128(%[sums])\n\t"
      "vmovdqu64 %%zmm3, 192(%[sums])\n\t"
      "vmovdqu64 %%zmm4, 256(%[sums])\n\t"
      "vmovdqu64 %%zmm5, 320(%[sums])\n\t"
      "vmovdqu64 %%zmm6, 384(%[sums])\n\t"
      "vmovdqu64 %%zmm7, 448(%[sums])\n\t"
      : [query] "+r"(query), [tokens] "+r"(tokens), [half] "+r"(half), [steps] "+r"(steps)
      : [starts] "r"(starts), [p] "r"(p), [p3] "r"(3 * p), [sums] "r"(sums)
      : POLYVEC_REGISTERS);
}

// int8 multiply-adds from registers alone: sixteen chains, more than hide the latency of one.
double run_sixteen_multiply_adds(std::size_t rounds) {
  std::size_t left = rounds * 1000;
  __asm__ volatile(
      "vpxord %%zmm16, %%zmm16, %%zmm16\n\t"
      "vpxord %%zmm18, %%zmm18, %%zmm18\n\t"
      ".p2align 4\n"
      "1:\n\t"
      POLYVEC_ONE("18", "0") POLYVEC_ONE("18", "1") POLYVEC_ONE("18", "2") POLYVEC_ONE("18", "3")
      POLYVEC_ONE("18", "4") POLYVEC_ONE("18", "5") POLYVEC_ONE("18", "6") POLYVEC_ONE("18", "7")
      POLYVEC_ONE("18", "8") POLYVEC_ONE("18", "9") POLYVEC_ONE("18", "10") POLYVEC_ONE("18", "11")
      POLYVEC_ONE("18", "12") POLYVEC_ONE("18", "13") POLYVEC_ONE("18", "14") POLYVEC_ONE("18", "15")
      "dec %[left]\n\t"
      "jnz 1b\n\t"
      : [left] "+r"(left)
      :
      : POLYVEC_REGISTERS);
  return static_cast<double>(rounds) * 1000 * 16 * 64;
}
#endif

struct Avx512 {
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
  static void dot(ivec& sum, qvec query, ivec token) {
#if defined(POLYVEC_SIMDE)
    sum = _mm512_dpbusd_epi32(sum, token, query);
#else  // gcc 12 copies every accumulator around the intrinsic, which costs more than the product
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(token), "v"(query));
#endif
  }
  template <std::size_t V, std::size_t R>
  static void products(const Packed* query, const std::int32_t* starts, const Stored* tokens, std::size_t p, std::int32_t* sums) {
#if defined(POLYVEC_SIMDE)
    generic_products<Avx512, V, R>(query, starts, tokens, p, sums);
#else
    if constexpr (V == 2) {
      eight_by_two(query, starts, tokens, p, sums);
    } else {
      eight_by_one(query, starts, tokens, p, sums);
    }
#endif
  }
  static std::uint32_t reaches(ivec sums, ivec least) { return _mm512_cmpge_epi32_mask(sums, least); }
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

}  // namespace

const CodesKernel& codes_avx512() {
#if defined(POLYVEC_SIMDE)
  static constexpr CodesKernel kernel = codes_kernel_of<Avx512>("avx512", cpu_has_avx512_vnni);
#else
  static constexpr CodesKernel kernel = [] {
    CodesKernel made = codes_kernel_of<Avx512>("avx512", cpu_has_avx512_vnni);
    made.run_multiply_adds = run_sixteen_multiply_adds;  // compilers spill what should stay in registers
    return made;
  }();
#endif
  return kernel;
}

}  // namespace polyvec
