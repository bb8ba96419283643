// Documents by the scores of their tokens' centroids: MaxSim with every token in the place of its centroid, which PLAID (Santhanam et al.,
// CIKM 2022) calls centroid interaction. Probing leaves the scores of all centroids in a table of bytes.
//
// Cost: the centroid number of each token, and a maximum of `stride` bytes; a table of 34,000 centroids and 32 query rows is 1.1 MB.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/views.hpp"

namespace polyvec {

constexpr std::size_t kTableLanes = 32;  // the stride of a table is a multiple of it

// A byte for each centroid and query row; columns beyond the query's rows are 0.
struct CentroidScores {
  const std::uint8_t* bytes;  // (n_centroids, stride)
  std::size_t n_centroids, stride;
};

struct CentroidInteractionJob {
  CentroidScores scores;
  SegmentView segment;
  const std::int64_t* documents;  // those to score
  std::int32_t* sums;             // one for each: the sum over the columns of the largest byte of any token
};

}  // namespace polyvec
