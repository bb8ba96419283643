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

namespace polyvec {
namespace {

template <class I>
constexpr EncoderKernel encoder_kernel_of(const char* name, bool (*supported)()) {
  return {name,        supported,   kPanel<I>, static_cast<unsigned>(I::levels), packed_bytes<I>, pack_int8<I>, pack_fp32<I>,
          quantize<I>, linear<I>,   norm<I>,   gated<I>,
          rotate<I>,   attention_floats<I>,    attend<I>};
}

}  // namespace
}  // namespace polyvec
