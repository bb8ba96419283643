#include "kernels/candidate_generation.hpp"

#include <algorithm>

namespace polyvec {
namespace {

constexpr std::size_t kBlock = 64;                   // documents that share a flag
constexpr std::size_t kTile = std::size_t{1} << 16;  // documents at a time, so that their slots stay in the second-level cache
constexpr std::size_t kBins = 1 << 9, kBin = 1 << 7;  // scores of 16 bits: high part and low part
constexpr std::size_t kWays = 4;
constexpr std::size_t kPrefetchedLists = 4;

// Memory of one thread for one tile; all zeros between calls.
// A slot is a document's score, and above it the query row that updated it last, counted from 1.
thread_local std::vector<std::uint32_t> slots;
thread_local std::vector<std::uint8_t> touched;  // a flag for each block

struct ClearTileOnExit {
  ~ClearTileOnExit() {
    for (std::size_t block = 0; block < touched.size(); ++block) {
      if (!touched[block]) continue;
      std::fill_n(slots.begin() + static_cast<std::ptrdiff_t>(block * kBlock), kBlock, 0u);
      touched[block] = 0;
    }
  }
};

// A posting list, decoded up to `next`.
struct List {
  const std::uint8_t *next, *end;
  std::uint64_t document;  // the last one decoded
};

thread_local std::vector<List> lists;  // of a query, row after row

struct Tile {
  std::uint64_t first, last;  // its documents are [first, last)
  std::uint32_t* slots;       // of `first` and those that follow
  std::uint8_t* touched;
};

// Updates the documents of the tile that the list has. False where the list is damaged.
inline bool update(List& list, const Tile& tile, std::uint32_t query_row, std::uint32_t gain) {
  const std::uint8_t *at = list.next, *const end = list.end;
  std::uint64_t document = list.document;
  while (at < end) {
    // One byte or two without a branch, as which one it is cannot be predicted; long gaps and the last byte are rare.
    const std::uint8_t* next = at;
    std::uint64_t gap;
    if (end - at >= 2) {
      const std::uint64_t low = at[0], high = at[1], longer = low >> 7;
      gap = (low & 0x7f) | ((high & 0x7f) << 7 & (0 - longer));
      next += 1 + longer;
      if (longer & high >> 7) {
        for (unsigned shift = 14;; shift += 7) {
          if (next == end || shift > 42) return false;
          gap |= static_cast<std::uint64_t>(*next & 0x7f) << shift;
          if (!(*next++ & 0x80)) break;
        }
      }
    } else {
      gap = *next;
      if (*next++ & 0x80) return false;
    }
    if (document + gap >= tile.last) break;
    document += gap;
    at = next;
    const std::uint64_t place = document - tile.first;
    const std::uint32_t slot = tile.slots[place], fresh = (slot >> 16) != query_row;  // a row counts a document's first list only
    tile.slots[place] = (query_row << 16) | ((slot + (gain & (0 - fresh))) & 0xffff);
    tile.touched[place / kBlock] = 1;
  }
  list.next = at;
  list.document = document;
  return true;
}

// The candidates so far. They are counted by the high part of their scores, which gives a lower bound for the scores that can still
// be among the best.
class BestCandidates {
 public:
  BestCandidates(std::vector<Candidate>& memory, std::size_t limit) : memory_(memory), limit_(limit) {}

  // Takes the documents of a block, but for those below the bound: ties go to the lower document, and those came before.
  void take(const std::uint32_t* slot, std::size_t first, std::size_t count, const std::uint8_t* allowed) {
    const std::uint32_t bound = bin_ * kBin;
    std::uint32_t reached = bound == 0;
    for (std::size_t i = 0; i < count; ++i) reached |= static_cast<std::int32_t>(slot[i] & 0xffff) >= static_cast<std::int32_t>(bound);
    if (!reached) return;
    if (memory_.size() < count_ + kBlock) memory_.resize(2 * (count_ + kBlock));
    Candidate *const begin = memory_.data() + count_, *to = begin;
    for (std::size_t i = 0; i < count; ++i) {  // without branches: which ones stay cannot be predicted
      const std::uint32_t score = slot[i] & 0xffff;
      *to = {static_cast<std::uint32_t>(first + i), static_cast<std::uint16_t>(score)};
      to += static_cast<std::uint32_t>(score >= bound) & static_cast<std::uint32_t>(slot[i] != 0) & (allowed ? allowed[first + i] != 0 : 1u);
    }
    const auto more = static_cast<std::size_t>(to - begin);
    for (std::size_t i = 0; i < more; ++i) ++bins_[i % kWays][begin[i].score / kBin];
    count_ += more;
    over_ += more;
    for (std::size_t here; bin_ + 1 < kBins && over_ - (here = in_bin()) >= limit_; ++bin_) over_ -= here;
  }

  // Leaves the `limit` best, in order; returns how many. In the bin where the limit falls, the low parts of the scores decide, and
  // how many of the documents with exactly the last score stay.
  std::size_t select() {
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
    const std::size_t last_score = bin_ * kBin + part;
    std::size_t ties_left = limit_ - above, kept = 0;  // above: how many have a higher score
    for (std::size_t i = 0; i < n; ++i) {
      const bool ties = all[i].score == last_score && ties_left > 0;
      const bool stays = ties || all[i].score > last_score;
      ties_left -= ties;
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
  std::size_t over_ = 0;   // candidates from bin_ on
  std::uint32_t bin_ = 0;  // the lowest whose scores can be among the best
  std::uint32_t bins_[kWays][kBins] = {};  // several counts: neighbors often have the same score, and would wait for each other
};

// Fills `lists` with the posting lists of the probed centroids. False where a number is out of range.
bool open_lists(const CandidateGenerationJob& job) {
  const std::size_t count = job.q * job.nprobe;
  if (lists.size() < count) lists.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t centroid = job.centroids[i];
    if (centroid < 0 || static_cast<std::size_t>(centroid) >= job.postings.n_centroids) return false;
    const std::int64_t begin = job.postings.starts[centroid], end = job.postings.starts[centroid + 1];
    if (begin < 0 || end < begin || static_cast<std::size_t>(end) > job.postings.stream_size) return false;
    lists[i] = {job.postings.stream + begin, job.postings.stream + end, 0};
  }
  return true;
}

bool update_with_all_lists(const CandidateGenerationJob& job, const Tile& tile) {
  List* const list_of = lists.data();
  const std::size_t count = job.q * job.nprobe;
  for (std::size_t row = 0, i = 0; row < job.q; ++row) {
    for (std::size_t end = i + job.nprobe; i < end; ++i) {
      if (i + kPrefetchedLists < count) __builtin_prefetch(list_of[i + kPrefetchedLists].next);
      if (!update(list_of[i], tile, static_cast<std::uint32_t>(row + 1), job.gains[i])) return false;
    }
  }
  return true;
}

// Hands the touched blocks of a tile to `best`, and clears them.
void collect(const CandidateGenerationJob& job, const Tile& tile, std::size_t blocks, BestCandidates& best) {
  for (std::size_t block = 0; block < blocks; ++block) {
    if (!tile.touched[block]) continue;
    std::uint32_t* const slot = tile.slots + block * kBlock;
    const std::size_t first = tile.first + block * kBlock;
    best.take(slot, first, std::min<std::size_t>(kBlock, tile.last - first), job.allowed);
    std::fill_n(slot, kBlock, 0u);
    tile.touched[block] = 0;
  }
}

}  // namespace

bool generate_candidates(const CandidateGenerationJob& job, std::vector<Candidate>& best, std::size_t& found) {
  const std::size_t size = std::min(kTile, (job.n_documents + kBlock - 1) / kBlock * kBlock), blocks = size / kBlock;
  if (touched.size() < blocks) {
    slots.resize(size, 0);
    touched.resize(blocks, 0);
  }
  if (!open_lists(job)) return false;
  const ClearTileOnExit clear;
  BestCandidates selected(best, job.limit);
  for (std::size_t first = 0; first < job.n_documents; first += size) {
    const Tile tile{first, std::min(first + size, job.n_documents), slots.data(), touched.data()};
    if (!update_with_all_lists(job, tile)) return false;
    collect(job, tile, blocks, selected);
  }
  const auto count = static_cast<std::ptrdiff_t>(job.q * job.nprobe);
  if (std::any_of(lists.begin(), lists.begin() + count, [](const List& list) { return list.next != list.end; })) {
    return false;  // a document beyond the last
  }
  found = selected.select();
  return true;
}

}  // namespace polyvec
