#include "kernels/rotate.hpp"

namespace polyvec {
namespace {

void flip(float* row, const float* signs, std::size_t d) {
  for (std::size_t i = 0; i < d; ++i) row[i] *= signs[i];
}

// Butterflies between values `step` apart: a sum and a difference each.
void level(float* values, std::size_t size, std::size_t step) {
  for (std::size_t first = 0; first < size; first += 2 * step) {
    float* const low = values + first;
    float* const high = low + step;
    for (std::size_t i = 0; i < step; ++i) {
      const float a = low[i], b = high[i];
      low[i] = a + b;
      high[i] = a - b;
    }
  }
}

}  // namespace

void rotate(const RotateJob& job, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) {
    float* const row = job.rows + i * job.d;
    for (std::size_t turn = 0; turn < job.rounds; ++turn) {
      const std::size_t round = job.forward ? turn : job.rounds - 1 - turn;
      float* const values = row + (round % 2 ? job.d - job.block : 0);
      if (job.forward) flip(row, job.signs + round * job.d, job.d);
      for (std::size_t step = 1; step < job.block; step *= 2) level(values, job.block, step);
      for (std::size_t k = 0; k < job.block; ++k) values[k] *= job.scale;
      if (!job.forward) flip(row, job.signs + round * job.d, job.d);
    }
  }
}

}  // namespace polyvec
