// Python <-> forward.hpp: a model's weights, packed once and kept, and the forward pass over texts.

#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "forward.hpp"
#include "memory.hpp"
#include "parallel.hpp"

using namespace polyvec;

namespace {

const EncoderKernel& kernel_named(const std::string& name) {
  const EncoderKernel* kernel = find_encoder_kernel(name);
  expect(kernel, "no such kernel on this machine; POLYVEC_KERNEL and kernel= take a name from encoder_kernels()");
  return *kernel;
}

// One layer's weights as its kernel wants them.
class LinearWeights {
 public:
  LinearWeights(const Matrix<float>& weights, const std::optional<Row<float>>& bias, bool int8, const std::string& name)
      : LinearWeights(kernel_named(name), weights.shape(0), weights.shape(1), bias, int8) {
    const float* from = weights.data();
    for (std::size_t i = 0; i < n_ * k_; ++i) expect(std::isfinite(from[i]), "a weight is not finite");
    if (!int8) {
      kernel_.pack_fp32(from, n_, k_, packed_.begin());
      return;
    }
    std::vector<std::int8_t> codes(n_ * k_);
    for (std::size_t row = 0; row < n_; ++row) {
      float largest = 1e-12f;
      for (std::size_t i = 0; i < k_; ++i) largest = std::max(largest, std::fabs(from[row * k_ + i]));
      scales_[row] = largest / 127.0f;
      for (std::size_t i = 0; i < k_; ++i) codes[row * k_ + i] = static_cast<std::int8_t>(std::nearbyint(from[row * k_ + i] / scales_[row]));
    }
    pack(codes.data());
  }

  LinearWeights(const Matrix<std::int8_t>& codes, const Row<float>& scales, const std::optional<Row<float>>& bias, bool int8,
                const std::string& name)
      : LinearWeights(kernel_named(name), codes.shape(0), codes.shape(1), bias, int8) {
    expect(scales.shape(0) == n_, "scales must have one entry a row");
    for (std::size_t row = 0; row < n_; ++row) expect(std::isfinite(scales(row)), "a scale is not finite");
    if (int8) {
      std::copy(scales.data(), scales.data() + n_, scales_.begin());
      pack(codes.data());
      return;
    }
    std::vector<float> weights(n_ * k_);
    for (std::size_t i = 0; i < n_ * k_; ++i) weights[i] = static_cast<float>(codes.data()[i]) * scales(i / k_);
    kernel_.pack_fp32(weights.data(), n_, k_, packed_.begin());
  }

  Linear view() {
    return {packed_.begin(), scales_.data(), sums_.data(), bias_.data(), n_, k_, int8_ ? Arithmetic::int8 : Arithmetic::fp32};
  }
  const EncoderKernel& kernel() const { return kernel_; }
  std::size_t outputs() const { return n_; }
  std::size_t inputs() const { return k_; }

 private:
  LinearWeights(const EncoderKernel& kernel, std::size_t n, std::size_t k, const std::optional<Row<float>>& bias, bool int8)
      : kernel_(kernel), n_(n), k_(k), int8_(int8), packed_(kernel.packed_bytes(n, k, int8 ? Arithmetic::int8 : Arithmetic::fp32)) {
    expect(n > 0 && k > 0, "a layer must have inputs and outputs");
    expect(k <= (std::size_t{1} << 16), "a layer may have 65,536 inputs at most");  // products of bytes add up in int32
    expect(!bias || bias->shape(0) == n, "a bias must have one entry an output");
    const std::size_t whole = (n + kernel.panel - 1) / kernel.panel * kernel.panel;
    scales_.resize(whole), sums_.resize(whole), bias_.resize(whole);
    if (bias) std::copy(bias->data(), bias->data() + n, bias_.begin());
    for (const float value : bias_) expect(std::isfinite(value), "a bias is not finite");
  }

  void pack(const std::int8_t* codes) {
    for (std::size_t row = 0; row < n_; ++row) {
      std::int32_t sum = 0;
      for (std::size_t i = 0; i < k_; ++i) sum += codes[row * k_ + i];
      sums_[row] = scales_[row] * static_cast<float>(sum);
    }
    kernel_.pack_int8(codes, n_, k_, packed_.begin());
  }

  const EncoderKernel& kernel_;
  std::size_t n_, k_;
  bool int8_;
  Memory packed_;
  std::vector<float> scales_, sums_, bias_;
};

using Table = nb::ndarray<nb::ro, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using TableParts = std::vector<std::pair<Table, std::optional<Row<float>>>>;
using NormRows = std::optional<std::pair<Row<float>, std::optional<Row<float>>>>;
using Held = nb::object;  // a LinearWeights, kept alive with the model
using LayerParts = std::tuple<Held, Held, Held, Held, NormRows, NormRows, std::size_t, int>;
using ProjectionParts = std::tuple<Held, std::optional<Held>, bool>;

// Keeps whatever its views point to; memory for forward passes is kept from call to call.
class Model {
 public:
  Model(const std::string& name, std::size_t hidden, std::size_t heads, std::size_t feed, float eps, bool centered, bool norm_first, bool gated,
        TableParts words, TableParts positions, std::optional<Row<float>> type, NormRows embedding_norm, NormRows final_norm,
        std::vector<LayerParts> layers, std::vector<ProjectionParts> projections)
      : kernel_(kernel_named(name)) {
    expect(hidden > 0 && heads > 0 && hidden % heads == 0 && feed > 0, "hidden must be a multiple of heads, and feed above 0");
    expect(hidden / heads <= kMostHeadSize, "a head may have 256 dimensions at most");
    expect(eps >= 0, "eps must be 0 or more");
    model_.hidden = hidden, model_.heads = heads, model_.head_size = hidden / heads, model_.feed = feed, model_.eps = eps;
    model_.centered = centered, model_.norm_first = norm_first, model_.gated = gated;
    model_.words = parts_of(words), model_.positions = parts_of(positions);
    expect(!model_.words.empty(), "an embedding table is missing");
    model_.type = type ? type->data() : nullptr;
    expect(!type || type->shape(0) == hidden, "the type row must have hidden entries");
    if (type) floats_.push_back(*type);
    model_.embedding_norm = norm_of(embedding_norm), model_.final_norm = norm_of(final_norm);
    for (const LayerParts& parts : layers) add(parts);
    std::size_t width = hidden;
    for (const auto& [linear, residual, identity] : projections) {
      const std::size_t outputs = nb::cast<LinearWeights&>(linear).outputs();
      const Linear taken = take(linear, width, outputs);
      expect(!identity || outputs == width, "a projection that adds its input must keep its width");
      expect(taken.arithmetic == Arithmetic::fp32, "a projection is computed in fp32");
      model_.projections.push_back({taken, residual ? take(*residual, width, outputs) : Linear{}, identity});
      width = outputs;
    }
  }

  std::size_t width() const { return width_of(model_); }

  void encode(const Row<std::int32_t>& ids, const Row<std::int64_t>& offsets, const Row<std::int32_t>& attended, std::size_t first_position,
              const Array<const float, 4>& rotary, const Array<float, 2>& rows, std::size_t threads) {
    check_parts(offsets, ids.shape(0));
    const std::size_t count = offsets.shape(0) - 1;
    expect(attended.shape(0) == count, "attended must have one entry a text");
    std::size_t longest = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const std::int64_t tokens = offsets(i + 1) - offsets(i);
      expect(attended(i) >= 1 && attended(i) <= tokens, "attended must be from 1 to the length of its text");
      longest = std::max(longest, static_cast<std::size_t>(tokens));
    }
    const std::size_t known = words();
    for (std::size_t i = 0; i < ids.shape(0); ++i) {
      expect(ids(i) >= 0 && static_cast<std::size_t>(ids(i)) < known, "a token number is beyond the embedding table");
    }
    expect(model_.positions.empty() || first_position + longest <= last_of(model_.positions), "a text is longer than the positions table");
    for (const Layer& layer : model_.layers) {
      expect(layer.rotary < 0 || (static_cast<std::size_t>(layer.rotary) < rotary.shape(0) && rotary.shape(1) == 2 &&
                                  rotary.shape(2) >= longest && rotary.shape(3) == model_.head_size / 2),
             "the rotary tables are too short for these texts");
    }
    expect(rows.shape(0) == ids.shape(0) && rows.shape(1) == width(), "rows must have one row a token and the model's width");
    const Texts texts{ids.data(), offsets.data(), attended.data(), count, first_position, rotary.data(), rotary.shape(2)};
    const std::vector<std::size_t> groups = groups_of(texts);
    threads = useful_threads(groups.size() - 1, 1, threads);
    const std::size_t bytes = forward_bytes(kernel_, model_, texts, groups);
    std::vector<Block> blocks;
    std::vector<char*> memory;
    for (std::size_t i = 0; i < threads; ++i) {
      blocks.push_back(take_block(bytes));
      memory.push_back(blocks.back().memory->begin());
    }
    {
      nb::gil_scoped_release released;
      forward(kernel_, model_, texts, groups, threads, memory, rows.data());
    }
    for (Block& block : blocks) give_back(std::move(block));
  }

 private:
  static constexpr std::size_t kKept = std::size_t{8} << 20;  // bytes of a block that is kept for the next call

  struct Block {
    std::unique_ptr<Memory> memory;
    std::size_t bytes;
  };

  Block take_block(std::size_t bytes) {
    {
      const std::lock_guard<std::mutex> held(mutex_);
      if (!blocks_.empty()) {
        Block block = std::move(blocks_.back());
        blocks_.pop_back();
        if (block.bytes >= bytes) return block;
      }
    }
    return {std::make_unique<Memory>(bytes), bytes};
  }

  void give_back(Block block) {
    const std::lock_guard<std::mutex> held(mutex_);
    if (block.bytes <= kKept && blocks_.size() < 64) blocks_.push_back(std::move(block));
  }

  std::vector<TablePart> parts_of(const TableParts& parts) {
    std::vector<TablePart> found;
    std::size_t first = 0;
    for (const auto& [rows, scales] : parts) {
      Stored stored = Stored::f32;
      if (rows.dtype() == nb::dtype<std::int8_t>()) {
        stored = Stored::i8;
        expect(scales && scales->shape(0) == rows.shape(0), "scales must have one entry a row");
      } else if (rows.dtype() == nb::dtype<std::uint16_t>()) {
        stored = Stored::bf16;
      } else if (rows.dtype() != nb::dtype<float>()) {
        stored = Stored::f16;
        expect(rows.dtype().bits == 16 && rows.dtype().code == static_cast<std::uint8_t>(nb::dlpack::dtype_code::Float),
               "a table must be float32, float16, bfloat16 as uint16, or int8");
      }
      expect(rows.shape(1) == model_.hidden, "a table must have hidden columns");
      found.push_back({rows.data(), scales ? scales->data() : nullptr, first, rows.shape(0), stored});
      first += rows.shape(0);
      tables_.push_back(rows);
      if (scales) floats_.push_back(*scales);
    }
    return found;
  }

  static std::size_t last_of(const std::vector<TablePart>& parts) { return parts.back().first + parts.back().count; }
  std::size_t words() const { return last_of(model_.words); }

  Norm norm_of(const NormRows& rows) {
    if (!rows) return {nullptr, nullptr, false};
    const auto& [weight, bias] = *rows;
    expect(weight.shape(0) == model_.hidden && (!bias || bias->shape(0) == model_.hidden), "a norm must have hidden entries");
    floats_.push_back(weight);
    if (bias) floats_.push_back(*bias);
    return {weight.data(), bias ? bias->data() : nullptr, true};
  }

  Linear take(const Held& held, std::size_t inputs, std::size_t outputs) {
    LinearWeights& linear = nb::cast<LinearWeights&>(held);
    expect(linear.inputs() == inputs && linear.outputs() == outputs, "a layer's weights do not have the model's widths");
    expect(&linear.kernel() == &kernel_, "a layer's weights are packed for another kernel");
    held_.push_back(held);
    return linear.view();
  }

  void add(const LayerParts& parts) {
    const auto& [qkv, out, up, down, attention_norm, output_norm, window, rotary] = parts;
    const std::size_t hidden = model_.hidden, feed = model_.feed;
    expect(rotary < 0 || model_.head_size % 2 == 0, "rotary positions need an even head size");
    model_.layers.push_back({take(qkv, hidden, 3 * hidden), take(out, hidden, hidden), take(up, hidden, model_.gated ? 2 * feed : feed),
                             take(down, feed, hidden), norm_of(attention_norm), norm_of(output_norm), window, rotary});
  }

  const EncoderKernel& kernel_;
  Backbone model_{};
  std::vector<Held> held_;
  std::vector<Table> tables_;
  std::vector<Row<float>> floats_;
  std::mutex mutex_;
  std::vector<Block> blocks_;
};

std::vector<std::string> kernel_names() {
  std::vector<std::string> names;
  for (const EncoderKernel* kernel : encoder_kernels()) names.emplace_back(kernel->name);
  return names;
}

}  // namespace

void bind_encoder(nb::module_& m) {
  nb::class_<LinearWeights>(m, "LinearWeights")
      .def(nb::init<const Matrix<float>&, const std::optional<Row<float>>&, bool, const std::string&>(), nb::arg("weights"),
           nb::arg("bias").none(), nb::arg("int8"), nb::arg("kernel"))
      .def(nb::init<const Matrix<std::int8_t>&, const Row<float>&, const std::optional<Row<float>>&, bool, const std::string&>(),
           nb::arg("codes"), nb::arg("scales"), nb::arg("bias").none(), nb::arg("int8"), nb::arg("kernel"));
  nb::class_<Model>(m, "Backbone")
      .def(nb::init<const std::string&, std::size_t, std::size_t, std::size_t, float, bool, bool, bool, TableParts, TableParts,
                    std::optional<Row<float>>, NormRows, NormRows, std::vector<LayerParts>, std::vector<ProjectionParts>>(),
           nb::arg("kernel"), nb::arg("hidden"), nb::arg("heads"), nb::arg("feed"), nb::arg("eps"), nb::arg("centered"), nb::arg("norm_first"),
           nb::arg("gated"), nb::arg("words"), nb::arg("positions"), nb::arg("type").none(), nb::arg("embedding_norm").none(),
           nb::arg("final_norm").none(), nb::arg("layers"), nb::arg("projections"))
      .def_prop_ro("width", &Model::width)
      .def("encode", &Model::encode, nb::arg("ids"), nb::arg("offsets"), nb::arg("attended"), nb::arg("first_position"), nb::arg("rotary"),
           nb::arg("rows"), nb::arg("threads"));
  m.def("encoder_kernels", &kernel_names);
  m.def("encoder_kernel", [](const std::string& name) { return std::string(kernel_named(name).name); }, nb::arg("name"));
}
