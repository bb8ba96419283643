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
// start(sum_of_query) the accumulator's begin, dot(acc, query, token) which adds to acc, spread(token), reaches(sums, least) a
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
constexpr std::size_t kAhead = 6;      // tokens whose centroids are asked for early
constexpr std::size_t kLine = 64;
constexpr std::size_t kStrip = 512;  // tokens whose centroid numbers are gone through at once
constexpr std::size_t kDocuments = 32;  // documents looked at together
constexpr std::size_t kWaiting = 2 * kBuffered;  // tokens that are found, asked for, and wait for their turn; a power of two

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
         lines(kDocuments * vectors_of<I>(q) * I::lanes * sizeof(float));
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

template <class I, std::size_t V>
void raise_each(const typename I::Packed* query, const std::int32_t* starts, const typename I::Stored* buffer, const float* inverse,
                const std::uint32_t* places, std::size_t n, std::size_t p, float* best, std::size_t stride) {
  constexpr std::size_t R = I::rows(V);
  alignas(kLine) std::int32_t sums[R * V * I::lanes];
  for (std::size_t t = 0; t < n; t += R) {
    I::template products<V, R>(query, starts, buffer + t * p, p, sums);
    for (std::size_t r = 0; r < std::min(R, n - t); ++r) {
      float* const here = best + places[t + r] * stride;
      for (std::size_t v = 0; v < V; ++v) {
        const auto value = I::times(I::to_float(I::load_int(sums + (r * V + v) * I::lanes)), I::set(inverse[t + r]));
        I::store(here + v * I::lanes, I::max(I::load(here + v * I::lanes), value));
      }
    }
  }
}

// Writes the places of the marked ones among n <= kStrip centroid numbers; returns how many, and n + 1 where a number is out of
// range. Without a branch a token: which ones are marked cannot be foreseen.
template <class Code>
std::size_t marked_among(const Code* codes, std::size_t n, const std::uint8_t* marked, std::size_t n_centroids, std::uint32_t* places) {
  Code largest = 0;
  for (std::size_t i = 0; i < n; ++i) largest = std::max(largest, codes[i]);
  if (largest >= n_centroids) return n + 1;
  std::size_t count = 0;
  for (std::size_t i = 0; i < n; ++i) {
    places[count] = static_cast<std::uint32_t>(i);
    count += marked[codes[i]] != 0;
  }
  return count;
}

// Tokens are found in the documents' centroid numbers, asked for, and scored when kWaiting of them wait, so that what lies scattered
// in memory has arrived by then. Blocks go across documents, of which kDocuments have a row each in `best`.
template <class I, unsigned nbits>
bool approximate_documents(const CodedJob& job, std::size_t begin, std::size_t end, void* scratch) {
  using Stored = typename I::Stored;
  char* memory = static_cast<char*>(scratch);
  Stored* const buffer = reinterpret_cast<Stored*>(memory);
  float* const inverse = reinterpret_cast<float*>(memory += lines(kBuffered * job.p * sizeof(Stored)));
  float* const best = reinterpret_cast<float*>(memory += lines(kBuffered * sizeof(float)));
  const std::size_t vectors = vectors_of<I>(job.q), stride = vectors * I::lanes, width = job.p * nbits / 8;
  const auto* query = static_cast<const typename I::Packed*>(job.query);
  const auto* starts = reinterpret_cast<const std::int32_t*>(
      static_cast<const char*>(job.query) + lines(stride * job.p * sizeof(typename I::Packed)));
  std::size_t tokens[kWaiting];
  std::uint32_t places[kWaiting], ordered[kBuffered], inside[kStrip];
  std::size_t found = 0, done = 0;  // of the tokens so far; token i is at i % kWaiting
  const auto take = [&](std::size_t n) {
    for (std::size_t t = 0; t < n; ++t) {
      const std::size_t at = (done + t) % kWaiting, token = tokens[at];
      ordered[t] = places[at];
      const std::int32_t square = I::template expand<nbits>(job.centroids + job.code(token) * job.p, job.packed + token * width,
                                                            job.levels + std::size_t{job.scales[token]} * 16, job.p,
                                                            buffer + t * job.p);
      inverse[t] = static_cast<float>(square);
    }
    for (std::size_t t = 0; t < n; ++t) inverse[t] = inverse[t] > 0 ? 1.0f / std::sqrt(inverse[t]) : 0.0f;
    over_panels<I>(vectors, [&](std::size_t v, auto count) {
      raise_each<I, count()>(query + v * I::lanes * job.p, starts + v * I::lanes, buffer, inverse, ordered, n, job.p,
                             best + v * I::lanes, stride);
    });
    done += n;
  };
  for (std::size_t group = begin; group < end; group += kDocuments) {
    const std::size_t documents = std::min(kDocuments, end - group);
    for (std::size_t place = 0; place < documents; ++place) {
      const std::size_t i = group + place;
      if (!job.holds(job.which[i])) return false;
      const std::size_t first = job.offsets[job.which[i]], last = job.offsets[job.which[i] + 1];
      if (i + 2 < end && job.holds(job.which[i + 2])) {
        const std::size_t next = job.offsets[job.which[i + 2]], after = job.offsets[job.which[i + 2] + 1];
        const char* const from = static_cast<const char*>(job.codes) + next * job.code_bytes;
        const std::size_t bytes = std::min((after - next) * job.code_bytes, 8 * kLine);
        for (std::size_t at = 0; at < bytes; at += kLine) __builtin_prefetch(from + at);
      }
      float* const row = best + place * stride;
      std::copy(job.least, job.least + job.q, row);
      std::fill(row + job.q, row + stride, 0.0f);
      for (std::size_t strip = first; strip < last; strip += kStrip) {
        const std::size_t n = std::min(kStrip, last - strip);
        const std::size_t count =
            job.code_bytes == 2
                ? marked_among(static_cast<const std::uint16_t*>(job.codes) + strip, n, job.marked, job.n_centroids, inside)
                : marked_among(static_cast<const std::uint32_t*>(job.codes) + strip, n, job.marked, job.n_centroids, inside);
        if (count > n) return false;
        for (std::size_t c = 0; c < count; ++c) {
          const std::size_t token = strip + inside[c];
          for (std::size_t at = 0; at < width; at += kLine) __builtin_prefetch(job.packed + token * width + at, 0, 2);
          __builtin_prefetch(job.scales + token);
          tokens[found % kWaiting] = token;
          places[found % kWaiting] = static_cast<std::uint32_t>(place);
          if (++found - done == kWaiting) take(kBuffered);
        }
      }
    }
    while (done < found) take(std::min(kBuffered, found - done));
    for (std::size_t place = 0; place < documents; ++place) {
      float total = 0;
      for (std::size_t row = 0; row < job.q; ++row) total += job.query_scales[row] * best[place * stride + row];
      job.scores[group + place] = total;
    }
  }
  return true;
}

template <class I>
bool simd_approximate_scores(const CodedJob& job, std::size_t begin, std::size_t end, void* scratch) {
  switch (job.nbits) {
    case 1: return approximate_documents<I, 1>(job, begin, end, scratch);
    case 2: return approximate_documents<I, 2>(job, begin, end, scratch);
    case 4: return approximate_documents<I, 4>(job, begin, end, scratch);
    default: return approximate_documents<I, 8>(job, begin, end, scratch);
  }
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

// Of n rows in the buffer, at most kBuffered, with one panel of query rows.
template <class I, std::size_t V>
std::size_t block_reaching(const typename I::Packed* query, const std::int32_t* starts, const typename I::Stored* buffer, std::size_t n,
                           std::size_t p, const std::int32_t* least, std::size_t first_query_row, std::size_t first_row, Reached* found,
                           const std::int32_t* worth, std::uint8_t* table, std::size_t stride) {
  constexpr std::size_t R = I::rows(V);
  alignas(kLine) std::int32_t sums[R * V * I::lanes];
  std::size_t count = 0;
  for (std::size_t t = 0; t < n; t += R) {
    I::template products<V, R>(query, starts, buffer + t * p, p, sums);
    for (std::size_t r = 0; table && r < std::min(R, n - t); ++r) {
      const std::int32_t* const here = sums + r * V * I::lanes;
      std::uint8_t* const to = table + (first_row + t + r) * stride + first_query_row;
      for (std::size_t lane = 0; lane < V * I::lanes; ++lane) to[lane] = table_byte(here[lane], worth[lane]);
    }
    for (std::size_t r = 0; r < std::min(R, n - t); ++r) {
      for (std::size_t v = 0; v < V; ++v) {
        const std::int32_t* const here = sums + (r * V + v) * I::lanes;
        for (std::uint32_t lanes = I::reaches(I::load_int(here), I::load_int(least + v * I::lanes)); lanes; lanes &= lanes - 1) {
          const auto lane = static_cast<std::size_t>(__builtin_ctz(lanes));
          found[count++] = {static_cast<std::uint32_t>(first_query_row + v * I::lanes + lane), static_cast<std::uint32_t>(first_row + t + r),
                            here[lane]};
        }
      }
    }
  }
  return count;
}

template <class I>
std::size_t simd_reaching(const void* packed, std::size_t q, std::size_t p, const std::int8_t* rows, std::size_t n,
                          const std::int32_t* least, Reached* found, const Table& table, void* scratch) {
  auto* const buffer = static_cast<typename I::Stored*>(scratch);
  const std::size_t vectors = vectors_of<I>(q), whole = q / I::lanes * I::lanes;
  const auto* query = static_cast<const typename I::Packed*>(packed);
  const auto* starts = reinterpret_cast<const std::int32_t*>(
      static_cast<const char*>(packed) + lines(vectors * I::lanes * p * sizeof(typename I::Packed)));
  auto* const marks = reinterpret_cast<std::int32_t*>(static_cast<char*>(scratch) + lines(kBuffered * p * sizeof(typename I::Stored)) +
                                                      lines(kBuffered * sizeof(float)));  // least, and what no padding reaches
  std::copy(least, least + q, marks);
  if (whole < q) std::fill(marks + q, marks + whole + I::lanes, std::numeric_limits<std::int32_t>::max());
  std::int32_t* const worth = marks + vectors * I::lanes;
  if (table.bytes) {
    std::copy(table.worth, table.worth + q, worth);
    std::fill(worth + q, worth + vectors * I::lanes, 0);
    const std::size_t written = vectors * I::lanes;  // of each row's stride
    for (std::size_t i = 0; written < table.stride && i < n; ++i) std::memset(table.bytes + i * table.stride + written, 0, table.stride - written);
  }
  std::size_t count = 0;
  for (std::size_t start = 0; start < n; start += kBuffered) {
    const std::size_t here = std::min(kBuffered, n - start);
    for (std::size_t t = 0; t < here; ++t) I::widen(rows + (start + t) * p, p, buffer + t * p);
    over_panels<I>(vectors, [&](std::size_t v, auto panel) {
      count += block_reaching<I, panel()>(query + v * I::lanes * p, starts + v * I::lanes, buffer, here, p, marks + v * I::lanes,
                                          v * I::lanes, start, found + count, worth + v * I::lanes, table.bytes, table.stride);
    });
  }
  return count;
}

// Twelve chains of products in registers of their own: more than any processor needs to hide their latency.
template <class I>
double simd_run_multiply_adds(std::size_t rounds) {
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
  return {name, supported, simd_packed_bytes<I>, simd_scratch_bytes<I>, simd_pack<I>, simd_score<I>, simd_approximate_scores<I>, simd_reaching<I>, centroid_interaction,
          mark, simd_run_multiply_adds<I>};
}

}  // namespace
}  // namespace polyvec
