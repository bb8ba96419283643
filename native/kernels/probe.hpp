// The best centroids of every query row, by way of coarse centroids: cluster centers of the centroids themselves.
//
// Cost: q * C * p multiply-adds for the coarse centroids, and q * p for each centroid of a coarse one that any query row probes. Every
// centroid's row is read once, for all query rows together, and each query row may take it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/codes.hpp"

namespace polyvec {

struct ProbeJob {
  PackedQuery query;
  CodecView codec;
  std::size_t nprobe;         // centroids that each query row takes
  std::size_t coarse_nprobe;  // coarse centroids that each query row probes
  ScoreBytes bytes;           // of all centroids; those that are not probed get the row of their coarse centroid
};

// Consecutive int8 rows of a larger matrix.
struct RowRange {
  const std::int8_t* rows;  // (n, p)
  std::size_t first, n;     // number of the first row; how many
};

// The best rows that each query row has seen so far, ties by number.
class NearestRows {
 public:
  NearestRows(const CodesKernel& kernel, const PackedQuery& query, std::size_t count);
  // bytes: of the whole matrix · scratch: as CodesKernel::scratch_bytes says.
  void see(const RowRange& range, const ScoreBytes& bytes, void* scratch);
  void merge(const NearestRows& other);
  // numbers, dots: (q, count), best first. At least `count` rows must have been seen.
  void write(std::int32_t* numbers, std::int32_t* dots);

 private:
  void keep(std::size_t query_row, std::uint64_t rank);
  void cut(std::size_t query_row);

  const CodesKernel& kernel_;
  PackedQuery query_;
  std::size_t count_, room_;
  std::vector<std::uint64_t> ranks_;      // (q, room)
  std::vector<std::size_t> kept_;         // (q,)
  std::vector<std::int32_t> thresholds_;  // (q,): what a row must reach to be kept
  std::vector<FoundDot> found_;
};

// The coarse centroids that some query row probes, nearest first: each row's coarse_nprobe best (ties by number), and its next ones while
// those have fewer than nprobe centroids. Writes the score bytes of the centroids of all others.
std::vector<std::uint32_t> probed_coarse_centroids(const ProbeJob& job, const CodesKernel& kernel, void* scratch);

}  // namespace polyvec
