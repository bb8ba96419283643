#include "kernels/interact.hpp"

#include <algorithm>
#include <cstring>

#include "kernels/codes.hpp"

namespace polyvec {
namespace {

constexpr std::size_t kLine = 64, kAsked = 8, kEarly = 4;  // lines of a document's numbers to ask for, and how many documents early

// Compilers keep arrays of bytes in memory across the loop over tokens, and vectors in registers; every processor has these.
typedef std::uint8_t Sixteen __attribute__((vector_size(16)));
static_assert(kTableLanes == 2 * sizeof(Sixteen));

inline Sixteen sixteen(const std::uint8_t* from) {
  Sixteen value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

inline Sixteen larger(Sixteen a, Sixteen b) { return a > b ? a : b; }

template <class Code>
bool maxima(const InteractJob& job, std::size_t begin, std::size_t end) {
  const Code* const codes = static_cast<const Code*>(job.codes);
  const auto holds = [&](std::int64_t document) { return lies_inside(document, job.offsets, job.documents, job.tokens); };
  for (std::size_t i = begin; i < end; ++i) {
    if (!holds(job.which[i])) return false;
    if (i + kEarly < end && holds(job.which[i + kEarly])) {
      const std::int64_t* const next = job.offsets + job.which[i + kEarly];
      const char* const from = reinterpret_cast<const char*>(codes + next[0]);
      const std::size_t bytes = std::min<std::size_t>((next[1] - next[0]) * sizeof(Code), kAsked * kLine);
      for (std::size_t at = 0; at < bytes; at += kLine) __builtin_prefetch(from + at);
    }
    const Code* const first = codes + job.offsets[job.which[i]];
    const std::size_t n = static_cast<std::size_t>(job.offsets[job.which[i] + 1] - job.offsets[job.which[i]]);
    std::int32_t sum = 0;
    for (std::size_t panel = 0; panel < job.stride; panel += kTableLanes) {
      const std::uint8_t* const table = job.table + panel;
      Sixteen low = {}, high = {};
      for (std::size_t t = 0; t < n; ++t) {
        if (first[t] >= job.n_centroids) return false;
        const std::uint8_t* const row = table + std::size_t{first[t]} * job.stride;
        low = larger(low, sixteen(row));
        high = larger(high, sixteen(row + 16));
      }
      for (int k = 0; k < 16; ++k) sum += low[k] + high[k];
    }
    job.sums[i] = sum;
  }
  return true;
}

}  // namespace

void mark(const std::uint8_t* table, const std::uint8_t* least, std::size_t n_centroids, std::size_t stride, std::uint8_t* marked) {
  for (std::size_t i = 0; i < n_centroids; ++i, table += stride) {
    Sixteen reached = {};
    for (std::size_t k = 0; k < stride; k += sizeof(Sixteen)) reached |= reinterpret_cast<Sixteen>(sixteen(table + k) >= sixteen(least + k));
    std::uint64_t halves[2];
    std::memcpy(halves, &reached, sizeof halves);
    marked[i] = (halves[0] | halves[1]) != 0;
  }
}

bool interact(const InteractJob& job, std::size_t begin, std::size_t end) {
  return job.code_bytes == 2 ? maxima<std::uint16_t>(job, begin, end) : maxima<std::uint32_t>(job, begin, end);
}

}  // namespace polyvec
