// Built with AVX-512 (F, BW, VL, DQ), VNNI, FMA and F16C: src/CMakeLists.txt.
#ifdef __AVX512VNNI__
#include <immintrin.h>

#include <type_traits>

#include "lpu/cpu/kernels.h"

namespace medley::lpu::cpu::avx512 {
namespace {

constexpr const char* kName = "avx512";
constexpr int kDotColumns = 4;
constexpr bool kOffsetWeights = true;
constexpr int kAccumulators = 16;

struct V {
  __m512 v;
};
struct I {
  __m512i v;
};

inline V load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline V load_half(const std::uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline V load_bf16(const std::uint16_t* p) {
  const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16))};
}
inline void store(float* p, V a) { _mm512_storeu_ps(p, a.v); }
inline V set(float x) { return {_mm512_set1_ps(x)}; }
inline V fma(V a, V b, V c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline V operator+(V a, V b) { return {_mm512_add_ps(a.v, b.v)}; }
inline V operator-(V a, V b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline V operator*(V a, V b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline V operator/(V a, V b) { return {_mm512_div_ps(a.v, b.v)}; }
inline V max(V a, V b) { return {_mm512_max_ps(a.v, b.v)}; }
inline V magnitude(V a) { return {_mm512_abs_ps(a.v)}; }
inline V nearest(V a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
// a · 2^n for whole n.
inline V scaled(V a, V n) { return {_mm512_scalef_ps(a.v, n.v)}; }
inline float sum(V a) { return _mm512_reduce_add_ps(a.v); }
// Of each of four.
inline void sum_four(const V* a, float factor, float* out) {
  const auto halves = [](__m512 x, __m512 y) {
    return _mm512_add_ps(_mm512_unpacklo_ps(x, y), _mm512_unpackhi_ps(x, y));
  };
  const __m512d p = _mm512_castps_pd(halves(a[0].v, a[1].v));
  const __m512d q = _mm512_castps_pd(halves(a[2].v, a[3].v));
  const __m512 quarters = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(p, q)),
                                        _mm512_castpd_ps(_mm512_unpackhi_pd(p, q)));
  const __m256 eight =
      _mm256_add_ps(_mm512_castps512_ps256(quarters), _mm512_extractf32x8_ps(quarters, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  _mm_storeu_ps(out, _mm_mul_ps(four, _mm_set1_ps(factor)));
}
inline float largest(V a) { return _mm512_reduce_max_ps(a.v); }
// a in the first n lanes, b in the others; n from 0 to 16.
inline V first(int n, V a, V b) {
  return {_mm512_mask_blend_ps(static_cast<__mmask16>((1U << n) - 1), b.v, a.v)};
}
inline I load_whole(const std::uint8_t* p) { return {_mm512_load_si512(p)}; }
// The number of 24 bits in the lowest bytes of three, times 256.
inline I fourth(I a, I b, I c) {
  constexpr int kOrAnd = 0xF8;  // first | second & third
  const __m512i two = _mm512_ternarylogic_epi32(
      _mm512_slli_epi32(a.v, 24), _mm512_slli_epi32(b.v, 16), _mm512_set1_epi32(0xFF0000), kOrAnd);
  return {
      _mm512_ternarylogic_epi32(two, _mm512_slli_epi32(c.v, 8), _mm512_set1_epi32(0xFF00), kOrAnd)};
}
inline V to_float(I a) { return {_mm512_cvtepi32_ps(a.v)}; }

// 16 rows times 32 columns of whole numbers, times 128 for the high halves; `offset`: what was
// added to each weight.
inline I corrected(I high, I low) {
  return {_mm512_add_epi32(_mm512_slli_epi32(high.v, 7), low.v)};
}
inline __m512i broadcast(const std::int8_t* p) {
  std::int32_t four;
  __builtin_memcpy(&four, p, sizeof four);
  return _mm512_set1_epi32(four);
}
inline I dot_q8(const std::uint8_t* w, const QuantisedBlock& x) {
  I high{_mm512_setzero_si512()}, low{_mm512_set1_epi32(-128 * x.sum)};
#pragma GCC unroll 8
  for (int j = 0; j < 8; ++j) {
    const __m512i weights = _mm512_load_si512(w + 64 * j);
    high.v = _mm512_dpbusd_epi32(high.v, weights, broadcast(x.bytes.high + 4 * j));
    low.v = _mm512_dpbusd_epi32(low.v, weights, broadcast(x.bytes.low + 4 * j));
  }
  return corrected(high, low);
}
inline I dot_q4(const std::uint8_t* w, const QuantisedBlock& x) {
  I high{_mm512_setzero_si512()}, low{_mm512_set1_epi32(-8 * x.sum)};
  const __m512i mask = _mm512_set1_epi8(0xF);
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const __m512i both = _mm512_load_si512(w + 64 * j);
    const __m512i a = _mm512_and_si512(both, mask);
    const __m512i b = _mm512_and_si512(_mm512_srli_epi16(both, 4), mask);
    high.v = _mm512_dpbusd_epi32(high.v, a, broadcast(x.bytes.high + 8 * j));
    low.v = _mm512_dpbusd_epi32(low.v, a, broadcast(x.bytes.low + 8 * j));
    high.v = _mm512_dpbusd_epi32(high.v, b, broadcast(x.bytes.high + 8 * j + 4));
    low.v = _mm512_dpbusd_epi32(low.v, b, broadcast(x.bytes.low + 8 * j + 4));
  }
  return corrected(high, low);
}

inline void quantise_block(const float* in, QuantisedBlock& out) {
  const V a = load(in), b = load(in + 16);
  const float most = largest(max(magnitude(a), magnitude(b)));
  const float scale = most / 16256;
  const V inverse = set(most > 0 ? 16256 / most : 0);
  const __m512i p = _mm512_cvtps_epi32((a * inverse).v), q = _mm512_cvtps_epi32((b * inverse).v);
  const __m512i half = _mm512_set1_epi32(64);
  const __m512i p_high = _mm512_srai_epi32(_mm512_add_epi32(p, half), 7);
  const __m512i q_high = _mm512_srai_epi32(_mm512_add_epi32(q, half), 7);
  const auto write = [](std::int8_t* to, __m512i from) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(from));
  };
  write(out.bytes.high, p_high);
  write(out.bytes.high + 16, q_high);
  write(out.bytes.low, _mm512_sub_epi32(p, _mm512_slli_epi32(p_high, 7)));
  write(out.bytes.low + 16, _mm512_sub_epi32(q, _mm512_slli_epi32(q_high, 7)));
  out.scale = scale;
  out.sum = _mm512_reduce_add_epi32(_mm512_add_epi32(p, q));
}

inline std::uint16_t half_of(float x) { return _cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT); }

}  // namespace
#include "lpu/cpu/kernels_body.inc"
}  // namespace medley::lpu::cpu::avx512
#endif
