#include "kernels/quantize.hpp"

namespace {
constexpr unsigned long kLaneBytes = 16;
}

#include "kernels/quantize.inl"

namespace polyvec {

const QuantizeKernel& quantize_scalar() {
  static constexpr QuantizeKernel kernel{"scalar", [] { return true; }, quantize};
  return kernel;
}

}  // namespace polyvec
