// The one SIMD algorithm of the codes family, a template over an instruction set. Included by one file an instruction set;
// everything here is in an unnamed namespace so that no code leaks to another file.
//
// Query rows lie in SIMD lanes: a panel is `vectors` registers of `lanes` query rows, `group` dimensions of each side by side.
// Tokens are expanded into a buffer that stays in the first-level cache, kBuffered at a time; then every panel goes over the
// buffer, `rows` tokens at once, whose rows x vectors accumulators stay in registers over all dimensions. The last block may
// hold fewer tokens: the buffer has room for it, and what comes of the rest is not looked at.
//
// An instruction set I gives: ivec (int32 lanes), fvec, lanes, group, widest (vectors of a panel, at most), Stored (type of an
// expanded value), rows(vectors), expand<nbits>(centroid, bytes, levels, p, stored) -> sum of squares, widen(row, p, stored),
// start(sum_of_query) the accumulator's begin, dot(acc, query, token) which adds to acc, spread(token), and to_float, times,
// max, load, store, set. It may bring `products` of its own, as generic_products.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

namespace polyvec {
namespace {

constexpr std::size_t kBuffered = 32;  // tokens, a multiple of every `rows`
constexpr std::size_t kAhead = 6;      // tokens whose centroids are asked for early
constexpr std::size_t kLine = 64;

inline std::size_t lines(std::size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

template <class I>
std::size_t vectors_of(std::size_t q) {
  return (q + I::lanes - 1) / I::lanes;
}

template <class I>
std::size_t simd_packed_bytes(std::size_t q, std::size_t p) {
  const std::size_t rows = vectors_of<I>(q) * I::lanes;
  return lines(rows * p * sizeof(typename I::Packed)) + rows * sizeof(std::int32_t);
}

template <class I>
std::size_t simd_scratch_bytes(std::size_t q, std::size_t p) {
  return lines(kBuffered * p * sizeof(typename I::Stored)) + lines(kBuffered * sizeof(float)) +
         lines(vectors_of<I>(q) * I::lanes * sizeof(float));
}

// Vector after vector, each: p / group steps of lanes x group values. Then what each lane's accumulator begins with.
template <class I>
void simd_pack(const std::int8_t* query, std::size_t q, std::size_t p, void* packed) {
  auto* to = static_cast<typename I::Packed*>(packed);
  const std::size_t rows = vectors_of<I>(q) * I::lanes;
  auto* starts = reinterpret_cast<std::int32_t*>(static_cast<char*>(packed) + lines(rows * p * sizeof(typename I::Packed)));
  for (std::size_t v = 0; v < vectors_of<I>(q); ++v) {
    for (std::size_t k = 0; k < p; k += I::group) {
      for (std::size_t lane = 0; lane < I::lanes; ++lane) {
        const std::size_t row = v * I::lanes + lane;
        for (std::size_t g = 0; g < I::group; ++g) *to++ = row < q ? query[row * p + k + g] : 0;
      }
    }
  }
  for (std::size_t row = 0; row < rows; ++row) {
    std::int32_t sum = 0;
    for (std::size_t k = 0; k < p && row < q; ++k) sum += query[row * p + k];
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

template <class I, std::size_t V>
void raise(const typename I::Packed* query, const std::int32_t* starts, const typename I::Stored* buffer, const float* inverse,
           std::size_t n, std::size_t p, float* best) {
  constexpr std::size_t R = I::rows(V);
  alignas(kLine) std::int32_t sums[R * V * I::lanes];
  for (std::size_t t = 0; t < n; t += R) {
    I::template products<V, R>(query, starts, buffer + t * p, p, sums);
    const std::size_t here = std::min(R, n - t);
    for (std::size_t v = 0; v < V; ++v) {
      auto most = I::load(best + v * I::lanes);
      for (std::size_t r = 0; r < here; ++r) {
        most = I::max(most, I::times(I::to_float(I::load_int(sums + (r * V + v) * I::lanes)), I::set(inverse[t + r])));
      }
      I::store(best + v * I::lanes, most);
    }
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

template <class I, unsigned nbits>
bool score_documents(const CodedJob& job, std::size_t begin, std::size_t end, void* scratch) {
  using Stored = typename I::Stored;
  char* memory = static_cast<char*>(scratch);
  Stored* const buffer = reinterpret_cast<Stored*>(memory);
  float* const inverse = reinterpret_cast<float*>(memory += lines(kBuffered * job.p * sizeof(Stored)));
  float* const best = reinterpret_cast<float*>(memory += lines(kBuffered * sizeof(float)));
  const std::size_t vectors = vectors_of<I>(job.q), width = job.p * nbits / 8;
  const auto* query = static_cast<const typename I::Packed*>(job.query);
  const auto* starts = reinterpret_cast<const std::int32_t*>(
      static_cast<const char*>(job.query) + lines(vectors * I::lanes * job.p * sizeof(typename I::Packed)));
  for (std::size_t i = begin; i < end; ++i) {
    if (!job.holds(job.which[i])) return false;
    const std::size_t first = job.offsets[job.which[i]], last = job.offsets[job.which[i] + 1];
    if (i + 1 < end && job.holds(job.which[i + 1])) {
      const std::size_t next = job.offsets[job.which[i + 1]];
      const char* from = reinterpret_cast<const char*>(job.packed + next * width);
      for (std::size_t at = 0; at < 4 * kLine; at += kLine) __builtin_prefetch(from + at);
      __builtin_prefetch(static_cast<const char*>(job.codes) + next * job.code_bytes);
      __builtin_prefetch(job.scales + next);
    }
    std::fill(best, best + vectors * I::lanes, -std::numeric_limits<float>::infinity());
    for (std::size_t start = first; start < last; start += kBuffered) {
      const std::size_t n = std::min(kBuffered, last - start);
      for (std::size_t t = 0; t < n; ++t) {
        const std::size_t token = start + t, code = nbits == 8 ? 0 : job.code(token);
        if (code >= job.n_centroids) return false;
        if (nbits < 8 && token + kAhead < last) {
          const std::size_t later = job.code(token + kAhead);
          if (later < job.n_centroids) {
            for (std::size_t at = 0; at < job.p; at += kLine) __builtin_prefetch(job.centroids + later * job.p + at);
          }
        }
        const std::int32_t square = I::template expand<nbits>(job.centroids + code * job.p, job.packed + token * width,
                                                              job.levels + std::size_t{job.scales[token]} * 16, job.p,
                                                              buffer + t * job.p);
        inverse[t] = static_cast<float>(square);
      }
      for (std::size_t t = 0; t < n; ++t) inverse[t] = inverse[t] > 0 ? 1.0f / std::sqrt(inverse[t]) : 0.0f;
      over_panels<I>(vectors, [&](std::size_t v, auto count) {
        raise<I, count()>(query + v * I::lanes * job.p, starts + v * I::lanes, buffer, inverse, n, job.p, best + v * I::lanes);
      });
    }
    float total = 0;
    for (std::size_t row = 0; row < job.q && first < last; ++row) total += job.query_scales[row] * best[row];
    job.scores[i] = total;
  }
  return true;
}

template <class I>
bool simd_score(const CodedJob& job, std::size_t begin, std::size_t end, void* scratch) {
  switch (job.nbits) {
    case 1: return score_documents<I, 1>(job, begin, end, scratch);
    case 2: return score_documents<I, 2>(job, begin, end, scratch);
    case 4: return score_documents<I, 4>(job, begin, end, scratch);
    default: return score_documents<I, 8>(job, begin, end, scratch);
  }
}

template <class I, std::size_t V>
void block_dots(const typename I::Packed* query, const std::int32_t* starts, const typename I::Stored* buffer, std::size_t n,
                std::size_t p, std::size_t q, std::size_t first_row, std::int32_t* dots) {
  constexpr std::size_t R = I::rows(V);
  alignas(kLine) std::int32_t sums[R * V * I::lanes];
  for (std::size_t t = 0; t < n; t += R) {
    I::template products<V, R>(query, starts, buffer + t * p, p, sums);
    for (std::size_t r = 0; r < std::min(R, n - t); ++r) {
      std::memcpy(dots + (t + r) * q + first_row, sums + r * V * I::lanes, std::min(I::lanes * V, q - first_row) * sizeof(std::int32_t));
    }
  }
}

template <class I>
void simd_dots(const void* packed, std::size_t q, std::size_t p, const std::int8_t* rows, std::size_t n, std::int32_t* dots,
               void* scratch) {
  auto* const buffer = static_cast<typename I::Stored*>(scratch);
  const std::size_t vectors = vectors_of<I>(q);
  const auto* query = static_cast<const typename I::Packed*>(packed);
  const auto* starts = reinterpret_cast<const std::int32_t*>(
      static_cast<const char*>(packed) + lines(vectors * I::lanes * p * sizeof(typename I::Packed)));
  for (std::size_t start = 0; start < n; start += kBuffered) {
    const std::size_t here = std::min(kBuffered, n - start);
    for (std::size_t t = 0; t < here; ++t) I::widen(rows + (start + t) * p, p, buffer + t * p);
    over_panels<I>(vectors, [&](std::size_t v, auto count) {
      block_dots<I, count()>(query + v * I::lanes * p, starts + v * I::lanes, buffer, here, p, q, v * I::lanes, dots + start * q);
    });
  }
}

template <class I>
void simd_dots_one(const std::int8_t* one, std::size_t p, const std::int8_t* rows, std::size_t n, std::int32_t* dots) {
  for (std::size_t i = 0; i < n; ++i) {
    if (i + kAhead < n) __builtin_prefetch(rows + (i + kAhead) * p);
    dots[i] = I::dot_one(one, rows + i * p, p);
  }
}

// Twelve chains of products in registers of their own: more than any processor needs to hide their latency.
template <class I>
double simd_burn(std::size_t rounds) {
  alignas(kLine) typename I::Packed query[I::lanes * I::group];
  alignas(kLine) typename I::Stored stored[I::group];
  alignas(kLine) const std::int32_t zeros[I::lanes] = {};
  for (auto& value : query) value = 3;
  for (auto& value : stored) value = 2;
  const auto row = I::load_query(query);
  auto value = I::spread(stored);
  auto a = I::load_int(zeros), b = a, c = a, d = a, e = a, f = a, g = a, h = a, i = a, j = a, k = a, l = a;
  const auto three = [&](typename I::ivec& x, typename I::ivec& y, typename I::ivec& z) {
    I::pin(value);  // else a product would be computed once for all
    I::dot(x, row, value), I::dot(y, row, value), I::dot(z, row, value);
    I::pin(x), I::pin(y), I::pin(z);
  };
  for (std::size_t round = 0; round < rounds * 1000; ++round) three(a, b, c), three(d, e, f), three(g, h, i), three(j, k, l);
  return static_cast<double>(rounds) * 1000 * 12 * I::lanes * I::group;
}

template <class I>
constexpr CodesKernel codes_kernel_of(const char* name, bool (*supported)()) {
  return {name, supported, simd_packed_bytes<I>, simd_scratch_bytes<I>, simd_pack<I>, simd_score<I>, simd_dots<I>, simd_dots_one<I>,
          simd_burn<I>};
}

}  // namespace
}  // namespace polyvec
