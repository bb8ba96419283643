// The steps of a transformer's forward pass: linear layers, attention, and what is done to one row at a time.
//
// Every row's arithmetic is independent of the other rows of a call and is done in the same order whatever their number, so a
// token's vector depends on its text alone. Weights in int8 have one scale an output; activations are quantized a row at a
// time, from its least value to its largest, in `levels` steps, and products add up exactly in int32. Kernels of different
// instruction sets add fp32 in different orders and may differ in the last bits.
//
// Cost: a linear layer reads its weights once a call and does rows * n * k multiply-adds; attention does
// 2 * tokens * attended * size a head, with memory linear in tokens.
#pragma once

#include <cstddef>
#include <cstdint>

namespace polyvec {

constexpr std::size_t kMostHeadSize = 256;  // dimensions of an attention head

enum class Arithmetic { fp32, int8 };

// One linear layer, packed for one kernel: outputs in panels of EncoderKernel::panel, the last one filled up with zeros.
struct Linear {
  const void* weights;
  const float* scales;  // int8: a unit of each output's weights
  const float* sums;    // int8: scale times the sum of each output's weights
  const float* bias;
  std::size_t n, k;  // outputs, inputs
  Arithmetic arithmetic;
};

// A quantized row: value = low + step * what is stored.
struct Range {
  float low, step;
};

enum class After { store, add, gelu };  // the result replaces `out`, is added to it, or goes through GELU and replaces it

struct LinearJob {
  Linear layer;
  const void* x;        // (rows, stride) floats, or bytes made by `quantize`
  std::size_t stride;   // elements between rows
  const Range* ranges;  // int8: one a row
  std::size_t rows;
  After after;
  float* out;  // (rows, out_stride)
  std::size_t out_stride;
};

struct NormJob {
  const float* x;  // (rows, width)
  std::size_t rows, width;
  const float* weight;  // null for ones
  const float* bias;    // null for zeros
  float eps;
  bool centered;  // LayerNorm; else RMSNorm
  float* out;     // (rows, width); may be x
};

struct AttentionJob {
  float* qkv;  // (tokens, 3 * heads * size): queries, keys and values; the results replace the queries
  std::size_t tokens, heads, size;
  std::size_t attended;  // leading tokens that all tokens see
  std::size_t window;    // how far a token sees to either side; 0 for any distance
  Arithmetic arithmetic = Arithmetic::fp32;  // int8: products may be rounded to int16, where that is faster
};

struct EncoderKernel {
  const char* name;
  bool (*supported)();
  std::size_t panel;  // outputs of a linear layer that lie together
  unsigned levels;    // of a quantized value
  std::size_t (*packed_bytes)(std::size_t n, std::size_t k, Arithmetic arithmetic);
  void (*pack_int8)(const std::int8_t* weights, std::size_t n, std::size_t k, void* packed);
  void (*pack_fp32)(const float* weights, std::size_t n, std::size_t k, void* packed);
  // Rows of k floats to bytes, filled up to to_stride with zeros; to_stride >= k is a multiple of 4.
  void (*quantize)(const float* x, std::size_t stride, std::size_t rows, std::size_t k, std::uint8_t* to, std::size_t to_stride,
                   Range* ranges);
  void (*linear)(const LinearJob& job);
  void (*norm)(const NormJob& job);
  // x[i] = gelu(x[i]) * x[width + i] for i < width, a row
  void (*gated)(float* x, std::size_t stride, std::size_t rows, std::size_t width);
  // Turns `vectors` neighboring vectors of 2 * half dimensions, first half against second half.
  void (*rotate)(float* x, std::size_t vectors, std::size_t half, const float* cosines, const float* sines);
  std::size_t (*attention_floats)(std::size_t tokens, std::size_t size);
  void (*attend)(const AttentionJob& job, std::size_t head, float* scratch);
};

const EncoderKernel& encoder_scalar();
#if defined(POLYVEC_X86)
const EncoderKernel& encoder_avx2();
const EncoderKernel& encoder_avxvnni();  // where the compiler knows it: POLYVEC_AVXVNNI
const EncoderKernel& encoder_avx512();
#endif
#if defined(POLYVEC_NEON)
const EncoderKernel& encoder_neon();
const EncoderKernel& encoder_dotprod();
#endif

}  // namespace polyvec
