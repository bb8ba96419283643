// Runs the forward pass's steps on random shapes, in buffers of exactly the right size: every encoder kernel that was compiled in against
// the scalar one; and whole forward passes, alone and beside other texts, on one thread and several, which must give the same bits.
// Built with sanitizers by tests/native/test_sanitized.py. Prints what it ran; exits 1 on a difference.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "forward.hpp"
#include "memory.hpp"
#if defined(POLYVEC_X86) && !defined(POLYVEC_SIMDE)
#include "kernels/x86.hpp"
#endif

using namespace polyvec;

namespace polyvec {
#if defined(POLYVEC_X86) && defined(POLYVEC_SIMDE)  // runs those intrinsics on any processor that has AVX2; without it, kernels/x86.cpp says
bool cpu_has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool cpu_has_avx512() { return true; }
bool cpu_has_avx512_vnni() { return true; }
bool cpu_has_avx_vnni() { return true; }
#endif
}  // namespace polyvec

namespace {

std::mt19937 generator(7);
std::size_t below(std::size_t n) { return generator() % n; }
float uniform() { return static_cast<float>(below(20001)) / 10000.0f - 1.0f; }

std::vector<float> floats(std::size_t n) {
  std::vector<float> found(n);
  for (float& value : found) value = uniform();
  return found;
}

void expect_near(const std::vector<float>& one, const std::vector<float>& other, float tolerance, const char* kernel, const char* what) {
  for (std::size_t i = 0; i < one.size(); ++i) {
    if (std::fabs(one[i] - other[i]) <= tolerance * (1.0f + std::fabs(other[i]))) continue;
    std::printf("%s: %s differs at %zu: %.9g, expected %.9g\n", kernel, what, i, one[i], other[i]);
    std::exit(1);
  }
}

// Weights of one layer, packed for one kernel; made of the same numbers for every kernel.
struct Layered {
  std::vector<float> weights, bias;
  std::vector<std::int8_t> codes;
  std::size_t n, k;
  Arithmetic arithmetic;

  Layered(std::size_t n_, std::size_t k_, Arithmetic arithmetic_) : n(n_), k(k_), arithmetic(arithmetic_) {
    weights = floats(n * k), bias = floats(n);
    for (std::size_t i = 0; i < n * k; ++i) codes.push_back(static_cast<std::int8_t>(static_cast<int>(below(255)) - 127));
  }
};

struct Packed {
  std::vector<char> memory;
  std::vector<float> scales, sums, bias;
  Linear view;

  Packed(const EncoderKernel& kernel, const Layered& from) : memory(kernel.packed_bytes(from.n, from.k, from.arithmetic)) {
    const std::size_t whole = (from.n + kernel.panel - 1) / kernel.panel * kernel.panel;
    scales.assign(whole, 0.0f), sums.assign(whole, 0.0f), bias.assign(whole, 0.0f);
    std::copy(from.bias.begin(), from.bias.end(), bias.begin());
    if (from.arithmetic == Arithmetic::fp32) {
      kernel.pack_fp32(from.weights.data(), from.n, from.k, memory.data());
    } else {
      kernel.pack_int8(from.codes.data(), from.n, from.k, memory.data());
      for (std::size_t row = 0; row < from.n; ++row) {
        int sum = 0;
        for (std::size_t i = 0; i < from.k; ++i) sum += from.codes[row * from.k + i];
        scales[row] = 0.01f, sums[row] = 0.01f * static_cast<float>(sum);
      }
    }
    view = {memory.data(), scales.data(), sums.data(), bias.data(), from.n, from.k, from.arithmetic};
  }
};

void check_linear(const EncoderKernel& kernel) {
  const EncoderKernel& scalar = encoder_scalar();
  const std::size_t n = 1 + below(150), k = 1 + below(70), rows = 1 + below(15), stride = (k + 3) / 4 * 4;
  const After after = static_cast<After>(below(3));
  const std::vector<float> x = floats(rows * k), before = floats(rows * n);
  for (const Arithmetic arithmetic : {Arithmetic::fp32, Arithmetic::int8}) {
    const Layered layer(n, k, arithmetic);
    std::vector<float> results[2];
    const EncoderKernel* kernels[2] = {&kernel, &scalar};
    for (int which = 0; which < 2; ++which) {
      const Packed packed(*kernels[which], layer);
      std::vector<std::uint8_t> bytes(rows * stride);
      std::vector<Range> ranges(rows);
      kernels[which]->quantize(x.data(), k, rows, k, bytes.data(), stride, ranges.data());
      results[which] = before;
      const bool int8 = arithmetic == Arithmetic::int8;
      kernels[which]->linear({packed.view, int8 ? static_cast<const void*>(bytes.data()) : x.data(), int8 ? stride : k, ranges.data(), rows,
                              after, results[which].data(), n});
    }
    expect_near(results[0], results[1], arithmetic == Arithmetic::int8 ? 2e-2f : 1e-4f, kernel.name, "linear");
  }
}

void check_rows(const EncoderKernel& kernel) {
  const EncoderKernel& scalar = encoder_scalar();
  const std::size_t rows = 1 + below(4), width = 1 + below(80), half = 1 + below(40), vectors = 1 + below(4);
  const std::vector<float> x = floats(rows * 2 * width), weight = floats(width), bias = floats(width);
  std::vector<float> one(rows * width), other(rows * width);
  const bool weighted = below(2), biased = below(2), centered = below(2);
  for (const auto& [which, out] : {std::pair(&kernel, &one), std::pair(&scalar, &other)}) {
    which->norm({x.data(), rows, width, weighted ? weight.data() : nullptr, biased ? bias.data() : nullptr, 1e-5f, centered, out->data()});
  }
  expect_near(one, other, 1e-4f, kernel.name, "norm");
  one = x, other = x;
  kernel.gated(one.data(), 2 * width, rows, width), scalar.gated(other.data(), 2 * width, rows, width);
  expect_near(one, other, 1e-5f, kernel.name, "gated");
  one = floats(vectors * 2 * half), other = one;
  const std::vector<float> cosines = floats(half), sines = floats(half);
  kernel.rotate(one.data(), vectors, half, cosines.data(), sines.data());
  scalar.rotate(other.data(), vectors, half, cosines.data(), sines.data());
  expect_near(one, other, 1e-5f, kernel.name, "rotate");
}

void check_attention(const EncoderKernel& kernel, bool large) {
  const EncoderKernel& scalar = encoder_scalar();
  const std::size_t tokens = 1 + below(large ? 300 : 30), heads = 1 + below(2), size = 1 + below(70);
  const std::size_t attended = 1 + below(tokens), window = below(2) ? below(30) : 0;
  const Arithmetic arithmetic = below(2) ? Arithmetic::int8 : Arithmetic::fp32;
  std::vector<float> one = floats(tokens * 3 * heads * size), other = one;
  const float sizes[] = {3.0f, 1e-3f, 0.0f, 1e12f}, size_of = sizes[below(8) < 5 ? 0 : below(4)];  // also what int16 has to leave to fp32
  for (float& value : one) value *= size_of;
  other = one;
  for (std::size_t head = 0; head < heads; ++head) {
    std::vector<float> memory(kernel.attention_floats(tokens, size)), more(scalar.attention_floats(tokens, size));
    kernel.attend({one.data(), tokens, heads, size, attended, window, arithmetic}, head, memory.data());
    scalar.attend({other.data(), tokens, heads, size, attended, window}, head, more.data());
  }
  for (std::size_t i = 0; i < one.size() && size_of > 0.0f; ++i) one[i] /= size_of, other[i] /= size_of;
  expect_near(one, other, arithmetic == Arithmetic::int8 ? 1e-2f : 1e-4f, kernel.name, "attention");
}

// Rows of texts, together on several threads.
std::vector<float> forward_of(const EncoderKernel& kernel, const Backbone& model, const std::vector<std::int32_t>& ids,
                              const std::vector<std::int64_t>& offsets, const std::vector<std::int32_t>& attended,
                              const std::vector<float>& rotary, std::size_t length, std::size_t threads) {
  const Texts texts{ids.data(), offsets.data(), attended.data(), attended.size(), 2, rotary.data(), length};
  const std::vector<std::size_t> groups = groups_of(texts);
  const std::size_t bytes = forward_bytes(kernel, model, texts, groups);
  std::vector<Memory> blocks;
  std::vector<char*> memory;
  for (std::size_t i = 0; i < threads; ++i) blocks.emplace_back(bytes);
  for (Memory& block : blocks) memory.push_back(block.begin());
  std::vector<float> rows(ids.size() * width_of(model));
  forward(kernel, model, texts, groups, threads, memory, rows.data());
  return rows;
}

void check_forward(const EncoderKernel& kernel, bool large) {
  const std::size_t heads = 1 + below(3), size = 2 * (1 + below(10)), hidden = heads * size, feed = 1 + below(60), words = 50;
  const bool gated = below(2), norm_first = below(2);
  const Arithmetic arithmetic = below(2) ? Arithmetic::int8 : Arithmetic::fp32;
  Backbone model{};
  model.hidden = hidden, model.heads = heads, model.head_size = size, model.feed = feed, model.eps = 1e-5f;
  model.centered = below(2), model.norm_first = norm_first, model.gated = gated;
  const std::vector<float> table = floats(words * hidden), positions = floats(402 * hidden), type = floats(hidden), weight = floats(hidden);
  model.words = {{table.data(), nullptr, 0, 20, Stored::f32}, {table.data() + 20 * hidden, nullptr, 20, 30, Stored::f32}};
  model.positions = {{positions.data(), nullptr, 0, 402, Stored::f32}};
  model.type = type.data();
  model.embedding_norm = {weight.data(), nullptr, true}, model.final_norm = {weight.data(), weight.data(), static_cast<bool>(below(2))};
  const Packed qkv(kernel, {3 * hidden, hidden, arithmetic}), out(kernel, {hidden, hidden, arithmetic});
  const Packed up(kernel, {gated ? 2 * feed : feed, hidden, arithmetic}), down(kernel, {hidden, feed, arithmetic});
  const Packed head(kernel, {7, hidden, Arithmetic::fp32});
  for (int layer = 0; layer < 2; ++layer) {
    model.layers.push_back({qkv.view, out.view, up.view, down.view, {weight.data(), nullptr, layer == 0 || !norm_first},
                            {weight.data(), weight.data(), true}, layer ? std::size_t{5} : std::size_t{0}, layer ? 0 : -1});
  }
  if (below(2)) model.projections.push_back({head.view, {}, false});
  std::vector<std::int32_t> ids, attended;
  std::vector<std::int64_t> offsets{0};
  for (std::size_t text = 0, count = 1 + below(4); text < count; ++text) {
    const std::size_t tokens = 1 + below(large && text == 2 ? 300 : 20);
    for (std::size_t t = 0; t < tokens; ++t) ids.push_back(static_cast<std::int32_t>(below(words)));
    offsets.push_back(static_cast<std::int64_t>(ids.size()));
    attended.push_back(static_cast<std::int32_t>(1 + below(tokens)));
  }
  const std::vector<float> rotary = floats(2 * 400 * size / 2);
  const std::vector<float> together = forward_of(kernel, model, ids, offsets, attended, rotary, 400, 3);
  for (std::size_t text = 0; text < attended.size(); ++text) {
    const std::vector<std::int32_t> own(ids.begin() + offsets[text], ids.begin() + offsets[text + 1]);
    const std::vector<float> alone = forward_of(kernel, model, own, {0, static_cast<std::int64_t>(own.size())}, {attended[text]}, rotary, 400, 1);
    if (std::memcmp(alone.data(), together.data() + static_cast<std::size_t>(offsets[text]) * width_of(model), alone.size() * sizeof(float))) {
      std::printf("%s: a text beside others differs from itself alone\n", kernel.name);
      std::exit(1);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int cases = argc > 1 ? std::atoi(argv[1]) : 100;
  std::vector<const EncoderKernel*> kernels{&encoder_scalar()};
#if defined(POLYVEC_X86)
  if (cpu_has_avx2()) kernels.push_back(&encoder_avx2());
#endif
#if defined(POLYVEC_X86) && defined(POLYVEC_SIMDE)
  kernels.push_back(&encoder_avx512()), kernels.push_back(&encoder_avxvnni());
#endif
#if defined(POLYVEC_NEON)
  kernels.push_back(&encoder_neon()), kernels.push_back(&encoder_dotprod());
#endif
  for (int i = 0; i < cases; ++i) {
    for (const EncoderKernel* kernel : kernels) {
      check_linear(*kernel), check_rows(*kernel), check_attention(*kernel, i % 20 == 0), check_forward(*kernel, i % 20 == 0);
    }
  }
  std::printf("%d cases, scalar", cases);
  for (const EncoderKernel* kernel : kernels) std::printf(" = %s", kernel->name);
  std::printf("\n");
  return 0;
}
