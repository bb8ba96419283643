// Runs every MaxSim kernel that was compiled in on random shapes, in buffers of exactly the right size, and compares bits
// with the scalar kernel. Built with sanitizers by tests/native/test_sanitized.py. Prints what it ran; exits 1 on a
// difference.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/maxsim.hpp"
#if defined(POLYVEC_X86) && !defined(POLYVEC_SIMDE)
#include "kernels/x86.hpp"
#endif

using namespace polyvec;

namespace polyvec {
#if defined(POLYVEC_X86) && defined(POLYVEC_SIMDE)  // runs those intrinsics on any processor that has AVX2; without it, kernels/x86.cpp says
bool cpu_has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool cpu_has_avx512() { return true; }
#endif
}  // namespace polyvec

namespace {

std::vector<float> scores_of(const MaxsimKernel& kernel, const std::vector<float>& query, std::size_t q, std::size_t d,
                             const void* tokens, Dtype dtype, const std::vector<std::int64_t>& offsets,
                             const std::vector<std::int64_t>* which) {
  std::vector<float> packed(kernel.packed_floats(q, d)), scratch(kernel.scratch_floats(q, d));
  const std::size_t count = which ? which->size() : offsets.size() - 1;
  std::vector<float> scores(count);
  kernel.pack(query.data(), q, d, packed.data());
  const MaxsimJob job{packed.data(), q, d, tokens, dtype, offsets.data(), which ? which->data() : nullptr, scores.data()};
  const std::size_t middle = count / 2;
  kernel.score(job, 0, middle, scratch.data());
  kernel.score(job, middle, count, scratch.data());
  return scores;
}

}  // namespace

int main(int argc, char** argv) {
  const int cases = argc > 1 ? std::atoi(argv[1]) : 200;
  std::vector<const MaxsimKernel*> kernels;
#if defined(POLYVEC_X86)
  if (cpu_has_avx2()) kernels.push_back(&maxsim_avx2());
#endif
#if defined(POLYVEC_X86)
  if (cpu_has_avx512()) kernels.push_back(&maxsim_avx512());
#endif
#if defined(POLYVEC_NEON)
  kernels.push_back(&maxsim_neon());
#endif
  std::mt19937 random(7);
  const auto below = [&](int n) { return static_cast<std::size_t>(random() % static_cast<unsigned>(n)); };
  for (int i = 0; i < cases; ++i) {
    const std::size_t q = 1 + below(40), d = 1 + below(i % 4 ? 40 : 140), documents = 1 + below(6);
    std::vector<std::int64_t> offsets = {0};
    for (std::size_t n = 0; n < documents; ++n) offsets.push_back(offsets.back() + static_cast<std::int64_t>(below(20)));
    const std::size_t values = static_cast<std::size_t>(offsets.back()) * d;
    std::vector<float> query(q * d), tokens(values);
    std::vector<std::uint16_t> halves(values);
    for (float& value : query) value = static_cast<float>(random()) / 2147483648.0f - 1.0f;
    for (float& value : tokens) value = static_cast<float>(random()) / 2147483648.0f - 1.0f;
    for (std::uint16_t& value : halves) value = static_cast<std::uint16_t>(random());  // NaN and infinity among them
    std::vector<std::int64_t> which(below(5));
    for (std::int64_t& document : which) document = static_cast<std::int64_t>(below(static_cast<int>(documents)));
    for (const Dtype dtype : {Dtype::f32, Dtype::f16}) {
      const void* data = dtype == Dtype::f32 ? static_cast<const void*>(tokens.data()) : halves.data();
      const std::vector<std::int64_t>* choices[] = {nullptr, &which};
      for (const std::vector<std::int64_t>* chosen : choices) {
        const std::vector<float> expected = scores_of(maxsim_scalar(), query, q, d, data, dtype, offsets, chosen);
        for (const MaxsimKernel* kernel : kernels) {
          const std::vector<float> found = scores_of(*kernel, query, q, d, data, dtype, offsets, chosen);
          for (std::size_t n = 0; n < expected.size(); ++n) {
            const bool both_nan = expected[n] != expected[n] && found[n] != found[n];
            if (!both_nan && std::memcmp(&expected[n], &found[n], sizeof(float)) != 0) {
              std::printf("%s differs: case %d, document %zu, %.9g instead of %.9g\n", kernel->name, i, n,
                          static_cast<double>(found[n]), static_cast<double>(expected[n]));
              return 1;
            }
          }
        }
      }
    }
  }
  std::printf("%d cases, scalar", cases);
  for (const MaxsimKernel* kernel : kernels) std::printf(" = %s", kernel->name);
  std::printf("\n");
  return 0;
}
