// The forward pass with NEON, and int8 products in int16. Activations are signed here: the middle level is stored as 0.

#include "kernels/encoder.hpp"
#include "kernels/encoder_neon.inl"

namespace polyvec {
namespace {

struct Neon : NeonBase {
  static int32x4_t dot(int32x4_t sum, int8x16_t activations, int8x16_t weights) {
    const int16x8_t low = vmull_s8(vget_low_s8(activations), vget_low_s8(weights));
    const int16x8_t high = vmull_s8(vget_high_s8(activations), vget_high_s8(weights));
    return vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
  }
};

}  // namespace

const EncoderKernel& encoder_neon() {
  static constexpr EncoderKernel kernel = encoder_kernel_of<Neon>("neon", [] { return true; });
  return kernel;
}

}  // namespace polyvec
