// Plain C++: runs everywhere, and the compiler makes of it what it can.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "lpu/cpu/kernels.h"
#include "lpu/tensor_format.h"

namespace medley::lpu::cpu::portable {
namespace {

constexpr const char* kName = "portable";
constexpr int kDotColumns = 2;
constexpr bool kOffsetWeights = false;
constexpr int kAccumulators = 4;

struct V {
  float v[16];
};
struct I {
  std::int32_t v[16];
};

template <typename F>
inline V each(F&& f) {
  V out;
  for (int i = 0; i < 16; ++i)
    out.v[i] = f(i);
  return out;
}

inline V load(const float* p) {
  return each([&](int i) { return p[i]; });
}
inline V load_half(const std::uint16_t* p) {
  return each([&](int i) { return from_half(p[i]); });
}
inline V load_bf16(const std::uint16_t* p) {
  return each([&](int i) { return std::bit_cast<float>(static_cast<std::uint32_t>(p[i]) << 16); });
}
inline void store(float* p, V a) { std::copy_n(a.v, 16, p); }
inline V set(float x) {
  return each([&](int) { return x; });
}
inline V fma(V a, V b, V c) {
  return each([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
}
inline V operator+(V a, V b) {
  return each([&](int i) { return a.v[i] + b.v[i]; });
}
inline V operator-(V a, V b) {
  return each([&](int i) { return a.v[i] - b.v[i]; });
}
inline V operator*(V a, V b) {
  return each([&](int i) { return a.v[i] * b.v[i]; });
}
inline V operator/(V a, V b) {
  return each([&](int i) { return a.v[i] / b.v[i]; });
}
inline V max(V a, V b) {
  return each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline V magnitude(V a) {
  return each([&](int i) { return std::fabs(a.v[i]); });
}
inline V nearest(V a) {
  return each([&](int i) { return std::nearbyint(a.v[i]); });
}
// a · 2^n for whole n, of which beyond -127 (where 0 is taken for 2^n) and 127 the nearest is
// taken.
inline V scaled(V a, V n) {
  return each([&](int i) {
    // NaN becomes the least.
    const float bounded = n.v[i] > -127 ? std::min(n.v[i], 127.0F) : -127.0F;
    return a.v[i] * std::bit_cast<float>((static_cast<std::int32_t>(bounded) + 127) << 23);
  });
}
inline float sum(V a) {
  for (int step = 8; step > 0; step /= 2) {
    for (int i = 0; i < step; ++i)
      a.v[i] += a.v[i + step];
  }
  return a.v[0];
}
// Of each of four.
inline void sum_four(const V* a, float factor, float* out) {
  for (int i = 0; i < 4; ++i)
    out[i] = sum(a[i]) * factor;
}
inline float largest(V a) { return *std::max_element(a.v, a.v + 16); }
// a in the first n lanes, b in the others; n from 0 to 16.
inline V first(int n, V a, V b) {
  return each([&](int i) { return i < n ? a.v[i] : b.v[i]; });
}
inline I load_whole(const std::uint8_t* p) {
  I out;
  std::memcpy(out.v, p, sizeof out.v);
  return out;
}
// The number of 24 bits in the lowest bytes of three, times 256.
inline I fourth(I a, I b, I c) {
  I out;
  for (int i = 0; i < 16; ++i) {
    const auto byte = [i](const I& x) { return static_cast<std::uint32_t>(x.v[i]) & 0xFF; };
    out.v[i] = static_cast<std::int32_t>(byte(a) << 24 | byte(b) << 16 | byte(c) << 8);
  }
  return out;
}
inline V to_float(I a) {
  return each([&](int i) { return static_cast<float>(a.v[i]); });
}

// 16 rows times 32 columns of whole numbers, two columns of a row side by side.
inline I dot_q8(const std::uint8_t* w, const QuantisedBlock& x) {
  I total{};
  const auto* weights = reinterpret_cast<const std::int8_t*>(w);
  for (int j = 0; j < 16; ++j) {
    for (int i = 0; i < 16; ++i) {
      total.v[i] += weights[32 * j + 2 * i] * x.words[2 * j] +
                    weights[32 * j + 2 * i + 1] * x.words[2 * j + 1];
    }
  }
  return total;
}
inline I dot_q4(const std::uint8_t* w, const QuantisedBlock& x) {
  I total;
  std::fill_n(total.v, 16, -8 * x.sum);
  for (int j = 0; j < 8; ++j) {
    const std::int16_t* words = x.words + 4 * j;
    for (int i = 0; i < 16; ++i) {
      const std::uint8_t a = w[32 * j + 2 * i], b = w[32 * j + 2 * i + 1];
      total.v[i] +=
          (a & 15) * words[0] + (b & 15) * words[1] + (a >> 4) * words[2] + (b >> 4) * words[3];
    }
  }
  return total;
}

inline void quantise_block(const float* in, QuantisedBlock& out) {
  float most = 0;
  for (int i = 0; i < 32; ++i)
    most = std::max(most, std::fabs(in[i]));
  const float inverse = most > 0 ? 16256 / most : 0;
  out.scale = most / 16256;
  out.sum = 0;
  for (int i = 0; i < 32; ++i) {
    out.words[i] = static_cast<std::int16_t>(std::nearbyint(in[i] * inverse));
    out.sum += out.words[i];
  }
}

inline std::uint16_t half_of(float x) { return to_half(x); }

}  // namespace
#include "lpu/cpu/kernels_body.inc"
}  // namespace medley::lpu::cpu::portable
