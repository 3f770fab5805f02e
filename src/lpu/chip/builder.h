// What makes the segments of build.h: one list of instructions, in rooms by kind of work
// (build_memory.cc, build_instructions.cc, build_matrices.cc, build_exchanges.cc,
// build_attention.cc).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "lpu/chip/build.h"
#include "lpu/chip/layout.h"
#include "lpu/chip/plant.h"
#include "lpu/chip/resources.h"

namespace medley::lpu::chip {

inline constexpr int kWide = 4;  // bytes of a number between operations: F32

struct Buffer {
  int hemisphere = 0, slice = 0, bank = 0, row = 0, rows = 0, bytes = kWide;
  Area area = Area::kScratch;
  std::vector<std::int64_t> ready;  // by row: the cycle it is written in; before the start: -1
};

struct Operand {
  int buffer = 0, row = 0, rows = 0;
  int period = 1;
};

class Builder {
 public:
  Builder(const BuildOptions& options, SegmentKind kind, std::string name);

  void embed(int part, int parts);
  void layer(const LayerKind& kind);
  void head(int part, int parts);
  void hand_on(HandOn what, bool other_node);
  Result<Segment> finish();

 private:
  struct Product {
    Weight weight;
    int out;
    std::vector<int> columns;  // by row of the output (and token)
    int chosen = -1;
  };
  struct Summand {
    Weight weight;
    int chosen;
  };
  // Where the cache of a KV head begins, in rows of its bank, and the access that reaches all of it
  // in one set of planes.
  struct CachePart {
    int bank = 0, row = 0, rows = 0;
  };

  void use(Area area, std::int64_t bytes) { segment_.used_bytes[static_cast<int>(area)] += bytes; }
  int places() const { return target_.hemispheres * (ports_ - 1) * target_.banks; }
  Access read_of(const Operand& operand) const { return access_of(operand); }
  static std::int64_t last_cycle(const Access& access) {
    return access.cycle + std::int64_t{access.rows - 1} * access.period;
  }
  static bool meet(const Access& a, const Access& b, bool whole_slice) {
    return a.hemisphere == b.hemisphere && a.slice < b.slice + b.slices &&
           b.slice < a.slice + a.slices && (whole_slice || a.bank == b.bank) &&
           a.cycle <= last_cycle(b) && b.cycle <= last_cycle(a);
  }
  Instruction& last_instruction() { return segment_.instructions.back(); }

  // build_memory.cc
  int allocate_at(int hemisphere, int port, int bank, int rows, int bytes, std::int64_t ready);
  // The next place by turns at which none of `avoid` lies.
  int allocate(int rows, int bytes, const std::vector<Operand>& avoid = {});
  std::array<int, 3> place_of(int place) const;
  // Another value at the place of a buffer: what is handed on.
  int duplicate_place(int buffer);
  void takes(int buffer);
  void hands_on(int buffer);
  // Constants lie in the last port, in banks by turns.
  int constant(int rows);

  // build_instructions.cc
  Access access_of(const Operand& operand) const;
  // Reads side by side where their slices allow it, else one after the other.
  void add_read(Instruction& in, const Operand& operand, std::int64_t earliest = 0) const;
  // Later where a bank of it is still read.
  Access& add_write(Instruction& in, const Operand& operand, std::int64_t cycle) const;
  // The cycle from which all that is read is there.
  std::int64_t ready_for(const Instruction& in) const;
  Instruction& emit(Instruction in, std::int64_t ready = 0, int preferred = -1);
  // A pass of the vector unit: row i of the result follows from row i of the operands. `after`
  // cycles more for what crosses the lanes.
  Instruction& vector_into(Op op, const std::vector<Operand>& operands, int out, int out_row,
                           int rows, int after = 0, Weight weight = Weight::kNone);
  int vector(Op op, const std::vector<Operand>& operands, int rows, int bytes, int after = 0,
             Weight weight = Weight::kNone);
  void vector_zero(int buffer, int row, int rows);
  // A pass of the switch over rows.
  Instruction& switch_into(Op op, const Operand& from, const Operand& to, int lane, int lanes);

  // build_matrices.cc
  // A tile's place: stripes and banks by turns.
  Access tile_of(const Planes& planes, int set, int rows, bool expert);
  Access stripe(const Planes& planes, int bank) const;
  static Unit unit_of(const Planes& planes, UnitKind kind);
  // The next weights may come as soon as those before are multiplied with: a plane has room for
  // both.
  int install(const Planes& planes, Instruction in, const Access& tile, std::int64_t ready);
  // (start of the last product, its end) of a plane.
  std::pair<std::int64_t, std::int64_t>& multiplied(const Planes& planes, int i);
  // Rows of `from` through the tile. Writes rows of `to` (where `last`).
  void multiply(const Planes& planes, const NumberFormat& format, int tile, const Operand& from,
                const Operand& to, bool first, bool last, int detail = 0);
  // Products with one input: rows of all outputs to the sets of planes by turns, each row summed
  // over the input's rows.
  void multiply_all(const std::vector<Product>& products, int input, const std::vector<int>& lanes);
  void tile_product(int set, const Product& product, int row, int n, int chunk, int k, int lanes,
                    int input, bool first, bool last);
  // Lanes used of each row of the residual stream.
  std::vector<int> width_lanes() const;
  std::vector<int> packed_lanes(int heads) const;
  // Products that are summands of the whole width, one for each chip: padded to whole shards.
  int multiply_to_sum(const std::vector<Summand>& weights, const std::vector<int>& inputs,
                      const std::vector<std::vector<int>>& lanes);
  int gate(int input, const std::vector<int>& inner, int chosen, int shares);
  int experts(int input);

  // build_exchanges.cc
  // Sends `from` to the chip so far on, into `to`. What goes to other nodes shares a few links.
  void send(int distance, Access from, Access to, int bytes);
  void send_next(int buffer, int rows, bool other_node);
  // Every chip's rows at all chips, in the order of the chips.
  int exchange(int mine, int rows, int bytes);
  // The norm of the whole residual stream at every chip, in the format that is multiplied.
  int norm_of_all(int shard, Weight weight);
  // Two passes: the sum of squares, then the product.
  int norm(int in_buffer, int per_token, int rows, int weights, Weight weight, int weight_period);
  int norm_heads(int buffer, int heads, Weight weight);
  int add_bias(int buffer, int heads, Weight weight);
  // Sums of all chips' summands, a shard to each, on top of the residual stream.
  int scatter(int summands, int residual, bool hand_on);

  // build_attention.cc
  int angles();
  int rotate(int buffer, int heads, int angles, int bytes);
  Access cache_access(const Planes& planes, const CachePart& part, bool write) const;
  int attend(int q, int k, int v, int kv, int per_kv, long long seen);
  // Into the cache at the token's position: which tile that is changes with it, so all sets of
  // planes keep a cycle for each row, and the switch of each hemisphere serves its own. The cycle
  // in which all is written.
  std::int64_t append(Op op, int buffer, int head, const CachePart& part, int rows);
  // The largest score of each query, then exponentials, and their sums, which whoever has
  // multiplied the values divides by.
  std::pair<int, int> softmax(int scores, int spans, int rows);
  // Heads close together, as the next matrix multiplies them.
  int pack(int heads_buffer, int heads);

  static constexpr std::int64_t kNever = -2;
  const BuildOptions& o_;
  const Target& target_;
  const Shape& shape_;
  const int tokens_, shard_, exchange_;
  int ports_ = 0;
  Resources resources_;
  Segment segment_;
  std::vector<Buffer> buffers_;
  std::vector<std::int64_t> next_scratch_, next_constant_, next_tile_, next_expert_tile_;
  std::vector<std::pair<std::array<int, 4>, Access>> expert_tiles_;
  std::vector<std::pair<std::int64_t, std::int64_t>> multiplied_;
  std::int64_t routed_ = 0;  // the cycle from which the chosen experts are known
  int residual_ = 0, choice_ = 0, turn_ = 0;
  std::size_t constant_turn_ = 0;
};

}  // namespace medley::lpu::chip
