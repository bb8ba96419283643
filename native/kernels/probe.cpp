#include "kernels/probe.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

namespace polyvec {
namespace {

constexpr std::size_t kRowsAtOnce = 32;

// Orders like (dot descending, number ascending), as one integer.
std::uint64_t rank_of(std::int32_t dot, std::uint32_t number) {
  const std::uint64_t falling = ~(static_cast<std::uint32_t>(dot) ^ 0x80000000u);
  return falling << 32 | number;
}

std::int32_t dot_of(std::uint64_t rank) { return static_cast<std::int32_t>(~static_cast<std::uint32_t>(rank >> 32) ^ 0x80000000u); }

std::size_t cluster_size(const CodecView& codec, std::size_t coarse) {
  return static_cast<std::size_t>(codec.coarse_offsets[coarse + 1] - codec.coarse_offsets[coarse]);
}

// Coarse centroids that each query row must order: coarse_nprobe of them, and enough for nprobe centroids whichever they are.
std::size_t coarse_to_order(const ProbeJob& job) {
  const std::size_t n = job.codec.n_coarse_centroids;
  std::size_t smallest = cluster_size(job.codec, 0), count = std::min(job.coarse_nprobe, n);
  for (std::size_t i = 1; i < n; ++i) smallest = std::min(smallest, cluster_size(job.codec, i));
  while (count < n && count * smallest < job.nprobe) ++count;
  return count;
}

// For each coarse centroid the best place that it has in some query row's order, among those that the row probes; `count` where none does.
std::vector<std::size_t> best_places(const ProbeJob& job, const std::vector<std::int32_t>& ordered, std::size_t count) {
  std::vector<std::size_t> places(job.codec.n_coarse_centroids, count);
  for (std::size_t row = 0; row < job.query.q; ++row) {
    std::size_t centroids = 0;
    for (std::size_t i = 0; i < count && (i < job.coarse_nprobe || centroids < job.nprobe); ++i) {
      const auto coarse = static_cast<std::size_t>(ordered[row * count + i]);
      places[coarse] = std::min(places[coarse], i);
      centroids += cluster_size(job.codec, coarse);
    }
  }
  return places;
}

void copy_to_centroids(const ProbeJob& job, std::size_t coarse, const std::uint8_t* bytes) {
  for (std::int64_t centroid = job.codec.coarse_offsets[coarse]; centroid < job.codec.coarse_offsets[coarse + 1]; ++centroid) {
    std::memcpy(job.bytes.bytes + static_cast<std::size_t>(centroid) * job.bytes.stride, bytes, job.bytes.stride);
  }
}

}  // namespace

NearestRows::NearestRows(const CodesKernel& kernel, const PackedQuery& query, std::size_t count)
    : kernel_(kernel), query_(query), count_(count), room_(3 * count + 16), ranks_(query.q * room_), kept_(query.q, 0),
      thresholds_(query.q, std::numeric_limits<std::int32_t>::min()), found_(query.q * kRowsAtOnce) {}

void NearestRows::cut(std::size_t query_row) {
  std::uint64_t* const ranks = ranks_.data() + query_row * room_;
  std::nth_element(ranks, ranks + (count_ - 1), ranks + kept_[query_row]);
  kept_[query_row] = count_;
  thresholds_[query_row] = dot_of(ranks[count_ - 1]);
}

void NearestRows::keep(std::size_t query_row, std::uint64_t rank) {
  ranks_[query_row * room_ + kept_[query_row]++] = rank;
  if (kept_[query_row] == room_) cut(query_row);
}

void NearestRows::see(const RowRange& range, const ScoreBytes& bytes, void* scratch) {
  for (std::size_t start = 0; start < range.n; start += kRowsAtOnce) {
    const std::size_t number = range.first + start;
    const ScoreBytes here{bytes.weights, bytes.bytes ? bytes.bytes + number * bytes.stride : nullptr, bytes.stride};
    const DotJob job{query_, range.rows + start * query_.p, std::min(kRowsAtOnce, range.n - start), thresholds_.data(), here};
    const std::size_t count = kernel_.find_dots(job, found_.data(), scratch);
    for (std::size_t i = 0; i < count; ++i) {
      keep(found_[i].query_row, rank_of(found_[i].dot, static_cast<std::uint32_t>(number + found_[i].row)));
    }
  }
}

void NearestRows::merge(const NearestRows& other) {
  for (std::size_t row = 0; row < query_.q; ++row) {
    for (std::size_t i = 0; i < other.kept_[row]; ++i) keep(row, other.ranks_[row * room_ + i]);
  }
}

void NearestRows::write(std::int32_t* numbers, std::int32_t* dots) {
  for (std::size_t row = 0; row < query_.q; ++row) {
    if (kept_[row] > count_) cut(row);
    std::uint64_t* const ranks = ranks_.data() + row * room_;
    std::sort(ranks, ranks + count_);
    for (std::size_t i = 0; i < count_; ++i) {
      numbers[row * count_ + i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(ranks[i]));
      dots[row * count_ + i] = dot_of(ranks[i]);
    }
  }
}

std::vector<std::uint32_t> probed_coarse_centroids(const ProbeJob& job, const CodesKernel& kernel, void* scratch) {
  const std::size_t n = job.codec.n_coarse_centroids, stride = job.bytes.stride, count = coarse_to_order(job);
  std::vector<std::uint8_t> bytes(job.bytes.bytes ? n * stride : 0);
  NearestRows nearest(kernel, job.query, count);
  nearest.see({job.codec.coarse_centroids, 0, n}, {job.bytes.weights, job.bytes.bytes ? bytes.data() : nullptr, stride}, scratch);
  std::vector<std::int32_t> ordered(job.query.q * count), dots(ordered.size());
  nearest.write(ordered.data(), dots.data());
  const std::vector<std::size_t> places = best_places(job, ordered, count);
  std::vector<std::uint32_t> probed;
  for (std::size_t i = 0; i < n; ++i) {
    if (places[i] < count) {
      probed.push_back(static_cast<std::uint32_t>(i));
    } else if (job.bytes.bytes) {
      copy_to_centroids(job, i, bytes.data() + i * stride);
    }
  }
  std::sort(probed.begin(), probed.end(),  // near ones first: they raise the thresholds early, in every query row
            [&](std::uint32_t a, std::uint32_t b) { return places[a] != places[b] ? places[a] < places[b] : a < b; });
  return probed;
}

}  // namespace polyvec
