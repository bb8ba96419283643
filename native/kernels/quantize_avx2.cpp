#include "kernels/x86.hpp"
#include "kernels/quantize.hpp"

namespace {
constexpr unsigned long kLaneBytes = 32;
}

#include "kernels/quantize.inl"

namespace polyvec {

const QuantizeKernel& quantize_avx2() {
  static constexpr QuantizeKernel kernel{"avx2", cpu_has_avx2, quantize};
  return kernel;
}

}  // namespace polyvec
