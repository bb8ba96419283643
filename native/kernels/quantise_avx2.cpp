#include "kernels/x86.hpp"
#include "kernels/quantise.hpp"

namespace {
constexpr unsigned long kLaneBytes = 32;
}

#include "kernels/quantise.inl"

namespace polyvec {

const QuantiseKernel& quantise_avx2() {
  static constexpr QuantiseKernel kernel{"avx2", cpu_has_avx2, quantise};
  return kernel;
}

}  // namespace polyvec
