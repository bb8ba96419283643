// What this x86 processor can do, asked of the processor and the operating system, and the intrinsics' header.
// The tests compile the AVX-512 files against SIMDe, which runs the same intrinsics on any processor.
#pragma once

#if defined(POLYVEC_SIMDE)
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>
#else
#include <immintrin.h>
#endif

namespace polyvec {

bool cpu_has_avx2();    // with FMA and F16C
bool cpu_has_avx512();  // F, BW, DQ and VL
bool cpu_has_avx512_vnni();
bool cpu_has_avx_vnni();  // AVX2 and its own form of VNNI, 256 bits wide

}  // namespace polyvec
