// What the bindings of the index share: how arrays come in, and the first checks of them.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include "dispatch.hpp"

namespace nb = nanobind;

namespace polyvec {

template <class T, int dims>
using Array = nb::ndarray<T, nb::ndim<dims>, nb::c_contig, nb::device::cpu>;
template <class T>
using Row = Array<const T, 1>;
template <class T>
using Matrix = Array<const T, 2>;

constexpr std::size_t kBlock = 32;  // dimensions of a row come in whole blocks

inline void expect(bool holds, const char* otherwise) {
  if (!holds) throw std::invalid_argument(otherwise);
}

inline const CodesKernel& codes_kernel(const std::string& name) {
  const CodesKernel* kernel = find_codes_kernel(name);
  expect(kernel, "no such kernel on this machine; POLYVEC_KERNEL and kernel= take a name from codes_kernels()");
  return *kernel;
}

// Offsets that cut `total` things into non-empty parts.
inline void check_parts(const Row<std::int64_t>& offsets, std::size_t total) {
  expect(offsets.shape(0) >= 2 && offsets(0) == 0, "offsets must begin with 0 and have at least one part");
  for (std::size_t i = 1; i < offsets.shape(0); ++i) expect(offsets(i) > offsets(i - 1), "offsets must rise");
  expect(static_cast<std::size_t>(offsets(offsets.shape(0) - 1)) == total, "offsets must end with the number of rows");
}

}  // namespace polyvec
