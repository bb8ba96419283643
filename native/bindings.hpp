// What the bindings share: how arrays come in and go out, and the first checks of them.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "dispatch.hpp"

namespace nb = nanobind;

namespace polyvec {

template <class T, int dims>
using Array = nb::ndarray<T, nb::ndim<dims>, nb::c_contig, nb::device::cpu>;
template <class T>
using Row = Array<const T, 1>;
template <class T>
using Matrix = Array<const T, 2>;
template <class T, int dims>
using Owned = nb::ndarray<nb::numpy, T, nb::ndim<dims>>;
template <class T>
using OwnedRow = Owned<T, 1>;
template <class T>
using OwnedMatrix = Owned<T, 2>;

// Numbers that Python owns from now on.
template <class T, class... Shape>
Owned<T, sizeof...(Shape)> owned(std::vector<T>&& values, Shape... shape) {
  auto* const kept = new std::vector<T>(std::move(values));
  const nb::capsule owner(kept, [](void* memory) noexcept { delete static_cast<std::vector<T>*>(memory); });
  return {kept->data(), {shape...}, owner};
}
template <class T>
OwnedRow<T> owned_row(std::vector<T>&& values) {
  const std::size_t n = values.size();
  return owned(std::move(values), n);
}

// Releases the GIL until it goes out of scope. Where the interpreter has begun to end by then, the thread (a daemon thread: all others
// have been joined) stops here for good and ends with the process: CPython before 3.14 would end it by unwinding its stack, which
// destructors and nanobind's own handlers turn into an abort of the whole process.
class Unlocked {
 public:
  Unlocked() : state_(PyEval_SaveThread()) {}
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;
  ~Unlocked() {
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {  // nothing but the unwinding of pthread_exit comes here
      for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
  }

 private:
  PyThreadState* state_;
};

template <class Kernel>
std::vector<std::string> names_of(const std::vector<const Kernel*>& kernels) {
  std::vector<std::string> names;
  for (const Kernel* kernel : kernels) names.emplace_back(kernel->name);
  return names;
}

inline void expect(bool holds, const char* otherwise) {
  if (!holds) throw std::invalid_argument(otherwise);
}

// Offsets that cut `total` things into non-empty parts.
inline void check_parts(const Row<std::int64_t>& offsets, std::size_t total) {
  expect(offsets.shape(0) >= 2 && offsets(0) == 0, "offsets must begin with 0 and have at least one part");
  for (std::size_t i = 1; i < offsets.shape(0); ++i) expect(offsets(i) > offsets(i - 1), "offsets must rise");
  expect(static_cast<std::size_t>(offsets(offsets.shape(0) - 1)) == total, "offsets must end with the number of rows");
}

}  // namespace polyvec
