#include "dispatch.hpp"

#include <cstdlib>

#if defined(POLYVEC_X86)
#include <cpuid.h>

#include "kernels/x86.hpp"
#endif

namespace polyvec {

#if defined(POLYVEC_X86)
bool cpu_has_avx2() {
  // F16C is asked of cpuid: not every compiler's __builtin_cpu_supports knows its name.
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  const bool f16c = __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C);
  return f16c && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

bool cpu_has_avx512() {
  return cpu_has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

const std::vector<const MaxsimKernel*>& maxsim_kernels() {
  static const std::vector<const MaxsimKernel*> kernels = [] {
    std::vector<const MaxsimKernel*> all = {
#if defined(POLYVEC_X86)
        &maxsim_avx512(), &maxsim_avx2(),
#endif
#if defined(POLYVEC_NEON)
        &maxsim_neon(),
#endif
        &maxsim_scalar()};
    std::vector<const MaxsimKernel*> usable;
    for (const MaxsimKernel* kernel : all) {
      if (kernel->supported()) usable.push_back(kernel);
    }
    return usable;
  }();
  return kernels;
}

const MaxsimKernel* find_maxsim_kernel(const std::string& name) {
  std::string wanted = name;
  if (wanted.empty()) {
    const char* forced = std::getenv("POLYVEC_KERNEL");
    wanted = forced ? forced : "";
  }
  for (const MaxsimKernel* kernel : maxsim_kernels()) {
    if (wanted.empty() || wanted == kernel->name) return kernel;
  }
  return nullptr;
}

}  // namespace polyvec
