#include "kernels/candidate_generation.hpp"

#include <algorithm>

namespace polyvec {
namespace {

constexpr std::size_t kBlock = 64;                 // documents that share a mark
constexpr std::size_t kTile = std::size_t{1} << 16;  // documents gathered at a time: their slots stay in the second-level cache
constexpr std::size_t kBins = 1 << 9, kBin = 1 << 7;  // scores of 16 bits: high part and low part
constexpr std::size_t kWays = 4;
constexpr std::size_t kAhead = 4;  // lists that are asked for early

// Memory of one thread, for a tile; all zeros between calls.
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

// A list of postings, and how far it was gone through.
struct List {
  const std::uint8_t *at, *stop;
  std::uint64_t document;  // the last one
};

thread_local std::vector<List> lists;  // of a query, row after row

// Visits the list's documents in [first, last): slots and marks begin with those of `first`. False where the list is damaged.
inline bool visit(List& list, std::uint64_t first, std::uint64_t last, std::uint32_t stamp, std::uint32_t gain, std::uint32_t* slots_of_tile,
                  std::uint8_t* marks) {
  const std::uint8_t *at = list.at, *const stop = list.stop;
  std::uint64_t document = list.document;
  while (at < stop) {
    // One byte or two, whichever it is without a branch; the rare long gaps and the last byte go another way.
    const std::uint8_t* next = at;
    std::uint64_t gap;
    if (stop - at >= 2) {
      const std::uint64_t low = at[0], high = at[1], longer = low >> 7;
      gap = (low & 0x7f) | ((high & 0x7f) << 7 & (0 - longer));
      next += 1 + longer;
      if (longer & high >> 7) {
        for (unsigned shift = 14;; shift += 7) {
          if (next == stop || shift > 42) return false;
          gap |= static_cast<std::uint64_t>(*next & 0x7f) << shift;
          if (!(*next++ & 0x80)) break;
        }
      }
    } else {
      gap = *next;
      if (*next++ & 0x80) return false;
    }
    if (document + gap >= last) break;
    document += gap;
    at = next;
    const std::uint64_t place = document - first;
    const std::uint32_t slot = slots_of_tile[place], fresh = (slot >> 16) != stamp;  // the second time in a row: nothing
    slots_of_tile[place] = (stamp << 16) | ((slot + (gain & (0 - fresh))) & 0xffff);
    marks[place / kBlock] = 1;
  }
  list.at = at;
  list.document = document;
  return true;
}

// The candidates so far, counted by the high part of their scores: that says from which score on another one may be among the best.
class Best {
 public:
  Best(std::vector<Candidate>& memory, std::size_t limit) : memory_(memory), limit_(limit) {}

  // Takes what a block's slots hold, unless as many with higher scores have come before: ties go to the lower document.
  void take(const std::uint32_t* slot, std::size_t first, std::size_t count, const std::uint8_t* allowed) {
    const std::uint32_t bar = bin_ * kBin;
    std::uint32_t reached = bar == 0;
    for (std::size_t i = 0; i < count; ++i) reached |= static_cast<std::int32_t>(slot[i] & 0xffff) >= static_cast<std::int32_t>(bar);
    if (!reached) return;
    if (memory_.size() < count_ + kBlock) memory_.resize(2 * (count_ + kBlock));
    Candidate *const begin = memory_.data() + count_, *to = begin;
    for (std::size_t i = 0; i < count; ++i) {  // no branches: which ones stay cannot be foreseen
      const std::uint32_t score = slot[i] & 0xffff;
      *to = {static_cast<std::uint32_t>(first + i), static_cast<std::uint16_t>(score)};
      to += static_cast<std::uint32_t>(score >= bar) & static_cast<std::uint32_t>(slot[i] != 0) & (allowed ? allowed[first + i] != 0 : 1u);
    }
    const auto more = static_cast<std::size_t>(to - begin);
    for (std::size_t i = 0; i < more; ++i) ++bins_[i % kWays][begin[i].score / kBin];
    count_ += more;
    over_ += more;
    for (std::size_t here; bin_ + 1 < kBins && over_ - (here = in_bin()) >= limit_; ++bin_) over_ -= here;
  }

  // Leaves the `limit` best, in order; returns how many. Of those in the bin where the limit falls the low part of their scores says from
  // which on, and how many of those that have just it.
  std::size_t keep() {
    std::uint32_t low[kBin] = {};
    Candidate* const all = memory_.data();
    std::size_t n = 0;
    for (std::size_t i = 0; i < count_; ++i) {
      all[n] = all[i];
      n += all[i].score >= bin_ * kBin;
    }
    if (n <= limit_) return n;
    for (std::size_t i = 0; i < n; ++i) low[all[i].score % kBin] += all[i].score / kBin == bin_;
    std::size_t above = over_ - in_bin(), part = kBin - 1;
    for (; above + low[part] < limit_; --part) above += low[part];
    const std::size_t least = bin_ * kBin + part;
    std::size_t room = limit_ - above, kept = 0;  // above: how many are better than `least`
    for (std::size_t i = 0; i < n; ++i) {
      const bool ties = all[i].score == least && room > 0;
      const bool stays = ties || all[i].score > least;
      room -= ties;
      all[kept] = all[i];
      kept += stays;
    }
    return kept;
  }

 private:
  std::size_t in_bin() const {
    std::size_t sum = 0;
    for (std::size_t way = 0; way < kWays; ++way) sum += bins_[way][bin_];
    return sum;
  }

  std::vector<Candidate>& memory_;
  std::size_t limit_, count_ = 0;
  std::size_t over_ = 0;  // candidates from bin_ on
  std::uint32_t bin_ = 0;
  std::uint32_t bins_[kWays][kBins] = {};  // several counts: neighbors often have the same score
};

}  // namespace

bool generate_candidates(const CandidateGenerationJob& job, std::vector<Candidate>& best, std::size_t& found) {
  const std::size_t tile = std::min(kTile, (job.documents + kBlock - 1) / kBlock * kBlock), blocks = tile / kBlock;
  if (visited.size() < blocks) {
    slots.resize(tile, 0);
    visited.resize(blocks, 0);
  }
  const std::size_t count = job.q * job.nprobe;
  if (lists.size() < count) lists.resize(count);
  List* const list_of = lists.data();
  std::uint32_t* const slot_of = slots.data();
  std::uint8_t* const marks = visited.data();
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t number = job.numbers[i];
    if (number < 0 || static_cast<std::size_t>(number) >= job.n_centroids) return false;
    const std::int64_t begin = job.starts[number], end = job.starts[number + 1];
    if (begin < 0 || end < begin || static_cast<std::size_t>(end) > job.stream_size) return false;
    list_of[i] = {job.stream + begin, job.stream + end, 0};
  }
  const Wipe wipe;
  Best kept(best, job.limit);
  for (std::size_t first = 0; first < job.documents; first += tile) {
    const std::size_t last = std::min(first + tile, job.documents);
    for (std::size_t row = 0, i = 0; row < job.q; ++row) {
      for (std::size_t end = i + job.nprobe; i < end; ++i) {
        if (i + kAhead < count) __builtin_prefetch(list_of[i + kAhead].at);
        if (!visit(list_of[i], first, last, static_cast<std::uint32_t>(row + 1), job.gains[i], slot_of, marks)) return false;
      }
    }
    for (std::size_t block = 0; block < blocks; ++block) {
      if (!marks[block]) continue;
      std::uint32_t* const slot = slot_of + block * kBlock;
      kept.take(slot, first + block * kBlock, std::min(kBlock, last - first - block * kBlock), job.allowed);
      std::fill_n(slot, kBlock, 0u);
      marks[block] = 0;
    }
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (list_of[i].at != list_of[i].stop) return false;  // beyond the last document
  }
  found = kept.keep();
  return true;
}

}  // namespace polyvec
