#include "forward.hpp"

#include <algorithm>
#include <cstring>

#include "kernels/half.hpp"
#include "memory.hpp"
#include "parallel.hpp"

namespace polyvec {
namespace {

constexpr std::size_t kGroupTokens = 256;  // of short texts that go through the layers together
constexpr std::size_t kFeedRows = 96;      // rows whose wide feed-forward values are kept at a time
constexpr std::size_t kNormRows = 16;      // small enough to stay in the first-level cache between two steps

std::size_t byte_stride(std::size_t k) { return whole_lines(k); }

float bf16_to_float(std::uint16_t half) {
  const std::uint32_t bits = static_cast<std::uint32_t>(half) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

void add_row(const TablePart& part, std::size_t row, std::size_t width, float* to) {
  const std::size_t at = (row - part.first) * width;
  switch (part.stored) {
    case Stored::f32: {
      const float* from = static_cast<const float*>(part.rows) + at;
      for (std::size_t i = 0; i < width; ++i) to[i] += from[i];
      return;
    }
    case Stored::f16: {
      const std::uint16_t* from = static_cast<const std::uint16_t*>(part.rows) + at;
      for (std::size_t i = 0; i < width; ++i) to[i] += half_to_float(from[i]);
      return;
    }
    case Stored::bf16: {
      const std::uint16_t* from = static_cast<const std::uint16_t*>(part.rows) + at;
      for (std::size_t i = 0; i < width; ++i) to[i] += bf16_to_float(from[i]);
      return;
    }
    case Stored::i8: {
      const std::int8_t* from = static_cast<const std::int8_t*>(part.rows) + at;
      const float scale = part.scales[row - part.first];
      for (std::size_t i = 0; i < width; ++i) to[i] += static_cast<float>(from[i]) * scale;
      return;
    }
  }
}

void add_table_row(const std::vector<TablePart>& parts, std::size_t row, std::size_t width, float* to) {
  for (const TablePart& part : parts) {
    if (row - part.first < part.count) return add_row(part, row, width, to);
  }
}

// One thread's memory and one group of texts.
struct Pass {
  const EncoderKernel& kernel;
  const Backbone& backbone;
  const Texts& texts;
  std::size_t first, last;  // texts
  std::size_t rows;
  float *x, *normed, *qkv, *wide, *attention;  // normed is x where norms stand after the sum
  std::uint8_t* bytes;
  Range* ranges;

  std::size_t hidden() const { return backbone.hidden; }
  std::size_t up_width() const { return backbone.gated ? 2 * backbone.feed : backbone.feed; }
};

// Lays a pass out in memory that begins at `at`, and returns where it ends; with a null pointer it only counts.
std::size_t lay_out(Pass& pass, char* memory, std::size_t longest) {
  const Backbone& model = pass.backbone;
  std::size_t end = 0;
  const auto floats = [&](std::size_t count) {
    float* const at = memory ? reinterpret_cast<float*>(memory + end) : nullptr;
    end += whole_lines(count * sizeof(float));
    return at;
  };
  const std::size_t chunk = std::min(pass.rows, kFeedRows);
  std::size_t widest = model.hidden;
  for (const Projection& projection : model.projections) widest = std::max({widest, projection.linear.n, projection.linear.k});
  pass.x = floats(pass.rows * widest);
  pass.normed = model.norm_first ? floats(pass.rows * model.hidden) : pass.x;
  pass.qkv = floats(pass.rows * std::max(3 * model.hidden, widest));
  pass.wide = floats(chunk * pass.up_width());
  pass.attention = floats(pass.kernel.attention_floats(longest, model.head_size));
  pass.bytes = reinterpret_cast<std::uint8_t*>(floats(std::max(pass.rows * byte_stride(model.hidden), chunk * byte_stride(model.feed)) / sizeof(float)));
  pass.ranges = reinterpret_cast<Range*>(floats(2 * pass.rows));
  return end;
}

void norm(const Pass& pass, const Norm& norm, const float* x, std::size_t rows, float* out) {
  if (norm.present) {
    pass.kernel.norm({x, rows, pass.hidden(), norm.weight, norm.bias, pass.backbone.eps, pass.backbone.centered, out});
  } else if (out != x) {
    std::memcpy(out, x, rows * pass.hidden() * sizeof(float));
  }
}

void quantize(const Pass& pass, const Linear& layer, const float* x, std::size_t stride, std::size_t first, std::size_t rows) {
  if (layer.arithmetic != Arithmetic::int8) return;
  const std::size_t to_stride = byte_stride(layer.k);
  pass.kernel.quantize(x, stride, rows, layer.k, pass.bytes + first * to_stride, to_stride, pass.ranges + first);
}

// x: fp32 rows; for an int8 layer their bytes, quantized before, are taken from row `first` on.
void apply(const Pass& pass, const Linear& layer, const float* x, std::size_t stride, std::size_t first, std::size_t rows, After after,
           float* out, std::size_t out_stride) {
  if (layer.arithmetic == Arithmetic::int8) {
    const std::size_t bytes = byte_stride(layer.k);
    pass.kernel.linear({layer, pass.bytes + first * bytes, bytes, pass.ranges + first, rows, after, out, out_stride});
  } else {
    pass.kernel.linear({layer, x, stride, nullptr, rows, after, out, out_stride});
  }
}

// Norms rows and quantizes them for the layer that reads them next.
void norm_for(const Pass& pass, const Norm& step, const Linear* next, const float* x, float* out) {
  const std::size_t width = pass.hidden();
  for (std::size_t row = 0; row < pass.rows; row += kNormRows) {
    const std::size_t count = std::min(kNormRows, pass.rows - row);
    norm(pass, step, x + row * width, count, out + row * width);
    if (next) quantize(pass, *next, out + row * width, width, row, count);
  }
}

void embed(const Pass& pass) {
  const std::size_t width = pass.hidden();
  const Texts& texts = pass.texts;
  float* row = pass.x;
  for (std::size_t text = pass.first; text < pass.last; ++text) {
    const std::int64_t begin = texts.offsets[text], end = texts.offsets[text + 1];
    for (std::int64_t at = begin; at < end; ++at, row += width) {
      if (pass.backbone.type) {
        std::memcpy(row, pass.backbone.type, width * sizeof(float));
      } else {
        std::fill(row, row + width, 0.0f);
      }
      add_table_row(pass.backbone.words, static_cast<std::size_t>(texts.ids[at]), width, row);
      add_table_row(pass.backbone.positions, texts.first_position + static_cast<std::size_t>(at - begin), width, row);
    }
  }
}

void rotate(const Pass& pass, const Layer& layer, float* qkv, std::size_t tokens) {
  const std::size_t half = pass.backbone.head_size / 2, length = pass.texts.rotary_length * half;
  const float* cosines = pass.texts.rotary + static_cast<std::size_t>(layer.rotary) * 2 * length;
  for (std::size_t t = 0; t < tokens; ++t) {  // queries and keys lie side by side
    pass.kernel.rotate(qkv + t * 3 * pass.hidden(), 2 * pass.backbone.heads, half, cosines + t * half, cosines + length + t * half);
  }
}

void attend(const Pass& pass, const Layer& layer) {
  const std::size_t stride = 3 * pass.hidden();
  std::size_t row = 0;
  for (std::size_t text = pass.first; text < pass.last; ++text) {
    const std::size_t tokens = static_cast<std::size_t>(pass.texts.offsets[text + 1] - pass.texts.offsets[text]);
    float* const qkv = pass.qkv + row * stride;
    if (layer.rotary >= 0) rotate(pass, layer, qkv, tokens);
    const AttentionJob job{qkv, tokens, pass.backbone.heads, pass.backbone.head_size, static_cast<std::size_t>(pass.texts.attended[text]),
                           layer.window, layer.qkv.arithmetic};
    for (std::size_t head = 0; head < pass.backbone.heads; ++head) pass.kernel.attend(job, head, pass.attention);
    row += tokens;
  }
}

// The wide values of a few rows at a time; x gets the result added. The bytes of all rows that are read lie in pass.bytes, and so
// would those of the wide values: rows are quantized a chunk at a time for that reason.
void feed_forward(const Pass& pass, const Layer& layer) {
  const std::size_t width = pass.hidden(), wide = pass.up_width();
  for (std::size_t row = 0; row < pass.rows; row += kFeedRows) {
    const std::size_t count = std::min(kFeedRows, pass.rows - row);
    const float* const from = pass.normed + row * width;
    quantize(pass, layer.up, from, width, 0, count);
    apply(pass, layer.up, from, width, 0, count, pass.backbone.gated ? After::store : After::gelu, pass.wide, wide);
    if (pass.backbone.gated) pass.kernel.gated(pass.wide, wide, count, pass.backbone.feed);
    quantize(pass, layer.down, pass.wide, wide, 0, count);
    apply(pass, layer.down, pass.wide, wide, 0, count, After::add, pass.x + row * width, width);
  }
}

void run_layer(const Pass& pass, const Layer& layer) {
  const std::size_t width = pass.hidden();
  const bool first = pass.backbone.norm_first;
  norm_for(pass, first ? layer.attention_norm : Norm{}, &layer.qkv, pass.x, pass.normed);
  apply(pass, layer.qkv, pass.normed, width, 0, pass.rows, After::store, pass.qkv, 3 * width);
  attend(pass, layer);
  quantize(pass, layer.out, pass.qkv, 3 * width, 0, pass.rows);
  apply(pass, layer.out, pass.qkv, 3 * width, 0, pass.rows, After::add, pass.x, width);
  norm_for(pass, first ? layer.output_norm : layer.attention_norm, nullptr, pass.x, pass.normed);
  feed_forward(pass, layer);
  if (!first) norm_for(pass, layer.output_norm, nullptr, pass.x, pass.x);
}

// The rows of the last projection go to `out`; those before it go from one buffer to the other.
void project(const Pass& pass, float* out) {
  float *from = pass.x, *to = pass.qkv;
  for (const Projection& projection : pass.backbone.projections) {
    const Linear& layer = projection.linear;
    if (&projection == &pass.backbone.projections.back()) to = out;
    apply(pass, layer, from, layer.k, 0, pass.rows, After::store, to, layer.n);
    if (projection.residual.weights) apply(pass, projection.residual, from, layer.k, 0, pass.rows, After::add, to, layer.n);
    for (std::size_t i = 0; projection.identity && i < pass.rows * layer.n; ++i) to[i] += from[i];
    std::swap(from, to);
  }
  if (pass.backbone.projections.empty()) std::memcpy(out, pass.x, pass.rows * pass.hidden() * sizeof(float));
}

std::size_t tokens_between(const Texts& texts, std::size_t first, std::size_t last) {
  return static_cast<std::size_t>(texts.offsets[last] - texts.offsets[first]);
}

std::size_t longest_between(const Texts& texts, std::size_t first, std::size_t last) {
  std::size_t longest = 0;
  for (std::size_t text = first; text < last; ++text) longest = std::max(longest, tokens_between(texts, text, text + 1));
  return longest;
}

Pass pass_over(const EncoderKernel& kernel, const Backbone& backbone, const Texts& texts, std::size_t first, std::size_t last) {
  return {kernel, backbone, texts, first, last, tokens_between(texts, first, last), {}, {}, {}, {}, {}, {}, {}};
}

}  // namespace

std::size_t width_of(const Backbone& backbone) { return backbone.projections.empty() ? backbone.hidden : backbone.projections.back().linear.n; }

std::vector<std::size_t> groups_of(const Texts& texts) {
  std::vector<std::size_t> groups{0};
  for (std::size_t text = 1; text < texts.count; ++text) {
    if (tokens_between(texts, groups.back(), text + 1) > kGroupTokens) groups.push_back(text);
  }
  if (texts.count) groups.push_back(texts.count);
  return groups;
}

std::size_t forward_bytes(const EncoderKernel& kernel, const Backbone& backbone, const Texts& texts, const std::vector<std::size_t>& groups) {
  std::size_t most = 0;
  for (std::size_t i = 0; i + 1 < groups.size(); ++i) {
    Pass pass = pass_over(kernel, backbone, texts, groups[i], groups[i + 1]);
    most = std::max(most, lay_out(pass, nullptr, longest_between(texts, groups[i], groups[i + 1])));
  }
  return most;
}

void forward(const EncoderKernel& kernel, const Backbone& backbone, const Texts& texts, const std::vector<std::size_t>& groups,
             std::size_t threads, const std::vector<char*>& memory, float* rows) {
  parallel_for(groups.size() - 1, 1, threads, [&](std::size_t thread, std::size_t begin, std::size_t end) noexcept {
    for (std::size_t group = begin; group < end; ++group) {
      Pass pass = pass_over(kernel, backbone, texts, groups[group], groups[group + 1]);
      lay_out(pass, memory[thread], longest_between(texts, pass.first, pass.last));
      embed(pass);
      norm_for(pass, backbone.embedding_norm, nullptr, pass.x, pass.x);
      for (const Layer& layer : backbone.layers) run_layer(pass, layer);
      norm_for(pass, backbone.final_norm, nullptr, pass.x, pass.x);
      project(pass, rows + texts.offsets[pass.first] * static_cast<std::ptrdiff_t>(width_of(backbone)));
    }
  });
}

}  // namespace polyvec
