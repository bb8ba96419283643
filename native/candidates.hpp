// A query in codes -> the documents of several segments that are worth a full score: probe, gather, interact, look. Each step keeps
// fewer documents and looks at them more closely. definitions.py says what is computed, docs/engine.md what it costs and finds.
//
// The steps on several threads, which stand here too, are what the kernels leave to their callers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/codes.hpp"
#include "kernels/centroid_interaction.hpp"
#include "kernels/probe.hpp"

namespace polyvec {

struct CodecView {
  const std::int8_t* centroids;  // (K, p)
  std::size_t n_centroids, p, dim;
  const std::int8_t* levels;      // (256, 16)
  const std::int8_t* directions;  // (K, p), the centroids as unit vectors
  const std::int8_t* coarse_centroids;     // (P, p), of the directions
  const std::int64_t* coarse_offsets;  // (P + 1)
  std::size_t n_coarse_centroids;
  double step;  // what a unit of a direction is worth
  unsigned nbits;
};

struct SegmentView {
  const void* codes;  // (T,) centroid numbers
  std::size_t code_bytes;
  const std::uint8_t* scales;   // (T,)
  const std::uint8_t* packed;   // (T, p * nbits / 8)
  const std::int64_t* offsets;  // (documents + 1,)
  std::size_t tokens, documents;
  const std::uint8_t* stream;  // postings
  std::size_t stream_size;
  const std::int64_t* starts;   // (K + 1,)
  const std::uint8_t* allowed;  // (documents,), 0 for a document to pass over; or null
};

struct QueryView {
  const std::int8_t* rows;  // (q, p)
  const float* scales;      // (q,)
  std::size_t q;
};

// How the steps choose. A distance is of the root of the summed squares of the query's rows, at 128 dimensions; infinity for none.
struct Narrowing {
  std::size_t k, nprobe, coarse_probe;
  double missing, near, least, doubling;
  std::size_t generated, approximately_scored, scored;  // documents that stay after each step, at most
  double generated_within, ordered_within, approximately_scored_within;  // how far below the k-th best they may be
};

constexpr std::size_t kNoDamage = static_cast<std::size_t>(-1);

// Fills `kept` with the ascending positions of each segment, narrowing.scored of all at most. Returns the first segment whose numbers point
// nowhere, else kNoDamage.
std::size_t find_candidates(const CodesKernel& kernel, const CodecView& codec, const QueryView& query, const Narrowing& narrowing,
                            const std::vector<SegmentView>& segments, std::size_t threads, std::vector<std::vector<std::int64_t>>& kept);

// numbers, dots: (q, nprobe), best first. The job's query is packed here.
void probe_all(const CodesKernel& kernel, const std::int8_t* query, ProbeJob job, std::size_t threads, std::int32_t* numbers,
               std::int32_t* dots);

// Scores `count` documents in full, or looks at them where the job has marks; the job's query is packed here. False for numbers that
// point nowhere.
bool score_all(const CodesKernel& kernel, const std::int8_t* query, CodedJob job, std::size_t count, std::size_t threads);

bool centroid_interaction_all(const CodesKernel& kernel, const CentroidInteractionJob& job, std::size_t count, std::size_t threads);

}  // namespace polyvec
