// Attention of one head over one text in int16, on any instruction set that has products of int16; included by encoder_simd.inl alone.
//
// For layers in int8. The walk over keys is encoder_attention.inl's; what differs is the form of numbers. Queries, keys and values have
// one scale each, over the head and the text, and lie in pairs of int16 whose products add up exactly in int32: a score stays within
// 2 ** 29, and 256 shares of at most 2 ** 12 times values of 11 bits within 2 ** 31. A unit of a score is a power of two, so that a
// softmax takes shifts and small tables.

namespace polyvec {
namespace {

constexpr std::size_t kPairStride = kMostHeadSize / 2;  // of queries and shares, in pairs: known to the compiler, as in encoder_attention.inl
static_assert(kKeyBlock <= 2 * kPairStride, "shares of a block of keys must fit a row");
constexpr float kValueLevels = 2047.0f;
constexpr int kLeastBits = 11, kMostBits = 25;  // of a score behind the point; with more, keys that are not seen would get a share
constexpr std::int32_t kUnseen = -(1 << 30);  // the score of a key that a query does not see

// Pairs of a head's dimensions, filled up with zeros.
template <class I>
std::size_t pairs_of(std::size_t size) {
  return (size + 2 * I::lanes - 1) / (2 * I::lanes) * I::lanes;
}

// Where a key of a panel stands: two vectors of scores become one of shares in the order of keys when they are packed, four of each at a time.
template <class I>
constexpr std::size_t column_of(std::size_t key) {
  return key / kNarrow<I> * kNarrow<I> + key / 4 % 2 * I::lanes + key % kNarrow<I> / 8 * 4 + key % 4;
}

// Where things lie in the scratch memory, in units of 4 bytes from its beginning.
struct PairScratch {
  std::size_t keys, values, queries, scores, shares, products, sums, highest, totals, shrinks, end;
};

template <class I>
PairScratch lay_out_pairs(std::size_t tokens, std::size_t size) {
  const std::size_t width = narrow_panels<I>(size) * kNarrow<I>;
  PairScratch at{};
  at.values = at.keys + narrow_panels<I>(tokens) * kNarrow<I> * (pairs_of<I>(size) + 1);
  at.queries = at.values + (tokens + 1) / 2 * width;
  at.scores = at.queries + kQueries * kPairStride;
  at.shares = at.scores + kQueries * kKeyBlock;
  at.products = at.shares + kQueries * kPairStride;
  at.sums = at.products + kQueries * width;
  at.highest = at.sums + kQueries * width;
  at.totals = at.highest + kQueries;
  at.shrinks = at.totals + kQueries;
  at.end = at.shrinks + kQueries;
  return at;
}

// The largest absolute value.
template <class I>
float largest(const float* x, std::size_t stride, std::size_t rows, std::size_t size) {
  typename I::fvec least = I::set(0.0f), most = least;
  for (std::size_t r = 0; r < rows; ++r, x += stride) {
    over_row<I>(x, size, 0.0f, [&](std::size_t, std::size_t, typename I::fvec value) {
      least = I::min(value, least), most = I::max(value, most);
    });
  }
  return std::max(I::highest(most), -I::lowest(least));
}

// One vector of x times factor, rounded; lanes past `room` hold 0.
template <class I>
inline typename I::ivec rounded(const float* x, std::size_t room, typename I::fvec factor) {
  if (room >= I::lanes) return I::to_int(I::mul(I::load(x), factor));
  float lanes[I::lanes] = {};
  if (room) std::memcpy(lanes, x, room * sizeof(float));
  return I::to_int(I::mul(I::load(lanes), factor));
}

inline std::size_t room_after(std::size_t size, std::size_t at) { return size > at ? size - at : 0; }

// Dimensions of a row in pairs, from dimension `at` on; in what order is the same for queries and keys.
template <class I>
inline typename I::ivec dimension_pairs(const float* row, std::size_t size, std::size_t at, typename I::fvec factor) {
  return I::packed(rounded<I>(row + at, room_after(size, at), factor), rounded<I>(row + at + I::lanes, room_after(size, at + I::lanes), factor));
}

// A panel begins with what its scores begin with: 0, or kUnseen where there is no key.
template <class I>
void pack_key_pairs(const float* keys, std::size_t stride, std::size_t count, std::size_t size, float factor, std::int32_t* to) {
  const typename I::fvec times = I::set(factor);
  const std::size_t pairs = pairs_of<I>(size);
  for (std::size_t panel = 0; panel < count; panel += kNarrow<I>, to += kNarrow<I>) {
    for (std::size_t key = 0; key < kNarrow<I>; ++key) to[column_of<I>(key)] = panel + key < count ? 0 : kUnseen;
    to += kNarrow<I>;
    for (std::size_t v = 0; v < I::attention_vectors; ++v) {
      for (std::size_t i = 0; i < pairs; i += I::lanes) {
        typename I::fvec square[I::lanes];
        POLYVEC_UNROLL for (std::size_t r = 0; r < I::lanes; ++r) {
          const std::size_t key = panel + r / 4 * 8 + v * 4 + r % 4;
          square[r] = I::as_float(key < count ? dimension_pairs<I>(keys + key * stride, size, 2 * i, times) : I::int_zero());
        }
        I::transpose(square);
        POLYVEC_UNROLL for (std::size_t r = 0; r < I::lanes; ++r) I::store_int(to + (i + r) * kNarrow<I> + v * I::lanes, I::as_int(square[r]));
      }
    }
    to += (pairs - 1) * kNarrow<I>;
  }
}

template <class I>
void pack_value_pairs(const float* values, std::size_t stride, std::size_t count, std::size_t size, float factor, std::int32_t* to) {
  const typename I::fvec times = I::set(factor);
  for (std::size_t first = 0; first < size; first += kNarrow<I>) {
    for (std::size_t t = 0; t < count; t += 2, to += kNarrow<I>) {
      const float* const row = values + t * stride;
      POLYVEC_UNROLL for (std::size_t v = 0; v < I::attention_vectors; ++v) {
        const std::size_t at = first + v * I::lanes, room = room_after(size, at);
        const typename I::ivec next = t + 1 < count ? rounded<I>(row + stride + at, room, times) : I::int_zero();
        I::store_int(to + v * I::lanes, I::interleaved(rounded<I>(row + at, room, times), next));
      }
    }
  }
}

// out (R, out_stride) = x (R, kPairStride) times one panel (count, kNarrow), both in pairs of int16, plus `start` (kNarrow) or 0.
template <class I, std::size_t R>
POLYVEC_APART void pair_tile(const std::int32_t* x, const std::int32_t* start, const std::int32_t* panel, std::size_t count, std::int32_t* out,
                             std::size_t out_stride) {
  constexpr std::size_t V = I::attention_vectors;
  typename I::ivec acc[R][V];
  POLYVEC_UNROLL for (std::size_t v = 0; v < V; ++v) {
    const typename I::ivec first = start ? I::load_int(start + v * I::lanes) : I::int_zero();
    POLYVEC_UNROLL for (std::size_t r = 0; r < R; ++r) acc[r][v] = first;
  }
  for (std::size_t i = 0; i < count; ++i, panel += kNarrow<I>, ++x) {
    typename I::ivec columns[V];
    POLYVEC_UNROLL for (std::size_t v = 0; v < V; ++v) columns[v] = I::load_int(panel + v * I::lanes);
    POLYVEC_UNROLL for (std::size_t r = 0; r < R; ++r) {
      const typename I::ivec pair = I::spread_int(x + r * kPairStride);
      POLYVEC_UNROLL for (std::size_t v = 0; v < V; ++v) acc[r][v] = I::dot_pairs(acc[r][v], pair, columns[v]);
    }
  }
  POLYVEC_UNROLL for (std::size_t r = 0; r < R; ++r) {
    POLYVEC_UNROLL for (std::size_t v = 0; v < V; ++v) I::store_int(out + r * out_stride + v * I::lanes, acc[r][v]);
  }
}

template <class I>
inline void pair_panel(const std::int32_t* x, std::size_t rows, const std::int32_t* start, const std::int32_t* panel, std::size_t count,
                       std::int32_t* out, std::size_t out_stride) {
  in_tiles<I::attention_rows>(rows, [&](auto some, std::size_t row) {
    pair_tile<I, some>(x + row * kPairStride, start, panel, count, out + row * out_stride, out_stride);
  });
}

// Scores of one query, `bits` of them behind the point -> its shares; high and total go on from block to block. Returns the factor by
// which what was summed up before has to shrink.
template <class I>
inline float softmax_pairs(const std::int32_t* scores, std::size_t count, int bits, std::int32_t& high, float& total, std::int32_t* shares) {
  using ivec = typename I::ivec;
  ivec most = I::load_int(scores);
  for (std::size_t i = 0; i < count; i += kNarrow<I>) {
    most = I::int_max(most, I::int_max(I::load_int(scores + i), I::load_int(scores + i + I::lanes)));
  }
  const std::int32_t before = high;
  high = std::max(before, I::int_highest(most));
  if (high == kUnseen) {  // nor is any key seen
    std::fill(shares, shares + (count + 1) / 2, 0);
    return 1.0f;
  }
  const ivec top = I::spread_int(&high), ones = I::int_set(0x00010001);
  ivec sum = I::int_zero();
  for (std::size_t i = 0; i < count; i += kNarrow<I>, shares += I::lanes) {
    const ivec both = I::shares(I::int_sub(top, I::load_int(scores + i)), I::int_sub(top, I::load_int(scores + i + I::lanes)), bits);
    I::store_int(shares, both);
    sum = I::dot_pairs(sum, both, ones);
  }
  const bool higher = before != high && before != kUnseen;
  const float shrink = higher ? std::exp2(std::ldexp(static_cast<float>(before) - static_cast<float>(high), -bits)) : 1.0f;
  total = total * shrink + static_cast<float>(I::int_total(sum));
  return shrink;
}

// Keys out of a query's window are not seen. Keys first to first + count; the query stands at `place`.
template <class I>
inline void leave_window(std::int32_t* scores, std::size_t first, std::size_t count, std::size_t place, std::size_t window) {
  const std::size_t from = place > window ? std::min(count, room_after(place - window, first)) : 0;
  const std::size_t to = std::min(count, room_after(place + window + 1, first));
  for (std::size_t key = 0; key < from; ++key) scores[column_of<I>(key)] = kUnseen;
  for (std::size_t key = to; key < count; ++key) scores[column_of<I>(key)] = kUnseen;
}

// False, with nothing done, where numbers are too large for it.
template <class I>
bool attend_int16(const AttentionJob& job, std::size_t head, float* memory) {
  static_assert(I::attention_vectors == 2, "two vectors of scores become one of shares");
  const std::size_t size = job.size, width = job.heads * size, stride = 3 * width, n = job.attended;
  const std::size_t row = narrow_panels<I>(size) * kNarrow<I>, pairs = pairs_of<I>(size);
  float* const queries = job.qkv + head * size;
  const float query_size = largest<I>(queries, stride, job.tokens, size), key_size = largest<I>(queries + width, stride, n, size);
  const float value_size = largest<I>(queries + 2 * width, stride, n, size);
  const float levels = std::floor(std::sqrt(static_cast<float>(1 << 29) / static_cast<float>(size)));
  const float unit = query_size / levels * (key_size / levels) * (kLog2e / std::sqrt(static_cast<float>(size)));  // if all levels are used
  if (!(unit < 1.0f && value_size < 1e30f)) return false;
  int exponent = -kMostBits;
  if (unit > 0.0f) std::frexp(unit, &exponent);
  const int bits = std::min(-exponent, kMostBits);
  const float key_factor = key_size > 0.0f ? levels / key_size : 0.0f;
  const float query_factor = query_size > 0.0f ? levels / query_size * std::ldexp(unit, bits) : 0.0f;
  if (bits < kLeastBits || !(key_factor < 1e30f && query_factor < 1e30f)) return false;

  const PairScratch at = lay_out_pairs<I>(job.tokens, size);
  std::int32_t* const ints = reinterpret_cast<std::int32_t*>(memory);
  std::int32_t *const keys = ints + at.keys, *const values = ints + at.values, *const asked = ints + at.queries;
  std::int32_t *const all_scores = ints + at.scores, *const all_shares = ints + at.shares, *const products = ints + at.products;
  std::int32_t* const highest_scores = ints + at.highest;
  float *const sums = memory + at.sums, *const totals = memory + at.totals, *const shrinks = memory + at.shrinks;
  pack_key_pairs<I>(queries + width, stride, n, size, key_factor, keys);
  pack_value_pairs<I>(queries + 2 * width, stride, n, size, value_size > 0.0f ? kValueLevels / value_size : 0.0f, values);
  const typename I::fvec times = I::set(query_factor);
  for (std::size_t q = 0; q < job.tokens; q += kQueries) {
    const std::size_t rows = std::min(kQueries, job.tokens - q);
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t i = 0; i < pairs; i += I::lanes) {
        I::store_int(asked + r * kPairStride + i, dimension_pairs<I>(queries + (q + r) * stride, size, 2 * i, times));
      }
    }
    std::fill(highest_scores, highest_scores + rows, kUnseen);
    std::fill(totals, totals + rows, 0.0f);
    const std::size_t low = job.window && q > job.window ? (q - job.window) / kNarrow<I> * kNarrow<I> : 0;
    const std::size_t high = job.window ? std::min(n, q + rows + job.window) : n;
    if (low >= high) std::fill(sums, sums + rows * row, 0.0f);
    for (std::size_t first = low; first < high; first += kKeyBlock) {
      const std::size_t count = std::min(kKeyBlock, high - first);
      for (std::size_t key = 0; key < count; key += kNarrow<I>) {
        const std::int32_t* const panel = keys + (first + key) * (pairs + 1);
        pair_panel<I>(asked, rows, panel, panel + kNarrow<I>, pairs, all_scores + key, kKeyBlock);
      }
      for (std::size_t r = 0; r < rows; ++r) {
        std::int32_t* const scores = all_scores + r * kKeyBlock;
        if (job.window) leave_window<I>(scores, first, (count + kNarrow<I> - 1) / kNarrow<I> * kNarrow<I>, q + r, job.window);
        shrinks[r] = softmax_pairs<I>(scores, count, bits, highest_scores[r], totals[r], all_shares + r * kPairStride);
      }
      for (std::size_t i = 0; i < row; i += kNarrow<I>) {
        pair_panel<I>(all_shares, rows, nullptr, values + i * ((n + 1) / 2) + first / 2 * kNarrow<I>, (count + 1) / 2, products + i, row);
      }
      for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t i = r * row; i < (r + 1) * row; i += I::lanes) {
          const typename I::fvec product = I::to_float(I::load_int(products + i));
          I::store(sums + i, first == low ? product : I::fma(I::load(sums + i), I::set(shrinks[r]), product));
        }
      }
    }
    for (std::size_t r = 0; r < rows; ++r) {
      const typename I::fvec share = I::set(totals[r] > 0.0f ? value_size / kValueLevels / totals[r] : 0.0f);
      for (std::size_t i = 0; i < size; i += I::lanes) {
        put<I>(queries + (q + r) * stride + i, I::mul(I::load(sums + r * row + i), share), std::min(I::lanes, size - i));
      }
    }
  }
  return true;
}

}  // namespace
}  // namespace polyvec
