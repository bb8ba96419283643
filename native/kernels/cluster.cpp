#include "kernels/cluster.hpp"

namespace polyvec {

void add_up(const ClusterJob& job, std::size_t begin, std::size_t end) {
  for (std::size_t i = 0; i < job.n; ++i) {
    const float* const from = job.vectors + i * job.d;
    double* const to = job.sums + static_cast<std::size_t>(job.nearest[i]) * job.d;
    for (std::size_t k = begin; k < end; ++k) to[k] += static_cast<double>(from[k]);
  }
}

}  // namespace polyvec
