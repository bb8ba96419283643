// The best centroids of every query row, through parents: cluster centers of the centroids themselves.
//
// Cost: q * P * p multiply-adds for the parents, and q * p for each centroid of a parent that any query row looks into. Every
// centroid's row is read once, for all query rows together, and each query row may take it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/codes.hpp"

namespace polyvec {

struct ProbeJob {
  const void* query;  // packed by CodesKernel::pack
  std::size_t q, p;
  const std::int8_t* coarse_centroids;  // (P, p)
  const std::int64_t* coarse_offsets;  // (P + 1): centroids of each parent
  std::size_t n_coarse_centroids;
  const std::int8_t* centroids;  // (K, p)
  std::size_t nprobe, coarse_probe;
  Table table;  // of the centroids; those that are not looked at get the row of their parent
};

// The best rows that each query row has seen so far, ties by number.
class Nearest {
 public:
  Nearest(std::size_t q, std::size_t count);
  // n rows, numbered from `first` on; table: with a row for each of all. memory: scratch of CodesKernel::scratch_bytes.
  void see(const CodesKernel& kernel, const void* query, std::size_t p, const std::int8_t* rows, std::size_t first, std::size_t n,
           const Table& table, void* memory);
  void see_all_of(const Nearest& other);
  // numbers, dots: (q, count), best first. At least `count` rows must have been seen.
  void write(std::int32_t* numbers, std::int32_t* dots);

 private:
  void keep(std::size_t query_row, std::uint64_t rank);
  void cut(std::size_t query_row);

  std::size_t q_, count_, room_;
  std::vector<std::uint64_t> ranks_;  // (q, room)
  std::vector<std::size_t> kept_;     // (q,)
  std::vector<std::int32_t> least_;   // (q,), what a row must reach to be kept
  std::vector<Reached> reached_;
};

// The parents that some query row looks into, nearest first: each row's coarse_probe best (ties by number), and its next ones while
// those have fewer than nprobe centroids. Fills the table's rows of all other parents' centroids.
std::vector<std::uint32_t> coarse_centroids_to_probe(const ProbeJob& job, const CodesKernel& kernel, void* memory);

}  // namespace polyvec
