// Asked with the instructions CPUID and XGETBV themselves: __builtin_cpu_supports answers "no" to everything with compilers whose
// run-time library does not fill the table that it reads, and every kernel but the scalar one would be left out without a word.

#include "x86.hpp"

#include <cpuid.h>

namespace polyvec {
namespace {

constexpr unsigned kSse = 1u << 1, kAvx = 1u << 2, kAvx512 = 7u << 5;  // registers that the operating system keeps between threads

struct Features {
  bool avx2 = false, avx512 = false, avx512_vnni = false, avx_vnni = false;
};

bool all(unsigned value, unsigned bits) { return (value & bits) == bits; }

unsigned registers_kept() {
  unsigned low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

Features asked() {
  constexpr unsigned kFma = 1u << 12, kOsXsave = 1u << 27, kAvxOf1 = 1u << 28, kF16c = 1u << 29;            // leaf 1, ecx
  constexpr unsigned kAvx2 = 1u << 5, kF = 1u << 16, kDq = 1u << 17, kBw = 1u << 30, kVl = 1u << 31;        // leaf 7, ebx
  constexpr unsigned kAvx512Vnni = 1u << 11, kAvxVnni = 1u << 4;                                            // leaf 7, ecx; leaf 7.1, eax
  Features found;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !all(ecx, kFma | kOsXsave | kAvxOf1 | kF16c)) return found;
  const unsigned kept = registers_kept();
  if (!all(kept, kSse | kAvx) || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return found;
  found.avx2 = all(ebx, kAvx2);
  found.avx512 = found.avx2 && all(kept, kAvx512) && all(ebx, kF | kDq | kBw | kVl);
  found.avx512_vnni = found.avx512 && all(ecx, kAvx512Vnni);
  found.avx_vnni = found.avx2 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && all(eax, kAvxVnni);
  return found;
}

const Features& features() {
  static const Features found = asked();
  return found;
}

}  // namespace

bool cpu_has_avx2() { return features().avx2; }
bool cpu_has_avx512() { return features().avx512; }
bool cpu_has_avx512_vnni() { return features().avx512_vnni; }
bool cpu_has_avx_vnni() { return features().avx_vnni; }

}  // namespace polyvec
