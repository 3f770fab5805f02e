#include "lpu/chip/schedule.h"

#include <array>

#include "base/digest.h"

namespace medley::lpu::chip {
namespace {

constexpr std::array<std::string_view, kAreas> kAreaNames = {"weights", "experts", "cache",
                                                             "constants", "scratch"};
constexpr std::array<std::string_view, kOps> kOpNames = {
    "embed",  "install", "multiply", "copy",   "zero",       "norm",         "sum",
    "angles", "swap",    "rotate",   "shift",  "append_key", "append_value", "softmax",
    "scale",  "gate",    "route",    "choose", "send",       "hand_on"};
constexpr std::array<std::string_view, kUnitKinds> kUnitNames = {
    "matrix install", "matrix multiply", "vector", "switch", "link", "next link"};
constexpr std::array<std::string_view, 19> kWeightNames = {
    "",       "embedding", "attn_norm", "q",           "k",        "v",        "q_bias",
    "k_bias", "v_bias",    "q_norm",    "k_norm",      "attn_out", "ffn_norm", "router",
    "gate",   "up",        "down",      "output_norm", "head"};
constexpr std::array<std::string_view, 4> kSegmentNames = {"embed", "layer", "head", "hand_on"};

}  // namespace

std::string_view name_of(Area area) { return kAreaNames[static_cast<std::size_t>(area)]; }
std::string_view name_of(Op op) { return kOpNames[static_cast<std::size_t>(op)]; }
std::string_view name_of(UnitKind kind) { return kUnitNames[static_cast<std::size_t>(kind)]; }
std::string_view name_of(Weight weight) { return kWeightNames[static_cast<std::size_t>(weight)]; }
std::string_view name_of(SegmentKind kind) { return kSegmentNames[static_cast<std::size_t>(kind)]; }

std::uint64_t Schedule::digest() const {
  Digest digest;
  const auto add = [&](auto... numbers) { (digest.add(static_cast<std::uint64_t>(numbers)), ...); };
  const auto add_text = [&](std::string_view text) {
    add(text.size());
    for (const char letter : text)
      add(static_cast<unsigned char>(letter));
  };
  const auto add_accesses = [&](const std::vector<Access>& accesses) {
    add(accesses.size());
    for (const Access& a : accesses) {
      add(a.write, a.remote, a.indirect, a.area, a.hemisphere, a.bank, a.slice, a.slices, a.row,
          a.rows, a.period, a.cycle, a.streams, a.stream[0], a.stream[1], a.lane, a.lanes, a.peer,
          a.peer_rows, a.range, a.value);
    }
  };
  add_text(model);
  add_text(target);
  add(weights, cache, group, node, shard_rows, experts, lanes, context, streams, token_cycles,
      interval_cycles, segments.size(), stages.size());
  for (const Segment& segment : segments) {
    add_text(segment.name);
    add(segment.kind, segment.tokens, segment.part, segment.chunk_of, segment.cycles, segment.macs,
        segment.instructions.size());
    for (int area = 0; area < kAreas; ++area)
      add(segment.rows[area], segment.used_bytes[area]);
    for (const Instruction& i : segment.instructions) {
      add(i.op, i.unit.kind, i.unit.hemisphere, i.unit.index, i.unit.count, i.start, i.busy,
          i.weight, i.n, i.columns, i.k, i.lanes, i.chosen, i.tile, i.first, i.last, i.head,
          i.detail);
      add_accesses(i.accesses);
    }
    add_accesses(segment.inputs);
    add_accesses(segment.outputs);
  }
  for (const Stage& stage : stages) {
    add(stage.first_chip, stage.start, stage.end, stage.runs.size());
    for (const Run& run : stage.runs) {
      add(run.segment, run.layer, run.start);
      for (const std::int64_t base : run.base)
        add(base);
    }
  }
  return digest.value();
}

}  // namespace medley::lpu::chip
