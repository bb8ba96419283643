#include "candidates.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <limits>

#include "kernels/candidate_generation.hpp"
#include "memory.hpp"
#include "parallel.hpp"

namespace polyvec {
namespace {

constexpr std::size_t kScoredAtOnce = 16, kLookedAtOnce = 64, kParentsAtOnce = 8;
// What keeps a thread busy for longer than waking it takes.
constexpr std::size_t kScoredAThread = 32, kLookedAThread = 128, kInteractedAThread = 512, kParentsAThread = 64;
constexpr double kByte = 255;        // the byte of a cosine of 1
constexpr double kLeast = 1e-30;     // below it, a length counts as none
constexpr double kMostGain = 65535 * 0.999;
constexpr std::size_t kKeptBytes = std::size_t{1} << 24;  // a table that a thread keeps, at most: 65,536 centroids and 256 query rows

// What is known after probing.
struct Probed {
  std::vector<double> norms;          // of the query's rows
  std::vector<std::int32_t> numbers;  // (q, nprobe)
  std::vector<std::uint16_t> gains;   // (q, nprobe), what gathering adds over what is missing
  double gain;                        // what a unit of them is worth
  double unit;                        // what a byte of the table is worth
  std::vector<float> least;           // (q,), of look
  double doubling;                    // what twice the length takes from a document's order, in the table's bytes
};

// Documents of all segments, one segment after another, and what the last step says of them.
struct Documents {
  std::vector<std::int64_t> positions;
  std::vector<double> scores;
  std::vector<std::size_t> ends;  // of each segment
  std::vector<double> best;       // scratch

  void clear() { positions.clear(), scores.clear(), ends.clear(); }

  template <class Body>
  bool each_segment(const Body& body) const {  // body(segment, first, count): false ends it
    for (std::size_t segment = 0, first = 0; segment < ends.size(); first = ends[segment++]) {
      if (ends[segment] > first && !body(segment, first, ends[segment] - first)) return false;
    }
    return true;
  }

  // Keeps the `count` best, ties to those that come first, as far as they are `within` the k-th best's.
  void keep_best(std::size_t count, std::size_t k, double within) {
    const double infinity = std::numeric_limits<double>::infinity();
    const std::size_t n = positions.size();
    const bool far = n > k && within < infinity;
    best.clear();
    if (n > count || far) best = scores;
    const auto cut = [&](std::size_t place) {  // brings the best to the front; the score of the last of them
      const auto last = best.begin() + static_cast<std::ptrdiff_t>(place - 1);
      std::nth_element(best.begin(), last, best.end(), std::greater<>());
      return *last;
    };
    double last = -infinity, least = -infinity;
    std::size_t ties = 0;  // of those with just the score `last`, how many stay
    if (n > count) {
      last = cut(count);
      best.resize(count);
      ties = static_cast<std::size_t>(std::count(best.begin(), best.end(), last));
    }
    if (far) least = cut(k) - within;
    std::size_t to = 0, from = 0;
    for (std::size_t& end : ends) {
      for (; from < end; ++from) {
        const double score = scores[from];
        const bool tie = score == last && ties > 0;
        ties -= tie;
        if (score < least || !(score > last || tie)) continue;
        positions[to] = positions[from];
        scores[to++] = score;
      }
      end = to;
    }
    positions.resize(to);
    scores.resize(to);
  }
};

// What a thread keeps from query to query, as fresh pages are dear.
struct Kept {
  std::vector<std::uint8_t> table, marked;
  std::vector<Candidate> generated;
  Documents documents;
  std::vector<std::int32_t> sums;
  std::vector<float> looks;
};

// log2, along straight lines between powers of two: the same bits on every machine. At least 1 counts.
double doublings(std::int64_t length) {
  int exponent;
  const double mantissa = std::frexp(static_cast<double>(std::max<std::int64_t>(length, 1)), &exponent);
  return exponent - 2 + 2 * mantissa;
}

Probed probe(const CodesKernel& kernel, const CodecView& codec, const QueryView& query, const Narrowing& narrowing, std::size_t width,
             std::size_t threads, Kept& kept) {
  const std::size_t q = query.q, nprobe = narrowing.nprobe;
  Probed found{std::vector<double>(q), std::vector<std::int32_t>(q * nprobe), std::vector<std::uint16_t>(q * nprobe), 0, 0,
               std::vector<float>(q), 0};
  double largest = kLeast, sum = 0;
  for (std::size_t i = 0; i < q; ++i) {
    std::int64_t square = 0;
    for (std::size_t k = 0; k < codec.p; ++k) square += query.rows[i * codec.p + k] * query.rows[i * codec.p + k];
    found.norms[i] = std::sqrt(static_cast<double>(square)) * query.scales[i];
    largest = std::max(largest, found.norms[i]);
    sum += found.norms[i];
  }
  found.unit = largest / kByte;
  found.doubling = narrowing.doubling * kByte * sum / largest;
  std::vector<std::int32_t> worth(q), dots(q * nprobe);
  for (std::size_t i = 0; i < q; ++i) {
    worth[i] = static_cast<std::int32_t>(std::nearbyint(query.scales[i] * (codec.step / found.unit * 65536)));
  }
  if (kept.table.size() < codec.n_centroids * width) kept.table.resize(codec.n_centroids * width);
  kept.marked.resize(codec.n_centroids);
  const ProbeJob job{nullptr, q, codec.p, codec.coarse_centroids, codec.coarse_offsets, codec.n_coarse_centroids, codec.directions, nprobe,
                     narrowing.coarse_probe, Table{worth.data(), kept.table.data(), width}};
  probe_all(kernel, query.rows, job, threads, found.numbers.data(), dots.data());
  std::vector<std::uint8_t> reach(width, 255);  // bytes beyond the query's rows are 0
  std::vector<double> over(q * nprobe);
  double most = 0;
  for (std::size_t i = 0; i < q; ++i) {
    const double last = dots[(i + 1) * nprobe - 1] * codec.step, worst = last * query.scales[i];
    reach[i] = static_cast<std::uint8_t>(std::min(std::max(std::ceil(worst * (narrowing.near / found.unit)), 1.0), 255.0));
    found.least[i] = static_cast<float>(last * (narrowing.near * narrowing.least));
    const double missing = worst - (1 - narrowing.missing) * std::abs(worst);
    for (std::size_t j = 0; j < nprobe; ++j) over[i * nprobe + j] = dots[i * nprobe + j] * codec.step * query.scales[i] - missing;
    most += over[i * nprobe];
  }
  found.gain = std::max(most, kLeast) / kMostGain;
  for (std::size_t i = 0; i < over.size(); ++i) found.gains[i] = static_cast<std::uint16_t>(over[i] / found.gain);
  kernel.mark(kept.table.data(), reach.data(), codec.n_centroids, width, kept.marked.data());
  return found;
}

}  // namespace

std::size_t find_candidates(const CodesKernel& kernel, const CodecView& codec, const QueryView& query, const Narrowing& narrowing,
                            const std::vector<SegmentView>& segments, std::size_t threads, std::vector<std::vector<std::int64_t>>& kept) {
  thread_local Kept memory;
  const std::size_t width = (query.q + kTableLanes - 1) / kTableLanes * kTableLanes;
  const Probed probed = probe(kernel, codec, query, narrowing, width, threads, memory);
  double squares = 0;
  for (const double norm : probed.norms) squares += norm * norm;
  const double spread = std::sqrt(squares * 128 / static_cast<double>(codec.dim));
  std::size_t damaged = kNoDamage;

  Documents& documents = memory.documents;
  documents.clear();
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const SegmentView& segment = segments[i];
    std::size_t found = 0;
    const CandidateGenerationJob job{probed.numbers.data(), probed.gains.data(), query.q, narrowing.nprobe, segment.stream, segment.stream_size,
                        segment.starts, codec.n_centroids, segment.documents, segment.allowed, narrowing.generated};
    if (!generate_candidates(job, memory.generated, found)) return i;
    for (std::size_t j = 0; j < found; ++j) {
      documents.positions.push_back(memory.generated[j].document);
      documents.scores.push_back(memory.generated[j].score);
    }
    documents.ends.push_back(documents.positions.size());
  }
  documents.keep_best(narrowing.generated, narrowing.k, narrowing.generated_within * spread / probed.gain);

  std::vector<std::int32_t>& sums = memory.sums;
  sums.resize(documents.positions.size());
  const bool interacted = documents.each_segment([&](std::size_t i, std::size_t first, std::size_t count) {
    const SegmentView& segment = segments[i];
    const CentroidInteractionJob job{memory.table.data(), codec.n_centroids, width, segment.codes, segment.code_bytes, segment.offsets,
                          segment.tokens, segment.documents, documents.positions.data() + first, sums.data() + first};
    if (!centroid_interaction_all(kernel, job, count, threads)) damaged = i;
    for (std::size_t j = first; j < first + count && damaged == kNoDamage; ++j) {
      const std::int64_t* const at = segment.offsets + documents.positions[j];
      documents.scores[j] = sums[j] - probed.doubling * doublings(at[1] - at[0]);
    }
    return damaged == kNoDamage;
  });
  if (!interacted) return damaged;
  if (memory.table.size() > kKeptBytes) std::vector<std::uint8_t>().swap(memory.table);
  documents.keep_best(narrowing.approximately_scored, narrowing.k, narrowing.ordered_within * spread / probed.unit);

  std::vector<float>& looks = memory.looks;
  looks.resize(documents.positions.size());
  const bool approximately_scored = documents.each_segment([&](std::size_t i, std::size_t first, std::size_t count) {
    const SegmentView& segment = segments[i];
    const CodedJob job{nullptr, query.scales, query.q, codec.p, codec.centroids, codec.n_centroids, codec.levels, segment.codes,
                       segment.code_bytes, segment.scales, segment.packed, segment.offsets, segment.tokens, segment.documents,
                       documents.positions.data() + first, codec.nbits, looks.data() + first, memory.marked.data(), probed.least.data()};
    if (!score_all(kernel, query.rows, job, count, threads)) damaged = i;
    return damaged == kNoDamage;
  });
  if (!approximately_scored) return damaged;
  std::copy(looks.begin(), looks.end(), documents.scores.begin());
  documents.keep_best(narrowing.scored, narrowing.k, narrowing.approximately_scored_within * spread);

  kept.assign(segments.size(), {});
  documents.each_segment([&](std::size_t i, std::size_t first, std::size_t count) {
    const auto begin = documents.positions.begin() + static_cast<std::ptrdiff_t>(first);
    kept[i].assign(begin, begin + static_cast<std::ptrdiff_t>(count));
    return true;
  });
  return kNoDamage;
}

void probe_all(const CodesKernel& kernel, const std::int8_t* query, ProbeJob job, std::size_t threads, std::int32_t* numbers,
               std::int32_t* dots) {
  const std::size_t packed_size = whole_lines(kernel.packed_bytes(job.q, job.p)), scratch_size = whole_lines(kernel.scratch_bytes(job.q, job.p));
  threads = useful_threads(job.n_coarse_centroids, kParentsAThread, threads);
  Memory memory(packed_size + threads * scratch_size);
  char* const packed = memory.begin();
  kernel.pack(query, job.q, job.p, packed);
  job.query = packed;
  const std::vector<std::uint32_t> chosen = coarse_centroids_to_probe(job, kernel, packed + packed_size);
  std::vector<Nearest> nearest(threads, Nearest(job.q, job.nprobe));
  parallel_for(chosen.size(), kParentsAtOnce, threads, [&](std::size_t thread, std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const auto first = static_cast<std::size_t>(job.coarse_offsets[chosen[i]]), last = static_cast<std::size_t>(job.coarse_offsets[chosen[i] + 1]);
      nearest[thread].see(kernel, packed, job.p, job.centroids + first * job.p, first, last - first, job.table,
                          packed + packed_size + thread * scratch_size);
    }
  });
  for (std::size_t thread = 1; thread < threads; ++thread) nearest[0].see_all_of(nearest[thread]);
  nearest[0].write(numbers, dots);
}

bool score_all(const CodesKernel& kernel, const std::int8_t* query, CodedJob job, std::size_t count, std::size_t threads) {
  const std::size_t at_once = job.marked ? kLookedAtOnce : kScoredAtOnce;
  const std::size_t packed_size = whole_lines(kernel.packed_bytes(job.q, job.p)), scratch_size = whole_lines(kernel.scratch_bytes(job.q, job.p));
  threads = useful_threads(count, job.marked ? kLookedAThread : kScoredAThread, threads);
  Memory memory(packed_size + threads * scratch_size);
  char* const packed = memory.begin();
  kernel.pack(query, job.q, job.p, packed);
  job.query = packed;
  const auto run = job.marked ? kernel.approximate_scores : kernel.score;
  std::atomic<bool> sound{true};
  parallel_for(count, at_once, threads, [&](std::size_t thread, std::size_t begin, std::size_t end) {
    if (!run(job, begin, end, packed + packed_size + thread * scratch_size)) sound = false;
  });
  return sound;
}

bool centroid_interaction_all(const CodesKernel& kernel, const CentroidInteractionJob& job, std::size_t count, std::size_t threads) {
  std::atomic<bool> sound{true};
  parallel_for(count, kLookedAtOnce, useful_threads(count, kInteractedAThread, threads), [&](std::size_t, std::size_t begin, std::size_t end) {
    if (!kernel.centroid_interaction(job, begin, end)) sound = false;
  });
  return sound;
}

}  // namespace polyvec
