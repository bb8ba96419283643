// The one algorithm of the assign family, a template over an instruction set; scalar is a set of one lane. Centroids lie in
// lanes; `rows` vectors of the same group go over a block of 16 centroids at once. Included by one file an instruction set.

#include <algorithm>
#include <limits>

namespace polyvec {
namespace {

template <class I>
void nearest_of(const AssignJob& job, const std::int64_t* order, std::size_t n) {
  constexpr std::size_t V = kAssignLanes / I::lanes, R = I::rows;
  const std::int32_t group = job.groups[order[0]];
  const std::int64_t first = job.group_offsets[group], size = job.group_offsets[group + 1] - first;
  const float* rows[R];
  for (std::size_t r = 0; r < R; ++r) rows[r] = job.vectors + order[std::min(r, n - 1)] * job.d;
  float best[R];
  std::int64_t place[R];
  std::fill(best, best + R, -std::numeric_limits<float>::infinity());
  std::fill(place, place + R, first);
  for (std::int64_t start = 0; start < size; start += kAssignLanes) {
    const float* block = job.packed + (job.packed_starts[group] + start / static_cast<std::int64_t>(kAssignLanes)) * kAssignLanes * (job.d + 1);
    typename I::vec sums[R][V];
    for (auto& row : sums) {
      for (auto& sum : row) sum = I::zero();
    }
    for (std::size_t k = 0; k < job.d; ++k) {
      typename I::vec centroid[V];
      for (std::size_t v = 0; v < V; ++v) centroid[v] = I::load(block + k * kAssignLanes + v * I::lanes);
      for (std::size_t r = 0; r < R; ++r) {
        const typename I::vec value = I::set(rows[r][k]);
        for (std::size_t v = 0; v < V; ++v) sums[r][v] = I::fma(value, centroid[v], sums[r][v]);
      }
    }
    const std::int64_t count = std::min<std::int64_t>(size - start, kAssignLanes);
    for (std::size_t r = 0; r < std::min(R, n); ++r) {
      float lane[kAssignLanes];
      for (std::size_t v = 0; v < V; ++v) I::store(lane + v * I::lanes, I::add(sums[r][v], I::load(block + job.d * kAssignLanes + v * I::lanes)));
      for (std::int64_t c = 0; c < count; ++c) {
        if (lane[c] > best[r]) best[r] = lane[c], place[r] = first + start + c;
      }
    }
  }
  for (std::size_t r = 0; r < n; ++r) job.nearest[order[r]] = place[r];
}

template <class I>
void assign_range(const AssignJob& job, std::size_t begin, std::size_t end) {
  while (begin < end) {
    const std::int32_t group = job.groups[job.order[begin]];
    std::size_t stop = begin + 1;
    while (stop < end && stop - begin < I::rows && job.groups[job.order[stop]] == group) ++stop;
    nearest_of<I>(job, job.order + begin, stop - begin);
    begin = stop;
  }
}

}  // namespace
}  // namespace polyvec
