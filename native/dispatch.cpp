#include "dispatch.hpp"

#include <cstdlib>
#include <initializer_list>

namespace polyvec {
namespace {

template <class Kernel>
std::vector<const Kernel*> usable(std::initializer_list<const Kernel*> all) {
  std::vector<const Kernel*> kept;
  for (const Kernel* kernel : all) {
    if (kernel->supported()) kept.push_back(kernel);
  }
  return kept;
}

template <class Kernel>
const Kernel* named(const std::vector<const Kernel*>& kernels, const std::string& name) {
  for (const Kernel* kernel : kernels) {
    if (name == kernel->name) return kernel;
  }
  return nullptr;
}

// POLYVEC_KERNEL as it was when the first kernel was chosen.
const std::string& forced_kernel() {
  static const std::string name = [] {
    const char* const value = std::getenv("POLYVEC_KERNEL");
    return std::string(value ? value : "");
  }();
  return name;
}

bool known_to_any_family(const std::string& name) {
  return named(maxsim_kernels(), name) || named(codes_kernels(), name) || named(assign_kernels(), name) ||
         named(quantize_kernels(), name) || named(encoder_kernels(), name);
}

template <class Kernel>
const Kernel* found(const std::vector<const Kernel*>& kernels, const std::string& name) {
  if (!name.empty()) return named(kernels, name);
  const std::string& forced = forced_kernel();
  if (forced.empty()) return kernels.front();
  if (const Kernel* kernel = named(kernels, forced)) return kernel;
  return known_to_any_family(forced) ? kernels.front() : nullptr;
}

}  // namespace

const std::vector<const MaxsimKernel*>& maxsim_kernels() {
  static const std::vector<const MaxsimKernel*> kernels = usable<MaxsimKernel>({
#if defined(POLYVEC_X86)
      &maxsim_avx512(), &maxsim_avx2(),
#endif
#if defined(POLYVEC_NEON)
      &maxsim_neon(),
#endif
      &maxsim_scalar()});
  return kernels;
}

const std::vector<const CodesKernel*>& codes_kernels() {
  static const std::vector<const CodesKernel*> kernels = usable<CodesKernel>({
#if defined(POLYVEC_X86)
      &codes_avx512(), &codes_avx512_intrinsics(), &codes_avx2(),
#endif
#if defined(POLYVEC_NEON)
      &codes_neon(),
#endif
      &codes_scalar()});
  return kernels;
}

const std::vector<const AssignKernel*>& assign_kernels() {
  static const std::vector<const AssignKernel*> kernels = usable<AssignKernel>({
#if defined(POLYVEC_X86)
      &assign_avx512(), &assign_avx2(),
#endif
#if defined(POLYVEC_NEON)
      &assign_neon(),
#endif
      &assign_scalar()});
  return kernels;
}

const std::vector<const QuantizeKernel*>& quantize_kernels() {
  static const std::vector<const QuantizeKernel*> kernels = usable<QuantizeKernel>({
#if defined(POLYVEC_X86)
      &quantize_avx512(), &quantize_avx2(),
#endif
      &quantize_scalar()});
  return kernels;
}

const std::vector<const EncoderKernel*>& encoder_kernels() {
  static const std::vector<const EncoderKernel*> kernels = usable<EncoderKernel>({
#if defined(POLYVEC_X86)
      &encoder_avx512(),
#if defined(POLYVEC_AVXVNNI)
      &encoder_avxvnni(),
#endif
      &encoder_avx2(),
#endif
#if defined(POLYVEC_NEON)
      &encoder_dotprod(), &encoder_neon(),
#endif
      &encoder_scalar()});
  return kernels;
}

const MaxsimKernel* find_maxsim_kernel(const std::string& name) { return found(maxsim_kernels(), name); }
const CodesKernel* find_codes_kernel(const std::string& name) { return found(codes_kernels(), name); }
const AssignKernel* find_assign_kernel(const std::string& name) { return found(assign_kernels(), name); }
const QuantizeKernel* find_quantize_kernel(const std::string& name) { return found(quantize_kernels(), name); }
const EncoderKernel* find_encoder_kernel(const std::string& name) { return found(encoder_kernels(), name); }

}  // namespace polyvec
