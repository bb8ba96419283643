// The definition of the codes family, as plain loops.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/codes.hpp"
#include "kernels/centroid_interaction.inl"

namespace polyvec {
namespace {

std::size_t packed_bytes(std::size_t q, std::size_t p) { return q * p; }
std::size_t scratch_bytes(std::size_t q, std::size_t p) { return q * sizeof(float) + p; }

void pack(const QueryView& query, void* packed) { std::memcpy(packed, query.rows, query.q * query.p); }

std::int32_t dot(const std::int8_t* a, const std::int8_t* b, std::size_t p) {
  std::int32_t sum = 0;
  for (std::size_t k = 0; k < p; ++k) sum += std::int32_t{a[k]} * b[k];
  return sum;
}

// Writes the p values of a token, not yet divided by their length.
void expand(const ScoreJob& job, std::size_t token, const std::int8_t* centroid, std::int8_t* v) {
  const std::size_t p = job.codec.p;
  const unsigned nbits = job.codec.nbits;
  const std::uint8_t* const bytes = job.segment.packed + token * (p * nbits / 8);
  if (nbits == 8) {
    std::memcpy(v, bytes, p);
    return;
  }
  const std::int8_t* const levels = job.codec.levels + std::size_t{job.segment.scales[token]} * kWindows;
  const std::size_t width = 4 * nbits;  // bytes a block
  for (std::size_t k = 0; k < p; ++k) {
    const std::size_t block = k / kBlockDims, inside = k % kBlockDims;
    const std::uint8_t* const byte = bytes + block * width + inside % width;
    const unsigned next = inside % width + 1 < width ? byte[1] : 0;  // a window ends with its block
    const unsigned window = ((*byte | next << 8) >> (inside / width * nbits)) & (kWindows - 1);
    v[k] = static_cast<std::int8_t>(std::clamp(centroid[k] + levels[window], -127, 127));
  }
}

// Raises `best`, (q,), to the scores of one token where they are higher.
void keep_best(const ScoreJob& job, const std::int8_t* v, float* best) {
  const auto* const query = static_cast<const std::int8_t*>(job.query.packed);
  const std::size_t p = job.codec.p;
  const std::int32_t square = dot(v, v, p);
  const float inverse = square > 0 ? 1.0f / std::sqrt(static_cast<float>(square)) : 0.0f;
  for (std::size_t row = 0; row < job.query.q; ++row) {
    best[row] = std::max(best[row], static_cast<float>(dot(query + row * p, v, p)) * inverse);
  }
}

float weighted_sum(const ScoreJob& job, const float* best) {
  float total = 0;
  for (std::size_t row = 0; row < job.query.q; ++row) total += job.query.scales[row] * best[row];
  return total;
}

bool full_scores(const ScoreJob& job, std::size_t begin, std::size_t end, void* scratch) {
  float* const best = static_cast<float*>(scratch);
  std::int8_t* const v = reinterpret_cast<std::int8_t*>(best + job.query.q);
  for (std::size_t i = begin; i < end; ++i) {
    if (!job.segment.contains(job.documents[i])) return false;
    const std::size_t first = job.segment.offsets[job.documents[i]], last = job.segment.offsets[job.documents[i] + 1];
    std::fill(best, best + job.query.q, -std::numeric_limits<float>::infinity());
    for (std::size_t token = first; token < last; ++token) {
      const std::size_t code = job.codec.nbits == 8 ? 0 : job.segment.code(token);
      if (code >= job.codec.n_centroids) return false;
      expand(job, token, job.codec.centroids + code * job.codec.p, v);
      keep_best(job, v, best);
    }
    job.scores[i] = first < last ? weighted_sum(job, best) : 0.0f;
  }
  return true;
}

bool approximate_scores(const ScoreJob& job, const Approximation& approximation, std::size_t begin, std::size_t end, void* scratch) {
  float* const best = static_cast<float*>(scratch);
  std::int8_t* const v = reinterpret_cast<std::int8_t*>(best + job.query.q);
  for (std::size_t i = begin; i < end; ++i) {
    if (!job.segment.contains(job.documents[i])) return false;
    const std::size_t first = job.segment.offsets[job.documents[i]], last = job.segment.offsets[job.documents[i] + 1];
    std::copy(approximation.imputed, approximation.imputed + job.query.q, best);
    for (std::size_t token = first; token < last; ++token) {
      const std::size_t code = job.segment.code(token);
      if (code >= job.codec.n_centroids) return false;
      if (!approximation.near[code]) continue;
      expand(job, token, job.codec.centroids + code * job.codec.p, v);
      keep_best(job, v, best);
    }
    job.scores[i] = weighted_sum(job, best);
  }
  return true;
}

std::size_t find_dots(const DotJob& job, FoundDot* found, void*) {
  const auto* const query = static_cast<const std::int8_t*>(job.query.packed);
  const std::size_t q = job.query.q, p = job.query.p, stride = job.bytes.stride;
  std::size_t count = 0;
  for (std::size_t i = 0; i < job.n; ++i) {
    for (std::size_t row = 0; row < q; ++row) {
      const std::int32_t value = dot(query + row * p, job.rows + i * p, p);
      if (value >= job.thresholds[row]) found[count++] = {static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(i), value};
      if (job.bytes.bytes) job.bytes.bytes[i * stride + row] = score_byte(value, job.bytes.weights[row]);
    }
    if (job.bytes.bytes) std::fill(job.bytes.bytes + i * stride + q, job.bytes.bytes + (i + 1) * stride, std::uint8_t{0});
  }
  return count;
}

}  // namespace

const CodesKernel& codes_scalar() {
  static constexpr CodesKernel kernel{.name = "scalar",
                                      .supported = [] { return true; },
                                      .packed_bytes = packed_bytes,
                                      .scratch_bytes = scratch_bytes,
                                      .pack = pack,
                                      .full_scores = full_scores,
                                      .approximate_scores = approximate_scores,
                                      .centroid_interaction = centroid_interaction,
                                      .find_dots = find_dots,
                                      .mark_near = mark_near};
  return kernel;
}

}  // namespace polyvec
