#include "parallel.hpp"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace polyvec {
namespace {

constexpr std::size_t kMost = 256;  // threads of the crew
constexpr std::chrono::microseconds kPatience{40};  // of looking out for what comes before going to sleep: waking takes as long

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Returns when `over` holds, or patience ends.
template <class Over>
void spin(const Over& over) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  do {
    for (int i = 0; i < 64; ++i) {
      if (over()) return;
      pause();
    }
  } while (std::chrono::steady_clock::now() < until);
}

struct Task {
  void (*work)(void*, std::size_t);
  void* context;
  std::size_t threads, joined;          // wanted, and come so far, the caller among them
  std::atomic<std::size_t> working{0};  // of the crew; the last touch of a task by one of them
};

class ThreadPool {
 public:
  void run(Task& task) {
    std::size_t asleep;
    {
      const std::lock_guard<std::mutex> held(mutex_);
      grow(task.threads - 1);
      open_.push_back(&task);
      news_.fetch_add(1, std::memory_order_release);
      asleep = std::min(asleep_, task.threads - 1);
    }
    for (; asleep > 0; --asleep) wake_.notify_one();
    task.work(task.context, 0);
    {
      const std::lock_guard<std::mutex> held(mutex_);
      open_.erase(std::remove(open_.begin(), open_.end(), &task), open_.end());
    }
    const auto done = [&task] { return task.working.load(std::memory_order_acquire) == 0; };
    spin(done);
    std::unique_lock<std::mutex> held(mutex_);
    done_.wait(held, done);
  }

 private:
  // Where the system refuses another thread, those that are there do all the work.
  void grow(std::size_t wanted) {
    try {
      for (; members_ < std::min(wanted, kMost); ++members_) std::thread([this] { serve(); }).detach();
    } catch (const std::system_error&) {
    }
  }

  [[noreturn]] void serve() {
    std::unique_lock<std::mutex> held(mutex_);
    for (;;) {
      if (open_.empty()) {
        const unsigned known = news_.load(std::memory_order_relaxed);
        held.unlock();
        spin([this, known] { return news_.load(std::memory_order_acquire) != known; });
        held.lock();
        ++asleep_;
        wake_.wait(held, [this] { return !open_.empty(); });
        --asleep_;
      }
      Task& task = *open_.front();
      const std::size_t thread = task.joined++;
      if (task.joined == task.threads) open_.erase(open_.begin());
      task.working.fetch_add(1, std::memory_order_relaxed);
      held.unlock();
      task.work(task.context, thread);
      held.lock();
      if (task.working.fetch_sub(1, std::memory_order_release) == 1) done_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::vector<Task*> open_;  // those with room for another thread
  std::size_t members_ = 0, asleep_ = 0;
  std::atomic<unsigned> news_{0};
};

std::atomic<ThreadPool*> pool{nullptr};  // never deleted: its threads may wait when the process ends

#if !defined(_WIN32)
const int forgotten_by_children = pthread_atfork(nullptr, nullptr, [] { pool.store(nullptr); });  // who have none of its threads
#endif

ThreadPool& thread_pool() {
  ThreadPool* there = pool.load(std::memory_order_acquire);
  if (!there) {
    ThreadPool* const made = new ThreadPool;
    if (pool.compare_exchange_strong(there, made, std::memory_order_acq_rel)) return *made;
    delete made;
  }
  return *there;
}

}  // namespace

void together(std::size_t threads, void (*work)(void*, std::size_t), void* context) {
  if (threads <= 1) return work(context, 0);
  Task task{work, context, threads, 1};
  thread_pool().run(task);
}

}  // namespace polyvec
