#include "kernels/probe.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

namespace polyvec {
namespace {

constexpr std::size_t kRowsAtOnce = 32;

// Orders like (value descending, number ascending), as one integer.
std::uint64_t rank_of(std::int32_t value, std::uint32_t number) {
  const std::uint64_t falling = ~(static_cast<std::uint32_t>(value) ^ 0x80000000u);
  return falling << 32 | number;
}

std::int32_t value_of(std::uint64_t rank) {
  return static_cast<std::int32_t>(~static_cast<std::uint32_t>(rank >> 32) ^ 0x80000000u);
}

}  // namespace

Nearest::Nearest(std::size_t q, std::size_t count)
    : q_(q), count_(count), room_(3 * count + 16), ranks_(q * room_), kept_(q, 0), least_(q, std::numeric_limits<std::int32_t>::min()),
      reached_(q * kRowsAtOnce) {}

void Nearest::cut(std::size_t query_row) {
  std::uint64_t* const ranks = ranks_.data() + query_row * room_;
  std::nth_element(ranks, ranks + (count_ - 1), ranks + kept_[query_row]);
  kept_[query_row] = count_;
  least_[query_row] = value_of(ranks[count_ - 1]);
}

void Nearest::keep(std::size_t query_row, std::uint64_t rank) {
  ranks_[query_row * room_ + kept_[query_row]++] = rank;
  if (kept_[query_row] == room_) cut(query_row);
}

void Nearest::see(const CodesKernel& kernel, const void* query, std::size_t p, const std::int8_t* rows, std::size_t first, std::size_t n,
                  const Table& table, void* memory) {
  for (std::size_t start = 0; start < n; start += kRowsAtOnce) {
    const Table here{table.worth, table.bytes ? table.bytes + (first + start) * table.stride : nullptr, table.stride};
    const std::size_t found = kernel.reaching(query, q_, p, rows + start * p, std::min(kRowsAtOnce, n - start), least_.data(),
                                              reached_.data(), here, memory);
    for (std::size_t i = 0; i < found; ++i) {
      const Reached& one = reached_[i];
      keep(one.query_row, rank_of(one.dot, static_cast<std::uint32_t>(first + start + one.row)));
    }
  }
}

void Nearest::see_all_of(const Nearest& other) {
  for (std::size_t row = 0; row < q_; ++row) {
    for (std::size_t i = 0; i < other.kept_[row]; ++i) keep(row, other.ranks_[row * room_ + i]);
  }
}

void Nearest::write(std::int32_t* numbers, std::int32_t* dots) {
  for (std::size_t row = 0; row < q_; ++row) {
    if (kept_[row] > count_) cut(row);
    std::uint64_t* const ranks = ranks_.data() + row * room_;
    std::sort(ranks, ranks + count_);
    for (std::size_t i = 0; i < count_; ++i) {
      numbers[row * count_ + i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(ranks[i]));
      dots[row * count_ + i] = value_of(ranks[i]);
    }
  }
}

std::vector<std::uint32_t> coarse_centroids_to_probe(const ProbeJob& job, const CodesKernel& kernel, void* memory) {
  const auto size = [&](std::size_t parent) { return static_cast<std::size_t>(job.coarse_offsets[parent + 1] - job.coarse_offsets[parent]); };
  std::size_t enough = std::min(job.coarse_probe, job.n_coarse_centroids), smallest = size(0);
  for (std::size_t i = 1; i < job.n_coarse_centroids; ++i) smallest = std::min(smallest, size(i));
  while (enough < job.n_coarse_centroids && enough * smallest < job.nprobe) ++enough;
  Nearest nearest(job.q, enough);
  std::vector<std::uint8_t> bytes(job.table.bytes ? job.n_coarse_centroids * job.table.stride : 0);
  const Table coarse_dots{job.table.worth, job.table.bytes ? bytes.data() : nullptr, job.table.stride};
  nearest.see(kernel, job.query, job.p, job.coarse_centroids, 0, job.n_coarse_centroids, coarse_dots, memory);
  std::vector<std::int32_t> numbers(job.q * enough), dots(numbers.size());
  nearest.write(numbers.data(), dots.data());
  std::vector<std::size_t> place(job.n_coarse_centroids, enough);  // the best that it has in some query row's order; `enough` where none looks into it
  for (std::size_t row = 0; row < job.q; ++row) {
    std::size_t children = 0;
    for (std::size_t i = 0; i < enough && (i < job.coarse_probe || children < job.nprobe); ++i) {
      const auto parent = static_cast<std::size_t>(numbers[row * enough + i]);
      place[parent] = std::min(place[parent], i);
      children += size(parent);
    }
  }
  std::vector<std::uint32_t> chosen;
  for (std::size_t i = 0; i < job.n_coarse_centroids; ++i) {
    if (place[i] < enough) {
      chosen.push_back(static_cast<std::uint32_t>(i));
    } else if (job.table.bytes) {
      for (std::int64_t child = job.coarse_offsets[i]; child < job.coarse_offsets[i + 1]; ++child) {
        std::memcpy(job.table.bytes + static_cast<std::size_t>(child) * job.table.stride, bytes.data() + i * job.table.stride, job.table.stride);
      }
    }
  }
  std::sort(chosen.begin(), chosen.end(),  // what comes first sets a high mark for the rest, in every query row
            [&](std::uint32_t a, std::uint32_t b) { return place[a] != place[b] ? place[a] < place[b] : a < b; });
  return chosen;
}

}  // namespace polyvec
