// Weights in the order and layout that the kernels of target `cpu` read (cpu/kernels.h).
#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "lpu/compile_cpu.h"

namespace medley::lpu {
namespace {

constexpr int kPair = 64;  // columns of two blocks, whose scales share a cache line

// 16 rows of whole numbers with a scale for each 32 columns: the blocks of Q8_0 or Q4_0 as they
// are, column groups of all rows side by side.
void pack_blocks(const Instruction& instruction, const CpuLayout& layout,
                 const std::uint8_t* const* rows, std::uint8_t* out, std::int64_t stride) {
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
    out += stride;
  }
}

// Where a group begins, and from one of its units to the next.
struct Place {
  std::int64_t offset, stride;
};

// Bundles as the kernels take them (cpu/kernels_body.inc, run_bundles): of two streams, or of four
// and then two groups side by side; what is left over follows group by group.
Place place_of(const Instruction& instruction, int group) {
  const std::int64_t unit = unit_bytes(instruction.format);
  const std::int64_t bytes = group_bytes(instruction.format, instruction.columns);
  if (instruction.streams >= 2)
    return {group * bytes, unit};
  int begin = 0;
  for (const int side : {4, 2}) {
    const int end = begin + (instruction.rows / kGroup - begin) / side * side;
    if (group < end) {
      const int first = begin + (group - begin) / side * side;
      return {first * bytes + (group - first) * unit, side * unit};
    }
    begin = end;
  }
  return {group * bytes, unit};
}

}  // namespace

std::int64_t unit_bytes(WeightFormat format) {
  switch (format) {
    case WeightFormat::kF32:
      return 4 * kGroup;
    case WeightFormat::kF16:
    case WeightFormat::kBf16:
      return 2 * kGroup;
    case WeightFormat::kQ8_0:
      return (kPair + 4) * kGroup;
    case WeightFormat::kQ4_0:
      return (kPair / 2 + 4) * kGroup;
  }
  MEDLEY_CHECK(false, "a weight format that nobody packs");
}

std::int64_t group_bytes(WeightFormat format, int columns) {
  return unit_bytes(format) * (is_quantised(format) ? (columns + kPair - 1) / kPair : columns);
}

void pack(const Instruction& instruction, const CpuLayout& layout, std::uint8_t* weights,
          float* bias) {
  if (instruction.operation != Operation::kMatrix) {  // a vector, as F32
    const Piece& piece = instruction.pieces.at(0);
    dequantise(piece.weight->format, piece.weight->bytes,
               {reinterpret_cast<float*>(weights), static_cast<std::size_t>(piece.column_end)});
    return;
  }
  std::vector<float> row;
  for (const Piece& piece : instruction.pieces) {
    const Tensor& tensor = *piece.weight;
    const auto from = static_cast<std::size_t>(piece.column_begin);
    if (piece.bias != nullptr) {
      row.resize(static_cast<std::size_t>(piece.bias->columns));
      dequantise(piece.bias->format, piece.bias->bytes, row);
      std::copy(row.begin() + piece.row_begin, row.begin() + piece.row_end, bias + piece.out_row);
    }
    for (int begin = piece.row_begin; begin < piece.row_end; begin += kGroup) {
      const int rows = std::min(kGroup, piece.row_end - begin);
      const Place place = place_of(instruction, (piece.out_row + begin - piece.row_begin) / kGroup);
      std::uint8_t* out = weights + place.offset;
      if (is_quantised(instruction.format)) {
        const std::uint8_t* sources[kGroup] = {};
        for (int r = 0; r < rows; ++r) {
          sources[r] = tensor.row(begin + r) +
                       from / 32 * static_cast<std::size_t>(block_bytes(tensor.format));
        }
        pack_blocks(instruction, layout, sources, out, place.stride);
        continue;
      }
      row.resize(static_cast<std::size_t>(tensor.columns));
      for (int r = 0; r < rows; ++r) {
        dequantise(tensor.format, tensor.row(begin + r), row);
        for (int c = 0; c < instruction.columns; ++c) {
          const float* number = &row[from + static_cast<std::size_t>(c)];
          std::uint8_t* column = out + c * place.stride;
          if (instruction.format == WeightFormat::kF32) {
            std::memcpy(column + 4 * r, number, 4);
          } else {
            quantise(
                instruction.format == WeightFormat::kF16 ? TensorFormat::kF16 : TensorFormat::kBf16,
                {number, 1}, column + 2 * r);
          }
        }
      }
    }
  }
}

}  // namespace medley::lpu
