// Probed centroids -> the documents with the best approximate scores.
//
// Documents are gone through in tiles of 65,536, each with all lists. Cost: one visit of a document's 4 bytes for each posting that
// is decoded, and of its block's mark; then one pass over the tile's blocks that were visited, which selects and wipes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace polyvec {

struct CandidateGenerationJob {
  const std::int32_t* numbers;  // (q, nprobe) centroids of each query row, best first
  const std::uint16_t* gains;   // (q, nprobe), what a document gets for a token near each; the largest of all rows add up to 65,535 at most
  std::size_t q, nprobe;        // q below 65,535
  const std::uint8_t* stream;   // postings: documents of each centroid, ascending, gaps as LEB128
  std::size_t stream_size;
  const std::int64_t* starts;   // (K + 1,)
  std::size_t n_centroids, documents;
  const std::uint8_t* allowed;  // (documents,), 0 for a document to pass over; or null
  std::size_t limit;
};

struct Candidate {
  std::uint32_t document;
  std::uint16_t score;
};

// The `limit` best by score, ties to the lower document, in order of document. Score: the sum of the gains of a document's first list in
// each query row. They are the first `found` of `best`, which is scratch beyond and may be used again. False where the postings are damaged.
bool generate_candidates(const CandidateGenerationJob& job, std::vector<Candidate>& best, std::size_t& found);

}  // namespace polyvec
