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

constexpr std::size_t kMaxThreads = 256;
constexpr std::chrono::microseconds kSpin{40};  // before a thread goes to sleep: waking it takes as long

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Returns when `done` holds, or after kSpin.
template <class Done>
void spin(const Done& done) {
  const auto until = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 64; ++i) {
      if (done()) return;
      pause();
    }
  } while (std::chrono::steady_clock::now() < until);
}

struct Task {
  Work work;
  void* context;
  std::size_t threads, joined;          // wanted, and joined so far, the caller among them
  std::atomic<std::size_t> working{0};  // threads of the pool; their last access to a task is to leave this count
};

class ThreadPool {
 public:
  void run(Task& task) {
    std::size_t asleep;
    {
      const std::lock_guard<std::mutex> held(mutex_);
      grow(task.threads - 1);
      open_.push_back(&task);
      tasks_.fetch_add(1, std::memory_order_release);
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
  // Where the system refuses another thread, those that run do all the work.
  void grow(std::size_t wanted) {
    try {
      for (; threads_ < std::min(wanted, kMaxThreads); ++threads_) std::thread([this] { serve(); }).detach();
    } catch (const std::system_error&) {
    }
  }

  [[noreturn]] void serve() noexcept {
    std::unique_lock<std::mutex> held(mutex_);
    for (;;) {
      if (open_.empty()) {
        const unsigned seen = tasks_.load(std::memory_order_relaxed);
        held.unlock();
        spin([this, seen] { return tasks_.load(std::memory_order_acquire) != seen; });
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
  std::vector<Task*> open_;  // those that want another thread
  std::size_t threads_ = 0, asleep_ = 0;
  std::atomic<unsigned> tasks_{0};  // so far
};

std::atomic<ThreadPool*> pool{nullptr};  // never deleted: its threads may wait when the process ends

#if !defined(_WIN32)
const int forgotten_by_children = pthread_atfork(nullptr, nullptr, [] { pool.store(nullptr); });  // children have none of its threads
#endif

ThreadPool& thread_pool() {
  ThreadPool* current = pool.load(std::memory_order_acquire);
  if (!current) {
    ThreadPool* const created = new ThreadPool;
    if (pool.compare_exchange_strong(current, created, std::memory_order_acq_rel)) return *created;
    delete created;
  }
  return *current;
}

}  // namespace

void run_together(std::size_t threads, Work work, void* context) {
  if (threads <= 1) return work(context, 0);
  Task task{work, context, threads, 1};
  thread_pool().run(task);
}

}  // namespace polyvec
