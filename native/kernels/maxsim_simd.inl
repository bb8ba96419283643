// The one SIMD algorithm for MaxSim, a template over an instruction set. Included by one file an instruction set, each
// compiled with its own flags; everything here is in an unnamed namespace so that no such code leaks to another file.
//
// Query tokens lie in SIMD lanes. A panel is `panel` query tokens, stored dimension by dimension; a block is `rows` token
// vectors of a document. Their rows x vectors accumulators stay in registers over all dimensions, and the maxima over
// the document's blocks stay in `best`. The last block repeats the last row: a repeated row changes no maximum.
//
// An instruction set I gives: vec, lanes, vectors (a panel), rows, zero, set, load, store, fma, max, half_row.

#include <algorithm>
#include <cstring>
#include <limits>

namespace polyvec {
namespace {

constexpr std::size_t kStride = 16;  // dimensions between two requests for memory

template <class I>
constexpr std::size_t kPanel = I::lanes * I::vectors;

template <class I>
std::size_t panels(std::size_t q) {
  return (q + kPanel<I> - 1) / kPanel<I>;
}

template <class I>
std::size_t packed_floats(std::size_t q, std::size_t d) {
  return panels<I>(q) * kPanel<I> * d;
}

template <class I>
std::size_t scratch_floats(std::size_t q, std::size_t d) {
  return panels<I>(q) * kPanel<I> + I::rows * d;
}

template <class I>
void pack(const float* query, std::size_t q, std::size_t d, float* packed) {
  for (std::size_t p = 0; p < panels<I>(q); ++p) {
    for (std::size_t k = 0; k < d; ++k) {
      for (std::size_t lane = 0; lane < kPanel<I>; ++lane) {
        const std::size_t token = p * kPanel<I> + lane;
        *packed++ = token < q ? query[token * d + k] : 0.0f;
      }
    }
  }
}

// Asks for `bytes` of memory to come. Document rows are read one value at a time, which hides them from the processor's own
// prefetcher. Asking beyond the end of the array is harmless, so it is not checked. Always inline: GCC takes a function that only
// prefetches for one without effect.
__attribute__((always_inline)) inline void prefetch(std::uintptr_t from, std::size_t bytes) {
  for (std::size_t at = 0; at < bytes; at += 64) __builtin_prefetch(reinterpret_cast<const void*>(from + at));
}

// One panel against one block: raises the panel's maxima; `alarm` becomes NaN where a product is not finite. Every kStride
// dimensions it asks for `bytes` more of what comes next: all at once they would hold up the arithmetic.
template <class I>
inline void block(const float* panel, const float* const* rows, std::size_t d, float* best, typename I::vec& alarm,
                  std::uintptr_t ahead, std::size_t bytes) {
  typename I::vec sums[I::rows][I::vectors];
  for (std::size_t r = 0; r < I::rows; ++r) {
    for (std::size_t v = 0; v < I::vectors; ++v) sums[r][v] = I::zero();
  }
  for (std::size_t begin = 0; begin < d; begin += kStride) {
    prefetch(ahead, bytes);
    ahead += bytes;
    const std::size_t end = std::min(begin + kStride, d);
    for (std::size_t k = begin; k < end; ++k) {
      typename I::vec lanes[I::vectors];
      for (std::size_t v = 0; v < I::vectors; ++v) lanes[v] = I::load(panel + k * kPanel<I> + v * I::lanes);
      for (std::size_t r = 0; r < I::rows; ++r) {
        const typename I::vec value = I::set(rows[r][k]);
        for (std::size_t v = 0; v < I::vectors; ++v) sums[r][v] = I::fma(lanes[v], value, sums[r][v]);
      }
    }
  }
  for (std::size_t v = 0; v < I::vectors; ++v) {
    typename I::vec highest = I::load(best + v * I::lanes);
    for (std::size_t r = 0; r < I::rows; ++r) {
      alarm = I::fma(sums[r][v], I::zero(), alarm);
      highest = I::max(sums[r][v], highest);
    }
    I::store(best + v * I::lanes, highest);
  }
}

template <class I>
inline const float* float_row(const float* row, std::size_t, float*) {
  return row;
}

template <class I>
inline const float* float_row(const std::uint16_t* row, std::size_t d, float* buffer) {
  I::half_row(row, d, buffer);
  return buffer;
}

template <class I, class T>
float score_document(const MaxsimJob& job, const T* tokens, std::size_t n, float* scratch) {
  if (n == 0) return 0.0f;
  const std::size_t d = job.d, count = panels<I>(job.q);
  float* best = scratch;
  float* buffer = scratch + count * kPanel<I>;
  std::fill(best, best + count * kPanel<I>, -std::numeric_limits<float>::infinity());
  typename I::vec alarm = I::zero();
  for (std::size_t first = 0; first < n; first += I::rows) {
    const float* rows[I::rows];
    for (std::size_t r = 0; r < I::rows; ++r) {
      rows[r] = first + r < n ? float_row<I>(tokens + (first + r) * d, d, buffer + r * d) : rows[r - 1];
    }
    const std::uintptr_t next = reinterpret_cast<std::uintptr_t>(tokens) + (first + I::rows) * d * sizeof(T);
    for (std::size_t p = 0; p < count; ++p) {  // the first panel asks for the next block
      const std::size_t bytes = p == 0 ? I::rows * kStride * sizeof(T) : 0;
      block<I>(job.query + p * kPanel<I> * d, rows, d, best + p * kPanel<I>, alarm, next, bytes);
    }
  }
  float alarms[I::lanes];
  I::store(alarms, alarm);
  float score = 0.0f;
  for (std::size_t token = 0; token < job.q; ++token) score += best[token];
  for (std::size_t lane = 0; lane < I::lanes; ++lane) score += alarms[lane];
  return score;
}

template <class I>
void score(const MaxsimJob& job, std::size_t begin, std::size_t end, float* scratch) {
  for (std::size_t i = begin; i < end; ++i) {
    const std::int64_t document = job.which ? job.which[i] : static_cast<std::int64_t>(i);
    const std::size_t first = static_cast<std::size_t>(job.offsets[document]);
    const std::size_t n = static_cast<std::size_t>(job.offsets[document + 1]) - first;
    if (job.dtype == Dtype::f32) {
      job.scores[i] = score_document<I>(job, static_cast<const float*>(job.tokens) + first * job.d, n, scratch);
    } else {
      job.scores[i] = score_document<I>(job, static_cast<const std::uint16_t*>(job.tokens) + first * job.d, n, scratch);
    }
  }
}

template <class I>
constexpr MaxsimKernel kernel_of(const char* name, bool (*supported)()) {
  return {name, supported, packed_floats<I>, scratch_floats<I>, pack<I>, score<I>};
}

}  // namespace
}  // namespace polyvec
