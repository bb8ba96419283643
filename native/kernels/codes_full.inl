// Full scores with SIMD: all tokens in the buffer belong to one document. Part of codes_simd.inl.

namespace polyvec {
namespace {

constexpr std::size_t kTokensAhead = 6;  // whose centroids are prefetched

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

template <class I>
bool simd_full_scores(const ScoreJob& job, std::size_t begin, std::size_t end, void* scratch) {
  switch (job.codec.nbits) {
    case 1: return full_scores_of<I, 1>(job, begin, end, scratch);
    case 2: return full_scores_of<I, 2>(job, begin, end, scratch);
    case 4: return full_scores_of<I, 4>(job, begin, end, scratch);
    default: return full_scores_of<I, 8>(job, begin, end, scratch);
  }
}

}  // namespace
}  // namespace polyvec
