// The one SIMD implementation of the forward pass's steps. Included by one file an instruction set, each compiled with its own
// flags; everything here is in unnamed namespaces so that no such code leaks to another file.
//
// An instruction set I gives:
//   fvec, lanes, set, load, store, add, sub, mul, fma, min, max, total, lowest, highest, transpose (lanes vectors),
//   raised (times 2 to the power of the whole number in the lowest bits of a float)
//   ivec, int_zero, load_int, store_int, to_float, load_weights (lanes groups of four), spread (four bytes to all lanes),
//   dot (adds the products of four bytes of activations and four of weights, a lane), store_bytes (rounds levels)
//   vectors, rows, int_rows: registers of a tile of a linear layer, in fp32 and int8 · attention_vectors, attention_rows: of a tile of attention
//   levels: of a quantized value · zero: the level that is stored as 0
//   int16_attention: whether it has what products of int16 need: as_float and as_int (the same bits), to_int (rounds), int_set, spread_int,
//   int_sub, int_max, int_total, int_highest, packed (two vectors of int32 to one of pairs of int16, in any order that is the same each
//   time), interleaved (even and odd members of pairs), dot_pairs (adds the products of two pairs, a lane), shares (2 ** 12 times 2 to the
//   power of minus two vectors, in int16, packed four of each at a time)

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#if defined(__GNUC__)
#define POLYVEC_APART __attribute__((noinline))
#define POLYVEC_UNROLL _Pragma("GCC unroll 32")  // or arrays of registers are kept in memory
#else
#define POLYVEC_APART
#define POLYVEC_UNROLL
#endif

#include "kernels/encoder_rows.inl"
#include "kernels/encoder_linear.inl"
#include "kernels/encoder_attention.inl"
#include "kernels/encoder_attention_int16.inl"

namespace polyvec {
namespace {

template <class I>
std::size_t attention_floats(std::size_t tokens, std::size_t size) {
  const std::size_t floats = lay_out<I>(tokens, size).end;
  if constexpr (I::int16_attention) return std::max(floats, lay_out_pairs<I>(tokens, size).end);
  return floats;
}

template <class I>
void attend(const AttentionJob& job, std::size_t head, float* memory) {
  if constexpr (I::int16_attention) {
    if (job.arithmetic == Arithmetic::int8 && attend_int16<I>(job, head, memory)) return;
  }
  attend_fp32<I>(job, head, memory);
}

template <class I>
constexpr EncoderKernel encoder_kernel_of(const char* name, bool (*supported)()) {
  return {name,        supported,   kPanel<I>, static_cast<unsigned>(I::levels), packed_bytes<I>, pack_int8<I>, pack_fp32<I>,
          quantize<I>, linear<I>,   norm<I>,   gated<I>,
          rotate<I>,   attention_floats<I>,    attend<I>};
}

}  // namespace
}  // namespace polyvec
