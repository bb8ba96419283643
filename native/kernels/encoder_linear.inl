// Linear layers on any instruction set, a template over it; included by encoder_simd.inl alone.
//
// A panel is lanes * vectors outputs. int8 weights of a panel lie in groups of four inputs, output by output, as the dot product
// instructions want them; fp32 weights lie input by input. A tile is up to I::rows rows by one panel, whose sums stay in registers
// over all inputs. A tile is a function that is called: built into the loop over tiles, compilers spill its registers.

namespace polyvec {
namespace {

template <class I>
constexpr std::size_t kPanel = I::lanes * I::vectors;

template <class I>
std::size_t panels(std::size_t n) {
  return (n + kPanel<I> - 1) / kPanel<I>;
}

inline std::size_t groups(std::size_t k) { return (k + 3) / 4; }

template <class I>
std::size_t packed_bytes(std::size_t n, std::size_t k, Arithmetic arithmetic) {
  return panels<I>(n) * kPanel<I> * (arithmetic == Arithmetic::int8 ? groups(k) * 4 : k * sizeof(float));
}

template <class I>
void pack_int8(const std::int8_t* weights, std::size_t n, std::size_t k, void* packed) {
  std::int8_t* to = static_cast<std::int8_t*>(packed);
  for (std::size_t first = 0; first < n; first += kPanel<I>, to += kPanel<I> * groups(k) * 4) {
    for (std::size_t lane = 0; lane < kPanel<I>; ++lane) {
      const std::int8_t* row = weights + (first + lane) * k;
      for (std::size_t g = 0; g < groups(k); ++g) {
        std::int8_t* four = to + (g * kPanel<I> + lane) * 4;
        for (std::size_t i = 0; i < 4; ++i) four[i] = first + lane < n && g * 4 + i < k ? row[g * 4 + i] : std::int8_t{0};
      }
    }
  }
}

template <class I>
void pack_fp32(const float* weights, std::size_t n, std::size_t k, void* packed) {
  float* to = static_cast<float*>(packed);
  for (std::size_t first = 0; first < n; first += kPanel<I>, to += kPanel<I> * k) {
    for (std::size_t lane = 0; lane < kPanel<I>; ++lane) {
      for (std::size_t i = 0; i < k; ++i) to[i * kPanel<I> + lane] = first + lane < n ? weights[(first + lane) * k + i] : 0.0f;
    }
  }
}

// Weights of the next panel are asked for while the first rows meet this one.
template <std::size_t bytes>
inline void ask_for(const char* from) {
#if defined(__GNUC__)
  for (std::size_t at = 0; at < bytes; at += 64) __builtin_prefetch(from + at, 0, 2);
#else
  (void)from;
#endif
}

template <class I, std::size_t R>
POLYVEC_APART void int_tile(const std::uint8_t* x, std::size_t stride, const std::int8_t* weights, std::size_t count, std::size_t ahead,
                            std::int32_t* sums) {
  typename I::ivec acc[R][I::vectors];
  POLYVEC_UNROLL for (std::size_t r = 0; r < R; ++r) {
    POLYVEC_UNROLL for (std::size_t v = 0; v < I::vectors; ++v) acc[r][v] = I::int_zero();
  }
  for (std::size_t g = 0; g < count; ++g, weights += kPanel<I> * 4, x += 4) {
    decltype(I::load_weights(weights)) columns[I::vectors];
    POLYVEC_UNROLL for (std::size_t v = 0; v < I::vectors; ++v) columns[v] = I::load_weights(weights + v * I::lanes * 4);
    if (ahead) ask_for<kPanel<I> * 4>(reinterpret_cast<const char*>(weights) + ahead);
    POLYVEC_UNROLL for (std::size_t r = 0; r < R; ++r) {
      const auto four = I::spread(x + r * stride);
      POLYVEC_UNROLL for (std::size_t v = 0; v < I::vectors; ++v) acc[r][v] = I::dot(acc[r][v], four, columns[v]);
    }
  }
  POLYVEC_UNROLL for (std::size_t r = 0; r < R; ++r) {
    POLYVEC_UNROLL for (std::size_t v = 0; v < I::vectors; ++v) I::store_int(sums + r * kPanel<I> + v * I::lanes, acc[r][v]);
  }
}

// out = x times weights, or that added to out. x: (R, stride), which is `fixed` unless that is 0 · weights: (k, weight_stride), V vectors of
// each row · out: (R, out_stride)
template <class I, std::size_t R, std::size_t V, bool add, std::size_t fixed>
POLYVEC_APART void float_tile(const float* x, std::size_t stride, const float* weights, std::size_t weight_stride, std::size_t k,
                              std::size_t ahead, float* out, std::size_t out_stride) {
  if (fixed) stride = fixed;
  typename I::fvec acc[R][V];
  POLYVEC_UNROLL for (std::size_t r = 0; r < R; ++r) {
    POLYVEC_UNROLL for (std::size_t v = 0; v < V; ++v) acc[r][v] = add ? I::load(out + r * out_stride + v * I::lanes) : I::set(0.0f);
  }
  for (std::size_t i = 0; i < k; ++i, weights += weight_stride, ++x) {
    typename I::fvec columns[V];
    POLYVEC_UNROLL for (std::size_t v = 0; v < V; ++v) columns[v] = I::load(weights + v * I::lanes);
    if (ahead) ask_for<I::lanes * V * 4>(reinterpret_cast<const char*>(weights) + ahead);
    POLYVEC_UNROLL for (std::size_t r = 0; r < R; ++r) {
      const typename I::fvec value = I::set(x[r * stride]);
      POLYVEC_UNROLL for (std::size_t v = 0; v < V; ++v) acc[r][v] = I::fma(value, columns[v], acc[r][v]);
    }
  }
  POLYVEC_UNROLL for (std::size_t r = 0; r < R; ++r) {
    POLYVEC_UNROLL for (std::size_t v = 0; v < V; ++v) I::store(out + r * out_stride + v * I::lanes, acc[r][v]);
  }
}

// Calls tile(count, first) for `rows` rows: as many as fit the registers at a time, then what is left. `most` <= 12.
template <std::size_t most, class Tile>
inline void in_tiles(std::size_t rows, const Tile& tile) {
  std::size_t first = 0;
  for (; first + most <= rows; first += most) tile(std::integral_constant<std::size_t, most>{}, first);
  if constexpr (most > 8) {
    if (rows - first >= 8) tile(std::integral_constant<std::size_t, 8>{}, first), first += 8;
  }
  if constexpr (most > 4) {
    if (rows - first >= 4) tile(std::integral_constant<std::size_t, 4>{}, first), first += 4;
  }
  switch (rows - first) {
    case 3:
      return tile(std::integral_constant<std::size_t, 3>{}, first);
    case 2:
      return tile(std::integral_constant<std::size_t, 2>{}, first);
    case 1:
      return tile(std::integral_constant<std::size_t, 1>{}, first);
    default:
      return;
  }
}

// Writes one vector of results where it belongs; `room` of its lanes exist.
template <class I, bool coarse>
inline void deliver(typename I::fvec result, After after, float* out, std::size_t room) {
  if (after == After::gelu) result = coarse ? coarse_gelu<I>(result) : gelu<I>(result);
  if (room >= I::lanes) {
    if (after == After::add) result = I::add(I::load(out), result);
    return I::store(out, result);
  }
  float lanes[I::lanes];
  I::store(lanes, result);
  for (std::size_t lane = 0; lane < room; ++lane) out[lane] = after == After::add ? out[lane] + lanes[lane] : lanes[lane];
}

template <class I>
void int_linear(const LinearJob& job) {
  const Linear& layer = job.layer;
  const std::uint8_t* x = static_cast<const std::uint8_t*>(job.x);
  const std::int8_t* weights = static_cast<const std::int8_t*>(layer.weights);
  const std::size_t count = groups(layer.k), bytes = count * kPanel<I> * 4;
  for (std::size_t first = 0; first < layer.n; first += kPanel<I>, weights += bytes) {
    in_tiles<I::int_rows>(job.rows, [&](auto rows, std::size_t row) {
      alignas(64) std::int32_t sums[I::int_rows * kPanel<I>];
      const std::size_t ahead = row == 0 && first + kPanel<I> < layer.n ? bytes : 0;
      int_tile<I, rows>(x + row * job.stride, job.stride, weights, count, ahead, sums);
      for (std::size_t v = 0; v < I::vectors && first + v * I::lanes < layer.n; ++v) {
        const std::size_t column = first + v * I::lanes;
        const typename I::fvec scale = I::load(layer.scales + column), total = I::load(layer.sums + column);
        const typename I::fvec bias = I::load(layer.bias + column);
        for (std::size_t r = 0; r < rows; ++r) {
          const Range range = job.ranges[row + r];
          const typename I::fvec rest = I::fma(I::set(range.low), total, bias);
          const typename I::fvec sum = I::to_float(I::load_int(sums + r * kPanel<I> + v * I::lanes));
          deliver<I, true>(I::fma(I::mul(sum, I::set(range.step)), scale, rest), job.after, job.out + (row + r) * job.out_stride + column,
                     layer.n - column);
        }
      }
    });
  }
}

template <class I>
void float_linear(const LinearJob& job) {
  const Linear& layer = job.layer;
  const float* x = static_cast<const float*>(job.x);
  const float* weights = static_cast<const float*>(layer.weights);
  const std::size_t floats = layer.k * kPanel<I>;
  for (std::size_t first = 0; first < layer.n; first += kPanel<I>, weights += floats) {
    in_tiles<I::rows>(job.rows, [&](auto rows, std::size_t row) {
      alignas(64) float sums[I::rows * kPanel<I>];
      const std::size_t ahead = row == 0 && first + kPanel<I> < layer.n ? floats * sizeof(float) : 0;
      float_tile<I, rows, I::vectors, false, 0>(x + row * job.stride, job.stride, weights, kPanel<I>, layer.k, ahead, sums, kPanel<I>);
      for (std::size_t v = 0; v < I::vectors && first + v * I::lanes < layer.n; ++v) {
        const std::size_t column = first + v * I::lanes;
        const typename I::fvec bias = I::load(layer.bias + column);
        for (std::size_t r = 0; r < rows; ++r) {
          deliver<I, false>(I::add(I::load(sums + r * kPanel<I> + v * I::lanes), bias), job.after,
                     job.out + (row + r) * job.out_stride + column, layer.n - column);
        }
      }
    });
  }
}

template <class I>
void linear(const LinearJob& job) {
  job.layer.arithmetic == Arithmetic::int8 ? int_linear<I>(job) : float_linear<I>(job);
}

}  // namespace
}  // namespace polyvec
