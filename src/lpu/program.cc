#include "lpu/program.h"

#include <array>

#include "base/digest.h"

namespace medley::lpu {
namespace {

constexpr std::array<std::string_view, kWeightFormats> kFormatNames = {"F32",  "F16",  "BF16",
                                                                       "Q8_0", "Q4_0", "whole24"};
constexpr std::array<std::string_view, kOperations> kOperationNames = {
    "embed",  "norm", "quantise", "matrix", "rotate", "store",
    "attend", "gate", "add",      "meet",   "choose", "route"};

}  // namespace

std::string_view name_of(WeightFormat format) {
  return kFormatNames[static_cast<std::size_t>(format)];
}
bool is_quantised(WeightFormat format) {
  return format == WeightFormat::kQ8_0 || format == WeightFormat::kQ4_0;
}
std::string_view name_of(Operation operation) {
  return kOperationNames[static_cast<std::size_t>(operation)];
}

std::int64_t Program::weight_bytes() const {
  std::int64_t sum = 0;
  for (const UnitProgram& unit : units)
    sum += unit.weight_bytes;
  return sum;
}

std::int64_t Program::macs() const {
  std::int64_t sum = 0;
  for (const UnitProgram& unit : units) {
    for (const Instruction& instruction : unit.instructions) {
      if (instruction.operation == Operation::kMatrix)
        sum += instruction.macs;
    }
  }
  return sum;
}

std::uint64_t Program::digest() const {
  Digest digest;
  const auto add = [&](auto... numbers) { (digest.add(static_cast<std::uint64_t>(numbers)), ...); };
  add(context, vocabulary, width, head_size, meetings, embedding_bytes, angle_bytes,
      layout.dot_columns, layout.offset_weights, layout.half_kv);
  if (embedding != nullptr) {
    add(embedding->format, embedding->rows, embedding->columns, embedding->name.size());
    for (const char letter : embedding->name)
      add(static_cast<unsigned char>(letter));
  }
  for (const UnitProgram& unit : units) {
    add(unit.weight_bytes, unit.buffer_bytes, unit.kv_bytes, unit.logits_slot, unit.choice_slot,
        unit.logits_begin, unit.logits_end, unit.head_begin);
    for (const Slot& slot : unit.slots)
      add(slot.size, slot.offset, slot.first, slot.last, slot.shared);
    for (const Instruction& i : unit.instructions) {
      add(i.operation, i.node, i.layer, i.scratch, i.format, i.weights.offset, i.weights.size,
          i.bias.offset, i.bias.size, i.streams, i.rows, i.columns, i.heads, i.kv_heads,
          i.kv_together, i.kv_offset, i.macs, i.meeting, i.experts, i.chosen, i.expert_bytes,
          i.output.slot, i.output.offset);
      for (const Operand& input : i.inputs)
        add(input.unit, input.slot, input.offset);
      for (const Piece& p : i.pieces)
        add(p.node, p.row_begin, p.row_end, p.column_begin, p.column_end, p.out_row);
    }
  }
  return digest.value();
}

}  // namespace medley::lpu
