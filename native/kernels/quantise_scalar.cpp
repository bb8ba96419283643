#include "kernels/quantise.hpp"

namespace {
constexpr unsigned long kLaneBytes = 16;
}

#include "kernels/quantise.inl"

namespace polyvec {

const QuantiseKernel& quantise_scalar() {
  static constexpr QuantiseKernel kernel{"scalar", [] { return true; }, quantise};
  return kernel;
}

}  // namespace polyvec
