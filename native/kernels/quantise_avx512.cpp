#include "kernels/x86.hpp"
#include "kernels/quantise.hpp"

namespace {
constexpr unsigned long kLaneBytes = 64;
}

#include "kernels/quantise.inl"

namespace polyvec {

const QuantiseKernel& quantise_avx512() {
  static constexpr QuantiseKernel kernel{"avx512", cpu_has_avx512, quantise};
  return kernel;
}

}  // namespace polyvec
