// Python <-> the kernels that build an index: shapes checked, the GIL released, work shared out to threads.

#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "kernels/assign.hpp"
#include "kernels/cluster.hpp"
#include "kernels/quantize.hpp"
#include "kernels/rotate.hpp"
#include "kernels/views.hpp"
#include "memory.hpp"
#include "parallel.hpp"

using namespace polyvec;

namespace {

constexpr std::size_t kVectorsAtOnce = 1024, kDimensionsAtOnce = 32, kGroupsAtOnce = 64;

OwnedRow<std::int64_t> assign(const Matrix<float>& vectors, const Row<std::int64_t>& order, const Row<std::int32_t>& groups,
                              const Matrix<float>& centroids, const Row<float>& biases, const Row<std::int64_t>& group_offsets,
                              std::size_t threads, const std::string& name) {
  const AssignKernel* kernel = find_assign_kernel(name);
  expect(kernel, "no such kernel on this machine; POLYVEC_KERNEL and kernel= take a name from assign_kernels()");
  const std::size_t n = vectors.shape(0), d = vectors.shape(1), parts = group_offsets.shape(0) - 1;
  expect(centroids.shape(1) == d, "vectors and centroids differ in dim");
  expect(biases.shape(0) == centroids.shape(0), "biases must have one entry a centroid");
  expect(order.shape(0) == n && groups.shape(0) == n, "order and groups must have one entry a vector");
  check_parts(group_offsets, centroids.shape(0));
  for (std::size_t i = 0; i < n; ++i) {
    expect(groups(i) >= 0 && static_cast<std::size_t>(groups(i)) < parts, "a group is out of range");
    expect(order(i) >= 0 && static_cast<std::size_t>(order(i)) < n, "a place in order is out of range");
  }
  std::vector<std::int64_t> starts(parts), nearest(n);
  std::int64_t blocks = 0;
  for (std::size_t g = 0; g < parts; ++g) {
    starts[g] = blocks;
    blocks += (group_offsets(g + 1) - group_offsets(g) + kAssignLanes - 1) / kAssignLanes;
  }
  std::vector<float> packed(static_cast<std::size_t>(blocks) * kAssignLanes * (d + 1));
  const AssignJob job{.vectors = vectors.data(),
                      .order = order.data(),
                      .groups = groups.data(),
                      .d = d,
                      .packed = packed.data(),
                      .packed_starts = starts.data(),
                      .group_offsets = group_offsets.data(),
                      .nearest = nearest.data()};
  {
    const Unlocked released;
    parallel_for(parts, kGroupsAtOnce, threads, [&](std::size_t, std::size_t begin, std::size_t end) noexcept {
      for (std::size_t g = begin; g < end; ++g) {
        pack_centroids(centroids.data(), biases.data(), group_offsets(g), group_offsets(g + 1) - group_offsets(g), d,
                       packed.data() + starts[g] * kAssignLanes * (d + 1));
      }
    });
    parallel_for(n, kVectorsAtOnce, threads,
                 [&](std::size_t, std::size_t begin, std::size_t end) noexcept { kernel->assign(job, begin, end); });
  }
  return owned_row(std::move(nearest));
}

OwnedMatrix<double> cluster_sums(const Matrix<float>& vectors, const Row<std::int64_t>& nearest, std::size_t clusters, std::size_t threads) {
  const std::size_t n = vectors.shape(0), d = vectors.shape(1);
  expect(nearest.shape(0) == n, "nearest must have one entry a vector");
  for (std::size_t i = 0; i < n; ++i) expect(nearest(i) >= 0 && static_cast<std::size_t>(nearest(i)) < clusters, "a cluster is out of range");
  std::vector<double> sums(clusters * d);
  const ClusterJob job{vectors.data(), nearest.data(), n, d, sums.data()};
  {
    const Unlocked released;
    parallel_for(d, kDimensionsAtOnce, threads, [&](std::size_t, std::size_t begin, std::size_t end) noexcept { add_up(job, begin, end); });
  }
  return owned(std::move(sums), clusters, d);
}

std::pair<OwnedRow<std::uint8_t>, OwnedMatrix<std::uint8_t>> quantize_rows(const Matrix<float>& residuals, const Row<float>& steps,
                                                                          const Row<float>& codebook, unsigned nbits, std::size_t threads,
                                                                          const std::string& name) {
  const QuantizeKernel* kernel = find_quantize_kernel(name);
  expect(kernel, "no such kernel on this machine; POLYVEC_KERNEL and kernel= take a name from quantize_kernels()");
  const std::size_t n = residuals.shape(0), p = residuals.shape(1), width = p * nbits / 8;
  expect(p > 0 && p % kBlockDims == 0, "rows must have a multiple of 32 dimensions");
  expect(nbits == 1 || nbits == 2 || nbits == 4, "nbits must be 1, 2 or 4");
  expect(codebook.shape(0) == kWindows && steps.shape(0) == kScales, "codebook must have 16 entries and steps 256");
  threads = useful_threads(n, kVectorsAtOnce, threads);
  std::vector<std::uint8_t> scales(n), packed(n * width);
  Memory scratch(threads * quantize_scratch_bytes(p));
  const QuantizeJob job{.residuals = residuals.data(),
                        .p = p,
                        .steps = steps.data(),
                        .codebook = codebook.data(),
                        .nbits = nbits,
                        .scales = scales.data(),
                        .packed = packed.data()};
  {
    const Unlocked released;
    parallel_for(n, kVectorsAtOnce, threads, [&](std::size_t thread, std::size_t begin, std::size_t end) noexcept {
      kernel->quantize(job, begin, end, scratch.begin() + thread * quantize_scratch_bytes(p));
    });
  }
  return {owned_row(std::move(scales)), owned(std::move(packed), n, width)};
}

void rotate_rows(const Array<float, 2>& rows, const Matrix<float>& signs, float scale, bool forward, std::size_t threads) {
  const std::size_t d = rows.shape(1);
  expect(d > 0 && signs.shape(1) == d, "rows and signs differ in dim");
  std::size_t block = 1;
  while (2 * block <= d) block *= 2;
  const RotateJob job{.rows = rows.data(),
                      .signs = signs.data(),
                      .d = d,
                      .rounds = signs.shape(0),
                      .block = block,
                      .scale = scale,
                      .forward = forward};
  const Unlocked released;
  parallel_for(rows.shape(0), kVectorsAtOnce, threads,
               [&](std::size_t, std::size_t begin, std::size_t end) noexcept { rotate(job, begin, end); });
}

}  // namespace

void bind_build(nb::module_& m) {
  m.def("assign", &assign, nb::arg("vectors").noconvert(), nb::arg("order").noconvert(), nb::arg("groups").noconvert(),
        nb::arg("centroids").noconvert(), nb::arg("biases").noconvert(), nb::arg("group_offsets").noconvert(), nb::arg("threads"),
        nb::arg("kernel"), "The nearest centroid of each vector's group.");
  m.def("cluster_sums", &cluster_sums, nb::arg("vectors").noconvert(), nb::arg("nearest").noconvert(), nb::arg("clusters"),
        nb::arg("threads"), "The sum of each cluster's vectors.");
  m.def("quantize", &quantize_rows, nb::arg("residuals").noconvert(), nb::arg("steps").noconvert(), nb::arg("codebook").noconvert(),
        nb::arg("nbits"), nb::arg("threads"), nb::arg("kernel"), "Scales and packed codes of residuals.");
  m.def("rotate", &rotate_rows, nb::arg("rows").noconvert(), nb::arg("signs").noconvert(), nb::arg("scale"), nb::arg("forward"),
        nb::arg("threads"), "Rotates rows in place.");
  m.def("assign_kernels", [] { return names_of(assign_kernels()); }, "Kernels for assign, best first.");
  m.def("quantize_kernels", [] { return names_of(quantize_kernels()); }, "Kernels for quantize, best first.");
}
