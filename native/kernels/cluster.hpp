// Sums of the vectors of each cluster, in fp64, vector after vector: the same bits on any number of threads, which share dimensions.
//
// Cost: n * d additions, the vectors once and a row of sums for each of them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace polyvec {

struct ClusterJob {
  const float* vectors;         // (n, d)
  const std::int64_t* nearest;  // (n,) numbers of clusters
  std::size_t n, d;
  double* sums;  // (clusters, d), zeros to begin with
};

// Dimensions `begin` to `end` of all sums.
void add_up(const ClusterJob& job, std::size_t begin, std::size_t end);

}  // namespace polyvec
