// Vectors -> the centroid of their own group with the largest dot product plus bias: the inner loop of k-means and of every build.
//
// A dot product is one chain of fused multiply-adds over the dimensions in order, then the bias, so every kernel and any number of threads
// return the same numbers. Cost: n * (centroids of the vector's group) * d multiply-adds.
#pragma once

#include <cstddef>
#include <cstdint>

namespace polyvec {

struct AssignJob {
  const float* vectors;         // (n, d)
  const std::int64_t* order;    // vectors of the same group side by side
  const std::int32_t* groups;   // (n,), of each vector
  std::size_t d;
  const float* packed;          // every group's centroids and biases, 16 side by side, as pack_centroids lays them out
  const std::int64_t* packed_starts;  // (G,), where a group's first block is, in blocks
  const std::int64_t* group_offsets;  // (G + 1,)
  std::int64_t* nearest;        // (n,), ties by number
};

constexpr std::size_t kAssignLanes = 16;

struct AssignKernel {
  const char* name;
  bool (*supported)();
  void (*assign)(const AssignJob& job, std::size_t begin, std::size_t end);  // places begin to end of `order`
};

// (blocks, d + 1, 16): a group of n centroids has ceil(n / 16) blocks, whose last row is biases; places without a centroid hold 0.
void pack_centroids(const float* centroids, const float* biases, std::size_t first, std::size_t n, std::size_t d, float* to);

const AssignKernel& assign_scalar();
#if defined(POLYVEC_X86)
const AssignKernel& assign_avx2();
const AssignKernel& assign_avx512();
#endif
#if defined(POLYVEC_NEON)
const AssignKernel& assign_neon();
#endif

}  // namespace polyvec
