// The definition of the codes family, as plain loops.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/codes.hpp"
#include "kernels/centroid_interaction.inl"

namespace polyvec {
namespace {

constexpr std::size_t kBlock = 32;  // dimensions whose codes are packed together

std::size_t packed_bytes(std::size_t q, std::size_t p) { return q * p; }
std::size_t scratch_bytes(std::size_t q, std::size_t p) { return q * sizeof(float) + p; }

void pack(const std::int8_t* query, std::size_t q, std::size_t p, void* packed) { std::memcpy(packed, query, q * p); }

std::int32_t dot(const std::int8_t* a, const std::int8_t* b, std::size_t p) {
  std::int32_t sum = 0;
  for (std::size_t k = 0; k < p; ++k) sum += std::int32_t{a[k]} * b[k];
  return sum;
}

void expand(const CodedJob& job, std::size_t token, const std::int8_t* centroid, std::int8_t* v) {
  const std::uint8_t* bytes = job.packed + token * (job.p * job.nbits / 8);
  if (job.nbits == 8) {
    std::memcpy(v, bytes, job.p);
    return;
  }
  const std::int8_t* levels = job.levels + std::size_t{job.scales[token]} * 16;
  const std::size_t width = 4 * job.nbits;  // bytes a block
  for (std::size_t k = 0; k < job.p; ++k) {
    const std::size_t block = k / kBlock, inside = k % kBlock;
    const std::uint8_t* const byte = bytes + block * width + inside % width;
    const unsigned next = inside % width + 1 < width ? byte[1] : 0;  // a window ends with its block
    const unsigned window = ((*byte | next << 8) >> (inside / width * job.nbits)) & 15;
    v[k] = static_cast<std::int8_t>(std::clamp(centroid[k] + levels[window], -127, 127));
  }
}

bool sum_up(const CodedJob& job, std::size_t begin, std::size_t end, void* scratch, bool looking) {
  float* const best = static_cast<float*>(scratch);
  std::int8_t* const v = reinterpret_cast<std::int8_t*>(best + job.q);
  const std::int8_t* const query = static_cast<const std::int8_t*>(job.query);
  for (std::size_t i = begin; i < end; ++i) {
    if (!job.holds(job.which[i])) return false;
    const std::size_t first = job.offsets[job.which[i]], last = job.offsets[job.which[i] + 1];
    for (std::size_t row = 0; row < job.q; ++row) best[row] = looking ? job.least[row] : -std::numeric_limits<float>::infinity();
    for (std::size_t token = first; token < last; ++token) {
      const std::size_t code = job.nbits == 8 && !looking ? 0 : job.code(token);
      if (code >= job.n_centroids) return false;
      if (looking && !job.marked[code]) continue;
      expand(job, token, job.centroids + code * job.p, v);
      const std::int32_t square = dot(v, v, job.p);
      const float inverse = square > 0 ? 1.0f / std::sqrt(static_cast<float>(square)) : 0.0f;
      for (std::size_t row = 0; row < job.q; ++row) {
        best[row] = std::max(best[row], static_cast<float>(dot(query + row * job.p, v, job.p)) * inverse);
      }
    }
    float total = 0;
    for (std::size_t row = 0; row < job.q && (looking || first < last); ++row) total += job.query_scales[row] * best[row];
    job.scores[i] = total;
  }
  return true;
}

bool score(const CodedJob& job, std::size_t begin, std::size_t end, void* scratch) { return sum_up(job, begin, end, scratch, false); }
bool approximate_scores(const CodedJob& job, std::size_t begin, std::size_t end, void* scratch) { return sum_up(job, begin, end, scratch, true); }

std::size_t reaching(const void* packed, std::size_t q, std::size_t p, const std::int8_t* rows, std::size_t n,
                     const std::int32_t* least, Reached* found, const Table& table, void*) {
  const std::int8_t* const query = static_cast<const std::int8_t*>(packed);
  std::size_t count = 0;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t row = 0; row < q; ++row) {
      const std::int32_t value = dot(query + row * p, rows + i * p, p);
      if (value >= least[row]) found[count++] = {static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(i), value};
      if (table.bytes) table.bytes[i * table.stride + row] = table_byte(value, table.worth[row]);
    }
    if (table.bytes) std::fill(table.bytes + i * table.stride + q, table.bytes + (i + 1) * table.stride, std::uint8_t{0});
  }
  return count;
}

double run_multiply_adds(std::size_t rounds) {
  volatile std::int8_t seed = 3;
  std::int32_t sums[16] = {};
  for (std::size_t i = 0; i < rounds * 1000; ++i) {
    for (std::int32_t& sum : sums) sum += seed * static_cast<std::int8_t>(i);
  }
  volatile std::int32_t kept = sums[0] + sums[15];
  (void)kept;
  return static_cast<double>(rounds) * 1000 * 16;
}

}  // namespace

const CodesKernel& codes_scalar() {
  static constexpr CodesKernel kernel{"scalar", [] { return true; }, packed_bytes, scratch_bytes, pack, score, approximate_scores, reaching, centroid_interaction, mark, run_multiply_adds};
  return kernel;
}

}  // namespace polyvec
