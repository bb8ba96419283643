#include "kernels/x86.hpp"
#include "kernels/quantize.hpp"

namespace {
constexpr unsigned long kLaneBytes = 64;
}

#include "kernels/quantize.inl"

namespace polyvec {

const QuantizeKernel& quantize_avx512() {
  static constexpr QuantizeKernel kernel{"avx512", cpu_has_avx512, quantize};
  return kernel;
}

}  // namespace polyvec
