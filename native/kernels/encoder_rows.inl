// What the forward pass does to one row at a time, on any instruction set; included by encoder_simd.inl alone.

namespace polyvec {
namespace {

// 2 ** x for x <= 127; for x below -126 that of -126, which is nothing beside 1. A polynomial on [-.5, .5], within 3e-7 of the value.
// Adding 1.5 * 2 ** 23 leaves the nearest whole number in the lowest bits of the sum, from where it goes into the exponent.
template <class I>
inline typename I::fvec power_of_two(typename I::fvec x) {
  x = I::max(x, I::set(-126.0f));
  const typename I::fvec magic = I::set(12582912.0f), sum = I::add(x, magic), part = I::sub(x, I::sub(sum, magic));
  typename I::fvec result = I::set(0.0013267f);
  for (const float factor : {0.00967546f, 0.05550743f, 0.24022122f, 0.69314695f, 1.00000007f}) {
    result = I::fma(result, part, I::set(factor));
  }
  return I::raised(result, sum);
}

// The same within a factor of 1.0001.
template <class I>
inline typename I::fvec coarse_power_of_two(typename I::fvec x) {
  const typename I::fvec magic = I::set(12582912.0f), sum = I::add(x, magic), part = I::sub(x, I::sub(sum, magic));
  typename I::fvec result = I::set(0.05517167f);
  for (const float factor : {0.24261113f, 0.69326099f, 0.99992807f}) result = I::fma(result, part, I::set(factor));
  return I::raised(result, sum);
}

// x / 2 + |x| / 2 * erf(|x| / sqrt 2); erf by a polynomial up to 5.4, where it has reached 1. Within 3e-7 for |x| <= 7.
template <class I>
inline typename I::fvec gelu(typename I::fvec x) {
  const typename I::fvec size = I::max(x, I::sub(I::set(0.0f), x));
  const typename I::fvec place = I::fma(I::min(size, I::set(5.4f)), I::set(2.0f / 5.4f), I::set(-1.0f));
  typename I::fvec erf = I::set(0.0111106336f);
  for (const float factor : {-0.0128904004f, -0.053105846f, 0.0878388807f, 0.0731101334f, -0.244405165f, 0.0959805176f, 0.272748023f,
                             -0.423289031f, 0.143256709f, 0.309916615f, -0.534496367f, 0.430002809f, -0.205117792f, 0.0562741905f,
                             0.993066072f}) {
    erf = I::fma(erf, place, I::set(factor));
  }
  return I::mul(I::fma(size, erf, x), I::set(0.5f));
}

// The same within 2.5e-4 for |x| <= 10, far less than the step of the byte that the result is rounded to next.
template <class I>
inline typename I::fvec coarse_gelu(typename I::fvec x) {
  const typename I::fvec size = I::max(x, I::sub(I::set(0.0f), x));
  const typename I::fvec place = I::fma(I::min(size, I::set(4.2f)), I::set(2.0f / 4.2f), I::set(-1.0f));
  typename I::fvec erf = I::set(-0.0258972067f);
  for (const float factor : {0.124231502f, -0.120611876f, -0.172159776f, 0.457283795f, -0.412612528f, 0.185431212f, 0.96437633f}) {
    erf = I::fma(erf, place, I::set(factor));
  }
  return I::mul(I::fma(size, erf, x), I::set(0.5f));
}

// Calls body(i, count, vector) for the vectors of a row of `width`; lanes past its end hold `filler`.
template <class I, class Body>
inline void over_row(const float* x, std::size_t width, float filler, const Body& body) {
  std::size_t i = 0;
  for (; i + I::lanes <= width; i += I::lanes) body(i, I::lanes, I::load(x + i));
  if (i == width) return;
  float lanes[I::lanes];
  for (std::size_t lane = 0; lane < I::lanes; ++lane) lanes[lane] = i + lane < width ? x[i + lane] : filler;
  body(i, width - i, I::load(lanes));
}

template <class I>
inline void put(float* to, typename I::fvec vector, std::size_t count) {
  if (count == I::lanes) return I::store(to, vector);
  float lanes[I::lanes];
  I::store(lanes, vector);
  std::memcpy(to, lanes, count * sizeof(float));
}

template <class I>
void quantize(const float* x, std::size_t stride, std::size_t rows, std::size_t k, std::uint8_t* to, std::size_t to_stride, Range* ranges) {
  using fvec = typename I::fvec;
  for (std::size_t r = 0; r < rows; ++r, x += stride, to += to_stride) {
    fvec least = I::set(x[0]), most = least;
    over_row<I>(x, k, x[0], [&](std::size_t, std::size_t, fvec value) { least = I::min(value, least), most = I::max(value, most); });
    const float low = I::lowest(least), high = I::highest(most);
    const float step = (high - low) / I::levels, inverse = high > low ? I::levels / (high - low) : 0.0f;
    ranges[r] = {low + I::zero * step, step};
    const fvec start = I::set(low), factor = I::set(inverse), top = I::set(I::levels);
    over_row<I>(x, k, low, [&](std::size_t i, std::size_t count, fvec value) {
      const fvec level = I::min(I::mul(I::sub(value, start), factor), top);
      if (count == I::lanes) return I::store_bytes(to + i, level);
      std::uint8_t bytes[I::lanes];
      I::store_bytes(bytes, level);
      std::memcpy(to + i, bytes, count);
    });
    std::memset(to + k, 0, to_stride - k);
  }
}

template <class I>
void norm(const NormJob& job) {
  using fvec = typename I::fvec;
  const float width = static_cast<float>(job.width);
  const fvec zero = I::set(0.0f);
  for (std::size_t r = 0; r < job.rows; ++r) {
    const float* x = job.x + r * job.width;
    float* out = job.out + r * job.width;
    float mean = 0.0f;
    if (job.centered) {
      fvec sum = zero;
      over_row<I>(x, job.width, 0.0f, [&](std::size_t, std::size_t, fvec value) { sum = I::add(sum, value); });
      mean = I::total(sum) / width;
    }
    const fvec center = I::set(mean);
    fvec squares = zero;
    over_row<I>(x, job.width, mean, [&](std::size_t, std::size_t, fvec value) {
      const fvec off = I::sub(value, center);
      squares = I::fma(off, off, squares);
    });
    const fvec factor = I::set(1.0f / std::sqrt(I::total(squares) / width + job.eps));
    over_row<I>(x, job.width, 0.0f, [&](std::size_t i, std::size_t count, fvec value) {
      fvec result = I::mul(I::sub(value, center), factor);
      if (count == I::lanes) {
        const fvec bias = job.bias ? I::load(job.bias + i) : zero;
        return I::store(out + i, I::fma(result, job.weight ? I::load(job.weight + i) : I::set(1.0f), bias));
      }
      float lanes[I::lanes];
      I::store(lanes, result);
      for (std::size_t lane = 0; lane < count; ++lane) {
        out[i + lane] = std::fmaf(lanes[lane], job.weight ? job.weight[i + lane] : 1.0f, job.bias ? job.bias[i + lane] : 0.0f);
      }
    });
  }
}

template <class I>
void gated(float* x, std::size_t stride, std::size_t rows, std::size_t width) {
  for (std::size_t r = 0; r < rows; ++r, x += stride) {
    over_row<I>(x, width, 0.0f, [&](std::size_t i, std::size_t count, typename I::fvec value) {
      float gates[I::lanes];
      std::memcpy(gates, x + width + i, count * sizeof(float));
      for (std::size_t lane = count; lane < I::lanes; ++lane) gates[lane] = 0.0f;
      put<I>(x + i, I::mul(gelu<I>(value), I::load(gates)), count);
    });
  }
}

template <class I>
void rotate(float* x, std::size_t vectors, std::size_t half, const float* cosines, const float* sines) {
  for (std::size_t v = 0; v < vectors; ++v, x += 2 * half) {
    std::size_t i = 0;
    for (; i + I::lanes <= half; i += I::lanes) {
      const typename I::fvec first = I::load(x + i), second = I::load(x + half + i);
      const typename I::fvec cosine = I::load(cosines + i), sine = I::load(sines + i);
      I::store(x + i, I::fma(first, cosine, I::sub(I::set(0.0f), I::mul(second, sine))));
      I::store(x + half + i, I::fma(second, cosine, I::mul(first, sine)));
    }
    for (; i < half; ++i) {
      const float first = x[i], second = x[half + i];
      x[i] = std::fmaf(first, cosines[i], -(second * sines[i]));
      x[half + i] = std::fmaf(second, cosines[i], first * sines[i]);
    }
  }
}

}  // namespace
}  // namespace polyvec
