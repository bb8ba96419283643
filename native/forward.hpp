// Token ids of several texts -> a row for each token: a transformer's layers one after another, on several threads.
//
// Texts are taken in groups of a few hundred tokens; a thread runs one group through all layers with memory of its own. Nothing is
// padded, and a text's rows do not depend on the others of a call or on the number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/encoder.hpp"

namespace polyvec {

enum class Stored { f32, f16, bf16, i8 };

// Consecutive rows of an embedding table, as the file has them.
struct TablePart {
  const void* rows;
  const float* scales;  // i8: one a row
  std::size_t first, count;
  Stored stored;
};

struct Norm {
  const float* weight;  // null for ones
  const float* bias;    // null for zeros
  bool present;
};

struct Layer {
  Linear qkv, out, up, down;
  Norm attention_norm, output_norm;
  std::size_t window;  // 0: a token sees all of its text
  int rotary;          // which rotary table, or -1
};

struct Projection {
  Linear linear;
  Linear residual;  // weights null: none
  bool identity;    // the input is added as it is
};

struct Backbone {
  std::size_t hidden, heads, head_size, feed;
  float eps;
  bool centered;    // LayerNorm; else RMSNorm
  bool norm_first;  // norms stand before attention and feed-forward, not after the sum
  bool gated;       // GeGLU: `up` has 2 * feed outputs
  std::vector<TablePart> words, positions;  // no positions: none are added
  const float* type;                        // added to every row, or null
  Norm embedding_norm, final_norm;
  std::vector<Layer> layers;
  std::vector<Projection> projections;
};

struct Texts {
  const std::int32_t* ids;
  const std::int64_t* offsets;   // (count + 1)
  const std::int32_t* attended;  // (count), leading tokens of each text that its tokens see
  std::size_t count;
  std::size_t first_position;        // number of the first row of the positions table
  const float* rotary;               // (tables, 2, rotary_length, head_size / 2): cosines and sines
  std::size_t rotary_length;
};

std::size_t width_of(const Backbone& backbone);  // of a row that comes out

// How texts are shared out: the first text of each group, and the number of texts at the end.
std::vector<std::size_t> groups_of(const Texts& texts);

// Bytes that one thread needs for the largest of these groups.
std::size_t forward_bytes(const EncoderKernel& kernel, const Backbone& backbone, const Texts& texts, const std::vector<std::size_t>& groups);

// rows: (tokens, width_of). memory: one block of forward_bytes a thread, each beginning on a cache line.
void forward(const EncoderKernel& kernel, const Backbone& backbone, const Texts& texts, const std::vector<std::size_t>& groups,
             std::size_t threads, const std::vector<char*>& memory, float* rows);

}  // namespace polyvec
