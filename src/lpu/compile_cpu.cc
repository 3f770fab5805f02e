#include "lpu/compile_cpu.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace medley::lpu {
namespace {

constexpr int kLine = 64;  // bytes of a cache line

// Out of caches four streams share each activation that is loaded; out of memory two read faster
// (one Zen 5 core, 1.1 B parameters in Q8_0: 40 GB/s of 43 with two streams, 22 to 30 with four, 35
// with one). Weights of a unit beyond this come from memory.
constexpr double kCachedBytes = 16 << 20;

// Of attention at once: a third of a first cache of 48 KB.
constexpr int kScoreBytes = 16 << 10;

template <typename T>
T rounded_up(T value, T multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

struct Range {
  int begin = 0, end = 0;
  int size() const { return end - begin; }
};

class Compiler {
 public:
  Compiler(const Graph& graph, const CpuOptions& options) : graph_(graph), options_(options) {}

  Result<Program> compile() {
    const int units = options_.units;
    if (units < 1 || units > graph_.kv_heads) {
      return Error{ErrorCode::kInvalid,
                   fmt::format("{} threads: expected 1 to {}, for {} KV heads are divided", units,
                               graph_.kv_heads, graph_.kv_heads),
                   "threads"};
    }
    constexpr int kMostContext = 1 << 20;
    if (options_.context < 1 || options_.context > kMostContext) {
      return Error{
          ErrorCode::kInvalid,
          fmt::format("a context of {} tokens: expected 1 to {}", options_.context, kMostContext),
          "context"};
    }
    program_.units.resize(static_cast<std::size_t>(units));
    streams_ = options_.streams > 0 ? options_.streams : streams_by_size();
    program_.layout = options_.layout;
    program_.context = rounded_up(options_.context, 64);
    program_.vocabulary = graph_.vocabulary;
    program_.width = graph_.width;
    program_.head_size = graph_.head_size;
    constexpr int kMostGroup = 256;  // rows of scores of one KV head (cpu::kScoreRows)
    if (graph_.heads_per_kv_head() > kMostGroup) {
      return Error{ErrorCode::kInvalid, fmt::format("{} heads a KV head: expected at most {}",
                                                    graph_.heads_per_kv_head(), kMostGroup)};
    }
    values_.resize(graph_.nodes.size());
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (values_[i].placed)
        continue;  // fused with one before
      lower(static_cast<int>(i));
    }
    for (UnitProgram& unit : program_.units)
      place(unit);
    return std::move(program_);
  }

 private:
  // Where a node's value is: in the same slot number on every unit.
  struct Value {
    bool placed = false;
    int slot = -1;
    std::vector<int> offsets{};  // by unit, in numbers; empty: 0
    bool partial = false;        // every unit has a summand of it …
    bool met = false;            // … and all have come to a meeting since
    int quantised = -1;          // slot with its blocks; -1: not made yet
  };

  int streams_by_size() const {
    double bytes = 0;
    for (const Node& n : graph_.nodes) {
      if (n.kind == NodeKind::kMatrix) {
        bytes += static_cast<double>(n.weight->rows) * static_cast<double>(n.weight->row_bytes());
      }
    }
    return bytes / units() > kCachedBytes ? 2 : 4;
  }
  int units() const { return static_cast<int>(program_.units.size()); }
  Range part(const Node& node, int unit) const {
    if (node.granule == 0)
      return {0, node.size};
    const long long granules = (node.size + node.granule - 1) / node.granule;
    const auto at = [&](int u) {
      return static_cast<int>(
          std::min<long long>(node.size, granules * u / units() * node.granule));
    };
    return {at(unit), at(unit + 1)};
  }
  const Node& node(int index) const { return graph_.nodes[static_cast<std::size_t>(index)]; }
  Value& value(int index) { return values_[static_cast<std::size_t>(index)]; }
  UnitProgram& unit(int index) { return program_.units[static_cast<std::size_t>(index)]; }

  // The same slot number on every unit; `bytes` says how large it is there.
  template <typename Size>
  int add_slot(Size&& bytes, bool shared = false) {
    for (int u = 0; u < units(); ++u) {
      unit(u).slots.push_back({.size = rounded_up(std::max(1, bytes(u)), kLine), .shared = shared});
    }
    return static_cast<int>(unit(0).slots.size()) - 1;
  }
  int add_numbers(const Node& of, bool shared = false) {
    return add_slot([&](int u) { return 4 * rounded_up(part(of, u).size(), kGroup); }, shared);
  }
  void place_value(int index, int slot) {
    value(index).placed = true;
    value(index).slot = slot;
  }
  Operand operand(int index, int u) {
    const Value& v = value(index);
    return {.unit = u,
            .slot = v.slot,
            .offset = v.offsets.empty() ? 0 : v.offsets[static_cast<std::size_t>(u)]};
  }
  Instruction make(Operation operation, int index, int u) {
    Instruction made{.operation = operation, .node = index, .layer = node(index).layer};
    made.rows = rounded_up(part(node(index), u).size(), kGroup);
    made.columns = 1;
    return made;
  }
  void emit(int u, Instruction instruction) {
    unit(u).instructions.push_back(std::move(instruction));
  }
  // Takes `size` bytes of the unit's weights, which are read in this order.
  ByteRange take(int u, std::int64_t size) {
    const ByteRange range{unit(u).weight_bytes, size};
    unit(u).weight_bytes += rounded_up<std::int64_t>(size, kLine);
    return range;
  }

  void lower(int index) {
    switch (node(index).kind) {
      case NodeKind::kEmbed:
        return lower_embed(index);
      case NodeKind::kMatrix:
        return lower_matrices(index);
      case NodeKind::kAttend:
        return lower_attend(index);
      case NodeKind::kAdd:
        return lower_add(index);
      case NodeKind::kChoose:
        return lower_choose(index);
      case NodeKind::kRoute:
        return lower_route(index);
      case NodeKind::kNorm:
      case NodeKind::kRotate:
      case NodeKind::kGate:
        return lower_vector(index);
    }
  }

  void lower_embed(int index) {
    const Tensor& table = *node(index).weight;
    program_.embedding = &table;
    program_.embedding_bytes =
        rounded_up<std::int64_t>(table.rows * static_cast<std::int64_t>(table.row_bytes()), kLine);
    program_.angle_bytes = rounded_up<std::int64_t>(
        std::int64_t{4} * program_.context * graph_.rope.dimensions, kLine);
    place_value(index, add_numbers(node(index)));
    for (int u = 0; u < units(); ++u) {
      Instruction made = make(Operation::kEmbed, index, u);
      made.output = operand(index, u);
      made.weights = {0, table.rows * static_cast<std::int64_t>(table.row_bytes())};
      emit(u, std::move(made));
    }
  }

  // Of norms, rotations and gates: numbers in, as many out.
  void lower_vector(int index) {
    const Node& n = node(index);
    const Operation operation = n.kind == NodeKind::kNorm     ? Operation::kNorm
                                : n.kind == NodeKind::kRotate ? Operation::kRotate
                                                              : Operation::kGate;
    place_value(index, add_numbers(n));
    for (int u = 0; u < units(); ++u) {
      Instruction made = make(operation, index, u);
      for (const int input : n.inputs) {
        if (input != kNoNode)
          made.inputs.push_back(operand(input, u));
      }
      made.output = operand(index, u);
      made.chosen = n.chosen;
      if (n.weight != nullptr) {
        const int size = static_cast<int>(n.weight->columns);
        made.weights = take(u, std::int64_t{4} * rounded_up(size, kGroup));
        made.pieces = {{.weight = n.weight, .node = index, .row_end = 1, .column_end = size}};
      }
      if (n.kind == NodeKind::kRotate)
        made.heads = part(n, u).size() / graph_.head_size;
      emit(u, std::move(made));
    }
  }

  // As it is where the kernels read that, else as F16; so, too, where units would divide a block.
  WeightFormat held(const Node& n) {
    switch (n.weight->format) {
      case TensorFormat::kF32:
        return in_24_bits(*n.weight) ? WeightFormat::kWhole24 : WeightFormat::kF32;
      case TensorFormat::kBf16:
        return WeightFormat::kBf16;
      case TensorFormat::kQ8_0:
      case TensorFormat::kQ4_0:
        if (n.split == Split::kColumns) {
          for (int u = 0; u < units(); ++u) {
            if (part(node(n.inputs[0]), u).begin % 32 != 0)
              return WeightFormat::kF16;
          }
        }
        return n.weight->format == TensorFormat::kQ8_0 ? WeightFormat::kQ8_0 : WeightFormat::kQ4_0;
      default:
        return WeightFormat::kF16;
    }
  }

  bool in_24_bits(const Tensor& tensor) {
    const auto [found, is_new] = in_24_bits_.try_emplace(&tensor, false);
    if (is_new)
      found->second = fits_whole24(tensor);
    return found->second;
  }

  // This matrix and those behind it that read the same input in the same format: one instruction.
  void lower_matrices(int index) {
    const Node& first = node(index);
    const WeightFormat format = held(first);
    std::vector<int> fused;
    for (int i = index; i < static_cast<int>(graph_.nodes.size()); ++i) {
      const Node& n = node(i);
      if (n.kind != NodeKind::kMatrix || n.inputs[0] != first.inputs[0] || n.split != first.split ||
          n.chosen != first.chosen || held(n) != format) {
        break;
      }
      fused.push_back(i);
    }
    const bool by_columns = first.split == Split::kColumns;
    const int input = first.inputs[0];
    const bool is_head = index == graph_.logits();
    if (is_head) {
      for (UnitProgram& u : program_.units)
        u.head_begin = u.instructions.size();
    }
    if (is_quantised(format) && value(input).quantised < 0)
      lower_quantise(input);

    const auto rows_of = [&](int i, int u) {
      return by_columns ? Range{0, node(i).size} : part(node(i), u);
    };
    const int slot = add_slot(
        [&](int u) {
          int rows = 0;
          for (const int i : fused)
            rows += rounded_up(rows_of(i, u).size(), kGroup);
          return 4 * rows;
        },
        by_columns && units() > 1);
    std::map<int, std::vector<int>> offsets;  // by node, then unit
    for (int u = 0; u < units(); ++u) {
      const Range columns = by_columns ? part(node(input), u) : Range{0, node(input).size};
      Instruction made = make(Operation::kMatrix, index, u);
      made.format = format;
      made.streams = streams_;
      made.columns = columns.size();
      made.rows = 0;
      bool has_bias = false;
      for (const int i : fused) {
        const Range rows = rows_of(i, u);
        made.pieces.push_back({.weight = node(i).weight,
                               .bias = by_columns && u > 0 ? nullptr : node(i).bias,
                               .node = i,
                               .row_begin = rows.begin,
                               .row_end = rows.end,
                               .column_begin = columns.begin,
                               .column_end = columns.end,
                               .out_row = made.rows});
        has_bias = has_bias || made.pieces.back().bias != nullptr;
        made.rows += rounded_up(rows.size(), kGroup);
        made.macs += std::int64_t{rows.size()} * columns.size();
      }
      for (const Piece& piece : made.pieces)
        offsets[piece.node].push_back(piece.out_row);
      const std::int64_t bytes = made.rows / kGroup * group_bytes(format, made.columns);
      if (first.chosen < 0) {
        made.weights = take(u, bytes);
      } else {
        take_experts(first, u, bytes, made);
      }
      if (has_bias)
        made.bias = take(u, std::int64_t{4} * made.rows);
      made.inputs = {is_quantised(format) ? Operand{.unit = u, .slot = value(input).quantised}
                                          : operand(input, u)};
      if (first.chosen >= 0)
        made.inputs.push_back(operand(first.inputs[1], u));
      made.output = {.unit = u, .slot = slot};
      emit(u, std::move(made));
    }
    for (const int i : fused) {
      place_value(i, slot);
      value(i).partial = by_columns && units() > 1;
      value(i).offsets = offsets[i];
    }
    if (is_head) {
      for (int u = 0; u < units(); ++u) {
        unit(u).logits_slot = slot;
        unit(u).logits_begin = part(first, u).begin;
        unit(u).logits_end = part(first, u).end;
      }
    }
  }

  // The matrices of all experts, for whichever is chosen: the first instruction takes and packs
  // them, those for the other chosen ones read the same.
  void take_experts(const Node& of, int u, std::int64_t bytes, Instruction& made) {
    made.experts = of.experts;
    made.chosen = of.chosen;
    made.expert_bytes = rounded_up<std::int64_t>(bytes, kLine);
    const auto [at, is_new] = experts_.try_emplace({of.weight, u});
    if (is_new)
      at->second = take(u, made.expert_bytes * of.experts);
    else
      made.pieces.clear();
    made.weights = {at->second.offset, bytes};
  }

  void lower_route(int index) {
    const Node& n = node(index);
    place_value(index, add_numbers(n));
    for (int u = 0; u < units(); ++u) {
      Instruction made = make(Operation::kRoute, index, u);
      made.experts = n.experts;
      made.inputs = {operand(n.inputs[0], u)};
      made.output = operand(index, u);
      emit(u, std::move(made));
    }
  }

  void lower_quantise(int input) {
    const Node& n = node(input);
    // Blocks in pairs: what kernels read at once.
    const auto blocks = [&](int u) { return rounded_up(part(n, u).size(), 64) / 32; };
    value(input).quantised = add_slot([&](int u) { return blocks(u) * kQuantisedBlockBytes; });
    for (int u = 0; u < units(); ++u) {
      Instruction made = make(Operation::kQuantise, input, u);
      made.rows = part(n, u).size();
      made.inputs = {operand(input, u)};
      made.output = {.unit = u, .slot = value(input).quantised};
      emit(u, std::move(made));
    }
  }

  void lower_attend(int index) {
    const Node& n = node(index);
    place_value(index, add_numbers(n));
    const int group_scores = 4 * graph_.heads_per_kv_head() * program_.context;
    const int together = std::clamp(kScoreBytes / group_scores, 1, graph_.kv_heads);
    const int scratch = add_slot([&](int) { return together * group_scores; });
    for (int u = 0; u < units(); ++u) {
      const int kv_heads = part(n, u).size() / n.granule;
      const std::int64_t bytes_of_number = options_.layout.half_kv ? 2 : 4;
      const std::int64_t layer_bytes =
          2 * bytes_of_number * kv_heads * program_.context * graph_.head_size;
      Instruction store = make(Operation::kStore, index, u);
      store.inputs = {operand(n.inputs[1], u), operand(n.inputs[2], u)};
      store.rows = kv_heads * graph_.head_size;
      store.kv_heads = kv_heads;
      store.kv_offset = unit(u).kv_bytes;
      emit(u, std::move(store));
      Instruction made = make(Operation::kAttend, index, u);
      made.inputs = {operand(n.inputs[0], u)};
      made.output = operand(index, u);
      made.scratch = scratch;
      made.kv_together = together;
      made.kv_heads = kv_heads;
      made.heads = kv_heads * graph_.heads_per_kv_head();
      made.kv_offset = unit(u).kv_bytes;
      made.macs = std::int64_t{2} * made.heads * graph_.head_size;
      emit(u, std::move(made));
      unit(u).kv_bytes += layer_bytes;
    }
  }

  void lower_add(int index) {
    const Node& n = node(index);
    bool partial = false;
    for (const int input : n.inputs)
      partial = partial || (input != kNoNode && value(input).partial && !value(input).met);
    if (partial)
      meet();
    place_value(index, add_numbers(n));
    for (int u = 0; u < units(); ++u) {
      Instruction made = make(Operation::kAdd, index, u);
      for (const int input : n.inputs) {
        if (input == kNoNode)
          continue;
        // In the order of units, so that all of them get the same sum.
        for (int from = 0; from < units(); ++from) {
          if (value(input).partial || from == u)
            made.inputs.push_back(operand(input, from));
        }
      }
      made.output = operand(index, u);
      emit(u, std::move(made));
    }
  }

  void lower_choose(int index) {
    const int input = node(index).inputs[0];
    place_value(index, add_slot([](int) { return kLine; }));
    for (int u = 0; u < units(); ++u) {
      Instruction made = make(Operation::kChoose, index, u);
      made.rows = part(node(input), u).size();
      made.inputs = {operand(input, u)};
      made.output = operand(index, u);
      unit(u).choice_slot = made.output.slot;
      emit(u, std::move(made));
    }
  }

  void meet() {
    for (int u = 0; u < units(); ++u) {
      Instruction made{.operation = Operation::kMeet};
      made.meeting = program_.meetings;
      emit(u, std::move(made));
    }
    ++program_.meetings;
    for (Value& v : values_)
      v.met = v.met || v.placed;
  }

  // Offsets by first fit over the time that slots hold something.
  void place(UnitProgram& u) {
    const int count = static_cast<int>(u.instructions.size());
    for (Slot& slot : u.slots) {
      slot.first = count;
      slot.last = -1;
    }
    const auto touch = [&](int slot, int at) {
      if (slot < 0)
        return;
      Slot& s = u.slots[static_cast<std::size_t>(slot)];
      s.first = std::min(s.first, at);
      s.last = std::max(s.last, at);
    };
    for (int i = 0; i < count; ++i) {
      const Instruction& instruction = u.instructions[static_cast<std::size_t>(i)];
      touch(instruction.output.slot, i);
      touch(instruction.scratch, i);
      // Slots have the same numbers everywhere, and units the same order of instructions: that
      // others read our slot is seen by what we read of theirs.
      for (const Operand& input : instruction.inputs)
        touch(input.slot, i);
    }
    for (Slot& slot : u.slots) {
      if (!slot.shared)
        continue;
      // The others may still read it until they come to the next meeting.
      while (slot.last < count - 1 &&
             u.instructions[static_cast<std::size_t>(slot.last)].operation != Operation::kMeet) {
        ++slot.last;
      }
    }
    for (const int kept : {u.logits_slot, u.choice_slot})
      u.slots[static_cast<std::size_t>(kept)].last = count;

    std::vector<const Slot*> placed;
    for (Slot& slot : u.slots) {
      std::vector<const Slot*> beside;
      for (const Slot* other : placed) {
        if (other->first <= slot.last && slot.first <= other->last)
          beside.push_back(other);
      }
      std::sort(beside.begin(), beside.end(),
                [](const Slot* a, const Slot* b) { return a->offset < b->offset; });
      for (const Slot* other : beside) {
        if (slot.offset + slot.size <= other->offset)
          break;
        slot.offset = std::max(slot.offset, other->offset + other->size);
      }
      u.buffer_bytes = std::max(u.buffer_bytes, slot.offset + slot.size);
      placed.push_back(&slot);
    }
  }

  const Graph& graph_;
  const CpuOptions& options_;
  Program program_;
  int streams_ = 4;
  std::vector<Value> values_;
  std::map<const Tensor*, bool> in_24_bits_;
  std::map<std::pair<const Tensor*, int>, ByteRange> experts_;  // by the first matrix and unit
};

}  // namespace

Result<Program> compile_cpu(const Graph& graph, const CpuOptions& options) {
  return Compiler(graph, options).compile();
}

}  // namespace medley::lpu
