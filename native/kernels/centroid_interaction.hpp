// Documents by the scores of their tokens' centroids: MaxSim with every token in the place of its centroid, which PLAID (Santhanam et al.,
// CIKM 2022) calls centroid interaction. The scores are bytes that probing left in a table.
//
// Cost: the centroid number of each token, and a maximum of `stride` bytes; a table of 34,000 centroids and 32 query rows is 1.1 MB.
#pragma once

#include <cstddef>
#include <cstdint>

namespace polyvec {

struct CentroidInteractionJob {
  const std::uint8_t* table;  // (K, stride)
  std::size_t n_centroids, stride;  // stride: a multiple of kTableLanes
  const void* codes;          // (T,) centroid numbers
  std::size_t code_bytes;     // 2 or 4 each
  const std::int64_t* offsets;  // (n + 1): document i is the tokens offsets[i] to offsets[i + 1]
  std::size_t tokens, documents;
  const std::int64_t* which;  // documents to score
  std::int32_t* sums;         // one a document scored: over the stride, the sum of the maxima over its tokens
};

}  // namespace polyvec
