#include "kernels/gather.hpp"

#include <algorithm>

namespace polyvec {
namespace {

struct Slot {
  float score;
  std::uint32_t row;  // the query row that visited last, counted from 1; 0 for none
};

// Memory of one thread, as large as the largest segment it has searched; all zeros between calls.
thread_local std::vector<Slot> slots;
thread_local std::vector<std::uint32_t> touched;  // room for all documents and one more

struct Clean {
  std::size_t count = 0;
  ~Clean() {
    for (std::size_t i = 0; i < count; ++i) slots[touched[i]] = Slot{0, 0};
  }
};

bool better(const Candidate& a, const Candidate& b) { return a.score != b.score ? a.score > b.score : a.document < b.document; }

// The smallest score that a candidate among the best `limit` may have, from a histogram: no more than a few too many pass.
float threshold(const std::vector<Candidate>& found, std::size_t limit) {
  constexpr std::size_t bins = 2048;
  float low = found[0].score, high = low;
  for (const Candidate& one : found) low = std::min(low, one.score), high = std::max(high, one.score);
  if (!(high > low)) return low;
  const float scale = static_cast<float>(bins - 1) / (high - low);
  std::uint32_t counts[bins] = {};
  for (const Candidate& one : found) ++counts[static_cast<std::size_t>((one.score - low) * scale)];
  std::size_t above = 0, bin = bins;
  while (bin > 0 && above < limit) above += counts[--bin];
  float least = high;  // the lowest score in the bins that are needed: binning is monotone, so none above it is lost
  for (const Candidate& one : found) {
    if (static_cast<std::size_t>((one.score - low) * scale) >= bin) least = std::min(least, one.score);
  }
  return least;
}

}  // namespace

bool gather(const GatherJob& job, std::vector<Candidate>& best) {
  if (slots.size() < job.documents) {
    slots.resize(job.documents, Slot{0, 0});
    touched.resize(job.documents + 1);
  }
  Clean clean;
  Slot* const slot_of = slots.data();
  std::uint32_t* const found = touched.data();
  std::size_t& n_found = clean.count;
  float base = 0;
  for (std::size_t row = 0; row < job.q; ++row) base += job.missing[row];
  for (std::size_t row = 0; row < job.q; ++row) {
    const std::uint32_t stamp = static_cast<std::uint32_t>(row + 1);
    for (std::size_t i = 0; i < job.nprobe; ++i) {
      const std::int64_t number = job.numbers[row * job.nprobe + i];
      if (number < 0 || static_cast<std::size_t>(number) >= job.n_centroids) return false;
      const std::int64_t begin = job.starts[number], end = job.starts[number + 1];
      if (begin < 0 || end < begin || static_cast<std::size_t>(end) > job.stream_size) return false;
      const float gains[2] = {job.values[row * job.nprobe + i] - job.missing[row], 0.0f};  // the second time in a row: nothing
      const std::uint8_t *at = job.stream + begin, *const stop = job.stream + end;
      std::uint64_t document = 0;
      while (at < stop) {
        // One byte or two, whichever it is without a branch; the rare long gaps and the last byte go another way.
        std::uint64_t gap;
        if (stop - at >= 2) {
          const std::uint64_t low = at[0], high = at[1], longer = low >> 7;
          gap = (low & 0x7f) | ((high & 0x7f) << 7 & (0 - longer));
          at += 1 + longer;
          if (longer & high >> 7) {
            for (unsigned shift = 14;; shift += 7) {
              if (at == stop || shift > 42) return false;
              gap |= static_cast<std::uint64_t>(*at & 0x7f) << shift;
              if (!(*at++ & 0x80)) break;
            }
          }
        } else {
          gap = *at;
          if (*at++ & 0x80) return false;
        }
        document += gap;
        if (document >= job.documents) return false;
        Slot& slot = slot_of[document];
        found[n_found] = static_cast<std::uint32_t>(document);
        n_found += slot.row == 0;
        slot.score += gains[slot.row == stamp];
        slot.row = stamp;
      }
    }
  }
  best.clear();
  best.reserve(n_found);
  for (std::size_t i = 0; i < n_found; ++i) {
    const std::uint32_t document = found[i];
    if (!job.allowed || job.allowed[document]) best.push_back({document, base + slot_of[document].score});
  }
  if (best.size() > job.limit) {
    const float least = threshold(best, job.limit);
    best.erase(std::remove_if(best.begin(), best.end(), [&](const Candidate& one) { return one.score < least; }), best.end());
    if (best.size() > job.limit) {
      std::nth_element(best.begin(), best.begin() + job.limit, best.end(), better);
      best.resize(job.limit);
    }
  }
  std::sort(best.begin(), best.end(), [](const Candidate& a, const Candidate& b) { return a.document < b.document; });
  return true;
}

}  // namespace polyvec
