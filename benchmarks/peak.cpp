// Multiply-adds a second from registers alone: what arithmetic can do at most on this machine.
//
//   g++ -O2 -march=native -pthread benchmarks/peak.cpp -o peak && ./peak [threads]
//
// Prints one JSON object: fp32 fused multiply-adds, and int8 multiply-adds with the instruction that scoring uses. Sixteen chains hide
// the latency of each. benchmarks/peak.py compiles and runs it.

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace {

constexpr int kChains = 16, kRounds = 2'000'000;

// Times kRounds of step(chain) over all chains; `lanes` multiply-adds each.
#define POLYVEC_RATE(lanes, step)                                                                                        \
  [&] {                                                                                                                  \
    const auto start = std::chrono::steady_clock::now();                                                                 \
    for (int round = 0; round < kRounds; ++round) {                                                                      \
      step(0) step(1) step(2) step(3) step(4) step(5) step(6) step(7) step(8) step(9) step(10) step(11) step(12) step(13) \
          step(14) step(15)                                                                                              \
    }                                                                                                                    \
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;                              \
    return static_cast<double>(kRounds) * kChains * (lanes) / seconds.count();                                           \
  }()

#if defined(__AVX512F__)
#define POLYVEC_FP32(chain) __asm__ volatile("vfmadd231ps %%zmm16, %%zmm17, %%zmm" #chain : : : "xmm" #chain);
double fp32() { return POLYVEC_RATE(16, POLYVEC_FP32); }
#elif defined(__FMA__)
#define POLYVEC_FP32(chain) __asm__ volatile("vfmadd231ps %%ymm0, %%ymm0, %%ymm" #chain : : : "xmm" #chain);
double fp32() { return POLYVEC_RATE(8, POLYVEC_FP32); }
#elif defined(__aarch64__)
#define POLYVEC_FP32(chain) __asm__ volatile("fmla v" #chain ".4s, v16.4s, v17.4s" : : : "v" #chain);
double fp32() { return POLYVEC_RATE(4, POLYVEC_FP32); }
#else
double fp32() { return 0; }
#endif

#if defined(__AVX512VNNI__)
#define POLYVEC_INT8(chain) __asm__ volatile("vpdpbusd %%zmm16, %%zmm17, %%zmm" #chain : : : "xmm" #chain);
double int8() { return POLYVEC_RATE(64, POLYVEC_INT8); }
#elif defined(__AVX2__)
#define POLYVEC_INT8(chain) __asm__ volatile("vpmaddwd %%ymm0, %%ymm0, %%ymm" #chain : : : "xmm" #chain);
double int8() { return POLYVEC_RATE(16, POLYVEC_INT8); }
#elif defined(__aarch64__)
#define POLYVEC_INT8(chain) __asm__ volatile("smull v" #chain ".8h, v16.8b, v17.8b" : : : "v" #chain);
double int8() { return POLYVEC_RATE(8, POLYVEC_INT8); }
#else
double int8() { return 0; }
#endif

// The rates of all threads together, which run at the same time.
double together(double (*rate)(), int threads) {
  std::vector<double> rates(static_cast<std::size_t>(threads));
  std::vector<std::thread> running;
  for (double& one : rates) running.emplace_back([&one, rate] { one = rate(); });
  for (std::thread& thread : running) thread.join();
  double total = 0;
  for (const double one : rates) total += one;
  return total;
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  double best_fp32 = 0, best_int8 = 0;
  for (int turn = 0; turn < 5; ++turn) {
    const double one = together(fp32, threads), other = together(int8, threads);
    best_fp32 = one > best_fp32 ? one : best_fp32;
    best_int8 = other > best_int8 ? other : best_int8;
  }
  std::printf("{\"fp32\": %.4g, \"int8\": %.4g}\n", best_fp32, best_int8);
}
