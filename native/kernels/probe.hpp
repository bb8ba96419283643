// The best centroids of every query row, through parents: cluster centres of the centroids themselves.
//
// Cost: q * P * p multiply-adds for the parents, and q * (children of the parents looked into) * p for the centroids.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/codes.hpp"

namespace polyvec {

struct ProbeJob {
  const std::int8_t* query;  // (q, p)
  const std::int32_t* of_parents;  // (P, q) dot products
  std::size_t q, p;
  const std::int64_t* parent_offsets;  // (P + 1): centroids of each parent
  std::size_t n_parents;
  const std::int8_t* centroids;  // (K, p)
  std::size_t nprobe, parent_probe;
  std::int32_t* numbers;  // (q, nprobe), best first, ties by number
  std::int32_t* dots;     // (q, nprobe)
};

// Query rows `begin` to `end`. Looks into the parent_probe best parents (ties by number), and into the next ones while fewer
// than nprobe centroids were seen. Allocates per call.
void probe(const ProbeJob& job, const CodesKernel& kernel, std::size_t begin, std::size_t end);

}  // namespace polyvec
