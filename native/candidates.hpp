// A query in int8 -> the documents of several segments that get a full score, and full scores themselves, on several threads.
//
// Candidates are found in four steps: probing, candidate generation, centroid interaction, approximate scores. Each step keeps fewer
// documents and scores them more closely. definitions.py says what is computed, docs/engine.md how it works.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/codes.hpp"
#include "kernels/views.hpp"

namespace polyvec {

struct SearchedSegment {
  SegmentView tokens;
  PostingsView postings;
  const std::uint8_t* allowed;  // (n_documents,): 0 for a document to leave out; or null
};

// How many documents each step keeps. A margin is a distance below the k-th best score, of the root of the summed squares of the
// query's rows, at 128 dimensions; infinity for none.
struct Narrowing {
  std::size_t k;
  std::size_t nprobe, coarse_nprobe;  // centroids that a query row takes, coarse centroids that it probes
  double generation_imputed;   // imputed score of a document that met none of a row's probed centroids, as a share of the last one's score
  double near;                 // centroids count as near from this share of the last probed one's score on
  double approximate_imputed;  // imputed score of a document without a token near a row, as a share of that
  double length_penalty;       // taken off for each doubling of a document's length, as a share of the highest possible score
  std::size_t generated, approximately_scored, fully_scored;  // documents that each step keeps, at most
  double generation_margin, interaction_margin, approximate_margin;
};

struct CandidateSearch {
  const CodesKernel& kernel;
  const CodecView& codec;
  const QueryView& query;
  const Narrowing& narrowing;
  const std::vector<SearchedSegment>& segments;
  std::size_t threads;
};

constexpr std::size_t kNoDamage = static_cast<std::size_t>(-1);

// Fills `positions` with the ascending positions of each segment, narrowing.fully_scored of all at most. Returns the first segment with a
// number that is out of range, else kNoDamage.
std::size_t find_candidates(const CandidateSearch& search, std::vector<std::vector<std::int64_t>>& positions);

// Full MaxSim scores of some documents of a segment, into `scores`. False where a number is out of range.
struct FullScoring {
  const CodesKernel& kernel;
  const CodecView& codec;
  const QueryView& query;
  const SegmentView& segment;
  const std::int64_t* documents;  // (count,)
  std::size_t count;
  std::size_t threads;
};
bool full_scores(const FullScoring& scoring, float* scores);

}  // namespace polyvec
