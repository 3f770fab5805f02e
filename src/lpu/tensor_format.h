// How numbers lie in GGUF tensors: from the formats we know to F32, and from F32 to those we write.
//
// The layouts are part of GGUF (ggml's block_q8_0, block_q4_0, block_q4_K and so on); a block is
// dequantised to the very numbers that ggml's own dequantisation gives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace medley::lpu {

// The values are GGUF's numbering.
enum class TensorFormat : std::uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kBf16 = 30,
};

// Empty for a format that cannot be dequantised here.
std::optional<TensorFormat> tensor_format(std::uint32_t gguf_type);
std::string_view name_of(TensorFormat format);  // "Q8_0"
int block_elements(TensorFormat format);
int block_bytes(TensorFormat format);
// Of one row. Precondition: `columns` is a multiple of block_elements.
std::size_t row_bytes(TensorFormat format, std::size_t columns);

// Precondition: `bytes` holds row_bytes(format, out.size()).
void dequantise(TensorFormat format, const std::uint8_t* bytes, std::span<float> out);
// To F32, F16, BF16, Q8_0 or Q4_0, rounded as ggml does. Precondition: the format is one of them.
void quantise(TensorFormat format, std::span<const float> in, std::uint8_t* bytes);

float from_half(std::uint16_t half);
std::uint16_t to_half(float value);  // to nearest, ties to even; beyond the range: infinity

}  // namespace medley::lpu
