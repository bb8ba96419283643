#include "kernels/quantise.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace polyvec {
namespace {

constexpr std::size_t kLanes = kQuantiseLanes, kBlock = 32, kSteps = 256;

// Sums over dimensions of residual * point and of point^2, for the codes that a scale gives.
void fit(const float* values, std::size_t p, const QuantiseJob& job, const float* scale, float* product, float* square) {
  const std::size_t cuts = (std::size_t{1} << job.nbits) - 1;
  float edge[15][kLanes];
  for (std::size_t c = 0; c < cuts; ++c) {
    for (std::size_t l = 0; l < kLanes; ++l) edge[c][l] = scale[l] * job.thresholds[c];
  }
  std::fill(product, product + kLanes, 0.0f);
  std::fill(square, square + kLanes, 0.0f);
  for (std::size_t k = 0; k < p; ++k, values += kLanes) {
    float point[kLanes];
    for (std::size_t l = 0; l < kLanes; ++l) point[l] = job.points[0];
    for (std::size_t c = 0; c < cuts; ++c) {
      const float next = job.points[c + 1];
      for (std::size_t l = 0; l < kLanes; ++l) point[l] = values[l] > edge[c][l] ? next : point[l];
    }
    for (std::size_t l = 0; l < kLanes; ++l) {
      product[l] += values[l] * point[l];
      square[l] += point[l] * point[l];
    }
  }
}

}  // namespace

void quantise(const QuantiseJob& job, std::size_t begin, std::size_t end, float* values) {
  const std::size_t p = job.p, cuts = (std::size_t{1} << job.nbits) - 1, width = p * job.nbits / 8;
  std::int32_t* const codes = reinterpret_cast<std::int32_t*>(values + p * kLanes);
  float middles[kSteps - 1];
  for (std::size_t i = 0; i + 1 < kSteps; ++i) middles[i] = std::sqrt(job.steps[i + 1] * job.steps[i]);
  for (std::size_t start = begin; start < end; start += kLanes) {
    const std::size_t n = std::min(kLanes, end - start);
    for (std::size_t l = 0; l < kLanes; ++l) {  // lanes without a token repeat the last one
      const float* row = job.residuals + (start + std::min(l, n - 1)) * p;
      for (std::size_t k = 0; k < p; ++k) values[k * kLanes + l] = row[k];
    }
    float scale[kLanes] = {}, product[kLanes], square[kLanes];
    for (std::size_t k = 0; k < p; ++k) {
      for (std::size_t l = 0; l < kLanes; ++l) scale[l] += values[k * kLanes + l] * values[k * kLanes + l];
    }
    for (float& one : scale) one = std::sqrt(one / static_cast<float>(p));
    for (int round = 0; round < 2; ++round) {
      fit(values, p, job, scale, product, square);
      for (std::size_t l = 0; l < kLanes; ++l) {
        const float fitted = product[l] / (square[l] > 0 ? square[l] : 1.0f);
        scale[l] = fitted > 0 ? fitted : scale[l];
      }
    }
    for (std::size_t l = 0; l < n; ++l) {
      const std::size_t step = std::lower_bound(middles, middles + kSteps - 1, scale[l]) - middles;
      job.scales[start + l] = static_cast<std::uint8_t>(step);
      scale[l] = job.steps[step];
    }
    std::fill(codes, codes + p * kLanes, 0);
    for (std::size_t k = 0; k < p; ++k) {
      for (std::size_t c = 0; c < cuts; ++c) {
        const float threshold = job.thresholds[c];
        for (std::size_t l = 0; l < kLanes; ++l) codes[k * kLanes + l] += values[k * kLanes + l] > scale[l] * threshold;
      }
    }
    const std::size_t block_bytes = 4 * job.nbits;
    for (std::size_t l = 0; l < n; ++l) {
      std::uint8_t* const to = job.packed + (start + l) * width;
      std::memset(to, 0, width);
      for (std::size_t k = 0; k < p; ++k) {
        const std::size_t inside = k % kBlock;
        to[k / kBlock * block_bytes + inside % block_bytes] |=
            static_cast<std::uint8_t>(codes[k * kLanes + l] << (inside / block_bytes * job.nbits));
      }
    }
  }
}

}  // namespace polyvec
