// The steps of a search, one at a time, for tests/index/steps.py, which compares each with its definition in NumPy. The package
// itself runs them together, in candidates.cpp. Kernels are called in two parts, as threads would call them.

#include <cstring>
#include <string>
#include <vector>

#include "kernels/candidate_generation.hpp"
#include "kernels/codes.hpp"
#include "kernels/probe.hpp"
#include "prepared_query.hpp"

using namespace polyvec;

namespace {

const CodesKernel& named(const char* name) {
#if defined(POLYVEC_X86)
  for (const CodesKernel* kernel : {&codes_avx512(), &codes_avx512_intrinsics(), &codes_avx2()}) {
    if (std::strcmp(name, kernel->name) == 0) return *kernel;
  }
#endif
#if defined(POLYVEC_NEON)
  if (std::strcmp(name, "neon") == 0) return codes_neon();
#endif
  return codes_scalar();
}

}  // namespace

extern "C" {

// dots, numbers: (q, nprobe).
void polyvec_probe(const char* name, const CodecView* codec, const QueryView* query, std::size_t nprobe, std::size_t coarse_nprobe,
                   const ScoreBytes* bytes, std::int32_t* numbers, std::int32_t* dots) {
  const CodesKernel& kernel = named(name);
  PreparedQuery prepared(kernel, *query, 1);
  const ProbeJob job{prepared.packed(), *codec, nprobe, coarse_nprobe, *bytes};
  NearestRows even(kernel, prepared.packed(), nprobe), odd(even);
  for (const std::uint32_t coarse : probed_coarse_centroids(job, kernel, prepared.scratch(0))) {
    const auto first = static_cast<std::size_t>(codec->coarse_offsets[coarse]), last = static_cast<std::size_t>(codec->coarse_offsets[coarse + 1]);
    (coarse % 2 ? odd : even).see({codec->directions + first * codec->p, first, last - first}, *bytes, prepared.scratch(0));
  }
  even.merge(odd);
  even.write(numbers, dots);
}

void polyvec_mark_near(const char* name, const CentroidScores* scores, const std::uint8_t* thresholds, std::uint8_t* near) {
  named(name).mark_near(*scores, thresholds, near);
}

// Returns how many candidates were found, or -1 where the postings are damaged. documents, scores: (limit,).
std::ptrdiff_t polyvec_generate_candidates(const CandidateGenerationJob* job, std::int64_t* documents, std::int32_t* scores) {
  static std::vector<Candidate> best;
  std::size_t found = 0;
  if (!generate_candidates(*job, best, found)) return -1;
  for (std::size_t i = 0; i < found; ++i) documents[i] = best[i].document, scores[i] = best[i].score;
  return static_cast<std::ptrdiff_t>(found);
}

bool polyvec_centroid_interaction(const char* name, const CentroidInteractionJob* job, std::size_t count) {
  const CodesKernel& kernel = named(name);
  return kernel.centroid_interaction(*job, 0, count / 2) && kernel.centroid_interaction(*job, count / 2, count);
}

bool polyvec_approximate_scores(const char* name, const CodecView* codec, const SegmentView* segment, const QueryView* query,
                                const Approximation* approximation, const std::int64_t* documents, std::size_t count, float* scores) {
  const CodesKernel& kernel = named(name);
  PreparedQuery prepared(kernel, *query, 1);
  const ScoreJob job{prepared.packed(), *codec, *segment, documents, scores};
  return kernel.approximate_scores(job, *approximation, 0, count / 2, prepared.scratch(0)) &&
         kernel.approximate_scores(job, *approximation, count / 2, count, prepared.scratch(0));
}
}
