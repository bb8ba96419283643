// The forward pass with NEON's dot product instruction (Armv8.2).

#include "kernels/encoder.hpp"
#include "kernels/encoder_neon.inl"

#if defined(__linux__) && defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace polyvec {
namespace {

struct Dotprod : NeonBase {
  static int32x4_t dot(int32x4_t sum, int8x16_t activations, int8x16_t weights) { return vdotq_s32(sum, activations, weights); }
};

bool supported() {
#if defined(__linux__) && defined(__aarch64__)
  return (getauxval(AT_HWCAP) & (1UL << 20)) != 0;  // HWCAP_ASIMDDP
#else
  return true;  // every Apple processor has it
#endif
}

}  // namespace

const EncoderKernel& encoder_dotprod() {
  static constexpr EncoderKernel kernel = encoder_kernel_of<Dotprod>("dotprod", supported);
  return kernel;
}

}  // namespace polyvec
