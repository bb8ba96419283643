// Attention of one head over one text, on any instruction set; included by encoder_simd.inl alone.
//
// Keys and values are copied into panels like weights, so that both products are tiles of float_tile: queries times keys, then
// shares times values. Keys come in blocks; a running maximum and sum for each query make memory linear in tokens
// (the method of Dao et al., 2022, arXiv:2205.14135, after Milakov and Gimelshein, 2018, arXiv:1805.02867).

namespace polyvec {
namespace {

constexpr std::size_t kQueries = 12;     // handled at a time
constexpr std::size_t kKeyBlock = 256;   // keys that scores are kept of; a multiple of every panel
constexpr std::size_t kAttentionStride = kMostHeadSize;  // of queries and scores: known to the compiler, so that a tile needs one pointer
static_assert(kKeyBlock <= kAttentionStride, "scores of a block of keys must fit a row");
constexpr float kLog2e = 1.44269504f;
constexpr float kNoneYet = -1e30f;  // the highest score before the first

template <class I>
constexpr std::size_t kNarrow = I::lanes * I::attention_vectors;  // columns of a panel of keys or values

template <class I>
std::size_t narrow_panels(std::size_t n) {
  return (n + kNarrow<I> - 1) / kNarrow<I>;
}

// Where things lie in the scratch memory, in floats from its beginning.
struct AttentionScratch {
  std::size_t keys, values, queries, scores, sums, highest, totals, end;
};

template <class I>
AttentionScratch lay_out(std::size_t tokens, std::size_t size) {
  const std::size_t width = narrow_panels<I>(size) * kNarrow<I>;
  AttentionScratch at{};
  at.values = at.keys + narrow_panels<I>(tokens) * kNarrow<I> * size;
  at.queries = at.values + tokens * width;
  at.scores = at.queries + kQueries * kAttentionStride;
  at.sums = at.scores + kQueries * kAttentionStride;
  at.highest = at.sums + kQueries * width;
  at.totals = at.highest + kQueries;
  at.end = at.totals + kQueries;
  return at;
}

template <class I>
void pack_keys(const float* keys, std::size_t stride, std::size_t count, std::size_t size, float* to) {
  for (std::size_t first = 0; first < count; first += I::lanes) {
    float* const column = to + first / kNarrow<I> * kNarrow<I> * size + first % kNarrow<I>;
    const float* const rows = keys + first * stride;
    std::size_t i = 0;
    for (; first + I::lanes <= count && i + I::lanes <= size; i += I::lanes) {
      typename I::fvec square[I::lanes];
      POLYVEC_UNROLL for (std::size_t r = 0; r < I::lanes; ++r) square[r] = I::load(rows + r * stride + i);
      I::transpose(square);
      POLYVEC_UNROLL for (std::size_t r = 0; r < I::lanes; ++r) I::store(column + (i + r) * kNarrow<I>, square[r]);
    }
    for (; i < size; ++i) {
      for (std::size_t lane = 0; lane < I::lanes; ++lane) {
        column[i * kNarrow<I> + lane] = first + lane < count ? rows[lane * stride + i] : 0.0f;
      }
    }
  }
  for (std::size_t first = (count + I::lanes - 1) / I::lanes * I::lanes; first % kNarrow<I>; first += I::lanes) {  // unused lanes
    float* const column = to + first / kNarrow<I> * kNarrow<I> * size + first % kNarrow<I>;
    for (std::size_t i = 0; i < size; ++i) I::store(column + i * kNarrow<I>, I::set(0.0f));
  }
}

template <class I>
void pack_values(const float* values, std::size_t stride, std::size_t count, std::size_t size, float* to) {
  for (std::size_t first = 0; first < size; first += kNarrow<I>) {
    for (std::size_t t = 0; t < count; ++t, to += kNarrow<I>) {
      const float* const row = values + t * stride;
      POLYVEC_UNROLL for (std::size_t v = 0; v < I::attention_vectors; ++v) {
        const std::size_t column = first + v * I::lanes;
        if (column + I::lanes <= size) {
          I::store(to + v * I::lanes, I::load(row + column));
        } else {
          for (std::size_t lane = 0; lane < I::lanes; ++lane) to[v * I::lanes + lane] = column + lane < size ? row[column + lane] : 0.0f;
        }
      }
    }
  }
}

// out (rows, out_stride) = or += x (rows, kAttentionStride) times one panel (k, kNarrow).
template <class I, bool add>
inline void narrow(const float* x, std::size_t rows, const float* panel, std::size_t k, float* out, std::size_t out_stride) {
  in_tiles<I::attention_rows>(rows, [&](auto count, std::size_t row) {
    float_tile<I, count, I::attention_vectors, add, kAttentionStride>(x + row * kAttentionStride, kAttentionStride, panel, kNarrow<I>, k, 0,
                                                                      out + row * out_stride, out_stride);
  });
}

// Scores of one query for `count` keys -> their shares, not yet divided by their sum; `total` and `high` go on from block to block.
// Returns the factor by which what was summed up before has to shrink.
template <class I>
inline float softmax_block(float* scores, std::size_t count, float& high, float& total_before) {
  using fvec = typename I::fvec;
  const std::size_t whole = (count + I::lanes - 1) / I::lanes * I::lanes;
  for (std::size_t i = count; i < whole; ++i) scores[i] = -std::numeric_limits<float>::infinity();
  fvec most = I::load(scores);
  for (std::size_t i = I::lanes; i < whole; i += I::lanes) most = I::max(I::load(scores + i), most);
  const float before = high;
  high = std::max(before, I::highest(most));
  const fvec top = I::set(high);
  fvec sum = I::set(0.0f);
  for (std::size_t i = 0; i < whole; i += I::lanes) {
    const fvec share = power_of_two<I>(I::sub(I::load(scores + i), top));
    I::store(scores + i, share);
    sum = I::add(sum, share);
  }
  const float shrink = before == high || before == kNoneYet ? 1.0f : std::exp2(before - high);
  total_before = total_before * shrink + I::total(sum);
  return shrink;
}

// Makes scores of keys out of a query's window count nothing. Keys first to first + count; the query stands at `place`.
inline void leave_window(float* scores, std::size_t first, std::size_t count, std::size_t place, std::size_t window) {
  const float none = -std::numeric_limits<float>::infinity();
  const std::size_t from = place > window ? place - window : 0, to = place + window + 1;
  if (from > first) std::fill(scores, scores + std::min(count, from - first), none);
  if (to < first + count) std::fill(scores + (to > first ? to - first : 0), scores + count, none);
}

template <class I>
void attend_fp32(const AttentionJob& job, std::size_t head, float* memory) {
  const std::size_t size = job.size, width = job.heads * size, stride = 3 * width, n = job.attended;
  const std::size_t row = narrow_panels<I>(size) * kNarrow<I>;
  const AttentionScratch at = lay_out<I>(job.tokens, size);
  float *const keys = memory + at.keys, *const values = memory + at.values, *const asked = memory + at.queries;
  float *const all_scores = memory + at.scores, *const sums = memory + at.sums;
  float *const highest_scores = memory + at.highest, *const totals = memory + at.totals;
  float* const queries = job.qkv + head * size;
  pack_keys<I>(queries + width, stride, n, size, keys);
  pack_values<I>(queries + 2 * width, stride, n, size, values);
  const float factor = kLog2e / std::sqrt(static_cast<float>(size));
  for (std::size_t q = 0; q < job.tokens; q += kQueries) {
    const std::size_t rows = std::min(kQueries, job.tokens - q);
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t i = 0; i < size; ++i) asked[r * kAttentionStride + i] = queries[(q + r) * stride + i] * factor;
    }
    std::fill(highest_scores, highest_scores + rows, kNoneYet);
    std::fill(totals, totals + rows, 0.0f);
    std::fill(sums, sums + rows * row, 0.0f);
    const std::size_t low = job.window && q > job.window ? (q - job.window) / kNarrow<I> * kNarrow<I> : 0;
    const std::size_t high = job.window ? std::min(n, q + rows + job.window) : n;
    for (std::size_t first = low; first < high; first += kKeyBlock) {
      const std::size_t count = std::min(kKeyBlock, high - first);
      for (std::size_t key = 0; key < count; key += kNarrow<I>) {
        narrow<I, false>(asked, rows, keys + (first + key) * size, size, all_scores + key, kAttentionStride);
      }
      for (std::size_t r = 0; r < rows; ++r) {
        float* const scores = all_scores + r * kAttentionStride;
        if (job.window) leave_window(scores, first, count, q + r, job.window);
        const float shrink = softmax_block<I>(scores, count, highest_scores[r], totals[r]);
        for (std::size_t i = 0; shrink != 1.0f && i < row; ++i) sums[r * row + i] *= shrink;
      }
      for (std::size_t i = 0; i < row; i += kNarrow<I>) {
        narrow<I, true>(all_scores, rows, values + i * n + first * kNarrow<I>, count, sums + i, row);
      }
    }
    for (std::size_t r = 0; r < rows; ++r) {
      const bool sees = !job.window || q + r < n + job.window;  // else no token that is attended stands in its window
      const float share = sees && totals[r] > 0.0f ? 1.0f / totals[r] : 0.0f;
      for (std::size_t i = 0; i < size; ++i) queries[(q + r) * stride + i] = sums[r * row + i] * share;
    }
  }
}

}  // namespace
}  // namespace polyvec
