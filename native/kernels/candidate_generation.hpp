// Probed centroids -> the documents of their posting lists with the best scores.
//
// Documents are gone through in tiles of 65,536, each with all lists. Cost: one update of a document's 4 bytes, and of its block's
// flag, for each posting that is decoded; then one pass over the blocks of the tile that were touched, which selects and clears.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/views.hpp"

namespace polyvec {

struct CandidateGenerationJob {
  const std::int32_t* centroids;  // (q, nprobe) numbers for each query row, best first
  const std::uint16_t* gains;     // (q, nprobe): what a document gets for a token near each; the largest of all rows add up to 65,535 at most
  std::size_t q, nprobe;          // q below 65,535
  PostingsView postings;
  std::size_t n_documents;
  const std::uint8_t* allowed;  // (n_documents,): 0 for a document to leave out; or null
  std::size_t limit;
};

struct Candidate {
  std::uint32_t document;
  std::uint16_t score;
};

// The `limit` best by score, ties to the lower document, in order of document. A score is the sum over query rows of the gain of the
// first list that has the document. The result is the first `found` of `best`, which is scratch beyond and can be used again. False
// where the postings are damaged.
bool generate_candidates(const CandidateGenerationJob& job, std::vector<Candidate>& best, std::size_t& found);

}  // namespace polyvec
