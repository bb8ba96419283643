// A loop over [0, count) on several threads, in chunks taken as they come. The threads end with the call.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <system_error>
#include <thread>
#include <vector>

namespace polyvec {

// How many of `threads` can find work: never more than there are chunks, never none.
inline std::size_t useful_threads(std::size_t count, std::size_t chunk, std::size_t threads) {
  const std::size_t chunks = count / chunk + (count % chunk != 0);
  return std::max<std::size_t>(std::min(threads, chunks), 1);
}

// Calls body(thread, begin, end) for consecutive chunks of `chunk` >= 1, thread < useful_threads(count, chunk, threads);
// `body` must not throw. Where the system refuses another thread, those that did start do all the work.
template <class Body>
void parallel_for(std::size_t count, std::size_t chunk, std::size_t threads, const Body& body) {
  threads = useful_threads(count, chunk, threads);
  if (threads == 1) {
    if (count) body(std::size_t{0}, std::size_t{0}, count);
    return;
  }
  std::atomic<std::size_t> next{0};
  const auto work = [&](std::size_t thread) {
    for (std::size_t begin; (begin = next.fetch_add(chunk)) < count;) body(thread, begin, std::min(begin + chunk, count));
  };
  std::vector<std::thread> helpers;
  helpers.reserve(threads - 1);
  try {
    for (std::size_t thread = 1; thread < threads; ++thread) helpers.emplace_back(work, thread);
  } catch (const std::system_error&) {
  }
  work(0);
  for (std::thread& helper : helpers) helper.join();
}

}  // namespace polyvec
