// The random rotation: signs and Walsh-Hadamard transforms of float32 rows, in place.
//
// Cost: rounds * (2 + log2(block)) operations a value. Every sum has two terms, so all machines compute the same bits.
#pragma once

#include <cstddef>

namespace polyvec {

struct RotateJob {
  float* rows;         // (n, d)
  const float* signs;  // (rounds, d), 1 or -1
  std::size_t d, rounds;
  std::size_t block;   // the largest power of two that fits d; rounds transform the first and the last of a row's values in turn
  float scale;         // 1 / sqrt(block)
  bool forward;        // false: the last round first, and signs after the transform
};

void rotate(const RotateJob& job, std::size_t begin, std::size_t end);

}  // namespace polyvec
