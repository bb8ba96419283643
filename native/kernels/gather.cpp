#include "kernels/gather.hpp"

#include <algorithm>

namespace polyvec {
namespace {

constexpr std::size_t kBlock = 64;                 // documents that share a mark
constexpr std::size_t kBins = 1 << 9, kBin = 1 << 7;  // scores of 16 bits: high part and low part
constexpr std::size_t kWays = 4;

// Memory of one thread, as large as the largest segment it has searched; all zeros between calls.
// A slot: the query row that visited last, counted from 1, above the score.
thread_local std::vector<std::uint32_t> slots;
thread_local std::vector<std::uint8_t> visited;

struct Wipe {
  ~Wipe() {
    for (std::size_t block = 0; block < visited.size(); ++block) {
      if (!visited[block]) continue;
      std::fill_n(slots.begin() + static_cast<std::ptrdiff_t>(block * kBlock), kBlock, 0u);
      visited[block] = 0;
    }
  }
};

// Leaves the `limit` best of `n`, in order; returns how many. Scores are counted by their high part; those in the part where the limit
// falls by their low part, which says from which score on, and how many of those that have just it.
std::size_t keep_best(Candidate* found, std::size_t n, std::size_t limit) {
  if (n <= limit) return n;
  std::uint32_t high[kWays][kBins] = {}, low[kBin] = {};  // several counts: neighbours often have the same score
  for (std::size_t i = 0; i < n; ++i) ++high[i % kWays][found[i].score / kBin];
  std::size_t above = 0, bin = kBins, kept = 0;
  while (above < limit) {
    --bin;
    std::size_t here = 0;
    for (std::size_t way = 0; way < kWays; ++way) here += high[way][bin];
    if (above + here >= limit) break;
    above += here;
  }
  for (std::size_t i = 0; i < n; ++i) {
    found[kept] = found[i];
    kept += found[i].score / kBin >= bin;
  }
  for (std::size_t i = 0; i < kept; ++i) low[found[i].score % kBin] += found[i].score / kBin == bin;
  std::size_t part = kBin - 1;
  for (; above + low[part] < limit; --part) above += low[part];
  const std::size_t least = bin * kBin + part;
  std::size_t room = limit - above;  // above: how many are better than `least`
  n = kept, kept = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const bool ties = found[i].score == least && room > 0;
    const bool stays = ties || found[i].score > least;
    room -= ties;
    found[kept] = found[i];
    kept += stays;
  }
  return kept;
}

}  // namespace

bool gather(const GatherJob& job, std::vector<Candidate>& best, std::size_t& found) {
  const std::size_t blocks = (job.documents + kBlock - 1) / kBlock;
  if (visited.size() < blocks) {
    slots.resize(blocks * kBlock, 0);
    visited.resize(blocks, 0);
  }
  const Wipe wipe;
  std::uint32_t* const slot_of = slots.data();
  std::uint8_t* const marks = visited.data();
  const std::uint8_t* const allowed = job.allowed;
  for (std::size_t row = 0; row < job.q; ++row) {
    const auto stamp = static_cast<std::uint32_t>(row + 1);
    for (std::size_t i = 0; i < job.nprobe; ++i) {
      const std::int64_t number = job.numbers[row * job.nprobe + i];
      if (number < 0 || static_cast<std::size_t>(number) >= job.n_centroids) return false;
      const std::int64_t begin = job.starts[number], end = job.starts[number + 1];
      if (begin < 0 || end < begin || static_cast<std::size_t>(end) > job.stream_size) return false;
      const std::uint32_t gain = job.gains[row * job.nprobe + i];
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
        const std::uint32_t slot = slot_of[document], fresh = (slot >> 16) != stamp;  // the second time in a row: nothing
        slot_of[document] = (stamp << 16) | ((slot + (gain & (0 - fresh))) & 0xffff);
        marks[document / kBlock] = 1;
      }
    }
  }
  if (best.size() < job.documents + 1) best.resize(job.documents + 1);
  Candidate* to = best.data();
  for (std::size_t block = 0; block < blocks; ++block) {
    if (!marks[block]) continue;
    const std::size_t last = std::min((block + 1) * kBlock, job.documents);
    for (std::size_t document = block * kBlock; document < last; ++document) {
      const std::uint32_t slot = slot_of[document];
      *to = {static_cast<std::uint32_t>(document), static_cast<std::uint16_t>(slot & 0xffff)};
      to += slot != 0 && (!allowed || allowed[document]);
    }
  }
  found = keep_best(best.data(), static_cast<std::size_t>(to - best.data()), job.limit);
  return true;
}

}  // namespace polyvec
