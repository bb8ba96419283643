// The forward pass with AVX2.

#include "kernels/encoder_avx2.inl"

namespace polyvec {

const EncoderKernel& encoder_avx2() {
  static constexpr EncoderKernel kernel = encoder_kernel_of<Avx2>("avx2", cpu_has_avx2);
  return kernel;
}

}  // namespace polyvec
