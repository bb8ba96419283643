// A query packed for a kernel once, with scratch memory for each thread that will score with it.
#pragma once

#include "kernels/codes.hpp"
#include "memory.hpp"

namespace polyvec {

class PreparedQuery {
 public:
  PreparedQuery(const CodesKernel& kernel, const QueryView& query, std::size_t threads)
      : packed_bytes_(whole_lines(kernel.packed_bytes(query.q, query.p))), scratch_bytes_(whole_lines(kernel.scratch_bytes(query.q, query.p))),
        memory_(packed_bytes_ + threads * scratch_bytes_), packed_{memory_.begin(), query.scales, query.q, query.p} {
    kernel.pack(query, memory_.begin());
  }
  PreparedQuery(const PreparedQuery&) = delete;
  PreparedQuery& operator=(const PreparedQuery&) = delete;

  const PackedQuery& packed() const { return packed_; }
  void* scratch(std::size_t thread) noexcept { return memory_.begin() + packed_bytes_ + thread * scratch_bytes_; }

 private:
  std::size_t packed_bytes_, scratch_bytes_;
  Memory memory_;
  PackedQuery packed_;
};

}  // namespace polyvec
