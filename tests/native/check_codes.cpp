// Runs the kernels of the index on random shapes, in buffers of exactly the right size: every kernel that was compiled in against the
// scalar one, bit for bit; and with numbers that are out of range, which must be refused. Built with sanitizers by
// tests/native/test_sanitized.py. Prints what it ran; exits 1 on a difference.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "candidates.hpp"
#include "kernels/assign.hpp"
#include "kernels/codes.hpp"
#include "kernels/candidate_generation.hpp"
#include "kernels/probe.hpp"
#include "kernels/quantize.hpp"
#include "memory.hpp"
#include "prepared_query.hpp"
#if defined(POLYVEC_X86) && !defined(POLYVEC_SIMDE)
#include "kernels/x86.hpp"
#endif

using namespace polyvec;

namespace polyvec {
#if defined(POLYVEC_X86) && defined(POLYVEC_SIMDE)  // runs those intrinsics on any processor that has AVX2; without it, kernels/x86.cpp says
bool cpu_has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool cpu_has_avx512() { return true; }
bool cpu_has_avx512_vnni() { return true; }
#endif
}  // namespace polyvec

namespace {

std::mt19937 generator(7);
std::size_t below(std::size_t n) { return generator() % n; }

template <class T>
std::vector<T> bytes(std::size_t n, int low = -127, int high = 127) {
  std::vector<T> found(n);
  for (T& value : found) value = static_cast<T>(low + static_cast<int>(below(static_cast<std::size_t>(high - low + 1))));
  return found;
}

struct Case {
  std::size_t q, p, documents, tokens, centroids;
  unsigned nbits;
  std::vector<std::int8_t> query, centroid_rows, levels;
  std::vector<float> query_scales, imputed;
  std::vector<std::uint16_t> codes;
  std::vector<std::uint8_t> scales, packed, near;
  std::vector<std::int64_t> offsets{0}, which, coarse_offsets;

  Case() {
    q = 1 + below(70), p = 32 * (1 + below(4)), documents = 1 + below(6), centroids = 1 + below(9);
    nbits = 1u << below(4);
    for (std::size_t i = 0; i < documents; ++i) offsets.push_back(offsets.back() + static_cast<std::int64_t>(below(70)));
    tokens = static_cast<std::size_t>(offsets.back());
    query = bytes<std::int8_t>(q * p), centroid_rows = bytes<std::int8_t>(centroids * p), levels = bytes<std::int8_t>(256 * 16);
    query_scales.assign(q, 0.25f);
    codes = bytes<std::uint16_t>(tokens, 0, static_cast<int>(centroids) - 1);
    scales = bytes<std::uint8_t>(tokens, 0, 255);
    packed = nbits == 8 ? bytes<std::uint8_t>(tokens * p, 129, 255) : bytes<std::uint8_t>(tokens * p * nbits / 8, 0, 255);
    near = bytes<std::uint8_t>(centroids, 0, 1);
    for (std::size_t row = 0; row < q; ++row) imputed.push_back(static_cast<float>(below(200)) - 100.0f);
    for (std::size_t i = below(80); i > 0; --i) which.push_back(static_cast<std::int64_t>(below(documents)));
    for (std::size_t i = 0; i <= centroids; ++i) coarse_offsets.push_back(static_cast<std::int64_t>(i));  // each stands for itself
  }

  CodecView codec() const {
    return {.centroids = centroid_rows.data(),
            .directions = centroid_rows.data(),
            .coarse_centroids = centroid_rows.data(),
            .coarse_offsets = coarse_offsets.data(),
            .levels = levels.data(),
            .n_centroids = centroids,
            .n_coarse_centroids = centroids,
            .p = p,
            .dim = p,
            .step = 1.0 / 127,
            .nbits = nbits};
  }
  SegmentView segment() const {
    return {.codes = codes.data(),
            .code_bytes = 2,
            .scales = scales.data(),
            .packed = packed.data(),
            .offsets = offsets.data(),
            .n_tokens = tokens,
            .n_documents = documents};
  }
  QueryView asked() const { return {query.data(), query_scales.data(), q, p}; }

  // Full scores, or approximate ones over the tokens of about half of the centroids.
  bool scores(const CodesKernel& kernel, std::vector<float>& found, bool approximate = false) const {
    PreparedQuery prepared(kernel, asked(), 1);
    found.assign(which.size(), 0.0f);
    const ScoreJob job{prepared.packed(), codec(), segment(), which.data(), found.data()};
    const Approximation approximation{near.data(), imputed.data()};
    const auto run = [&](std::size_t begin, std::size_t end) {
      return approximate ? kernel.approximate_scores(job, approximation, begin, end, prepared.scratch(0))
                         : kernel.full_scores(job, begin, end, prepared.scratch(0));
    };
    return run(0, which.size() / 2) && run(which.size() / 2, which.size());
  }

  // Numbers and dots, and then the bytes of the table.
  std::vector<std::int32_t> probed(const CodesKernel& kernel) const {
    PreparedQuery prepared(kernel, asked(), 1);
    const std::size_t nprobe = 1 + centroids / 2, stride = (q + kTableLanes - 1) / kTableLanes * kTableLanes;
    std::vector<std::int32_t> found(2 * q * nprobe), weights(q);
    std::vector<std::uint8_t> table(centroids * stride, 99);
    for (std::size_t row = 0; row < q; ++row) weights[row] = static_cast<std::int32_t>(row % 5 == 4 ? 0x7fffff00 : 10 * row);
    const ScoreBytes written{weights.data(), table.data(), stride};
    const ProbeJob job{prepared.packed(), codec(), nprobe, 1, written};
    NearestRows first(kernel, prepared.packed(), nprobe), second(first);
    for (const std::uint32_t coarse : probed_coarse_centroids(job, kernel, prepared.scratch(0))) {
      (coarse % 2 ? first : second).see({centroid_rows.data() + coarse * p, coarse, 1}, written, prepared.scratch(0));
    }
    first.merge(second);
    first.write(found.data(), found.data() + q * nprobe);
    found.insert(found.end(), table.begin(), table.end());
    return found;
  }
};

int differs(const char* what, const char* kernel, int number) {
  std::printf("%s by %s differs in case %d\n", what, kernel, number);
  return 1;
}

int check_codes(int number, const std::vector<const CodesKernel*>& kernels) {
  Case one;
  std::vector<float> full, approximate, found;
  if (!one.scores(codes_scalar(), full) || !one.scores(codes_scalar(), approximate, true)) return differs("soundness", "scalar", number);
  const std::vector<std::int32_t> probed = one.probed(codes_scalar());
  for (const CodesKernel* kernel : kernels) {
    if (!one.scores(*kernel, found) || found != full) return differs("full score", kernel->name, number);
    if (!one.scores(*kernel, found, true) || found != approximate) return differs("approximate score", kernel->name, number);
    if (one.probed(*kernel) != probed) return differs("probing", kernel->name, number);
  }
  if (one.tokens && !one.which.empty()) {  // now with one number that is out of range, unless by chance nothing reads it
    const std::size_t kind = below(3);
    if (kind == 0 && one.nbits < 8) one.codes[below(one.tokens)] = static_cast<std::uint16_t>(one.centroids + below(60000));
    if (kind == 1) one.offsets[below(one.offsets.size())] = static_cast<std::int64_t>(generator()) - 2147483648LL;
    if (kind == 2) one.which[below(one.which.size())] = static_cast<std::int64_t>(generator()) - 2147483648LL;
    for (const bool approximately : {false, true}) {
      const bool sound = one.scores(codes_scalar(), full, approximately);
      for (const CodesKernel* kernel : kernels) {
        if (one.scores(*kernel, found, approximately) != sound) return differs("soundness", kernel->name, number);
      }
    }
  }
  return 0;
}

// Rows of as many dimensions as there may be, and of the bytes whose products are largest: sums stay in int32.
int check_most_dimensions(const std::vector<const CodesKernel*>& kernels) {
  const std::int8_t extremes[] = {-128, -127, 127};
  std::vector<const CodesKernel*> all = kernels;
  all.push_back(&codes_scalar());
  for (const std::int8_t a : extremes) {
    for (const std::int8_t b : extremes) {
      const std::vector<std::int8_t> query(kMaxDims, a), row(kMaxDims, b);
      const float scale = 1;
      const std::int32_t lowest = std::numeric_limits<std::int32_t>::min();
      for (const CodesKernel* kernel : all) {
        PreparedQuery prepared(*kernel, {query.data(), &scale, 1, kMaxDims}, 1);
        FoundDot found;
        const DotJob job{prepared.packed(), row.data(), 1, &lowest, {nullptr, nullptr, 0}};
        const std::size_t count = kernel->find_dots(job, &found, prepared.scratch(0));
        if (count != 1 || found.dot != std::int64_t{a} * b * static_cast<std::int64_t>(kMaxDims)) return differs("a long row", kernel->name, a * b);
      }
    }
  }
  return 0;
}

int check_assign(int number, const std::vector<const AssignKernel*>& kernels) {
  const std::size_t n = 1 + below(40), d = 1 + below(70), groups = 1 + below(4);
  std::vector<std::int64_t> offsets{0}, starts, order(n);
  std::vector<float> vectors(n * d), centroids, biases, packed;
  for (std::size_t g = 0; g < groups; ++g) offsets.push_back(offsets.back() + 1 + static_cast<std::int64_t>(below(40)));
  centroids.resize(static_cast<std::size_t>(offsets.back()) * d);
  for (float& value : vectors) value = static_cast<float>(generator()) / 2147483648.0f - 1.0f;
  biases.resize(static_cast<std::size_t>(offsets.back()));
  for (float& value : centroids) value = static_cast<float>(generator()) / 2147483648.0f - 1.0f;
  for (float& value : biases) value = static_cast<float>(generator()) / 2147483648.0f - 1.0f;
  for (std::size_t g = 0; g < groups; ++g) {
    starts.push_back(static_cast<std::int64_t>(packed.size() / (kAssignLanes * (d + 1))));
    const std::size_t size = static_cast<std::size_t>(offsets[g + 1] - offsets[g]), blocks = (size + kAssignLanes - 1) / kAssignLanes;
    std::vector<float> part(blocks * kAssignLanes * (d + 1));
    pack_centroids(centroids.data(), biases.data(), static_cast<std::size_t>(offsets[g]), size, d, part.data());
    packed.insert(packed.end(), part.begin(), part.end());
  }
  std::vector<std::int32_t> group(n);
  for (std::size_t i = 0; i < n; ++i) group[i] = static_cast<std::int32_t>(i * groups / n), order[i] = static_cast<std::int64_t>(i);
  std::vector<std::int64_t> expected(n), found(n);
  AssignJob job{vectors.data(), order.data(), group.data(), d, packed.data(), starts.data(), offsets.data(), expected.data()};
  assign_scalar().assign(job, 0, n);
  job.nearest = found.data();
  for (const AssignKernel* kernel : kernels) {
    kernel->assign(job, 0, n);
    if (found != expected) return differs("assign", kernel->name, number);
  }
  return 0;
}

int check_candidate_generation(int number) {
  const std::size_t q = 1 + below(5), nprobe = 1 + below(4), centroids = nprobe + below(4), documents = 1 + below(300);
  std::vector<std::uint8_t> stream = bytes<std::uint8_t>(below(400), 0, number % 2 ? 255 : 2);
  std::vector<std::int64_t> starts{0};
  for (std::size_t i = 0; i < centroids; ++i) {
    const std::size_t left = stream.size() - static_cast<std::size_t>(starts.back());
    starts.push_back(starts.back() + static_cast<std::int64_t>(below(left + 1)));
  }
  if (number % 3 == 0) starts[below(starts.size())] += static_cast<std::int64_t>(below(7)) - 3;
  std::vector<std::int32_t> numbers = bytes<std::int32_t>(q * nprobe, 0, static_cast<int>(centroids) - (number % 5 != 0));
  const std::vector<std::uint16_t> gains = bytes<std::uint16_t>(q * nprobe, 0, 65535 / 5);
  const std::vector<std::uint8_t> allowed = bytes<std::uint8_t>(documents, 0, 1);
  const CandidateGenerationJob job{.centroids = numbers.data(),
                                   .gains = gains.data(),
                                   .q = q,
                                   .nprobe = nprobe,
                                   .postings = {stream.data(), stream.size(), starts.data(), centroids},
                                   .n_documents = documents,
                                   .allowed = number % 2 ? allowed.data() : nullptr,
                                   .limit = 1 + below(20)};
  std::vector<Candidate> best, again;
  std::size_t found = 0, once_more = 0;
  const bool sound = generate_candidates(job, best, found);
  if (generate_candidates(job, again, once_more) != sound || (sound && (once_more != found || found > job.limit))) {
    return differs("candidate generation", "a second call", number);
  }
  for (std::size_t i = 0; sound && i < found; ++i) {
    if (best[i].document != again[i].document || best[i].score != again[i].score) return differs("candidate generation", "a second call", number);
  }
  return 0;
}

// With the numbers of a Case, some of them out of range; parts must give what all at once gives, and every kernel what scalar gives.
int check_centroid_interaction(int number, const std::vector<const CodesKernel*>& kernels) {
  Case one;
  const std::size_t stride = kTableLanes * (1 + below(3));
  const std::vector<std::uint8_t> table = bytes<std::uint8_t>(one.centroids * stride, 0, 255);
  const std::vector<std::uint8_t> thresholds = bytes<std::uint8_t>(stride, 200, 255);
  const std::size_t kind = below(5);
  if (kind == 0 && one.tokens) one.codes[below(one.tokens)] = static_cast<std::uint16_t>(one.centroids + below(60000));
  if (kind == 1) one.offsets[below(one.offsets.size())] = static_cast<std::int64_t>(generator()) - 2147483648LL;
  if (kind == 2 && !one.which.empty()) one.which[below(one.which.size())] = static_cast<std::int64_t>(generator()) - 2147483648LL;
  std::vector<std::int32_t> sums(one.which.size()), again(sums);
  const CentroidScores scores{table.data(), one.centroids, stride};
  CentroidInteractionJob job{scores, one.segment(), one.which.data(), sums.data()};
  const bool sound = codes_scalar().centroid_interaction(job, 0, one.which.size());
  if (kind > 2 && !sound) return differs("centroid interaction", "soundness", number);
  std::vector<const CodesKernel*> all = kernels;
  all.push_back(&codes_scalar());
  job.sums = again.data();
  for (const CodesKernel* kernel : all) {
    std::fill(again.begin(), again.end(), -1);
    const std::size_t half = one.which.size() / 2;
    const bool halves = kernel->centroid_interaction(job, 0, half), rest = kernel->centroid_interaction(job, half, one.which.size());
    if ((halves && rest) != sound || (sound && again != sums)) return differs("centroid interaction", kernel->name, number);
    std::vector<std::uint8_t> near(one.centroids);
    kernel->mark_near(scores, thresholds.data(), near.data());
    for (std::size_t i = 0; i < one.centroids; ++i) {
      bool reached = false;
      for (std::size_t k = 0; k < stride; ++k) reached |= table[i * stride + k] >= thresholds[k];
      if (near[i] != reached) return differs("mark_near", kernel->name, number);
    }
  }
  return 0;
}

// All steps one after another, over the documents of a Case twice, once with a mask; some numbers are out of range.
int check_candidates(int number, const std::vector<const CodesKernel*>& kernels) {
  Case one;
  std::vector<std::int64_t> starts{0};
  std::vector<std::uint8_t> stream;
  for (std::size_t i = 0; i < one.centroids; ++i) {
    for (std::size_t document = below(2); document < one.documents; document += 1 + below(3)) {
      stream.push_back(static_cast<std::uint8_t>(stream.size() == static_cast<std::size_t>(starts.back()) ? document : 1));
    }
    starts.push_back(static_cast<std::int64_t>(stream.size()));
  }
  const std::vector<std::uint8_t> allowed = bytes<std::uint8_t>(one.documents, 0, 1);
  const std::size_t kind = below(8);
  if (kind == 0 && one.tokens) one.codes[below(one.tokens)] = static_cast<std::uint16_t>(one.centroids + below(60000));
  if (kind == 1) one.offsets[below(one.offsets.size())] = static_cast<std::int64_t>(generator()) - 2147483648LL;
  if (kind == 2) starts[below(starts.size())] += static_cast<std::int64_t>(below(9)) - 4;
  if (kind == 3 && !stream.empty()) stream[below(stream.size())] = static_cast<std::uint8_t>(below(256));
  const PostingsView postings{stream.data(), stream.size(), starts.data(), one.centroids};
  const std::vector<SearchedSegment> segments{{one.segment(), postings, nullptr}, {one.segment(), postings, allowed.data()}};
  const std::size_t k = 1 + below(3), fully_scored = k + below(3), approximately_scored = fully_scored + below(4);
  const double margin = number % 2 ? 0.3 : std::numeric_limits<double>::infinity();
  const Narrowing narrowing{.k = k,
                            .nprobe = 1 + below(one.centroids),
                            .coarse_nprobe = 1 + below(3),
                            .generation_imputed = 0.95,
                            .near = 0.97,
                            .approximate_imputed = 0.85,
                            .length_penalty = 0.005,
                            .generated = approximately_scored + below(4),
                            .approximately_scored = approximately_scored,
                            .fully_scored = fully_scored,
                            .generation_margin = margin,
                            .interaction_margin = margin,
                            .approximate_margin = margin};
  const CodecView codec = one.codec();
  const QueryView query = one.asked();
  std::vector<std::vector<std::int64_t>> expected, found;
  const std::size_t damaged = find_candidates({codes_scalar(), codec, query, narrowing, segments, 1}, expected);
  if (kind > 3 && damaged != kNoDamage) return differs("candidates", "soundness", number);
  for (const CodesKernel* kernel : kernels) {
    const std::size_t again = find_candidates({*kernel, codec, query, narrowing, segments, 2}, found);
    if (again != damaged || (damaged == kNoDamage && found != expected)) return differs("candidates", kernel->name, number);
  }
  return 0;
}

int check_quantize(int number, const std::vector<const QuantizeKernel*>& kernels) {
  const std::size_t n = 1 + below(40), p = 32 * (1 + below(4));
  const unsigned nbits = 1u << below(3);
  std::vector<float> residuals(n * p), steps(256), codebook(16);
  for (float& value : residuals) value = static_cast<float>(generator()) / 2147483648.0f - 1.0f;
  for (std::size_t i = 0; i < 256; ++i) steps[i] = 0.01f * static_cast<float>(i + 1);
  for (float& point : codebook) point = static_cast<float>(generator()) / 1073741824.0f - 2.0f;
  std::vector<std::uint8_t> scales(n), packed(n * p * nbits / 8), again(packed.size());
  Memory scratch(quantize_scratch_bytes(p));
  QuantizeJob job{residuals.data(), p, steps.data(), codebook.data(), nbits, scales.data(), packed.data()};
  quantize_scalar().quantize(job, 0, n, scratch.begin());
  job.packed = again.data();
  for (const QuantizeKernel* kernel : kernels) {
    kernel->quantize(job, 0, n / 2, scratch.begin());
    kernel->quantize(job, n / 2, n, scratch.begin());
    if (again != packed) return differs("quantize", kernel->name, number);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const int cases = argc > 1 ? std::atoi(argv[1]) : 200;
  std::vector<const CodesKernel*> kernels;
  std::vector<const AssignKernel*> assigners;
  std::vector<const QuantizeKernel*> quantizers{&quantize_scalar()};
#if defined(POLYVEC_X86)
  if (cpu_has_avx2()) kernels.push_back(&codes_avx2()), assigners.push_back(&assign_avx2()), quantizers.push_back(&quantize_avx2());
  if (cpu_has_avx512()) assigners.push_back(&assign_avx512());
  if (cpu_has_avx512_vnni()) kernels.push_back(&codes_avx512()), kernels.push_back(&codes_avx512_intrinsics());
#endif
#if defined(POLYVEC_NEON)
  kernels.push_back(&codes_neon()), assigners.push_back(&assign_neon());
#endif
  if (check_most_dimensions(kernels)) return 1;
  for (int i = 0; i < cases; ++i) {
    if (check_codes(i, kernels) || check_assign(i, assigners) || check_candidate_generation(i) || check_centroid_interaction(i, kernels) ||
        check_candidates(i, kernels) || check_quantize(i, quantizers)) {
      return 1;
    }
  }
  std::printf("%d cases, scalar", cases);
  for (const CodesKernel* kernel : kernels) std::printf(" = %s", kernel->name);
  std::printf("\n");
  return 0;
}
