// The documents that are left of a search, of all its segments together, and what the last step scored them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

namespace polyvec {

struct BestDocuments {
  std::vector<std::int64_t> positions;  // segment after segment, ascending in each
  std::vector<double> scores;
  std::vector<std::size_t> ends;  // of each segment in the two above

  void clear() { positions.clear(), scores.clear(), ends.clear(); }

  void add(std::int64_t position, double score) {
    positions.push_back(position);
    scores.push_back(score);
  }
  void end_segment() { ends.push_back(positions.size()); }

  // Calls body(segment, first, count) for every segment that has documents; false from it ends the loop.
  template <class Body>
  void each_segment(const Body& body) const {
    for (std::size_t segment = 0, first = 0; segment < ends.size(); first = ends[segment++]) {
      if (ends[segment] > first && !body(segment, first, ends[segment] - first)) return;
    }
  }

  // Keeps the `count` best, ties to those that come first, as far as they are at most `margin` below the k-th best.
  void keep_best(std::size_t count, std::size_t k, double margin) {
    const Bounds bounds = bounds_of(count, k, margin);
    std::size_t to = 0, from = 0, ties = bounds.ties;
    for (std::size_t& end : ends) {
      for (; from < end; ++from) {
        const double score = scores[from];
        const bool tie = score == bounds.last && ties > 0;
        ties -= tie;
        if (score < bounds.lowest || !(score > bounds.last || tie)) continue;
        positions[to] = positions[from];
        scores[to++] = score;
      }
      end = to;
    }
    positions.resize(to);
    scores.resize(to);
  }

 private:
  static constexpr double kInfinity = std::numeric_limits<double>::infinity();

  struct Bounds {
    double last = -kInfinity;    // the score of the last of the `count` best
    std::size_t ties = 0;        // documents with exactly that score that stay
    double lowest = -kInfinity;  // the margin below the k-th best
  };

  Bounds bounds_of(std::size_t count, std::size_t k, double margin) {
    Bounds bounds;
    const std::size_t n = positions.size();
    const bool limited = n > count, bounded = n > k && margin < kInfinity;
    if (!limited && !bounded) return bounds;
    best_ = scores;
    if (limited) {
      bounds.last = best_score(count);
      best_.resize(count);
      bounds.ties = static_cast<std::size_t>(std::count(best_.begin(), best_.end(), bounds.last));
    }
    if (bounded) bounds.lowest = best_score(k) - margin;
    return bounds;
  }

  // The score of this rank, from 1; brings the best to the front.
  double best_score(std::size_t rank) {
    const auto at = best_.begin() + static_cast<std::ptrdiff_t>(rank - 1);
    std::nth_element(best_.begin(), at, best_.end(), std::greater<>());
    return *at;
  }

  std::vector<double> best_;  // scratch
};

}  // namespace polyvec
