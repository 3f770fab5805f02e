// Built with AVX2, FMA and F16C: src/CMakeLists.txt.
#ifdef __AVX2__
#include <immintrin.h>

#include <type_traits>

#include "lpu/cpu/kernels.h"

namespace medley::lpu::cpu::avx2 {
namespace {

constexpr const char* kName = "avx2";
constexpr int kDotColumns = 2;
constexpr bool kOffsetWeights = false;
constexpr int kAccumulators = 4;

struct V {
  __m256 a, b;
};
struct I {
  __m256i a, b;
};

inline V load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline __m128i eight_words(const void* p) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}
inline V load_half(const std::uint16_t* p) {
  return {_mm256_cvtph_ps(eight_words(p)), _mm256_cvtph_ps(eight_words(p + 8))};
}
inline V load_bf16(const std::uint16_t* p) {
  const auto widened = [](const std::uint16_t* q) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(eight_words(q)), 16));
  };
  return {widened(p), widened(p + 8)};
}
inline void store(float* p, V x) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
inline V set(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline V fma(V x, V y, V z) {
  return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
inline V operator+(V x, V y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
inline V operator-(V x, V y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
inline V operator*(V x, V y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
inline V operator/(V x, V y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
inline V max(V x, V y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
inline V magnitude(V x) {
  const __m256 sign = _mm256_set1_ps(-0.0F);
  return {_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
}
inline V nearest(V x) {
  constexpr int kMode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(x.a, kMode), _mm256_round_ps(x.b, kMode)};
}
// x · 2^n for whole n, of which beyond -127 (where 0 is taken for 2^n) and 127 the nearest is
// taken.
inline V scaled(V x, V n) {
  const auto power = [](__m256 e) {
    e = _mm256_min_ps(_mm256_max_ps(e, _mm256_set1_ps(-127)), _mm256_set1_ps(127));
    const __m256i whole = _mm256_add_epi32(_mm256_cvtps_epi32(e), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(whole, 23));
  };
  return {_mm256_mul_ps(x.a, power(n.a)), _mm256_mul_ps(x.b, power(n.b))};
}
inline float sum(V x) {
  const __m256 eight = _mm256_add_ps(x.a, x.b);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
// Of each of four.
inline void sum_four(const V* x, float factor, float* out) {
  const auto eight = [](V v) { return _mm256_add_ps(v.a, v.b); };
  const __m256 pairs = _mm256_hadd_ps(_mm256_hadd_ps(eight(x[0]), eight(x[1])),
                                      _mm256_hadd_ps(eight(x[2]), eight(x[3])));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1));
  _mm_storeu_ps(out, _mm_mul_ps(four, _mm_set1_ps(factor)));
}
inline float largest(V x) {
  const __m256 eight = _mm256_max_ps(x.a, x.b);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
// x in the first n lanes, y in the others; n from 0 to 16.
inline V first(int n, V x, V y) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const auto mask = [&](int from) {
    return _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n - from), lanes));
  };
  return {_mm256_blendv_ps(y.a, x.a, mask(0)), _mm256_blendv_ps(y.b, x.b, mask(8))};
}
inline I load_whole(const std::uint8_t* p) {
  const auto* from = reinterpret_cast<const __m256i*>(p);
  return {_mm256_load_si256(from), _mm256_load_si256(from + 1)};
}
// The number of 24 bits in the lowest bytes of three, times 256.
inline I fourth(I x, I y, I z) {
  // The lowest byte of each number to its third, or to its second; 0 elsewhere.
  const __m256i to_third =
      _mm256_setr_epi8(-1, -1, 0, -1, -1, -1, 4, -1, -1, -1, 8, -1, -1, -1, 12, -1, -1, -1, 0, -1,
                       -1, -1, 4, -1, -1, -1, 8, -1, -1, -1, 12, -1);
  const __m256i to_second =
      _mm256_setr_epi8(-1, 0, -1, -1, -1, 4, -1, -1, -1, 8, -1, -1, -1, 12, -1, -1, -1, 0, -1, -1,
                       -1, 4, -1, -1, -1, 8, -1, -1, -1, 12, -1, -1);
  const auto of = [&](__m256i a, __m256i b, __m256i c) {
    return _mm256_or_si256(
        _mm256_slli_epi32(a, 24),
        _mm256_or_si256(_mm256_shuffle_epi8(b, to_third), _mm256_shuffle_epi8(c, to_second)));
  };
  return {of(x.a, y.a, z.a), of(x.b, y.b, z.b)};
}
inline V to_float(I x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }

inline __m256i broadcast(const std::int16_t* p) {
  std::int32_t two;
  __builtin_memcpy(&two, p, sizeof two);
  return _mm256_set1_epi32(two);
}
// 16 rows times 32 columns of whole numbers: two columns of 8 rows a register, as words.
inline I dot_q8(const std::uint8_t* w, const QuantisedBlock& x) {
  I total{_mm256_setzero_si256(), _mm256_setzero_si256()};
#pragma GCC unroll 16
  for (int j = 0; j < 16; ++j) {
    const __m256i numbers = broadcast(x.words + 2 * j);
    const __m256i a = _mm256_cvtepi8_epi16(eight_words(w + 32 * j));
    const __m256i b = _mm256_cvtepi8_epi16(eight_words(w + 32 * j + 16));
    total.a = _mm256_add_epi32(total.a, _mm256_madd_epi16(a, numbers));
    total.b = _mm256_add_epi32(total.b, _mm256_madd_epi16(b, numbers));
  }
  return total;
}
inline I dot_q4(const std::uint8_t* w, const QuantisedBlock& x) {
  I total{_mm256_set1_epi32(-8 * x.sum), _mm256_set1_epi32(-8 * x.sum)};
  const __m256i mask = _mm256_set1_epi16(0xF);
  const auto add = [&](__m256i& to, __m256i bytes, __m256i low, __m256i high) {
    to = _mm256_add_epi32(to, _mm256_madd_epi16(_mm256_and_si256(bytes, mask), low));
    to = _mm256_add_epi32(to, _mm256_madd_epi16(_mm256_srli_epi16(bytes, 4), high));
  };
#pragma GCC unroll 8
  for (int j = 0; j < 8; ++j) {
    const __m256i low = broadcast(x.words + 4 * j), high = broadcast(x.words + 4 * j + 2);
    add(total.a, _mm256_cvtepu8_epi16(eight_words(w + 32 * j)), low, high);
    add(total.b, _mm256_cvtepu8_epi16(eight_words(w + 32 * j + 16)), low, high);
  }
  return total;
}

inline void quantise_block(const float* in, QuantisedBlock& out) {
  const V a = load(in), b = load(in + 16);
  const float most = largest(max(magnitude(a), magnitude(b)));
  const V inverse = set(most > 0 ? 16256 / most : 0);
  const V p = a * inverse, q = b * inverse;
  __m256i total = _mm256_setzero_si256();
  const auto write = [&](std::int16_t* to, V from) {
    const __m256i low = _mm256_cvtps_epi32(from.a), high = _mm256_cvtps_epi32(from.b);
    total = _mm256_add_epi32(total, _mm256_add_epi32(low, high));
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xD8);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), words);
  };
  write(out.words, p);
  write(out.words + 16, q);
  out.scale = most / 16256;
  const __m128i four =
      _mm_add_epi32(_mm256_castsi256_si128(total), _mm256_extracti128_si256(total, 1));
  const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4E));
  out.sum = _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xB1)));
}

inline std::uint16_t half_of(float x) { return _cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT); }

}  // namespace
#include "lpu/cpu/kernels_body.inc"
}  // namespace medley::lpu::cpu::avx2
#endif
