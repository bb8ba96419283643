// Approximate scores with SIMD: tokens of several documents wait together, so that what lies scattered in memory has arrived when they are
// scored. Part of codes_simd.inl.

namespace polyvec {
namespace {

constexpr std::size_t kStrip = 512;              // tokens whose centroid numbers are searched at once for near ones
constexpr std::size_t kWaiting = 2 * kBuffered;  // tokens that are prefetched and wait for their turn; a power of two

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

}  // namespace
}  // namespace polyvec
