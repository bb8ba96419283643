// A loop over [0, count) on several threads, in chunks taken as they come. The threads end with the call.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

namespace polyvec {

// Calls body(thread, begin, end) for consecutive chunks of `chunk`; `body` must not throw.
template <class Body>
void parallel_for(std::size_t count, std::size_t chunk, std::size_t threads, const Body& body) {
  chunk = std::max<std::size_t>(chunk, 1);
  threads = std::min(threads, (count + chunk - 1) / chunk);
  if (threads <= 1) {
    if (count) body(std::size_t{0}, std::size_t{0}, count);
    return;
  }
  std::atomic<std::size_t> next{0};
  const auto work = [&](std::size_t thread) {
    for (std::size_t begin; (begin = next.fetch_add(chunk)) < count;) body(thread, begin, std::min(begin + chunk, count));
  };
  std::vector<std::thread> helpers;
  helpers.reserve(threads - 1);
  for (std::size_t thread = 1; thread < threads; ++thread) helpers.emplace_back(work, thread);
  work(0);
  for (std::thread& helper : helpers) helper.join();
}

}  // namespace polyvec
