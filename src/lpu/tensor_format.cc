#include "lpu/tensor_format.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/check.h"

namespace medley::lpu {
namespace {

struct Facts {
  TensorFormat format;
  std::string_view name;
  int elements, bytes;  // of a block
};
constexpr Facts kFacts[] = {
    {TensorFormat::kF32, "F32", 1, 4},       {TensorFormat::kF16, "F16", 1, 2},
    {TensorFormat::kQ4_0, "Q4_0", 32, 18},   {TensorFormat::kQ4_1, "Q4_1", 32, 20},
    {TensorFormat::kQ5_0, "Q5_0", 32, 22},   {TensorFormat::kQ5_1, "Q5_1", 32, 24},
    {TensorFormat::kQ8_0, "Q8_0", 32, 34},   {TensorFormat::kQ4_K, "Q4_K", 256, 144},
    {TensorFormat::kQ5_K, "Q5_K", 256, 176}, {TensorFormat::kQ6_K, "Q6_K", 256, 210},
    {TensorFormat::kBf16, "BF16", 1, 2},
};

const Facts& facts_of(TensorFormat format) {
  const auto* found = std::find_if(std::begin(kFacts), std::end(kFacts),
                                   [&](const Facts& f) { return f.format == format; });
  MEDLEY_CHECK(found != std::end(kFacts));
  return *found;
}

template <typename T>
T read(const std::uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}
template <typename T>
void write(std::uint8_t* bytes, T value) {
  std::memcpy(bytes, &value, sizeof value);
}
float half_at(const std::uint8_t* bytes) { return from_half(read<std::uint16_t>(bytes)); }

int low(std::uint8_t byte) { return byte & 0xF; }
int high(std::uint8_t byte) { return byte >> 4; }

// Blocks of 32: scale (and minimum), for 5 bits one more bit each, then 16 bytes of which the low
// halves are the first 16 numbers.
void dequantise_32(TensorFormat format, const std::uint8_t* block, float* out) {
  const float d = half_at(block);
  if (format == TensorFormat::kQ8_0) {
    for (int i = 0; i < 32; ++i)
      out[i] = static_cast<float>(static_cast<std::int8_t>(block[2 + i])) * d;
    return;
  }
  const bool has_minimum = format == TensorFormat::kQ4_1 || format == TensorFormat::kQ5_1;
  const bool five_bits = format == TensorFormat::kQ5_0 || format == TensorFormat::kQ5_1;
  const float minimum = has_minimum ? half_at(block + 2) : 0;
  const std::uint8_t* at = block + (has_minimum ? 4 : 2);
  const std::uint32_t fifth = five_bits ? read<std::uint32_t>(at) : 0;
  at += five_bits ? 4 : 0;
  const int zero = has_minimum ? 0 : five_bits ? 16 : 8;
  for (int i = 0; i < 16; ++i) {
    const int first = low(at[i]) | static_cast<int>((fifth >> i & 1) << 4);
    const int second = high(at[i]) | static_cast<int>((fifth >> (i + 16) & 1) << 4);
    out[i] = static_cast<float>(first - zero) * d + minimum;
    out[i + 16] = static_cast<float>(second - zero) * d + minimum;
  }
}

// The 6-bit scale and minimum of one of eight sub-blocks, packed in 12 bytes.
std::array<int, 2> scale_and_minimum(const std::uint8_t* packed, int i) {
  if (i < 4)
    return {packed[i] & 63, packed[i + 4] & 63};
  return {low(packed[i + 4]) | (packed[i - 4] >> 6) << 4, high(packed[i + 4]) | (packed[i] >> 6)
                                                                                    << 4};
}

// Blocks of 256 in eight sub-blocks of 32, two of which share 32 bytes.
void dequantise_k45(bool five_bits, const std::uint8_t* block, float* out) {
  const float d = half_at(block), minimum = half_at(block + 2);
  const std::uint8_t* fifth = block + 16;
  const std::uint8_t* at = block + (five_bits ? 48 : 16);
  for (int i = 0; i < 8; ++i) {
    const auto [scale, least] = scale_and_minimum(block + 4, i);
    const float step = d * static_cast<float>(scale), offset = minimum * static_cast<float>(least);
    for (int l = 0; l < 32; ++l) {
      const std::uint8_t byte = at[i / 2 * 32 + l];
      int q = i % 2 == 0 ? low(byte) : high(byte);
      if (five_bits)
        q += (fifth[l] >> i & 1) << 4;
      out[i * 32 + l] = step * static_cast<float>(q) - offset;
    }
  }
}

void dequantise_q6_k(const std::uint8_t* block, float* out) {
  const std::uint8_t* lows = block;
  const std::uint8_t* highs = block + 128;
  const auto* scales = reinterpret_cast<const std::int8_t*>(block + 192);
  const float d = half_at(block + 208);
  for (int half = 0; half < 2; ++half, lows += 64, highs += 32, scales += 8, out += 128) {
    for (int quarter = 0; quarter < 4; ++quarter) {
      for (int l = 0; l < 32; ++l) {
        const std::uint8_t byte = lows[l + 32 * (quarter % 2)];
        const int q = (quarter < 2 ? low(byte) : high(byte)) | (highs[l] >> 2 * quarter & 3) << 4;
        out[32 * quarter + l] =
            d * static_cast<float>(scales[l / 16 + 2 * quarter]) * static_cast<float>(q - 32);
      }
    }
  }
}

void quantise_q8_0(const float* in, std::uint8_t* block) {
  float most = 0;
  for (int i = 0; i < 32; ++i)
    most = std::max(most, std::fabs(in[i]));
  const float d = most / 127, inverse = d > 0 ? 1 / d : 0;
  write(block, to_half(d));
  for (int i = 0; i < 32; ++i)
    block[2 + i] = static_cast<std::uint8_t>(static_cast<std::int8_t>(std::round(in[i] * inverse)));
}

void quantise_q4_0(const float* in, std::uint8_t* block) {
  float most = 0, signed_most = 0;
  for (int i = 0; i < 32; ++i) {
    if (std::fabs(in[i]) > most) {
      most = std::fabs(in[i]);
      signed_most = in[i];
    }
  }
  const float d = signed_most / -8, inverse = d != 0 ? 1 / d : 0;
  write(block, to_half(d));
  const auto number = [&](float value) {
    return static_cast<std::uint8_t>(std::clamp(static_cast<int>(value * inverse + 8.5F), 0, 15));
  };
  for (int i = 0; i < 16; ++i)
    block[2 + i] = static_cast<std::uint8_t>(number(in[i]) | number(in[i + 16]) << 4);
}

}  // namespace

std::optional<TensorFormat> tensor_format(std::uint32_t gguf_type) {
  for (const Facts& facts : kFacts) {
    if (static_cast<std::uint32_t>(facts.format) == gguf_type)
      return facts.format;
  }
  return std::nullopt;
}

std::string_view name_of(TensorFormat format) { return facts_of(format).name; }
int block_elements(TensorFormat format) { return facts_of(format).elements; }
int block_bytes(TensorFormat format) { return facts_of(format).bytes; }

std::size_t row_bytes(TensorFormat format, std::size_t columns) {
  const Facts& facts = facts_of(format);
  MEDLEY_CHECK(columns % static_cast<std::size_t>(facts.elements) == 0);
  return columns / static_cast<std::size_t>(facts.elements) * static_cast<std::size_t>(facts.bytes);
}

void dequantise(TensorFormat format, const std::uint8_t* bytes, std::span<float> out) {
  switch (format) {
    case TensorFormat::kF32:
      std::memcpy(out.data(), bytes, out.size_bytes());
      return;
    case TensorFormat::kF16:
      for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = half_at(bytes + 2 * i);
      return;
    case TensorFormat::kBf16:
      for (std::size_t i = 0; i < out.size(); ++i) {
        out[i] = std::bit_cast<float>(static_cast<std::uint32_t>(read<std::uint16_t>(bytes + 2 * i))
                                      << 16);
      }
      return;
    default:
      break;
  }
  const Facts& facts = facts_of(format);
  MEDLEY_CHECK(out.size() % static_cast<std::size_t>(facts.elements) == 0);
  float* at = out.data();
  for (; at < out.data() + out.size(); at += facts.elements, bytes += facts.bytes) {
    if (facts.elements == 32) {
      dequantise_32(format, bytes, at);
    } else if (format == TensorFormat::kQ6_K) {
      dequantise_q6_k(bytes, at);
    } else {
      dequantise_k45(format == TensorFormat::kQ5_K, bytes, at);
    }
  }
}

void quantise(TensorFormat format, std::span<const float> in, std::uint8_t* bytes) {
  switch (format) {
    case TensorFormat::kF32:
      std::memcpy(bytes, in.data(), in.size_bytes());
      return;
    case TensorFormat::kF16:
      for (std::size_t i = 0; i < in.size(); ++i)
        write(bytes + 2 * i, to_half(in[i]));
      return;
    case TensorFormat::kBf16:
      for (std::size_t i = 0; i < in.size(); ++i) {
        const auto bits = std::bit_cast<std::uint32_t>(in[i]);
        const std::uint32_t rounded = bits + 0x7FFF + (bits >> 16 & 1);
        write(bytes + 2 * i, static_cast<std::uint16_t>(rounded >> 16));
      }
      return;
    default:
      break;
  }
  MEDLEY_CHECK(format == TensorFormat::kQ8_0 || format == TensorFormat::kQ4_0);
  MEDLEY_CHECK(in.size() % 32 == 0);
  for (std::size_t i = 0; i < in.size(); i += 32, bytes += block_bytes(format)) {
    if (format == TensorFormat::kQ8_0) {
      quantise_q8_0(in.data() + i, bytes);
    } else {
      quantise_q4_0(in.data() + i, bytes);
    }
  }
}

float from_half(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000) << 16;
  const std::uint32_t exponent = half >> 10 & 31, mantissa = half & 0x3FF;
  if (exponent == 31)
    return std::bit_cast<float>(sign | 0x7F800000 | mantissa << 13);
  if (exponent > 0)
    return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
  const float subnormal = static_cast<float>(mantissa) * 0x1p-24F;
  return sign != 0 ? -subnormal : subnormal;
}

std::uint16_t to_half(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000);
  const std::uint32_t magnitude = bits & 0x7FFFFFFF;
  if (magnitude >= 0x7F800000)  // infinity and NaN
    return static_cast<std::uint16_t>(sign | 0x7C00 | (magnitude > 0x7F800000 ? 0x200 : 0));
  if (magnitude >= 0x477FF000)  // rounds to 65536 or more
    return static_cast<std::uint16_t>(sign | 0x7C00);
  if (magnitude < 0x38800000) {  // below 2^-14: a multiple of 2^-24
    const float steps = std::bit_cast<float>(magnitude) * 0x1p24F;
    return static_cast<std::uint16_t>(sign | static_cast<std::uint32_t>(std::nearbyint(steps)));
  }
  const std::uint32_t rounded = magnitude + 0xFFF + (magnitude >> 13 & 1);
  return static_cast<std::uint16_t>(sign | ((rounded - (112U << 23)) >> 13));
}

}  // namespace medley::lpu
