// The one algorithm of the quantize family, one token a lane of the vectors that the compiler has for kLaneBytes. Included by one file an
// instruction set, which says how many; everything here is in an unnamed namespace so that no code leaks to another file.

#include <algorithm>
#include <cmath>
#include <cstring>

namespace polyvec {
namespace {

typedef float Lane __attribute__((vector_size(kLaneBytes)));
typedef std::int32_t Whole __attribute__((vector_size(kLaneBytes)));

constexpr std::size_t kLanes = kLaneBytes / sizeof(float), kBlock = 32, kSteps = 256, kWindows = 16;
static_assert(kLanes <= kQuantizeLanes, "scratch is too small");

inline Lane all(float value) { return Lane{} + value; }

// The dimension of a block whose code comes at place `step` along the block's bits.
template <unsigned nbits>
constexpr std::size_t dimension(std::size_t step) {
  constexpr std::size_t in_byte = 8 / nbits, width = 4 * nbits;
  return step / in_byte + width * (step % in_byte);
}

// windows: (p,), those whose codebook entries times `scale` are nearest to the values, block by block; ties to the lower code.
template <unsigned nbits>
void shortest_paths(const Lane* values, std::size_t p, const float* codebook, const Lane& scale, Whole* windows) {
  constexpr std::size_t codes = std::size_t{1} << nbits, states = kWindows / codes;
  Lane entries[kWindows];
  for (std::size_t w = 0; w < kWindows; ++w) entries[w] = scale * codebook[w];
  for (std::size_t block = 0; block < p; block += kBlock) {
    Lane cost[states] = {};
    Whole taken[kBlock][states];  // the last window of the best path into each state
    for (std::size_t step = 0; step < kBlock; ++step) {
      const Lane value = values[block + dimension<nbits>(step)];
      Lane next[states];
      for (std::size_t state = 0; state < states; ++state) {
        Lane best = {};
        Whole window = {};
        for (std::size_t w = state * codes; w < (state + 1) * codes; ++w) {
          const Lane distance = value - entries[w], path = cost[w % states] + distance * distance;
          const bool first = w == state * codes;
          const Whole better = first ? ~Whole{} : path < best;
          best = better ? path : best;
          window = better ? Whole{} + static_cast<std::int32_t>(w) : window;
        }
        next[state] = best;
        taken[step][state] = window;
      }
      std::copy(next, next + states, cost);
    }
    Whole state = {};  // the last code is followed by zeros
    for (std::size_t step = kBlock; step-- > 0;) {
      Whole window = taken[step][0];
      for (std::size_t s = 1; s < states; ++s) window = state == static_cast<std::int32_t>(s) ? taken[step][s] : window;
      windows[block + dimension<nbits>(step)] = window;
      state = window & static_cast<std::int32_t>(states - 1);
    }
  }
}

template <unsigned nbits>
void quantize_lanes(const QuantizeJob& job, std::size_t begin, std::size_t end, void* scratch) {
  constexpr std::size_t width = 4 * nbits;  // bytes a block
  const std::size_t p = job.p, row_bytes = p * nbits / 8;
  float* const floats = static_cast<float*>(scratch);
  const Lane* const values = static_cast<const Lane*>(scratch);
  Whole* const windows = reinterpret_cast<Whole*>(floats + p * kLanes);
  float middles[kSteps - 1];
  for (std::size_t i = 0; i + 1 < kSteps; ++i) middles[i] = std::sqrt(job.steps[i + 1] * job.steps[i]);
  for (std::size_t start = begin; start < end; start += kLanes) {
    const std::size_t n = std::min(kLanes, end - start);
    for (std::size_t l = 0; l < kLanes; ++l) {  // lanes without a token repeat the last one
      const float* row = job.residuals + (start + std::min(l, n - 1)) * p;
      for (std::size_t k = 0; k < p; ++k) floats[k * kLanes + l] = row[k];
    }
    Lane scale = {};
    for (std::size_t k = 0; k < p; ++k) scale += values[k] * values[k];
    for (std::size_t l = 0; l < kLanes; ++l) scale[l] = std::sqrt(scale[l] / static_cast<float>(p));
    for (int round = 0; round < 2; ++round) {
      shortest_paths<nbits>(values, p, job.codebook, scale, windows);
      Lane product = {}, square = {};
      for (std::size_t k = 0; k < p; ++k) {
        Lane entry;
        for (std::size_t l = 0; l < kLanes; ++l) entry[l] = job.codebook[windows[k][l]];
        product += values[k] * entry;
        square += entry * entry;
      }
      const Lane fitted = product / (square > 0 ? square : all(1));
      scale = fitted > 0 ? fitted : scale;
    }
    Whole steps = {};
    for (const float middle : middles) steps -= scale > middle;  // true is -1
    for (std::size_t l = 0; l < kLanes; ++l) {
      if (l < n) job.scales[start + l] = static_cast<std::uint8_t>(steps[l]);
      scale[l] = job.steps[steps[l]];
    }
    shortest_paths<nbits>(values, p, job.codebook, scale, windows);
    for (std::size_t byte = 0; byte < row_bytes; ++byte) {
      const Whole* const codes = windows + byte / width * kBlock + byte % width;
      Whole joined = {};
      for (std::size_t i = 0; i < 8 / nbits; ++i) joined |= (codes[i * width] & ((1 << nbits) - 1)) << static_cast<int>(i * nbits);
      for (std::size_t l = 0; l < n; ++l) job.packed[(start + l) * row_bytes + byte] = static_cast<std::uint8_t>(joined[l]);
    }
  }
}

void quantize(const QuantizeJob& job, std::size_t begin, std::size_t end, void* scratch) {
  switch (job.nbits) {
    case 1: return quantize_lanes<1>(job, begin, end, scratch);
    case 2: return quantize_lanes<2>(job, begin, end, scratch);
    default: return quantize_lanes<4>(job, begin, end, scratch);
  }
}

}  // namespace
}  // namespace polyvec
