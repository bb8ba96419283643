// The forward pass's steps in plain C++: the definition that the other instruction sets are tested against.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/encoder.hpp"

namespace polyvec {
namespace {

constexpr float kLevels = 255.0f;

float gelu(float x) { return 0.5f * x * (1.0f + std::erf(x * 0.70710678f)); }

std::size_t packed_bytes(std::size_t n, std::size_t k, Arithmetic arithmetic) {
  return n * k * (arithmetic == Arithmetic::int8 ? 1 : sizeof(float));
}

void quantize(const float* x, std::size_t stride, std::size_t rows, std::size_t k, std::uint8_t* to, std::size_t to_stride, Range* ranges) {
  for (std::size_t r = 0; r < rows; ++r, x += stride, to += to_stride) {
    const float low = *std::min_element(x, x + k), high = *std::max_element(x, x + k);
    ranges[r] = {low, (high - low) / kLevels};
    const float inverse = high > low ? kLevels / (high - low) : 0.0f;
    for (std::size_t i = 0; i < k; ++i) to[i] = static_cast<std::uint8_t>(std::nearbyint(std::min((x[i] - low) * inverse, kLevels)));
    std::fill(to + k, to + to_stride, std::uint8_t{0});
  }
}

float product(const LinearJob& job, std::size_t row, std::size_t output) {
  const Linear& layer = job.layer;
  if (layer.arithmetic == Arithmetic::fp32) {
    const float* x = static_cast<const float*>(job.x) + row * job.stride;
    const float* weights = static_cast<const float*>(layer.weights) + output * layer.k;
    float sum = 0.0f;
    for (std::size_t i = 0; i < layer.k; ++i) sum = std::fmaf(x[i], weights[i], sum);
    return sum + layer.bias[output];
  }
  const std::uint8_t* x = static_cast<const std::uint8_t*>(job.x) + row * job.stride;
  const std::int8_t* weights = static_cast<const std::int8_t*>(layer.weights) + output * layer.k;
  std::int32_t sum = 0;
  for (std::size_t i = 0; i < layer.k; ++i) sum += static_cast<std::int32_t>(x[i]) * weights[i];
  const Range range = job.ranges[row];
  const float rest = std::fmaf(range.low, layer.sums[output], layer.bias[output]);
  return std::fmaf(static_cast<float>(sum) * range.step, layer.scales[output], rest);
}

void linear(const LinearJob& job) {
  for (std::size_t row = 0; row < job.rows; ++row) {
    for (std::size_t output = 0; output < job.layer.n; ++output) {
      const float result = product(job, row, output);
      float& out = job.out[row * job.out_stride + output];
      out = job.after == After::add ? out + result : job.after == After::gelu ? gelu(result) : result;
    }
  }
}

void norm(const NormJob& job) {
  const float width = static_cast<float>(job.width);
  for (std::size_t r = 0; r < job.rows; ++r) {
    const float* x = job.x + r * job.width;
    float mean = 0.0f, square = 0.0f;
    for (std::size_t i = 0; job.centered && i < job.width; ++i) mean += x[i];
    mean /= width;
    for (std::size_t i = 0; i < job.width; ++i) square = std::fmaf(x[i] - mean, x[i] - mean, square);
    const float factor = 1.0f / std::sqrt(square / width + job.eps);
    for (std::size_t i = 0; i < job.width; ++i) {
      const float weight = job.weight ? job.weight[i] : 1.0f, bias = job.bias ? job.bias[i] : 0.0f;
      job.out[r * job.width + i] = std::fmaf((x[i] - mean) * factor, weight, bias);
    }
  }
}

void gated(float* x, std::size_t stride, std::size_t rows, std::size_t width) {
  for (std::size_t r = 0; r < rows; ++r, x += stride) {
    for (std::size_t i = 0; i < width; ++i) x[i] = gelu(x[i]) * x[width + i];
  }
}

void rotate(float* x, std::size_t vectors, std::size_t half, const float* cosines, const float* sines) {
  for (std::size_t v = 0; v < vectors; ++v, x += 2 * half) {
    for (std::size_t i = 0; i < half; ++i) {
      const float first = x[i], second = x[half + i];
      x[i] = std::fmaf(first, cosines[i], -(second * sines[i]));
      x[half + i] = std::fmaf(second, cosines[i], first * sines[i]);
    }
  }
}

void attend(const AttentionJob& job, std::size_t head, float* shares) {
  const std::size_t width = job.heads * job.size, stride = 3 * width;
  const float factor = 1.0f / std::sqrt(static_cast<float>(job.size));
  for (std::size_t t = 0; t < job.tokens; ++t) {
    float* query = job.qkv + t * stride + head * job.size;
    const std::size_t first = job.window && t > job.window ? t - job.window : 0;
    const std::size_t last = job.window ? std::min(job.attended, t + job.window + 1) : job.attended;
    float highest = -std::numeric_limits<float>::infinity(), total = 0.0f;
    for (std::size_t s = first; s < last; ++s) {
      const float* key = job.qkv + s * stride + width + head * job.size;
      float sum = 0.0f;
      for (std::size_t i = 0; i < job.size; ++i) sum = std::fmaf(query[i] * factor, key[i], sum);
      shares[s] = sum;
      highest = std::max(highest, sum);
    }
    for (std::size_t s = first; s < last; ++s) total += shares[s] = std::exp(shares[s] - highest);
    for (std::size_t i = 0; i < job.size; ++i) {
      float sum = 0.0f;
      for (std::size_t s = first; s < last; ++s) sum = std::fmaf(shares[s], job.qkv[s * stride + 2 * width + head * job.size + i], sum);
      query[i] = first < last ? sum / total : 0.0f;
    }
  }
}

}  // namespace

const EncoderKernel& encoder_scalar() {
  static constexpr EncoderKernel kernel = {
      "scalar",
      [] { return true; },
      1,
      255,
      packed_bytes,
      [](const std::int8_t* weights, std::size_t n, std::size_t k, void* packed) { std::memcpy(packed, weights, n * k); },
      [](const float* weights, std::size_t n, std::size_t k, void* packed) { std::memcpy(packed, weights, n * k * sizeof(float)); },
      quantize,
      linear,
      norm,
      gated,
      rotate,
      [](std::size_t tokens, std::size_t) { return tokens; },
      attend,
  };
  return kernel;
}

}  // namespace polyvec
