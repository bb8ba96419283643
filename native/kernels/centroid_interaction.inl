// Centroid interaction and mark_near, over vectors as wide as the including file's instruction set has them. Everything here is in an
// unnamed namespace, so that no code leaks to another file.

#include <algorithm>
#include <cstring>

#include "kernels/codes.hpp"

namespace polyvec {
namespace {

#if defined(__AVX2__)
constexpr std::size_t kVectorBytes = 32;
#else
constexpr std::size_t kVectorBytes = 16;
#endif
constexpr std::size_t kCodesLine = 64, kPrefetchedLines = 8, kDocumentsAhead = 4;

// A named vector type, since compilers keep arrays of bytes in memory across the loop over tokens, and vectors in registers.
typedef std::uint8_t ByteVector __attribute__((vector_size(kVectorBytes)));
static_assert(kTableLanes % sizeof(ByteVector) == 0);
constexpr std::size_t kParts = kTableLanes / sizeof(ByteVector);

inline void keep_largest(ByteVector& largest, const std::uint8_t* from) {
  ByteVector value;
  std::memcpy(&value, from, sizeof value);
  largest = largest > value ? largest : value;
}

template <class Code>
POLYVEC_PREFETCHING void prefetch_codes(const SegmentView& segment, std::int64_t document) {
  if (!segment.contains(document)) return;
  const std::int64_t* const tokens = segment.offsets + document;
  const char* const from = reinterpret_cast<const char*>(static_cast<const Code*>(segment.codes) + tokens[0]);
  const std::size_t bytes = std::min<std::size_t>((tokens[1] - tokens[0]) * sizeof(Code), kPrefetchedLines * kCodesLine);
  for (std::size_t at = 0; at < bytes; at += kCodesLine) __builtin_prefetch(from + at);
}

// The sum over the columns of the largest byte among the rows of n centroids.
template <class Code>
std::int32_t sum_of_maxima(const CentroidScores& scores, const Code* codes, std::size_t n) {
  std::int32_t sum = 0;
  for (std::size_t panel = 0; panel < scores.stride; panel += kTableLanes) {
    const std::uint8_t* const table = scores.bytes + panel;
    ByteVector even[kParts] = {}, odd[kParts] = {};  // of tokens in turn: two chains, so that one need not wait for the other
    for (std::size_t t = 0; t < n; ++t) {
      const std::uint8_t* const row = table + std::size_t{codes[t]} * scores.stride;
      for (std::size_t part = 0; part < kParts; ++part) keep_largest(even[part], row + part * sizeof(ByteVector));
      if (++t == n) break;
      const std::uint8_t* const next = table + std::size_t{codes[t]} * scores.stride;
      for (std::size_t part = 0; part < kParts; ++part) keep_largest(odd[part], next + part * sizeof(ByteVector));
    }
    for (std::size_t part = 0; part < kParts; ++part) {
      even[part] = even[part] > odd[part] ? even[part] : odd[part];
      for (std::size_t k = 0; k < sizeof(ByteVector); ++k) sum += even[part][k];
    }
  }
  return sum;
}

template <class Code>
bool interaction_of(const CentroidInteractionJob& job, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) {
    if (!job.segment.contains(job.documents[i])) return false;
    if (i + kDocumentsAhead < end) prefetch_codes<Code>(job.segment, job.documents[i + kDocumentsAhead]);
    const std::int64_t* const tokens = job.segment.offsets + job.documents[i];
    const Code* const codes = static_cast<const Code*>(job.segment.codes) + tokens[0];
    const std::size_t n = static_cast<std::size_t>(tokens[1] - tokens[0]);
    Code largest = 0;
    for (std::size_t t = 0; t < n; ++t) largest = std::max(largest, codes[t]);
    if (n && largest >= job.scores.n_centroids) return false;
    job.sums[i] = sum_of_maxima(job.scores, codes, n);
  }
  return true;
}

bool centroid_interaction(const CentroidInteractionJob& job, std::size_t begin, std::size_t end) {
  return job.segment.code_bytes == 2 ? interaction_of<std::uint16_t>(job, begin, end) : interaction_of<std::uint32_t>(job, begin, end);
}

void mark_near(const CentroidScores& scores, const std::uint8_t* thresholds, std::uint8_t* near) {
  const std::uint8_t* row = scores.bytes;
  for (std::size_t i = 0; i < scores.n_centroids; ++i, row += scores.stride) {
    ByteVector reached = {};
    for (std::size_t k = 0; k < scores.stride; k += sizeof(ByteVector)) {
      ByteVector bytes, threshold;
      std::memcpy(&bytes, row + k, sizeof bytes);
      std::memcpy(&threshold, thresholds + k, sizeof threshold);
      reached |= reinterpret_cast<ByteVector>(bytes >= threshold);
    }
    std::uint64_t words[sizeof(ByteVector) / 8], any = 0;
    std::memcpy(words, &reached, sizeof words);
    for (const std::uint64_t word : words) any |= word;
    near[i] = any != 0;
  }
}

}  // namespace
}  // namespace polyvec
