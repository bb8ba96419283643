// Bytes that begin on a cache line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace polyvec {

constexpr std::size_t kCacheLine = 64;

inline std::size_t whole_lines(std::size_t bytes) { return (bytes + kCacheLine - 1) / kCacheLine * kCacheLine; }

class Memory {
 public:
  explicit Memory(std::size_t bytes) : bytes_(bytes + kCacheLine) {}
  char* begin() noexcept {
    const auto at = reinterpret_cast<std::uintptr_t>(bytes_.data());
    return reinterpret_cast<char*>((at + kCacheLine - 1) / kCacheLine * kCacheLine);
  }

 private:
  std::vector<char> bytes_;
};

}  // namespace polyvec
