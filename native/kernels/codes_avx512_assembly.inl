// The inner loop of scoring with AVX-512 VNNI in assembly. Compilers keep neither all accumulators in registers nor copies away:
// docs/benchmarks.md has the times of both. Its twin in intrinsics is generic_products of codes_simd.inl, which codes_avx512.cpp
// compiles as a kernel of its own; tests compare the two, and sanitizers, which cannot see into assembly, run the twin.
//
// Eight tokens lie p bytes apart; one step takes four dimensions. Accumulators are zmm0 to zmm15, token by token.
#pragma once

#include <cstddef>
#include <cstdint>

namespace polyvec {
namespace {

#define POLYVEC_TOKEN(at, value) "vpbroadcastd " at ", %%zmm" value "\n\t"
#define POLYVEC_ONE(value, sum) "vpdpbusd %%zmm16, %%zmm" value ", %%zmm" sum "\n\t"
#define POLYVEC_TWO(value, sum, other) POLYVEC_ONE(value, sum) "vpdpbusd %%zmm17, %%zmm" value ", %%zmm" other "\n\t"
#define POLYVEC_REGISTERS                                                                                                      \
  "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",   \
      "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25"

// sums: (8, 2, 16), of eight tokens and two vectors of query rows.
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

// sums: (8, 16). The loop above for half as many query rows.
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

#undef POLYVEC_TOKEN
#undef POLYVEC_ONE
#undef POLYVEC_TWO
#undef POLYVEC_REGISTERS

}  // namespace
}  // namespace polyvec
