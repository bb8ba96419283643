#include <cmath>
#include <cstring>

#include "kernels/assign.hpp"
#include "kernels/assign_simd.inl"

namespace polyvec {
namespace {

struct Scalar {
  using vec = float;
  static constexpr std::size_t lanes = 1, rows = 1;
  static vec zero() { return 0.0f; }
  static vec set(float value) { return value; }
  static vec load(const float* from) { return *from; }
  static void store(float* to, vec value) { *to = value; }
  static vec add(vec a, vec b) { return a + b; }
  static vec fma(vec a, vec b, vec c) { return std::fma(a, b, c); }
};

}  // namespace

void pack_centroids(const float* centroids, const float* biases, std::size_t first, std::size_t n, std::size_t d, float* to) {
  for (std::size_t start = 0; start < n; start += kAssignLanes) {
    for (std::size_t k = 0; k < d; ++k) {
      for (std::size_t lane = 0; lane < kAssignLanes; ++lane) {
        *to++ = start + lane < n ? centroids[(first + start + lane) * d + k] : 0.0f;
      }
    }
    for (std::size_t lane = 0; lane < kAssignLanes; ++lane) *to++ = start + lane < n ? biases[first + start + lane] : 0.0f;
  }
}

const AssignKernel& assign_scalar() {
  static constexpr AssignKernel kernel{"scalar", [] { return true; }, assign_range<Scalar>};
  return kernel;
}

}  // namespace polyvec
