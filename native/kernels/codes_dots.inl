// Dot products with SIMD that reach a threshold. Part of codes_simd.inl.

namespace polyvec {
namespace {

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

}  // namespace
}  // namespace polyvec
