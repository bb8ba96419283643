// Eight callers share the thread pool: loops that count, and searches that must find what one thread alone finds. Built with the thread
// sanitizer by tests/native/test_sanitized.py, which then reports any access that two threads make without an order between them.
// Prints what it ran; exits 1 on a difference.

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#include "candidates.hpp"
#include "kernels/codes.hpp"
#include "parallel.hpp"
#if defined(POLYVEC_X86)
#include "kernels/x86.hpp"
#endif

using namespace polyvec;

namespace {

constexpr std::size_t kCallers = 8, kThreads = 3;

template <class Body>
void on_all_callers(const Body& body) {
  std::vector<std::thread> callers;
  for (std::size_t caller = 0; caller < kCallers; ++caller) callers.emplace_back([&body, caller] { body(caller); });
  for (std::thread& caller : callers) caller.join();
}

// Every number of every loop is taken once.
bool loops_take_everything(std::size_t rounds) {
  std::atomic<bool> sound{true};
  on_all_callers([&](std::size_t caller) {
    for (std::size_t round = 0; round < rounds; ++round) {
      const std::size_t count = 1 + (caller * 37 + round * 11) % 500, chunk = 1 + round % 7;
      std::vector<int> taken(count, 0);
      parallel_for(count, chunk, kThreads + round % 3, [&](std::size_t, std::size_t begin, std::size_t end) noexcept {
        for (std::size_t i = begin; i < end; ++i) ++taken[i];
      });
      for (const int times : taken) {
        if (times != 1) sound = false;
      }
    }
  });
  return sound;
}

// Enough documents and centroids for every step of a search to use several threads.
struct Collection {
  static constexpr std::size_t p = 32, n_centroids = 256, n_documents = 2000, length = 3, q = 6;
  std::mt19937 generator{7};
  std::vector<std::int8_t> centroids = rows(n_centroids), levels = rows(kScales * kWindows / p);
  std::vector<std::int64_t> coarse_offsets, offsets, starts{0};
  std::vector<std::uint16_t> codes;
  std::vector<std::uint8_t> scales, packed, stream;
  std::vector<float> query_scales = std::vector<float>(q, 0.25f);

  Collection() {
    for (std::size_t i = 0; i <= n_centroids; ++i) coarse_offsets.push_back(static_cast<std::int64_t>(i));
    for (std::size_t i = 0; i <= n_documents; ++i) offsets.push_back(static_cast<std::int64_t>(i * length));
    for (std::size_t i = 0; i < n_documents * length; ++i) {
      codes.push_back(static_cast<std::uint16_t>(generator() % n_centroids));
      scales.push_back(static_cast<std::uint8_t>(generator() % kScales));
      for (std::size_t k = 0; k < p / 2; ++k) packed.push_back(static_cast<std::uint8_t>(generator() % 256));
    }
    for (std::size_t centroid = 0; centroid < n_centroids; ++centroid) add_postings(centroid);
  }

  std::vector<std::int8_t> rows(std::size_t n) {
    std::vector<std::int8_t> found(n * p);
    for (std::int8_t& value : found) value = static_cast<std::int8_t>(static_cast<int>(generator() % 255) - 127);
    return found;
  }

  void add_postings(std::size_t centroid) {
    std::size_t last = 0;
    for (std::size_t document = 0; document < n_documents; ++document) {
      bool has = false;
      for (std::size_t t = 0; t < length; ++t) has |= codes[document * length + t] == centroid;
      if (!has) continue;
      std::size_t gap = document - last;
      for (; gap >= 128; gap >>= 7) stream.push_back(static_cast<std::uint8_t>(gap | 128));
      stream.push_back(static_cast<std::uint8_t>(gap));
      last = document;
    }
    starts.push_back(static_cast<std::int64_t>(stream.size()));
  }

  CodecView codec() const {
    return {.centroids = centroids.data(),
            .directions = centroids.data(),
            .coarse_centroids = centroids.data(),
            .coarse_offsets = coarse_offsets.data(),
            .levels = levels.data(),
            .n_centroids = n_centroids,
            .n_coarse_centroids = n_centroids,
            .p = p,
            .dim = p,
            .step = 1.0 / 127,
            .nbits = 4};
  }
  SearchedSegment segment() const {
    const SegmentView tokens{.codes = codes.data(),
                             .code_bytes = 2,
                             .scales = scales.data(),
                             .packed = packed.data(),
                             .offsets = offsets.data(),
                             .n_tokens = codes.size(),
                             .n_documents = n_documents};
    return {tokens, {stream.data(), stream.size(), starts.data(), n_centroids}, nullptr};
  }
};

struct Found {
  std::vector<std::vector<std::int64_t>> positions;
  std::vector<float> scores;
};

Found search(const CodesKernel& kernel, const Collection& collection, const std::vector<std::int8_t>& query, std::size_t threads) {
  constexpr double none = std::numeric_limits<double>::infinity();
  const Narrowing narrowing{.k = 10,
                            .nprobe = 48,
                            .coarse_nprobe = 16,
                            .generation_imputed = 0.95,
                            .near = 0.98,
                            .approximate_imputed = 0.85,
                            .length_penalty = 0.005,
                            .generated = 1900,
                            .approximately_scored = 900,
                            .fully_scored = 100,
                            .generation_margin = none,
                            .interaction_margin = none,
                            .approximate_margin = none};
  const CodecView codec = collection.codec();
  const QueryView asked{query.data(), collection.query_scales.data(), Collection::q, Collection::p};
  const std::vector<SearchedSegment> segments(2, collection.segment());
  Found found;
  if (find_candidates({kernel, codec, asked, narrowing, segments, threads}, found.positions) != kNoDamage) std::exit(1);
  const std::vector<std::int64_t>& documents = found.positions[0];
  found.scores.resize(documents.size());
  if (!full_scores({kernel, codec, asked, segments[0].tokens, documents.data(), documents.size(), threads}, found.scores.data())) std::exit(1);
  return found;
}

bool searches_agree(const CodesKernel& kernel, std::size_t rounds) {
  Collection collection;
  std::vector<std::vector<std::int8_t>> queries;
  std::vector<Found> expected;
  for (std::size_t caller = 0; caller < kCallers; ++caller) {
    queries.push_back(collection.rows(Collection::q));
    expected.push_back(search(codes_scalar(), collection, queries.back(), 1));
  }
  std::atomic<bool> sound{true};
  on_all_callers([&](std::size_t caller) {
    for (std::size_t round = 0; round < rounds; ++round) {
      const std::size_t which = (caller + round) % kCallers;
      const Found found = search(kernel, collection, queries[which], kThreads);
      if (found.positions != expected[which].positions || found.scores != expected[which].scores) sound = false;
    }
  });
  return sound;
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t rounds = argc > 1 ? static_cast<std::size_t>(std::atoi(argv[1])) : 20;
  std::vector<const CodesKernel*> kernels{&codes_scalar()};
#if defined(POLYVEC_X86)
  if (cpu_has_avx2()) kernels.push_back(&codes_avx2());
#endif
#if defined(POLYVEC_NEON)
  kernels.push_back(&codes_neon());
#endif
  if (!loops_take_everything(10 * rounds)) {
    std::printf("a loop took a number twice or never\n");
    return 1;
  }
  for (const CodesKernel* kernel : kernels) {
    if (!searches_agree(*kernel, rounds)) {
      std::printf("searches with %s found something else on several threads\n", kernel->name);
      return 1;
    }
  }
  std::printf("%zu callers, %zu rounds: loops and searches agree\n", kCallers, rounds);
  return 0;
}
