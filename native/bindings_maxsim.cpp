// Python <-> the MaxSim kernels: shapes checked, the GIL released, work shared out to threads.

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "memory.hpp"
#include "parallel.hpp"

using namespace polyvec;

namespace {

constexpr std::size_t kChunkTokens = 2048;  // token vectors that a thread takes at a time

const MaxsimKernel& kernel_named(const std::string& name) {
  const MaxsimKernel* kernel = find_maxsim_kernel(name);
  expect(kernel, "no such kernel on this machine; POLYVEC_KERNEL and kernel= take a name from maxsim_kernels()");
  return *kernel;
}

void check_offsets(const Row<std::int64_t>& offsets, std::size_t tokens) {
  expect(offsets.shape(0) >= 1 && offsets(0) == 0, "offsets must begin with 0");
  for (std::size_t i = 1; i < offsets.shape(0); ++i) expect(offsets(i) >= offsets(i - 1), "offsets must not decrease");
  expect(static_cast<std::size_t>(offsets(offsets.shape(0) - 1)) <= tokens, "offsets end after the last token vector");
}

void check_documents(const Row<std::int64_t>& which, std::size_t documents) {
  for (std::size_t i = 0; i < which.shape(0); ++i) {
    expect(which(i) >= 0 && static_cast<std::size_t>(which(i)) < documents, "a document number is out of range");
  }
}

// Value: float, or uint16 for the bits of a half.
template <class Value>
OwnedRow<float> maxsim(const Matrix<float>& query, const Matrix<Value>& tokens, const Row<std::int64_t>& offsets,
                       const std::optional<Row<std::int64_t>>& which, std::size_t threads, const std::string& name) {
  const MaxsimKernel& kernel = kernel_named(name);
  const std::size_t q = query.shape(0), d = query.shape(1);
  expect(tokens.shape(1) == d, "query and tokens differ in dim");
  check_offsets(offsets, tokens.shape(0));
  const std::size_t documents = offsets.shape(0) - 1, count = which ? which->shape(0) : documents;
  if (which) check_documents(*which, documents);
  const std::size_t per_document = std::max<std::size_t>(tokens.shape(0) / std::max<std::size_t>(documents, 1), 1);
  const std::size_t chunk = kChunkTokens / per_document + 1;
  threads = useful_threads(count, chunk, threads);
  const std::size_t packed_size = whole_lines(kernel.packed_floats(q, d) * sizeof(float)) / sizeof(float);
  const std::size_t scratch_size = whole_lines(kernel.scratch_floats(q, d) * sizeof(float)) / sizeof(float);
  Memory memory((packed_size + threads * scratch_size) * sizeof(float));
  float* const packed = reinterpret_cast<float*>(memory.begin());
  kernel.pack(query.data(), q, d, packed);
  std::vector<float> scores(count);
  const MaxsimJob job{.query = packed,
                      .q = q,
                      .d = d,
                      .tokens = tokens.data(),
                      .dtype = sizeof(Value) == 4 ? Dtype::f32 : Dtype::f16,
                      .offsets = offsets.data(),
                      .which = which ? which->data() : nullptr,
                      .scores = scores.data()};
  {
    const Unlocked released;
    parallel_for(count, chunk, threads, [&](std::size_t thread, std::size_t begin, std::size_t end) noexcept {
      kernel.score(job, begin, end, packed + packed_size + thread * scratch_size);
    });
  }
  return owned_row(std::move(scores));
}

}  // namespace

void bind_maxsim(nb::module_& m) {
  m.def("maxsim_f32", &maxsim<float>, nb::arg("query").noconvert(), nb::arg("tokens").noconvert(), nb::arg("offsets").noconvert(),
        nb::arg("which").noconvert().none(), nb::arg("threads"), nb::arg("kernel"), "MaxSim with documents in float32.");
  m.def("maxsim_f16", &maxsim<std::uint16_t>, nb::arg("query").noconvert(), nb::arg("tokens").noconvert(), nb::arg("offsets").noconvert(),
        nb::arg("which").noconvert().none(), nb::arg("threads"), nb::arg("kernel"), "MaxSim with documents in float16, given as their bits.");
  m.def("maxsim_kernels", [] { return names_of(maxsim_kernels()); }, "Kernels for maxsim_f32 and maxsim_f16, best first.");
}
