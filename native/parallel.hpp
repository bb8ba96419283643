// A loop over [0, count) on several threads, in chunks that are taken as they come.
//
// Threads are kept from call to call, since a search has several such loops of a few hundred microseconds each and starting a thread
// takes thirty. They wait in a pool that all callers share, and start when they are first needed; a child of fork() begins with none.
//
// Nothing may be thrown on a thread of the pool, so every function that runs there is noexcept by its type.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <type_traits>

namespace polyvec {

// How many of `threads` can find work: never more than there are chunks, never none.
inline std::size_t useful_threads(std::size_t count, std::size_t chunk, std::size_t threads) {
  const std::size_t chunks = count / chunk + (count % chunk != 0);
  return std::max<std::size_t>(std::min(threads, chunks), 1);
}

using Work = void (*)(void* context, std::size_t thread) noexcept;

// Calls work(context, 0) here and work(context, thread), 0 < thread < threads, on those threads of the pool that come in time, each at
// most once; returns when all have. So one call must be enough to do everything that is left.
void run_together(std::size_t threads, Work work, void* context);

// Calls body(thread, begin, end) for consecutive chunks of `chunk` >= 1, thread < useful_threads(count, chunk, threads).
template <class Body>
void parallel_for(std::size_t count, std::size_t chunk, std::size_t threads, const Body& body) {
  static_assert(std::is_nothrow_invocable_v<const Body&, std::size_t, std::size_t, std::size_t>, "declare the body noexcept");
  threads = useful_threads(count, chunk, threads);
  if (threads == 1) {
    if (count) body(std::size_t{0}, std::size_t{0}, count);
    return;
  }
  struct Loop {
    const Body& body;
    std::size_t count, chunk;
    std::atomic<std::size_t> next{0};
  } loop{body, count, chunk};
  run_together(threads, [](void* context, std::size_t thread) noexcept {
    Loop& loop = *static_cast<Loop*>(context);
    for (std::size_t begin; (begin = loop.next.fetch_add(loop.chunk)) < loop.count;) {
      loop.body(thread, begin, std::min(begin + loop.chunk, loop.count));
    }
  }, &loop);
}

}  // namespace polyvec
