// Python <-> the MaxSim kernels: shapes checked, the GIL released, work shared out to threads.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings.hpp"
#include "dispatch.hpp"
#include "memory.hpp"
#include "parallel.hpp"

namespace nb = nanobind;
using namespace polyvec;

namespace {

using Floats = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Halves = nb::ndarray<const std::uint16_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Numbers = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Scores = nb::ndarray<float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

constexpr std::size_t kChunkTokens = 2048;  // token vectors a thread takes at a time

const MaxsimKernel& kernel_named(const std::string& name) {
  const MaxsimKernel* kernel = find_maxsim_kernel(name);
  if (kernel) return *kernel;
  throw std::invalid_argument("no such kernel on this machine; POLYVEC_KERNEL and kernel= take a name from maxsim_kernels()");
}

void check_offsets(const Numbers& offsets, std::size_t tokens) {
  if (offsets.shape(0) < 1 || offsets(0) != 0) throw std::invalid_argument("offsets must begin with 0");
  for (std::size_t i = 1; i < offsets.shape(0); ++i) {
    if (offsets(i) < offsets(i - 1)) throw std::invalid_argument("offsets must not decrease");
  }
  if (static_cast<std::size_t>(offsets(offsets.shape(0) - 1)) > tokens) {
    throw std::invalid_argument("offsets end after the last token vector");
  }
}

template <class Array>
void maxsim(const Floats& query, const Array& tokens, const Numbers& offsets, Scores& scores,
            const std::optional<Numbers>& which, std::size_t threads, const std::string& name) {
  const MaxsimKernel& kernel = kernel_named(name);
  const std::size_t q = query.shape(0), d = query.shape(1);
  if (tokens.shape(1) != d) throw std::invalid_argument("query and tokens differ in dim");
  check_offsets(offsets, tokens.shape(0));
  const std::size_t documents = offsets.shape(0) - 1, count = which ? which->shape(0) : documents;
  if (scores.shape(0) != count) throw std::invalid_argument("scores must have one entry a document scored");
  for (std::size_t i = 0; which && i < count; ++i) {
    if ((*which)(i) < 0 || static_cast<std::size_t>((*which)(i)) >= documents) {
      throw std::invalid_argument("a document number is out of range");
    }
  }
  const std::size_t per_document = std::max<std::size_t>(tokens.shape(0) / std::max<std::size_t>(documents, 1), 1);
  const std::size_t chunk = kChunkTokens / per_document + 1;
  threads = useful_threads(count, chunk, threads);
  const std::size_t packed_size = whole_lines(kernel.packed_floats(q, d) * sizeof(float)) / sizeof(float);
  const std::size_t scratch_size = whole_lines(kernel.scratch_floats(q, d) * sizeof(float)) / sizeof(float);
  Memory memory((packed_size + threads * scratch_size) * sizeof(float));
  float* const packed = reinterpret_cast<float*>(memory.begin());
  kernel.pack(query.data(), q, d, packed);
  const MaxsimJob job{packed, q, d, tokens.data(), sizeof(*tokens.data()) == 4 ? Dtype::f32 : Dtype::f16,
                      offsets.data(), which ? which->data() : nullptr, scores.data()};
  const Unlocked released;
  parallel_for(count, chunk, threads, [&](std::size_t thread, std::size_t begin, std::size_t end) {
    kernel.score(job, begin, end, packed + packed_size + thread * scratch_size);
  });
}

std::vector<std::string> kernel_names() {
  std::vector<std::string> names;
  for (const MaxsimKernel* kernel : maxsim_kernels()) names.emplace_back(kernel->name);
  return names;
}

// Fused multiply-adds a second on `threads` threads, from registers alone: what the arithmetic can do at most.
double fma_peak(std::size_t threads, const std::string& name) {
  const MaxsimKernel& kernel = kernel_named(name);
  const Unlocked released;
  std::vector<double> done(threads);
  const auto start = std::chrono::steady_clock::now();
  parallel_for(threads, 1, threads, [&](std::size_t, std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) done[i] = kernel.run_multiply_adds(100000);
  });
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  double total = 0;  // a thread that could not start added its count to another's time
  for (double count : done) total += count;
  return total / seconds.count();
}

}  // namespace

void bind_maxsim(nb::module_& m) {
  m.def("maxsim_f32", &maxsim<Floats>, nb::arg("query"), nb::arg("tokens"), nb::arg("offsets"), nb::arg("scores"),
        nb::arg("which").none(), nb::arg("threads"), nb::arg("kernel"));
  m.def("maxsim_f16", &maxsim<Halves>, nb::arg("query"), nb::arg("tokens"), nb::arg("offsets"), nb::arg("scores"),
        nb::arg("which").none(), nb::arg("threads"), nb::arg("kernel"));
  m.def("maxsim_kernels", &kernel_names);
  m.def("fma_peak", &fma_peak, nb::arg("threads"), nb::arg("kernel"));
}
