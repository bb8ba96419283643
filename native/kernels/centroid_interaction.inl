// interact and mark, over vectors as wide as the including file's instruction set has them. Everything here is in an unnamed namespace,
// so that no code leaks to another file.

#include <algorithm>
#include <cstring>

#include "kernels/codes.hpp"

namespace polyvec {
namespace {

#if defined(__AVX2__)
constexpr std::size_t kWide = 32;
#else
constexpr std::size_t kWide = 16;
#endif
constexpr std::size_t kNumbersLine = 64, kAsked = 8, kEarly = 4;  // lines of a document's numbers to ask for, and how many documents early

// Compilers keep arrays of bytes in memory across the loop over tokens, and vectors in registers.
typedef std::uint8_t Wide __attribute__((vector_size(kWide)));
static_assert(kTableLanes % sizeof(Wide) == 0);
constexpr std::size_t kParts = kTableLanes / sizeof(Wide);

inline void raise_to(Wide& most, const std::uint8_t* from) {
  Wide value;
  std::memcpy(&value, from, sizeof value);
  most = most > value ? most : value;
}

template <class Code>
bool maxima(const CentroidInteractionJob& job, std::size_t begin, std::size_t end) {
  const Code* const codes = static_cast<const Code*>(job.codes);
  const auto holds = [&](std::int64_t document) { return lies_inside(document, job.offsets, job.documents, job.tokens); };
  for (std::size_t i = begin; i < end; ++i) {
    if (!holds(job.which[i])) return false;
    if (i + kEarly < end && holds(job.which[i + kEarly])) {
      const std::int64_t* const next = job.offsets + job.which[i + kEarly];
      const char* const from = reinterpret_cast<const char*>(codes + next[0]);
      const std::size_t bytes = std::min<std::size_t>((next[1] - next[0]) * sizeof(Code), kAsked * kNumbersLine);
      for (std::size_t at = 0; at < bytes; at += kNumbersLine) __builtin_prefetch(from + at);
    }
    const Code* const first = codes + job.offsets[job.which[i]];
    const std::size_t n = static_cast<std::size_t>(job.offsets[job.which[i] + 1] - job.offsets[job.which[i]]);
    Code largest = 0;
    for (std::size_t t = 0; t < n; ++t) largest = std::max(largest, first[t]);
    if (n && largest >= job.n_centroids) return false;
    std::int32_t sum = 0;
    for (std::size_t panel = 0; panel < job.stride; panel += kTableLanes) {
      const std::uint8_t* const table = job.table + panel;
      Wide most[kParts] = {}, other[kParts] = {};  // of tokens in turn: two chains
      for (std::size_t t = 0; t < n; ++t) {
        const std::uint8_t* const row = table + std::size_t{first[t]} * job.stride;
        for (std::size_t part = 0; part < kParts; ++part) raise_to(most[part], row + part * sizeof(Wide));
        if (++t == n) break;
        const std::uint8_t* const next = table + std::size_t{first[t]} * job.stride;
        for (std::size_t part = 0; part < kParts; ++part) raise_to(other[part], next + part * sizeof(Wide));
      }
      for (std::size_t part = 0; part < kParts; ++part) {
        most[part] = most[part] > other[part] ? most[part] : other[part];
        for (std::size_t k = 0; k < sizeof(Wide); ++k) sum += most[part][k];
      }
    }
    job.sums[i] = sum;
  }
  return true;
}

bool centroid_interaction(const CentroidInteractionJob& job, std::size_t begin, std::size_t end) {
  return job.code_bytes == 2 ? maxima<std::uint16_t>(job, begin, end) : maxima<std::uint32_t>(job, begin, end);
}

void mark(const std::uint8_t* table, const std::uint8_t* least, std::size_t n_centroids, std::size_t stride, std::uint8_t* marked) {
  for (std::size_t i = 0; i < n_centroids; ++i, table += stride) {
    Wide reached = {};
    for (std::size_t k = 0; k < stride; k += sizeof(Wide)) {
      Wide bytes, marks;
      std::memcpy(&bytes, table + k, sizeof bytes);
      std::memcpy(&marks, least + k, sizeof marks);
      reached |= reinterpret_cast<Wide>(bytes >= marks);
    }
    std::uint64_t words[sizeof(Wide) / 8], any = 0;
    std::memcpy(words, &reached, sizeof words);
    for (const std::uint64_t word : words) any |= word;
    marked[i] = any != 0;
  }
}

}  // namespace
}  // namespace polyvec
