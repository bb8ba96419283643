// 32 dimensions of a token from its codes, with AVX2. Included after kernels/x86.hpp by files compiled for AVX2 or more.

namespace polyvec {
namespace {

// The windows of 32 dimensions, one a byte.
template <unsigned nbits>
inline __m256i unpacked(const std::uint8_t* bytes) {
  if constexpr (nbits == 4) {
    const __m256i both = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
    return _mm256_and_si256(_mm256_srlv_epi64(both, _mm256_setr_epi64x(0, 0, 4, 4)), _mm256_set1_epi8(15));
  } else if constexpr (nbits == 2) {
    std::uint64_t word;
    std::memcpy(&word, bytes, 8);
    const __m256i all = _mm256_set1_epi64x(static_cast<long long>(word));
    return _mm256_and_si256(_mm256_srlv_epi64(all, _mm256_setr_epi64x(0, 2, 4, 6)), _mm256_set1_epi8(15));
  } else {
    std::uint32_t word;
    std::memcpy(&word, bytes, 4);
    const __m256i all = _mm256_set1_epi32(static_cast<int>(word));
    return _mm256_and_si256(_mm256_srlv_epi32(all, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)), _mm256_set1_epi8(15));
  }
}

// 32 int8 values of v.
template <unsigned nbits>
inline __m256i expanded(const std::int8_t* centroid, const std::uint8_t* bytes, __m256i levels) {
  if constexpr (nbits == 8) return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
  const __m256i base = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(centroid));
  const __m256i sum = _mm256_adds_epi8(base, _mm256_shuffle_epi8(levels, unpacked<nbits == 8 ? 1 : nbits>(bytes)));
  return _mm256_max_epi8(sum, _mm256_set1_epi8(-127));
}

inline __m256i levels_of(const std::int8_t* levels) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(levels)));
}

inline __m256i low_half(__m256i values) { return _mm256_cvtepi8_epi16(_mm256_castsi256_si128(values)); }
inline __m256i high_half(__m256i values) { return _mm256_cvtepi8_epi16(_mm256_extracti128_si256(values, 1)); }

inline std::int32_t total(__m256i sums) {
  __m128i half = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
  half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
  half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1));
  return _mm_cvtsi128_si32(half);
}

}  // namespace
}  // namespace polyvec
