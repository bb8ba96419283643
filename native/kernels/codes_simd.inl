// The one SIMD algorithm of the codes family, a template over an instruction set. Included by one file an instruction set;
// everything here is in an unnamed namespace so that no code leaks to another file.
//
// Query rows lie in SIMD lanes: a panel is `vectors` registers of `lanes` query rows, `group` dimensions of each side by side.
// Tokens are expanded into a buffer that stays in the first-level cache, kBuffered at a time; then every panel goes over the
// buffer, `rows` tokens at once, whose rows x vectors accumulators stay in registers over all dimensions. The last block may
// hold fewer tokens: the buffer has room for it, and the sums of the rest are not read.
//
// An instruction set I gives: ivec (int32 lanes), fvec, lanes, group, widest (vectors of a panel, at most), Stored (type of an
// expanded value), rows(vectors), expand<nbits>(centroid, bytes, levels, p, stored) -> sum of squares, widen(row, p, stored),
// start(sum_of_query) the accumulator's start, dot(acc, query, token) which adds to acc, spread(token), reaches(sums, thresholds) a
// bit a lane, and to_float, times, max, load, store, set. It may bring `products` of its own, as generic_products.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "kernels/centroid_interaction.inl"

namespace polyvec {
namespace {

constexpr std::size_t kBuffered = 32;   // tokens, a multiple of every `rows`
constexpr std::size_t kTokensAhead = 6;  // whose centroids are prefetched
constexpr std::size_t kLine = 64;
constexpr std::size_t kStrip = 512;              // tokens whose centroid numbers are searched at once for near ones
constexpr std::size_t kDocuments = 32;           // scored approximately together
constexpr std::size_t kWaiting = 2 * kBuffered;  // tokens that are prefetched and wait for their turn; a power of two

inline std::size_t lines(std::size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

template <class I>
std::size_t vectors_of(std::size_t q) {
  return (q + I::lanes - 1) / I::lanes;
}

// A packed query: vector after vector, each p / group steps of lanes x group values; then what each lane's accumulator starts with.
template <class I>
struct Panels {
  const typename I::Packed* values;
  const std::int32_t* starts;
  std::size_t vectors, p;

  static std::size_t values_bytes(std::size_t q, std::size_t p) { return lines(vectors_of<I>(q) * I::lanes * p * sizeof(typename I::Packed)); }

  explicit Panels(const PackedQuery& query)
      : values(static_cast<const typename I::Packed*>(query.packed)),
        starts(reinterpret_cast<const std::int32_t*>(static_cast<const char*>(query.packed) + values_bytes(query.q, query.p))),
        vectors(vectors_of<I>(query.q)), p(query.p) {}

  const typename I::Packed* values_from(std::size_t vector) const { return values + vector * I::lanes * p; }
  const std::int32_t* starts_from(std::size_t vector) const { return starts + vector * I::lanes; }
  std::size_t padded_rows() const { return vectors * I::lanes; }
};

// A thread's scratch memory.
template <class I>
struct Scratch {
  typename I::Stored* tokens;  // (kBuffered, p) expanded
  float* inverse;              // (kBuffered,): 1 / length
  float* best;                 // (kDocuments, padded rows)

  Scratch(void* memory, std::size_t p)
      : tokens(static_cast<typename I::Stored*>(memory)),
        inverse(reinterpret_cast<float*>(static_cast<char*>(memory) + lines(kBuffered * p * sizeof(typename I::Stored)))),
        best(reinterpret_cast<float*>(reinterpret_cast<char*>(inverse) + lines(kBuffered * sizeof(float)))) {}

  static std::size_t bytes(std::size_t q, std::size_t p) {
    return lines(kBuffered * p * sizeof(typename I::Stored)) + lines(kBuffered * sizeof(float)) +
           lines(kDocuments * vectors_of<I>(q) * I::lanes * sizeof(float));
  }
};

template <class I>
std::size_t simd_packed_bytes(std::size_t q, std::size_t p) {
  return Panels<I>::values_bytes(q, p) + vectors_of<I>(q) * I::lanes * sizeof(std::int32_t);
}

template <class I>
void simd_pack(const QueryView& query, void* packed) {
  const std::size_t q = query.q, p = query.p;
  auto* to = static_cast<typename I::Packed*>(packed);
  auto* starts = reinterpret_cast<std::int32_t*>(static_cast<char*>(packed) + Panels<I>::values_bytes(q, p));
  for (std::size_t v = 0; v < vectors_of<I>(q); ++v) {
    for (std::size_t k = 0; k < p; k += I::group) {
      for (std::size_t lane = 0; lane < I::lanes; ++lane) {
        const std::size_t row = v * I::lanes + lane;
        for (std::size_t g = 0; g < I::group; ++g) *to++ = row < q ? query.rows[row * p + k + g] : 0;
      }
    }
  }
  for (std::size_t row = 0; row < vectors_of<I>(q) * I::lanes; ++row) {
    std::int32_t sum = 0;
    for (std::size_t k = 0; k < p && row < q; ++k) sum += query.rows[row * p + k];
    starts[row] = I::start(sum);
  }
}

// sums: (R, V, lanes) dot products of R tokens that lie side by side with V vectors of query rows.
template <class I, std::size_t V, std::size_t R>
inline void generic_products(const typename I::Packed* query, const std::int32_t* starts, const typename I::Stored* tokens,
                             std::size_t p, std::int32_t* sums) {
  constexpr std::size_t step = I::lanes * I::group;
  typename I::ivec sum[R][V];
  for (std::size_t r = 0; r < R; ++r) {
    for (std::size_t v = 0; v < V; ++v) sum[r][v] = I::load_int(starts + v * I::lanes);
  }
  for (std::size_t k = 0; k < p; k += I::group) {
    typename I::qvec row[V];
    for (std::size_t v = 0; v < V; ++v) row[v] = I::load_query(query + v * p * I::lanes + k / I::group * step);
    for (std::size_t r = 0; r < R; ++r) {
      const auto value = I::spread(tokens + r * p + k);
      for (std::size_t v = 0; v < V; ++v) I::dot(sum[r][v], row[v], value);
    }
  }
  for (std::size_t r = 0; r < R; ++r) {
    for (std::size_t v = 0; v < V; ++v) I::store_int(sums + (r * V + v) * I::lanes, sum[r][v]);
  }
}

// Calls body(first vector, number of vectors as a compile-time constant) for panels that cover all of them.
template <class I, class Body>
inline void over_panels(std::size_t vectors, const Body& body) {
  std::size_t v = 0;
  for (; v + I::widest <= vectors; v += I::widest) body(v, std::integral_constant<std::size_t, I::widest>{});
  const std::size_t left = vectors - v;
  if constexpr (I::widest > 3) {
    if (left == 3) body(v, std::integral_constant<std::size_t, 3>{});
  }
  if constexpr (I::widest > 2) {
    if (left == 2) body(v, std::integral_constant<std::size_t, 2>{});
  }
  if (left == 1) body(v, std::integral_constant<std::size_t, 1>{});
}

// Where tokens are read from and expanded to. Kept by value, since the compiler reloads whatever a store might have changed.
template <class I, unsigned nbits>
struct TokenReader {
  const std::int8_t *centroids, *levels;
  const std::uint8_t *packed, *scales;
  std::size_t p, width;
  typename I::Stored* tokens;
  float* inverse;

  TokenReader(const ScoreJob& job, const Scratch<I>& scratch)
      : centroids(job.codec.centroids), levels(job.codec.levels), packed(job.segment.packed), scales(job.segment.scales), p(job.codec.p),
        width(job.codec.p * nbits / 8), tokens(scratch.tokens), inverse(scratch.inverse) {}

  // Expands a token into place `t`; its sum of squares goes to `inverse`.
  void expand(std::size_t token, std::size_t code, std::size_t t) const {
    inverse[t] = static_cast<float>(I::template expand<nbits>(centroids + code * p, packed + token * width,
                                                              levels + std::size_t{scales[token]} * kWindows, p, tokens + t * p));
  }
  void invert_lengths(std::size_t n) const {
    for (std::size_t t = 0; t < n; ++t) inverse[t] = inverse[t] > 0 ? 1.0f / std::sqrt(inverse[t]) : 0.0f;
  }
};

inline float weighted_sum(const PackedQuery& query, const float* best) {
  float total = 0;
  for (std::size_t row = 0; row < query.q; ++row) total += query.scales[row] * best[row];
  return total;
}

// Full scores: all tokens in the buffer belong to one document.

// Raises the panel's part of `best` to the scores of the n tokens in the buffer where they are higher.
template <class I, std::size_t V>
void keep_best(const Panels<I> query, std::size_t first_vector, const Scratch<I> scratch, std::size_t n) {
  constexpr std::size_t R = I::rows(V);
  alignas(kLine) std::int32_t sums[R * V * I::lanes];
  float* const best = scratch.best + first_vector * I::lanes;
  for (std::size_t t = 0; t < n; t += R) {
    I::template products<V, R>(query.values_from(first_vector), query.starts_from(first_vector), scratch.tokens + t * query.p, query.p, sums);
    const std::size_t here = std::min(R, n - t);
    for (std::size_t v = 0; v < V; ++v) {
      auto highest = I::load(best + v * I::lanes);
      for (std::size_t r = 0; r < here; ++r) {
        highest = I::max(highest, I::times(I::to_float(I::load_int(sums + (r * V + v) * I::lanes)), I::set(scratch.inverse[t + r])));
      }
      I::store(best + v * I::lanes, highest);
    }
  }
}

POLYVEC_PREFETCHING void prefetch_document(const SegmentView& segment, std::int64_t document, std::size_t packed_width) {
  if (!segment.contains(document)) return;
  const std::size_t token = segment.offsets[document];
  const char* from = reinterpret_cast<const char*>(segment.packed + token * packed_width);
  for (std::size_t at = 0; at < 4 * kLine; at += kLine) __builtin_prefetch(from + at);
  __builtin_prefetch(static_cast<const char*>(segment.codes) + token * segment.code_bytes);
  __builtin_prefetch(segment.scales + token);
}

POLYVEC_PREFETCHING void prefetch_centroid(const ScoreJob& job, std::size_t token) {
  const std::size_t code = job.segment.code(token);
  if (code >= job.codec.n_centroids) return;
  for (std::size_t at = 0; at < job.codec.p; at += kLine) __builtin_prefetch(job.codec.centroids + code * job.codec.p + at);
}

template <class I, unsigned nbits>
bool full_scores_of(const ScoreJob& job, std::size_t begin, std::size_t end, void* memory) {
  const Panels<I> query(job.query);
  const Scratch<I> scratch(memory, job.codec.p);
  const TokenReader<I, nbits> reader(job, scratch);
  for (std::size_t i = begin; i < end; ++i) {
    if (!job.segment.contains(job.documents[i])) return false;
    const std::size_t first = job.segment.offsets[job.documents[i]], last = job.segment.offsets[job.documents[i] + 1];
    if (i + 1 < end) prefetch_document(job.segment, job.documents[i + 1], reader.width);
    std::fill(scratch.best, scratch.best + query.padded_rows(), -std::numeric_limits<float>::infinity());
    for (std::size_t start = first; start < last; start += kBuffered) {
      const std::size_t n = std::min(kBuffered, last - start);
      for (std::size_t t = 0; t < n; ++t) {
        const std::size_t token = start + t, code = nbits == 8 ? 0 : job.segment.code(token);
        if (code >= job.codec.n_centroids) return false;
        if (nbits < 8 && token + kTokensAhead < last) prefetch_centroid(job, token + kTokensAhead);
        reader.expand(token, code, t);
      }
      reader.invert_lengths(n);
      over_panels<I>(query.vectors, [&](std::size_t v, auto count) { keep_best<I, count()>(query, v, scratch, n); });
    }
    job.scores[i] = first < last ? weighted_sum(job.query, scratch.best) : 0.0f;
  }
  return true;
}

// Approximate scores: tokens of several documents wait together, so that what lies scattered in memory has arrived when they are scored.

// Writes the places of the near ones among n <= kStrip centroid numbers; returns how many, and n + 1 where a number is out of
// range. Without a branch a token: which ones are near cannot be predicted.
template <class Code>
std::size_t near_among(const Code* codes, std::size_t n, const std::uint8_t* near, std::size_t n_centroids, std::uint32_t* places) {
  Code largest = 0;
  for (std::size_t i = 0; i < n; ++i) largest = std::max(largest, codes[i]);
  if (largest >= n_centroids) return n + 1;
  std::size_t count = 0;
  for (std::size_t i = 0; i < n; ++i) {
    places[count] = static_cast<std::uint32_t>(i);
    count += near[codes[i]] != 0;
  }
  return count;
}

POLYVEC_PREFETCHING void prefetch_codes_of(const SegmentView& segment, std::int64_t document) {
  if (!segment.contains(document)) return;
  const std::size_t first = segment.offsets[document], last = segment.offsets[document + 1];
  const char* const from = static_cast<const char*>(segment.codes) + first * segment.code_bytes;
  const std::size_t bytes = std::min((last - first) * segment.code_bytes, 8 * kLine);
  for (std::size_t at = 0; at < bytes; at += kLine) __builtin_prefetch(from + at);
}

// Each token's document is a row of `best`.
template <class I, std::size_t V>
void keep_best_of_each(const Panels<I> query, std::size_t first_vector, const Scratch<I> scratch, const std::uint32_t* rows, std::size_t n) {
  constexpr std::size_t R = I::rows(V);
  alignas(kLine) std::int32_t sums[R * V * I::lanes];
  for (std::size_t t = 0; t < n; t += R) {
    I::template products<V, R>(query.values_from(first_vector), query.starts_from(first_vector), scratch.tokens + t * query.p, query.p, sums);
    for (std::size_t r = 0; r < std::min(R, n - t); ++r) {
      float* const best = scratch.best + rows[t + r] * query.padded_rows() + first_vector * I::lanes;
      for (std::size_t v = 0; v < V; ++v) {
        const auto value = I::times(I::to_float(I::load_int(sums + (r * V + v) * I::lanes)), I::set(scratch.inverse[t + r]));
        I::store(best + v * I::lanes, I::max(I::load(best + v * I::lanes), value));
      }
    }
  }
}

// Approximate scores of up to kDocuments documents at a time, each with a row of `best`. Tokens are found by their centroid numbers,
// prefetched, and scored in blocks across documents as soon as kWaiting of them wait.
template <class I, unsigned nbits>
class Approximating {
 public:
  Approximating(const ScoreJob& job, const Approximation& approximation, void* memory)
      : job_(job), approximation_(approximation), query_(job.query), scratch_(memory, job.codec.p), reader_(job, scratch_) {}

  // False where a centroid number is out of range.
  bool add(std::int64_t document, std::size_t row) {
    const std::size_t first = job_.segment.offsets[document], last = job_.segment.offsets[document + 1], q = job_.query.q;
    float* const best = scratch_.best + row * query_.padded_rows();
    std::copy(approximation_.imputed, approximation_.imputed + q, best);
    std::fill(best + q, best + query_.padded_rows(), 0.0f);
    for (std::size_t strip = first; strip < last; strip += kStrip) {
      const std::size_t n = std::min(kStrip, last - strip), count = near_tokens(strip, n);
      if (count > n) return false;
      for (std::size_t i = 0; i < count; ++i) wait(strip + places_[i], row);
    }
    return true;
  }

  void score_waiting() {
    while (scored_ < found_) score(std::min(kBuffered, found_ - scored_));
  }

  float total(std::size_t row) const { return weighted_sum(job_.query, scratch_.best + row * query_.padded_rows()); }

 private:
  std::size_t near_tokens(std::size_t first, std::size_t n) {
    const std::size_t n_centroids = job_.codec.n_centroids;
    if (job_.segment.code_bytes == 2) {
      return near_among(static_cast<const std::uint16_t*>(job_.segment.codes) + first, n, approximation_.near, n_centroids, places_);
    }
    return near_among(static_cast<const std::uint32_t*>(job_.segment.codes) + first, n, approximation_.near, n_centroids, places_);
  }

  void wait(std::size_t token, std::size_t row) {
    for (std::size_t at = 0; at < reader_.width; at += kLine) __builtin_prefetch(reader_.packed + token * reader_.width + at, 0, 2);
    __builtin_prefetch(reader_.scales + token);
    tokens_[found_ % kWaiting] = token;
    rows_[found_ % kWaiting] = static_cast<std::uint32_t>(row);
    if (++found_ - scored_ == kWaiting) score(kBuffered);
  }

  void score(std::size_t n) {
    const TokenReader<I, nbits> reader = reader_;
    std::uint32_t rows[kBuffered];
    for (std::size_t t = 0; t < n; ++t) {
      const std::size_t at = (scored_ + t) % kWaiting, token = tokens_[at];
      rows[t] = rows_[at];
      reader.expand(token, job_.segment.code(token), t);
    }
    reader.invert_lengths(n);
    over_panels<I>(query_.vectors, [&](std::size_t v, auto count) { keep_best_of_each<I, count()>(query_, v, scratch_, rows, n); });
    scored_ += n;
  }

  const ScoreJob& job_;
  const Approximation& approximation_;
  const Panels<I> query_;
  const Scratch<I> scratch_;
  const TokenReader<I, nbits> reader_;
  std::size_t tokens_[kWaiting];
  std::uint32_t rows_[kWaiting], places_[kStrip];
  std::size_t found_ = 0, scored_ = 0;  // tokens so far; token i is at i % kWaiting
};

template <class I, unsigned nbits>
bool approximate_scores_of(const ScoreJob& job, const Approximation& approximation, std::size_t begin, std::size_t end, void* memory) {
  Approximating<I, nbits> documents(job, approximation, memory);
  for (std::size_t group = begin; group < end; group += kDocuments) {
    const std::size_t count = std::min(kDocuments, end - group);
    for (std::size_t row = 0; row < count; ++row) {
      const std::size_t i = group + row;
      if (!job.segment.contains(job.documents[i])) return false;
      if (i + 2 < end) prefetch_codes_of(job.segment, job.documents[i + 2]);
      if (!documents.add(job.documents[i], row)) return false;
    }
    documents.score_waiting();
    for (std::size_t row = 0; row < count; ++row) job.scores[group + row] = documents.total(row);
  }
  return true;
}

template <class I>
bool simd_approximate_scores(const ScoreJob& job, const Approximation& approximation, std::size_t begin, std::size_t end, void* scratch) {
  switch (job.codec.nbits) {
    case 1: return approximate_scores_of<I, 1>(job, approximation, begin, end, scratch);
    case 2: return approximate_scores_of<I, 2>(job, approximation, begin, end, scratch);
    case 4: return approximate_scores_of<I, 4>(job, approximation, begin, end, scratch);
    default: return approximate_scores_of<I, 8>(job, approximation, begin, end, scratch);
  }
}

template <class I>
bool simd_full_scores(const ScoreJob& job, std::size_t begin, std::size_t end, void* scratch) {
  switch (job.codec.nbits) {
    case 1: return full_scores_of<I, 1>(job, begin, end, scratch);
    case 2: return full_scores_of<I, 2>(job, begin, end, scratch);
    case 4: return full_scores_of<I, 4>(job, begin, end, scratch);
    default: return full_scores_of<I, 8>(job, begin, end, scratch);
  }
}

// Dot products that reach a threshold.

// Thresholds and weights of every lane: padding reaches no threshold and has weight 0.
template <class I>
struct LaneLimits {
  std::int32_t *thresholds, *weights;  // (padded rows,), in the place of `best`

  LaneLimits(const DotJob& job, const Panels<I>& query, const Scratch<I>& scratch)
      : thresholds(reinterpret_cast<std::int32_t*>(scratch.best)), weights(thresholds + query.padded_rows()) {
    const std::size_t q = job.query.q;
    std::copy(job.thresholds, job.thresholds + q, thresholds);
    std::fill(thresholds + q, thresholds + query.padded_rows(), std::numeric_limits<std::int32_t>::max());
    if (!job.bytes.bytes) return;
    std::copy(job.bytes.weights, job.bytes.weights + q, weights);
    std::fill(weights + q, weights + query.padded_rows(), 0);
  }
};

// Of the n rows in the buffer, the first of which is number `first_row`, with one panel of query rows.
template <class I, std::size_t V>
std::size_t find_in_block(const DotJob& job, const Panels<I>& query, std::size_t first_vector, const LaneLimits<I>& limits,
                          const typename I::Stored* buffer, std::size_t first_row, std::size_t n, FoundDot* found) {
  constexpr std::size_t R = I::rows(V);
  alignas(kLine) std::int32_t sums[R * V * I::lanes];
  const std::size_t first_lane = first_vector * I::lanes;
  std::size_t count = 0;
  for (std::size_t t = 0; t < n; t += R) {
    I::template products<V, R>(query.values_from(first_vector), query.starts_from(first_vector), buffer + t * query.p, query.p, sums);
    for (std::size_t r = 0; job.bytes.bytes && r < std::min(R, n - t); ++r) {
      const std::int32_t *const here = sums + r * V * I::lanes, *const weights = limits.weights + first_lane;
      std::uint8_t* const to = job.bytes.bytes + (first_row + t + r) * job.bytes.stride + first_lane;
      for (std::size_t lane = 0; lane < V * I::lanes; ++lane) to[lane] = score_byte(here[lane], weights[lane]);
    }
    for (std::size_t r = 0; r < std::min(R, n - t); ++r) {
      for (std::size_t v = 0; v < V; ++v) {
        const std::int32_t* const here = sums + (r * V + v) * I::lanes;
        const std::int32_t* const thresholds = limits.thresholds + first_lane + v * I::lanes;
        for (std::uint32_t lanes = I::reaches(I::load_int(here), I::load_int(thresholds)); lanes; lanes &= lanes - 1) {
          const auto lane = static_cast<std::size_t>(__builtin_ctz(lanes));
          found[count++] = {static_cast<std::uint32_t>(first_lane + v * I::lanes + lane), static_cast<std::uint32_t>(first_row + t + r),
                            here[lane]};
        }
      }
    }
  }
  return count;
}

template <class I>
std::size_t simd_find_dots(const DotJob& job, FoundDot* found, void* memory) {
  const Panels<I> query(job.query);
  const Scratch<I> scratch(memory, query.p);
  const LaneLimits<I> limits(job, query, scratch);
  const std::size_t written = query.padded_rows(), stride = job.bytes.stride;  // of each row's bytes
  for (std::size_t i = 0; job.bytes.bytes && written < stride && i < job.n; ++i) {
    std::memset(job.bytes.bytes + i * stride + written, 0, stride - written);
  }
  std::size_t count = 0;
  for (std::size_t start = 0; start < job.n; start += kBuffered) {
    const std::size_t here = std::min(kBuffered, job.n - start);
    for (std::size_t t = 0; t < here; ++t) I::widen(job.rows + (start + t) * query.p, query.p, scratch.tokens + t * query.p);
    over_panels<I>(query.vectors, [&](std::size_t v, auto panel) {
      count += find_in_block<I, panel()>(job, query, v, limits, scratch.tokens, start, here, found + count);
    });
  }
  return count;
}

template <class I>
constexpr CodesKernel codes_kernel_of(const char* name, bool (*supported)()) {
  return {.name = name,
          .supported = supported,
          .packed_bytes = simd_packed_bytes<I>,
          .scratch_bytes = Scratch<I>::bytes,
          .pack = simd_pack<I>,
          .full_scores = simd_full_scores<I>,
          .approximate_scores = simd_approximate_scores<I>,
          .centroid_interaction = centroid_interaction,
          .find_dots = simd_find_dots<I>,
          .mark_near = mark_near};
}

}  // namespace
}  // namespace polyvec
