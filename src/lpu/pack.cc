// Weights in the order and layout that the kernels of target `cpu` read (cpu/kernels.h).
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <span>
#include <vector>

#include "base/check.h"
#include "lpu/compile_cpu.h"

namespace medley::lpu {
namespace {

constexpr int kPair = 64;  // columns of two blocks, whose scales share a cache line

// 16 rows of whole numbers with a scale for each 32 columns: the blocks of Q8_0 or Q4_0 as they
// are, column groups of all rows side by side.
void pack_blocks(const Instruction& instruction, const CpuLayout& layout,
                 const std::uint8_t* const* rows, std::uint8_t* out) {
  const bool four_bits = instruction.format == WeightFormat::kQ4_0;
  const int block_bytes = four_bits ? 18 : 34, number_bytes = four_bits ? 16 : 32;
  const int blocks = instruction.columns / 32, dot = layout.dot_columns;
  for (int pair = 0; pair < (blocks + 1) / 2; ++pair) {
    for (int half = 0; half < 2; ++half) {
      const int block = 2 * pair + half;
      std::uint8_t* numbers = out + half * number_bytes * kGroup;
      std::uint8_t* scales = out + 2 * number_bytes * kGroup + half * 2 * kGroup;
      for (int r = 0; r < kGroup && block < blocks; ++r) {
        if (rows[r] == nullptr) {
          // Scale 0; what the numbers are does not matter.
          continue;
        }
        const std::uint8_t* from = rows[r] + static_cast<std::ptrdiff_t>(block) * block_bytes;
        std::memcpy(scales + 2 * r, from, 2);
        std::array<std::uint8_t, 32> n{};
        for (int i = 0; i < 32; ++i) {
          n[static_cast<std::size_t>(i)] =
              four_bits
                  ? static_cast<std::uint8_t>(i < 16 ? from[2 + i] & 0xF : from[i - 14] >> 4)
                  : static_cast<std::uint8_t>(from[2 + i] ^ (layout.offset_weights ? 0x80 : 0));
        }
        for (int c = 0; c < 32; c += dot) {
          for (int i = 0; i < dot; ++i) {
            if (!four_bits) {
              numbers[c * kGroup + r * dot + i] = n[static_cast<std::size_t>(c + i)];
            } else if (c / dot % 2 == 0) {  // the next group of columns goes into the high halves
              numbers[c / 2 * kGroup + r * dot + i] =
                  static_cast<std::uint8_t>(n[static_cast<std::size_t>(c + i)] |
                                            n[static_cast<std::size_t>(c + dot + i)] << 4);
            }
          }
        }
      }
    }
    out += 2 * number_bytes * kGroup + 4 * kGroup;
  }
}

// 16 rows of F32 as whole numbers of 24 bits; the layout: cpu/kernels.h.
void pack_whole24(const float* const* rows, int columns, std::uint8_t* out) {
  std::array<std::vector<std::int32_t>, kGroup> numbers;  // 256 times the whole number, not rounded
  for (std::size_t r = 0; r < kGroup; ++r) {
    numbers[r].resize(static_cast<std::size_t>(columns + 3));
    if (rows[r] == nullptr)
      continue;
    float most = 0;
    for (int c = 0; c < columns; ++c)
      most = std::max(most, std::fabs(rows[r][c]));
    constexpr double kMost = 2147482624;  // 2^31 - 1024: rounding stays below 2^31
    const auto scale = static_cast<float>(static_cast<double>(most) / kMost);
    std::memcpy(out + 4 * r, &scale, 4);
    for (int c = 0; c < columns && scale > 0; ++c) {
      numbers[r][static_cast<std::size_t>(c)] = static_cast<std::int32_t>(
          std::lrint(static_cast<double>(rows[r][c]) / static_cast<double>(scale)));
    }
  }
  out += 4 * kGroup;
  for (int c = 0; c < columns; c += 4, out += 12 * kGroup) {
    for (std::size_t r = 0; r < kGroup; ++r) {
      const std::int32_t* n = &numbers[r][static_cast<std::size_t>(c)];
      const auto last = static_cast<std::uint32_t>((n[3] + 128) >> 8);
      for (int i = 0; i < 3; ++i) {
        const auto low = static_cast<std::int32_t>(last >> (16 - 8 * i) & 0xFF);
        // The nearest number that ends so.
        const std::int32_t number = ((n[i] - low + 128) & ~0xFF) | low;
        std::memcpy(out + 4 * (static_cast<std::size_t>(i) * kGroup + r), &number, 4);
      }
    }
  }
}

}  // namespace

bool fits_whole24(const Tensor& tensor) {
  if (tensor.bytes == nullptr)
    return true;
  // A weight is off by 2^-24 of its row's largest at most: of one as large as the root of their
  // mean square by 2^-19 of itself then.
  constexpr double kMostOfMean = 32;
  constexpr double kLeast = 1e-20;  // scales stay normal numbers
  std::vector<float> row(static_cast<std::size_t>(tensor.columns));
  for (long long r = 0; r < tensor.rows; ++r) {
    dequantise(tensor.format, tensor.row(r), row);
    double squares = 0, most = 0;
    for (const float number : row) {
      const double size = std::fabs(static_cast<double>(number));
      squares += size * size;
      most = std::max(most, size);
    }
    const double mean = std::sqrt(squares / static_cast<double>(row.size()));
    if (!std::isfinite(squares) || most > kMostOfMean * mean || (most > 0 && most < kLeast))
      return false;
  }
  return true;
}

std::int64_t group_bytes(WeightFormat format, int columns) {
  const std::int64_t pairs = (columns + kPair - 1) / kPair;
  switch (format) {
    case WeightFormat::kF32:
      return std::int64_t{4} * kGroup * columns;
    case WeightFormat::kF16:
    case WeightFormat::kBf16:
      return std::int64_t{2} * kGroup * columns;
    case WeightFormat::kQ8_0:
      return pairs * (kPair + 4) * kGroup;
    case WeightFormat::kQ4_0:
      return pairs * (kPair / 2 + 4) * kGroup;
    case WeightFormat::kWhole24:
      return std::int64_t{4} * kGroup + std::int64_t{12} * kGroup * ((columns + 3) / 4);
  }
  MEDLEY_CHECK(false, "a weight format that nobody packs");
}

namespace {

// A matrix, or an expert's: those of all are stacked in the tensor.
void pack_matrix(const Instruction& instruction, const CpuLayout& layout, int expert,
                 std::uint8_t* weights, float* bias) {
  const std::int64_t step = group_bytes(instruction.format, instruction.columns);
  std::vector<float> row;
  for (const Piece& piece : instruction.pieces) {
    const Tensor& tensor = *piece.weight;
    const auto from = static_cast<std::size_t>(piece.column_begin);
    const long long first = tensor.rows / std::max(1, instruction.experts) * expert;
    if (piece.bias != nullptr) {
      row.resize(static_cast<std::size_t>(piece.bias->columns));
      dequantise(piece.bias->format, piece.bias->bytes, row);
      std::copy(row.begin() + piece.row_begin, row.begin() + piece.row_end, bias + piece.out_row);
    }
    for (int begin = piece.row_begin; begin < piece.row_end; begin += kGroup) {
      const int rows = std::min(kGroup, piece.row_end - begin);
      std::uint8_t* out = weights + (piece.out_row + begin - piece.row_begin) / kGroup * step;
      if (is_quantised(instruction.format)) {
        const std::uint8_t* sources[kGroup] = {};
        for (int r = 0; r < rows; ++r) {
          sources[r] = tensor.row(first + begin + r) +
                       from / 32 * static_cast<std::size_t>(block_bytes(tensor.format));
        }
        pack_blocks(instruction, layout, sources, out);
        continue;
      }
      if (instruction.format == WeightFormat::kWhole24) {
        const float* sources[kGroup] = {};
        row.resize(static_cast<std::size_t>(tensor.columns) * kGroup);
        for (int r = 0; r < rows; ++r) {
          const std::span<float> one = std::span(row).subspan(
              static_cast<std::size_t>(r) * static_cast<std::size_t>(tensor.columns),
              static_cast<std::size_t>(tensor.columns));
          dequantise(tensor.format, tensor.row(first + begin + r), one);
          sources[r] = one.data() + from;
        }
        pack_whole24(sources, instruction.columns, out);
        continue;
      }
      row.resize(static_cast<std::size_t>(tensor.columns));
      for (int r = 0; r < rows; ++r) {
        dequantise(tensor.format, tensor.row(first + begin + r), row);
        for (int c = 0; c < instruction.columns; ++c) {
          const float* number = &row[from + static_cast<std::size_t>(c)];
          const std::int64_t at = std::int64_t{c} * kGroup + r;
          if (instruction.format == WeightFormat::kF32) {
            std::memcpy(out + 4 * at, number, 4);
          } else {
            quantise(
                instruction.format == WeightFormat::kF16 ? TensorFormat::kF16 : TensorFormat::kBf16,
                {number, 1}, out + 2 * at);
          }
        }
      }
    }
  }
}

}  // namespace

void pack(const Instruction& instruction, const CpuLayout& layout, std::uint8_t* weights,
          float* bias) {
  if (instruction.operation != Operation::kMatrix) {  // a vector, as F32
    const Piece& piece = instruction.pieces.at(0);
    dequantise(piece.weight->format, piece.weight->bytes,
               {reinterpret_cast<float*>(weights), static_cast<std::size_t>(piece.column_end)});
    return;
  }
  for (int expert = 0; expert < std::max(1, instruction.experts); ++expert)
    pack_matrix(instruction, layout, expert, weights + expert * instruction.expert_bytes, bias);
}

}  // namespace medley::lpu
