#include "candidates.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "best_documents.hpp"
#include "kernels/candidate_generation.hpp"
#include "kernels/probe.hpp"
#include "parallel.hpp"
#include "prepared_query.hpp"

namespace polyvec {
namespace {

// Items of a loop that a thread takes at a time, and that make it worth waking one.
struct Share {
  std::size_t at_once, worth_a_thread;
};
constexpr Share kFullScores{16, 32}, kApproximateScores{64, 128}, kInteractions{64, 512}, kCoarseCentroids{8, 64};

constexpr double kByte = 255;             // the byte of a cosine of 1
constexpr double kSmallest = 1e-30;       // shorter rows count as zeros
constexpr double kLargestGain = 65535 * 0.999;
constexpr std::size_t kKeptBytes = std::size_t{1} << 24;  // a table that a thread keeps, at most: 65,536 centroids and 256 query rows

// Memory that a thread keeps from query to query, since fresh pages cost time.
struct Workspace {
  std::vector<std::uint8_t> table, near;
  std::vector<Candidate> generated;
  BestDocuments documents;
  std::vector<std::int32_t> sums;
  std::vector<float> approximate_scores;
};

struct QueryNorms {
  double largest = kSmallest, sum = 0;  // of the lengths of rows
  double spread;  // the root of the summed squares, at 128 dimensions: the unit of margins
};

struct ProbedCentroids {
  std::vector<std::int32_t> numbers, dots;  // (q, nprobe), best first
  CentroidScores scores;                    // of all centroids
  double byte_unit;                         // value of one unit of their bytes
};

struct Gains {
  std::vector<std::uint16_t> values;  // (q, nprobe): what a probed centroid gives over the imputed score
  double unit;                        // value of one unit of them
};

QueryNorms norms_of(const QueryView& query, std::size_t dim) {
  QueryNorms norms;
  double squares = 0;
  for (std::size_t i = 0; i < query.q; ++i) {
    std::int64_t square = 0;
    for (std::size_t k = 0; k < query.p; ++k) square += query.rows[i * query.p + k] * query.rows[i * query.p + k];
    const double norm = std::sqrt(static_cast<double>(square)) * query.scales[i];
    norms.largest = std::max(norms.largest, norm);
    norms.sum += norm;
    squares += norm * norm;
  }
  norms.spread = std::sqrt(squares * 128 / static_cast<double>(dim));
  return norms;
}

// The best centroids of each query row, over threads that each take some coarse centroids.
void probe_on_threads(const CandidateSearch& search, PreparedQuery& query, const ScoreBytes& bytes, ProbedCentroids& probed) {
  const CodecView& codec = search.codec;
  const ProbeJob job{query.packed(), codec, search.narrowing.nprobe, search.narrowing.coarse_nprobe, bytes};
  const std::size_t threads = useful_threads(codec.n_coarse_centroids, kCoarseCentroids.worth_a_thread, search.threads);
  const std::vector<std::uint32_t> coarse = probed_coarse_centroids(job, search.kernel, query.scratch(0));
  std::vector<NearestRows> nearest(threads, NearestRows(search.kernel, query.packed(), job.nprobe));
  parallel_for(coarse.size(), kCoarseCentroids.at_once, threads, [&](std::size_t thread, std::size_t begin, std::size_t end) noexcept {
    for (std::size_t i = begin; i < end; ++i) {
      const auto first = static_cast<std::size_t>(codec.coarse_offsets[coarse[i]]);
      const auto last = static_cast<std::size_t>(codec.coarse_offsets[coarse[i] + 1]);
      nearest[thread].see({codec.directions + first * codec.p, first, last - first}, bytes, query.scratch(thread));
    }
  });
  for (std::size_t thread = 1; thread < threads; ++thread) nearest[0].merge(nearest[thread]);
  nearest[0].write(probed.numbers.data(), probed.dots.data());
}

ProbedCentroids probe(const CandidateSearch& search, const QueryNorms& norms, PreparedQuery& prepared, Workspace& memory) {
  const QueryView& query = search.query;
  const std::size_t q = query.q, count = q * search.narrowing.nprobe;
  const std::size_t stride = (q + kTableLanes - 1) / kTableLanes * kTableLanes;
  if (memory.table.size() < search.codec.n_centroids * stride) memory.table.resize(search.codec.n_centroids * stride);
  ProbedCentroids probed{std::vector<std::int32_t>(count), std::vector<std::int32_t>(count),
                         {memory.table.data(), search.codec.n_centroids, stride}, norms.largest / kByte};
  std::vector<std::int32_t> weights(q);
  for (std::size_t i = 0; i < q; ++i) {
    weights[i] = static_cast<std::int32_t>(std::nearbyint(query.scales[i] * (search.codec.step / probed.byte_unit * 65536)));
  }
  probe_on_threads(search, prepared, {weights.data(), memory.table.data(), stride}, probed);
  return probed;
}

// The dot product of a query row, in its own units, with the last of its probed centroids.
double last_dot(const CandidateSearch& search, const ProbedCentroids& probed, std::size_t row) {
  return probed.dots[(row + 1) * search.narrowing.nprobe - 1] * search.codec.step;
}

// Marks the centroids near to some query row, and returns the imputed dot of each row, (q,), for approximate scores.
std::vector<float> mark_near_centroids(const CandidateSearch& search, const ProbedCentroids& probed, Workspace& memory) {
  const Narrowing& narrowing = search.narrowing;
  std::vector<std::uint8_t> thresholds(probed.scores.stride, 255);  // bytes beyond the query's rows are 0
  std::vector<float> imputed(search.query.q);
  for (std::size_t i = 0; i < search.query.q; ++i) {
    const double last = last_dot(search, probed, i), score = last * search.query.scales[i];
    thresholds[i] = static_cast<std::uint8_t>(std::min(std::max(std::ceil(score * (narrowing.near / probed.byte_unit)), 1.0), 255.0));
    imputed[i] = static_cast<float>(last * (narrowing.near * narrowing.approximate_imputed));
  }
  memory.near.resize(search.codec.n_centroids);
  search.kernel.mark_near(probed.scores, thresholds.data(), memory.near.data());
  return imputed;
}

Gains gains_of(const CandidateSearch& search, const ProbedCentroids& probed) {
  const std::size_t q = search.query.q, nprobe = search.narrowing.nprobe;
  std::vector<double> over(q * nprobe);  // the imputed score
  double largest = 0;
  for (std::size_t i = 0; i < q; ++i) {
    const double scale = search.query.scales[i], last = last_dot(search, probed, i) * scale;
    const double imputed = last - (1 - search.narrowing.generation_imputed) * std::abs(last);
    for (std::size_t j = 0; j < nprobe; ++j) over[i * nprobe + j] = probed.dots[i * nprobe + j] * search.codec.step * scale - imputed;
    largest += over[i * nprobe];
  }
  Gains gains{std::vector<std::uint16_t>(q * nprobe), std::max(largest, kSmallest) / kLargestGain};
  for (std::size_t i = 0; i < over.size(); ++i) gains.values[i] = static_cast<std::uint16_t>(over[i] / gains.unit);
  return gains;
}

// Each step below scores the documents that are left and returns the first damaged segment, or kNoDamage.

std::size_t generate(const CandidateSearch& search, const ProbedCentroids& probed, const Gains& gains, Workspace& memory) {
  memory.documents.clear();
  for (std::size_t i = 0; i < search.segments.size(); ++i) {
    const SearchedSegment& segment = search.segments[i];
    const CandidateGenerationJob job{.centroids = probed.numbers.data(),
                                     .gains = gains.values.data(),
                                     .q = search.query.q,
                                     .nprobe = search.narrowing.nprobe,
                                     .postings = segment.postings,
                                     .n_documents = segment.tokens.n_documents,
                                     .allowed = segment.allowed,
                                     .limit = search.narrowing.generated};
    std::size_t found = 0;
    if (!generate_candidates(job, memory.generated, found)) return i;
    for (std::size_t j = 0; j < found; ++j) memory.documents.add(memory.generated[j].document, memory.generated[j].score);
    memory.documents.end_segment();
  }
  return kNoDamage;
}

// log2, along straight lines between powers of two: the same bits on every machine. At least 1 counts.
double doublings(std::int64_t length) {
  int exponent;
  const double mantissa = std::frexp(static_cast<double>(std::max<std::int64_t>(length, 1)), &exponent);
  return exponent - 2 + 2 * mantissa;
}

// Centroid interaction, less a penalty for length: a long document has many centroids, and some come near by chance.
std::size_t score_by_centroid_interaction(const CandidateSearch& search, const QueryNorms& norms, const ProbedCentroids& probed,
                                          Workspace& memory) {
  BestDocuments& documents = memory.documents;
  const double penalty = search.narrowing.length_penalty * kByte * norms.sum / norms.largest;
  std::size_t damaged = kNoDamage;
  memory.sums.resize(documents.positions.size());
  documents.each_segment([&](std::size_t i, std::size_t first, std::size_t count) {
    const SegmentView& segment = search.segments[i].tokens;
    const CentroidInteractionJob job{probed.scores, segment, documents.positions.data() + first, memory.sums.data() + first};
    const std::size_t threads = useful_threads(count, kInteractions.worth_a_thread, search.threads);
    std::atomic<bool> sound{true};
    parallel_for(count, kInteractions.at_once, threads, [&](std::size_t, std::size_t begin, std::size_t end) noexcept {
      if (!search.kernel.centroid_interaction(job, begin, end)) sound = false;
    });
    if (!sound) {
      damaged = i;
      return false;
    }
    for (std::size_t j = first; j < first + count; ++j) {
      const std::int64_t* const tokens = segment.offsets + documents.positions[j];
      documents.scores[j] = memory.sums[j] - penalty * doublings(tokens[1] - tokens[0]);
    }
    return true;
  });
  return damaged;
}

std::size_t score_approximately(const CandidateSearch& search, const std::vector<float>& imputed, PreparedQuery& query, Workspace& memory) {
  BestDocuments& documents = memory.documents;
  std::vector<float>& scores = memory.approximate_scores;
  const Approximation approximation{memory.near.data(), imputed.data()};
  std::size_t damaged = kNoDamage;
  scores.resize(documents.positions.size());
  documents.each_segment([&](std::size_t i, std::size_t first, std::size_t count) {
    const ScoreJob job{query.packed(), search.codec, search.segments[i].tokens, documents.positions.data() + first, scores.data() + first};
    const std::size_t threads = useful_threads(count, kApproximateScores.worth_a_thread, search.threads);
    std::atomic<bool> sound{true};
    parallel_for(count, kApproximateScores.at_once, threads, [&](std::size_t thread, std::size_t begin, std::size_t end) noexcept {
      if (!search.kernel.approximate_scores(job, approximation, begin, end, query.scratch(thread))) sound = false;
    });
    if (!sound) damaged = i;
    return damaged == kNoDamage;
  });
  std::copy(scores.begin(), scores.end(), documents.scores.begin());
  return damaged;
}

std::vector<std::vector<std::int64_t>> by_segment(const BestDocuments& documents, std::size_t segments) {
  std::vector<std::vector<std::int64_t>> positions(segments);
  documents.each_segment([&](std::size_t i, std::size_t first, std::size_t count) {
    const auto begin = documents.positions.begin() + static_cast<std::ptrdiff_t>(first);
    positions[i].assign(begin, begin + static_cast<std::ptrdiff_t>(count));
    return true;
  });
  return positions;
}

}  // namespace

std::size_t find_candidates(const CandidateSearch& search, std::vector<std::vector<std::int64_t>>& positions) {
  thread_local Workspace memory;
  const Narrowing& narrowing = search.narrowing;
  const QueryNorms norms = norms_of(search.query, search.codec.dim);
  PreparedQuery query(search.kernel, search.query, std::max<std::size_t>(search.threads, 1));
  const ProbedCentroids probed = probe(search, norms, query, memory);
  const std::vector<float> imputed = mark_near_centroids(search, probed, memory);
  const Gains gains = gains_of(search, probed);

  std::size_t damaged = generate(search, probed, gains, memory);
  if (damaged != kNoDamage) return damaged;
  memory.documents.keep_best(narrowing.generated, narrowing.k, narrowing.generation_margin * norms.spread / gains.unit);

  damaged = score_by_centroid_interaction(search, norms, probed, memory);
  if (damaged != kNoDamage) return damaged;
  memory.documents.keep_best(narrowing.approximately_scored, narrowing.k, narrowing.interaction_margin * norms.spread / probed.byte_unit);
  if (memory.table.size() > kKeptBytes) std::vector<std::uint8_t>().swap(memory.table);

  damaged = score_approximately(search, imputed, query, memory);
  if (damaged != kNoDamage) return damaged;
  memory.documents.keep_best(narrowing.fully_scored, narrowing.k, narrowing.approximate_margin * norms.spread);

  positions = by_segment(memory.documents, search.segments.size());
  return kNoDamage;
}

bool full_scores(const FullScoring& scoring, float* scores) {
  const std::size_t threads = useful_threads(scoring.count, kFullScores.worth_a_thread, scoring.threads);
  PreparedQuery query(scoring.kernel, scoring.query, threads);
  const ScoreJob job{query.packed(), scoring.codec, scoring.segment, scoring.documents, scores};
  std::atomic<bool> sound{true};
  parallel_for(scoring.count, kFullScores.at_once, threads, [&](std::size_t thread, std::size_t begin, std::size_t end) noexcept {
    if (!scoring.kernel.full_scores(job, begin, end, query.scratch(thread))) sound = false;
  });
  return sound;
}

}  // namespace polyvec
