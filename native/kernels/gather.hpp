// Probed centroids -> the documents with the best approximate scores.
//
// Cost: one visit of a document's 8 bytes for each posting that is decoded; selection is linear in the documents found.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace polyvec {

struct GatherJob {
  const std::int32_t* numbers;  // (q, nprobe) centroids of each query row, best first
  const float* values;          // (q, nprobe), what a token near each is worth
  const float* missing;         // (q,), what a document gets for a query row that none of its tokens was probed for
  std::size_t q, nprobe;
  const std::uint8_t* stream;   // postings: documents of each centroid, ascending, gaps as LEB128
  std::size_t stream_size;
  const std::int64_t* starts;   // (K + 1,)
  std::size_t n_centroids, documents;
  const std::uint8_t* allowed;  // (documents,), 0 for a document to pass over; or null
  std::size_t limit;
};

struct Candidate {
  std::int64_t document;
  float score;
};

// The `limit` best by score, ties to the lower document, in order of document. Score: the sum of missing in order + the sum of
// (value - missing) of a document's first list in each query row, in row order, in fp32.
// False where the postings are damaged.
bool gather(const GatherJob& job, std::vector<Candidate>& best);

}  // namespace polyvec
