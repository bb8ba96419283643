// Python <-> the kernels of the index: shapes checked, the GIL released, work shared out to threads. Numbers inside the
// arrays are checked where they are used; one that points nowhere raises ValueError.

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "bindings.hpp"
#include "candidates.hpp"
#include "kernels/cluster.hpp"
#include "kernels/candidate_generation.hpp"
#include "kernels/quantize.hpp"
#include "kernels/rotate.hpp"
#include "memory.hpp"
#include "parallel.hpp"

using namespace polyvec;

namespace {

constexpr std::size_t kVectorsAtOnce = 1024, kDimensionsAtOnce = 32;

// With `marked` and `least`, a look: over the tokens of marked centroids alone.
void full_scores(const Matrix<std::int8_t>& query, const Row<float>& query_scales, const Matrix<std::int8_t>& centroids,
            const Matrix<std::int8_t>& levels, const nb::ndarray<nb::ro, nb::ndim<1>, nb::c_contig, nb::device::cpu>& codes,
            const Row<std::uint8_t>& scales, const Matrix<std::uint8_t>& packed, const Row<std::int64_t>& offsets,
            const Row<std::int64_t>& which, unsigned nbits, const Array<float, 1>& scores, std::size_t threads,
            const std::string& name, const std::optional<Row<std::uint8_t>>& marked, const std::optional<Row<float>>& least) {
  const CodesKernel& kernel = codes_kernel(name);
  const std::size_t q = query.shape(0), p = query.shape(1), tokens = packed.shape(0);
  expect(nbits == 1 || nbits == 2 || nbits == 4 || nbits == 8, "nbits must be 1, 2, 4 or 8");
  expect(p > 0 && p % kBlock == 0, "rows must have a multiple of 32 dimensions");
  expect(query_scales.shape(0) == q, "query_scales must have one entry a query row");
  expect(centroids.shape(1) == p, "query and centroids differ in dim");
  expect(levels.shape(0) == 256 && levels.shape(1) == 16, "levels must be (256, 16)");
  const bool narrow = codes.dtype() == nb::dtype<std::uint16_t>();
  expect(narrow || codes.dtype() == nb::dtype<std::uint32_t>(), "codes must be uint16 or uint32");
  expect(codes.shape(0) == tokens && scales.shape(0) == tokens, "codes, scales and packed must have one entry a token");
  expect(packed.shape(1) == p * nbits / 8, "packed rows must have dim * nbits / 8 bytes");
  expect(offsets.shape(0) >= 1, "offsets must have an entry");
  expect(scores.shape(0) == which.shape(0), "scores must have one entry a document scored");
  const bool looking = marked.has_value();
  expect(looking == least.has_value(), "marked and least must be given together");
  expect(!looking || marked->shape(0) == centroids.shape(0), "marked must have one entry a centroid");
  expect(!looking || least->shape(0) == q, "least must have one entry a query row");
  const CodedJob job{nullptr, query_scales.data(), q, p, centroids.data(), centroids.shape(0), levels.data(), codes.data(),
                     narrow ? std::size_t{2} : std::size_t{4}, scales.data(), packed.data(), offsets.data(), tokens,
                     offsets.shape(0) - 1, which.data(), nbits, scores.data(), looking ? marked->data() : nullptr,
                     looking ? least->data() : nullptr};
  bool sound;
  {
    const Unlocked released;
    sound = score_all(kernel, query.data(), job, which.shape(0), threads);
  }
  expect(sound, "a document, an offset or a centroid number is out of range");
}

void probe_rows(const Matrix<std::int8_t>& query, const Matrix<std::int8_t>& coarse_centroids, const Row<std::int64_t>& coarse_offsets,
                const Matrix<std::int8_t>& centroids, const Array<std::int32_t, 2>& numbers, const Array<std::int32_t, 2>& dots,
                std::size_t coarse_probe, const std::optional<Row<std::int32_t>>& worth,
                const std::optional<Array<std::uint8_t, 2>>& table, std::size_t threads, const std::string& name) {
  const CodesKernel& kernel = codes_kernel(name);
  const std::size_t q = query.shape(0), p = query.shape(1), nprobe = numbers.shape(1);
  expect(p > 0 && p % kBlock == 0, "rows must have a multiple of 32 dimensions");
  expect(coarse_centroids.shape(1) == p && centroids.shape(1) == p, "query, coarse_centroids and centroids differ in dim");
  expect(coarse_offsets.shape(0) == coarse_centroids.shape(0) + 1, "coarse_offsets must have one entry more than coarse_centroids");
  check_parts(coarse_offsets, centroids.shape(0));
  expect(nprobe >= 1 && nprobe <= centroids.shape(0) && coarse_probe >= 1, "nprobe must be from 1 to the number of centroids");
  expect(numbers.shape(0) == q && dots.shape(0) == q && dots.shape(1) == nprobe, "numbers and dots must be (q, nprobe)");
  expect(centroids.shape(0) < (std::size_t{1} << 31), "too many centroids");
  expect(worth.has_value() == table.has_value(), "worth and table must be given together");
  expect(!worth || worth->shape(0) == q, "worth must have one entry a query row");
  expect(!table || (table->shape(0) == centroids.shape(0) && table->shape(1) >= q && table->shape(1) % kTableLanes == 0),
         "table must have a row a centroid, as wide as a multiple of 32 that holds all query rows");
  const Table bytes{worth ? worth->data() : nullptr, table ? table->data() : nullptr, table ? table->shape(1) : 0};
  const ProbeJob job{nullptr, q, p, coarse_centroids.data(), coarse_offsets.data(), coarse_centroids.shape(0), centroids.data(), nprobe, coarse_probe, bytes};
  const Unlocked released;
  probe_all(kernel, query.data(), job, threads, numbers.data(), dots.data());
}

// Fills rows and scores, each with room for `limit`; returns how many there are.
std::size_t generate_candidate_documents(const Matrix<std::int32_t>& numbers, const Matrix<std::uint16_t>& gains, const Row<std::uint8_t>& stream,
                             const Row<std::int64_t>& starts, std::size_t documents,
                             const std::optional<Row<std::uint8_t>>& allowed, const Array<std::int64_t, 1>& rows,
                             const Array<std::int32_t, 1>& scores) {
  const std::size_t q = numbers.shape(0), nprobe = numbers.shape(1), limit = rows.shape(0);
  expect(gains.shape(0) == q && gains.shape(1) == nprobe, "numbers and gains differ in shape");
  expect(q < (std::size_t{1} << 16) - 1, "a query must have fewer than 65,535 rows");
  std::size_t most = 0;
  for (std::size_t row = 0; row < q; ++row) {
    std::size_t largest = 0;
    for (std::size_t i = 0; i < nprobe; ++i) largest = std::max<std::size_t>(largest, gains(row, i));
    most += largest;
  }
  expect(most < (std::size_t{1} << 16), "the largest gains of all rows must add up to 65,535 at most");
  expect(starts.shape(0) >= 1, "starts must have an entry");
  expect(!allowed || allowed->shape(0) == documents, "allowed must have one entry a document");
  expect(documents < (std::size_t{1} << 32), "too many documents for one segment");
  expect(limit > 0 && scores.shape(0) == limit, "rows and scores must have the same length, at least 1");
  const CandidateGenerationJob job{numbers.data(), gains.data(), q, nprobe, stream.data(), stream.shape(0), starts.data(),
                      starts.shape(0) - 1, documents, allowed ? allowed->data() : nullptr, limit};
  static thread_local std::vector<Candidate> best;
  std::size_t found = 0;
  bool sound;
  {
    const Unlocked released;
    sound = generate_candidates(job, best, found);
  }
  expect(sound, "a centroid number or a posting is out of range");
  std::int64_t* const to = rows.data();
  std::int32_t* const score = scores.data();
  for (std::size_t i = 0; i < found; ++i) to[i] = best[i].document, score[i] = best[i].score;
  return found;
}

void centroid_interaction_documents(const Matrix<std::uint8_t>& table, const nb::ndarray<nb::ro, nb::ndim<1>, nb::c_contig, nb::device::cpu>& codes,
                        const Row<std::int64_t>& offsets, const Row<std::int64_t>& which, const Array<std::int32_t, 1>& sums,
                        std::size_t threads, const std::string& name) {
  const CodesKernel& kernel = codes_kernel(name);
  const bool narrow = codes.dtype() == nb::dtype<std::uint16_t>();
  expect(narrow || codes.dtype() == nb::dtype<std::uint32_t>(), "codes must be uint16 or uint32");
  expect(table.shape(1) % kTableLanes == 0, "table must be as wide as a multiple of 32");
  expect(offsets.shape(0) >= 1, "offsets must have an entry");
  expect(sums.shape(0) == which.shape(0), "sums must have one entry a document scored");
  const CentroidInteractionJob job{table.data(), table.shape(0), table.shape(1), codes.data(), narrow ? std::size_t{2} : std::size_t{4},
                        offsets.data(), codes.shape(0), offsets.shape(0) - 1, which.data(), sums.data()};
  bool sound;
  {
    const Unlocked released;
    sound = centroid_interaction_all(kernel, job, which.shape(0), threads);
  }
  expect(sound, "a document, an offset or a centroid number is out of range");
}

void mark_centroids(const Matrix<std::uint8_t>& table, const Row<std::uint8_t>& least, const Array<std::uint8_t, 1>& marked,
                    const std::string& name) {
  const CodesKernel& kernel = codes_kernel(name);
  expect(table.shape(1) % kTableLanes == 0, "table must be as wide as a multiple of 32");
  expect(least.shape(0) == table.shape(1), "least must have one entry a column");
  expect(marked.shape(0) == table.shape(0), "marked must have one entry a centroid");
  const Unlocked released;
  kernel.mark(table.data(), least.data(), table.shape(0), table.shape(1), marked.data());
}

void assign(const Matrix<float>& vectors, const Row<std::int64_t>& order, const Row<std::int32_t>& groups,
            const Matrix<float>& centroids, const Row<float>& biases, const Row<std::int64_t>& group_offsets,
            const Array<std::int64_t, 1>& nearest,
            std::size_t threads, const std::string& name) {
  const AssignKernel* kernel = find_assign_kernel(name);
  expect(kernel, "no such kernel on this machine; POLYVEC_KERNEL and kernel= take a name from assign_kernels()");
  const std::size_t n = vectors.shape(0), d = vectors.shape(1), parts = group_offsets.shape(0) - 1;
  expect(centroids.shape(1) == d, "vectors and centroids differ in dim");
  expect(biases.shape(0) == centroids.shape(0), "biases must have one entry a centroid");
  expect(order.shape(0) == n && groups.shape(0) == n && nearest.shape(0) == n, "order, groups and nearest must have one entry a vector");
  check_parts(group_offsets, centroids.shape(0));
  for (std::size_t i = 0; i < n; ++i) {
    expect(groups(i) >= 0 && static_cast<std::size_t>(groups(i)) < parts, "a group is out of range");
    expect(order(i) >= 0 && static_cast<std::size_t>(order(i)) < n, "a place in order is out of range");
  }
  const Unlocked released;
  std::vector<std::int64_t> starts(parts);
  std::int64_t blocks = 0;
  for (std::size_t g = 0; g < parts; ++g) {
    starts[g] = blocks;
    blocks += (group_offsets(g + 1) - group_offsets(g) + kAssignLanes - 1) / kAssignLanes;
  }
  std::vector<float> packed(static_cast<std::size_t>(blocks) * kAssignLanes * (d + 1));
  parallel_for(parts, 64, threads, [&](std::size_t, std::size_t begin, std::size_t end) {
    for (std::size_t g = begin; g < end; ++g) {
      pack_centroids(centroids.data(), biases.data(), group_offsets(g), group_offsets(g + 1) - group_offsets(g), d,
                     packed.data() + starts[g] * kAssignLanes * (d + 1));
    }
  });
  const AssignJob job{vectors.data(), order.data(), groups.data(), d, packed.data(), starts.data(), group_offsets.data(), nearest.data()};
  parallel_for(n, kVectorsAtOnce, threads, [&](std::size_t, std::size_t begin, std::size_t end) { kernel->assign(job, begin, end); });
}

void cluster_sums(const Matrix<float>& vectors, const Row<std::int64_t>& nearest, const Array<double, 2>& sums, std::size_t threads) {
  const std::size_t n = vectors.shape(0), d = vectors.shape(1), clusters = sums.shape(0);
  expect(nearest.shape(0) == n, "nearest must have one entry a vector");
  expect(sums.shape(1) == d, "vectors and sums differ in dim");
  for (std::size_t i = 0; i < n; ++i) expect(nearest(i) >= 0 && static_cast<std::size_t>(nearest(i)) < clusters, "a cluster is out of range");
  const ClusterJob job{vectors.data(), nearest.data(), n, d, sums.data()};
  const Unlocked released;
  parallel_for(d, kDimensionsAtOnce, threads, [&](std::size_t, std::size_t begin, std::size_t end) { add_up(job, begin, end); });
}

void quantize_rows(const Matrix<float>& residuals, const Row<float>& steps, const Row<float>& codebook, unsigned nbits,
                   const Array<std::uint8_t, 1>& scales, const Array<std::uint8_t, 2>& packed, std::size_t threads,
                   const std::string& name) {
  const QuantizeKernel* kernel = find_quantize_kernel(name);
  expect(kernel, "no such kernel on this machine; POLYVEC_KERNEL and kernel= take a name from quantize_kernels()");
  const std::size_t n = residuals.shape(0), p = residuals.shape(1);
  expect(p > 0 && p % kBlock == 0, "rows must have a multiple of 32 dimensions");
  expect(nbits == 1 || nbits == 2 || nbits == 4, "nbits must be 1, 2 or 4");
  expect(codebook.shape(0) == 16 && steps.shape(0) == 256, "there must be 16 points and 256 steps");
  expect(scales.shape(0) == n && packed.shape(0) == n && packed.shape(1) == p * nbits / 8, "scales and packed must have a row a residual");
  const QuantizeJob job{residuals.data(), p, steps.data(), codebook.data(), nbits, scales.data(), packed.data()};
  const Unlocked released;
  threads = useful_threads(n, kVectorsAtOnce, threads);
  Memory scratch(threads * quantize_scratch_bytes(p));
  parallel_for(n, kVectorsAtOnce, threads, [&](std::size_t thread, std::size_t begin, std::size_t end) {
    kernel->quantize(job, begin, end, scratch.begin() + thread * quantize_scratch_bytes(p));
  });
}

void rotate_rows(const Array<float, 2>& rows, const Matrix<float>& signs, float scale, bool forward, std::size_t threads) {
  const std::size_t d = rows.shape(1);
  expect(d > 0 && signs.shape(1) == d, "rows and signs differ in dim");
  std::size_t block = 1;
  while (2 * block <= d) block *= 2;
  const RotateJob job{rows.data(), signs.data(), d, signs.shape(0), block, scale, forward};
  const Unlocked released;
  parallel_for(rows.shape(0), kVectorsAtOnce, threads, [&](std::size_t, std::size_t begin, std::size_t end) { rotate(job, begin, end); });
}

template <class Kernel>
std::vector<std::string> names(const std::vector<const Kernel*>& kernels) {
  std::vector<std::string> found;
  for (const Kernel* kernel : kernels) found.emplace_back(kernel->name);
  return found;
}

// int8 multiply-adds a second on one thread, from registers alone: what the arithmetic can do at most.
double int8_peak(const std::string& name) {
  const CodesKernel& kernel = codes_kernel(name);
  const Unlocked released;
  const auto start = std::chrono::steady_clock::now();
  const double done = kernel.run_multiply_adds(20000);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  return done / seconds.count();
}

}  // namespace

void bind_engine(nb::module_& m) {
  m.def("full_scores", &full_scores, nb::arg("query"), nb::arg("query_scales"), nb::arg("centroids"), nb::arg("levels"), nb::arg("codes"),
        nb::arg("scales"), nb::arg("packed"), nb::arg("offsets"), nb::arg("which"), nb::arg("nbits"), nb::arg("scores"),
        nb::arg("threads"), nb::arg("kernel"), nb::arg("marked").none(), nb::arg("least").none());
  m.def("probe", &probe_rows, nb::arg("query"), nb::arg("coarse_centroids"), nb::arg("coarse_offsets"), nb::arg("centroids"),
        nb::arg("numbers"), nb::arg("dots"), nb::arg("coarse_probe"), nb::arg("worth").none(), nb::arg("table").none(),
        nb::arg("threads"), nb::arg("kernel"));
  m.def("mark", &mark_centroids, nb::arg("table"), nb::arg("least"), nb::arg("marked"), nb::arg("kernel"));
  m.def("centroid_interaction", &centroid_interaction_documents, nb::arg("table"), nb::arg("codes"), nb::arg("offsets"), nb::arg("which"), nb::arg("sums"),
        nb::arg("threads"), nb::arg("kernel"));
  m.def("generate_candidates", &generate_candidate_documents, nb::arg("numbers"), nb::arg("gains"), nb::arg("stream"), nb::arg("starts"),
        nb::arg("documents"), nb::arg("allowed").none(), nb::arg("rows"), nb::arg("scores"));
  m.def("assign", &assign, nb::arg("vectors"), nb::arg("order"), nb::arg("groups"), nb::arg("centroids"), nb::arg("biases"),
        nb::arg("group_offsets"), nb::arg("nearest"), nb::arg("threads"), nb::arg("kernel"));
  m.def("cluster_sums", &cluster_sums, nb::arg("vectors"), nb::arg("nearest"), nb::arg("sums"), nb::arg("threads"));
  m.def("quantize", &quantize_rows, nb::arg("residuals"), nb::arg("steps"), nb::arg("codebook"), nb::arg("nbits"),
        nb::arg("scales"), nb::arg("packed"), nb::arg("threads"), nb::arg("kernel"));
  m.def("rotate", &rotate_rows, nb::arg("rows"), nb::arg("signs"), nb::arg("scale"), nb::arg("forward"),
        nb::arg("threads"));
  m.def("codes_kernels", [] { return names(codes_kernels()); });
  m.def("assign_kernels", [] { return names(assign_kernels()); });
  m.def("quantize_kernels", [] { return names(quantize_kernels()); });
  m.def("int8_peak", &int8_peak, nb::arg("kernel"));
}
