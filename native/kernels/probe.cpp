#include "kernels/probe.hpp"

#include <algorithm>
#include <vector>

namespace polyvec {
namespace {

// Orders like (value descending, number ascending), as one integer.
std::uint64_t rank_of(std::int32_t value, std::uint32_t number) {
  const std::uint64_t falling = ~(static_cast<std::uint32_t>(value) ^ 0x80000000u);
  return falling << 32 | number;
}

std::int32_t value_of(std::uint64_t rank) {
  return static_cast<std::int32_t>(~static_cast<std::uint32_t>(rank >> 32) ^ 0x80000000u);
}

}  // namespace

void probe(const ProbeJob& job, const CodesKernel& kernel, std::size_t begin, std::size_t end) {
  std::vector<std::uint64_t> parents(job.n_parents), seen;
  std::vector<std::int32_t> dots;
  const std::size_t at_first = std::min(job.parent_probe, job.n_parents);
  for (std::size_t row = begin; row < end; ++row) {
    for (std::size_t i = 0; i < job.n_parents; ++i) parents[i] = rank_of(job.of_parents[i * job.q + row], i);
    std::nth_element(parents.begin(), parents.begin() + (at_first - 1), parents.end());
    std::size_t chosen = at_first, children = 0;
    const auto size = [&](std::size_t i) {
      const std::size_t parent = static_cast<std::uint32_t>(parents[i]);
      return static_cast<std::size_t>(job.parent_offsets[parent + 1] - job.parent_offsets[parent]);
    };
    for (std::size_t i = 0; i < chosen; ++i) children += size(i);
    if (children < job.nprobe) {
      std::sort(parents.begin() + chosen, parents.end());
      while (children < job.nprobe && chosen < job.n_parents) children += size(chosen++);
    }
    seen.clear();
    for (std::size_t i = 0; i < chosen; ++i) {
      const std::size_t parent = static_cast<std::uint32_t>(parents[i]), first = job.parent_offsets[parent], n = size(i);
      dots.resize(std::max(dots.size(), n));
      kernel.dots_one(job.query + row * job.p, job.p, job.centroids + first * job.p, n, dots.data());
      for (std::size_t c = 0; c < n; ++c) seen.push_back(rank_of(dots[c], static_cast<std::uint32_t>(first + c)));
    }
    if (job.nprobe < seen.size()) std::nth_element(seen.begin(), seen.begin() + job.nprobe, seen.end());
    std::sort(seen.begin(), seen.begin() + job.nprobe);
    for (std::size_t i = 0; i < job.nprobe; ++i) {
      job.numbers[row * job.nprobe + i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(seen[i]));
      job.dots[row * job.nprobe + i] = value_of(seen[i]);
    }
  }
}

}  // namespace polyvec
