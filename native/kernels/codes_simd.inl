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

constexpr std::size_t kBuffered = 32;  // tokens, a multiple of every `rows`
constexpr std::size_t kLine = 64;
constexpr std::size_t kDocuments = 32;  // scored approximately together

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

}  // namespace
}  // namespace polyvec

#include "kernels/codes_full.inl"
#include "kernels/codes_approximate.inl"
#include "kernels/codes_dots.inl"

namespace polyvec {
namespace {

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
