#include "lpu/chip/build.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <optional>

#include "base/check.h"
#include "lpu/chip/layout.h"
#include "lpu/chip/plant.h"
#include "lpu/chip/resources.h"

namespace medley::lpu::chip {
namespace {

constexpr int kWide = 4;  // bytes of a number between operations: F32

// Sets of slices beside the stripes, wide enough for one wide number.
int ports(const Target& target) {
  return std::min((target.slices - stripe_slices(target)) / kWide, target.streams / kWide);
}

struct Buffer {
  int hemisphere = 0, slice = 0, bank = 0, row = 0, rows = 0, bytes = kWide;
  Area area = Area::kScratch;
  std::vector<std::int64_t> ready;  // by row: the cycle it is written in; before the start: -1
};

struct Operand {
  int buffer = 0, row = 0, rows = 0;
  int period = 1;
};

std::string too_long(const BuildOptions& options, long long rows) {
  return fmt::format(
      "a sweep over {} positions for {} token{} needs {} rows beside the weights, and a bank has "
      "{}; "
      "try a shorter context",
      options.context, options.tokens, options.tokens == 1 ? "" : "s", rows,
      options.target.rows_per_bank);
}

class Builder {
 public:
  Builder(const BuildOptions& options, SegmentKind kind, std::string name)
      : o_(options),
        target_(options.target),
        shape_(options.shape),
        tokens_(options.tokens),
        shard_(shard_rows(options.target, options.shape, options.group)),
        exchange_(std::max(2, options.weights.activation_bytes)),
        resources_(options.target) {
    segment_.kind = kind;
    segment_.name = std::move(name);
    segment_.tokens = tokens_;
    ports_ = ports(target_);
    next_scratch_.resize(static_cast<std::size_t>(places()));
    next_constant_.resize(static_cast<std::size_t>(target_.hemispheres * target_.banks));
    next_tile_.resize(static_cast<std::size_t>(plane_sets(target_, o_.weights) * target_.banks));
    next_expert_tile_.resize(next_tile_.size());
    multiplied_.resize(static_cast<std::size_t>(target_.hemispheres * target_.planes));
    // The residual stream and the token (each token's number; then the choice so far) are at the
    // same place in all segments.
    residual_ = allocate_at(0, 0, 0, shard_ * tokens_, kWide, -1);
    choice_ = allocate_at(0, 0, 0, tokens_, kWide, -1);
  }

  void embed(int part, int parts) {
    const int here = divided(shape_.vocabulary, parts);
    const NumberFormat& format = o_.weights;
    // Row v of the table, as wide as the shard, in each set of planes and bank by turns.
    const int sets = plane_sets(target_, format);
    const Planes any = planes_of(target_, format, 0);
    const int side_by_side = any.slices / format.bytes;
    const int rows = divided(here, 1LL * sets * target_.banks * side_by_side) * shard_;
    segment_.rows[static_cast<int>(Area::kWeights)] = rows;
    use(Area::kWeights, 1LL * here * shape_.width * format.bytes / o_.group);
    Instruction in{
        .op = Op::kEmbed, .unit = {.kind = UnitKind::kVector}, .weight = Weight::kEmbedding};
    in.n = part * here;
    in.columns = here;
    for (int set = 0; set < sets; ++set) {
      const Planes planes = planes_of(target_, format, set);
      for (int bank = 0; bank < target_.banks; ++bank) {
        in.accesses.push_back({.indirect = true,
                               .area = Area::kWeights,
                               .hemisphere = static_cast<std::uint8_t>(planes.hemisphere),
                               .bank = static_cast<std::uint8_t>(bank),
                               .slice = static_cast<std::int16_t>(planes.slice),
                               .slices = static_cast<std::int16_t>(planes.slices),
                               .rows = shard_ * tokens_,
                               .cycle = 1,  // when the number is known
                               .streams = 0,
                               .lanes = static_cast<std::int16_t>(target_.lanes),
                               .range = rows});
        // One of the sets answers, so the streams of one are taken in each hemisphere.
        if (bank == 0 && planes.first == 0)
          in.accesses.back().streams = static_cast<std::int16_t>(format.bytes);
      }
    }
    add_read(in, {choice_, 0, tokens_});
    takes(choice_);
    if (part > 0) {  // what an earlier part found stays
      add_read(in, {residual_, 0, shard_ * tokens_});
      takes(residual_);
    }
    const int out = duplicate_place(residual_);
    hands_on(out);
    if (part + 1 < parts)
      hands_on(choice_);
    std::int64_t lag = 0;
    for (const Access& access : in.accesses) {
      lag = std::max(lag, access.cycle);
      in.busy = std::max(in.busy, last_cycle(access) + 1);
    }
    add_write(in, {out, 0, shard_ * tokens_},
              lag + target_.gather_latency + target_.vector_latency);
    emit(std::move(in));
    segment_.part = part;
  }

  void layer(const LayerKind& kind) {
    const int group = o_.group, size = shape_.head_size;
    const int kv = divided(shape_.kv_heads, group);  // heads of a chip
    const int per_kv = shape_.heads_per_kv_head();
    const int heads = kv * per_kv;
    const long long seen = positions_kept(kind, o_.context);
    const std::vector<int> by_head(static_cast<std::size_t>(heads), size);
    const std::vector<int> by_kv_head(static_cast<std::size_t>(kv), size);

    takes(residual_);
    const int normed = norm_of_all(residual_, Weight::kAttnNorm);
    int q = allocate(heads * tokens_, kWide), k = allocate(kv * tokens_, kWide),
        v = allocate(kv * tokens_, kWide);
    multiply_all({{Weight::kQuery, q, by_head},
                  {Weight::kKey, k, by_kv_head},
                  {Weight::kValue, v, by_kv_head}},
                 normed, width_lanes());
    if (shape_.biases) {
      q = add_bias(q, heads, Weight::kQueryBias);
      k = add_bias(k, kv, Weight::kKeyBias);
      v = add_bias(v, kv, Weight::kValueBias);
    }
    if (shape_.head_norms) {
      q = norm_heads(q, heads, Weight::kQueryNorm);
      k = norm_heads(k, kv, Weight::kKeyNorm);
    }
    const int angles = this->angles();
    const int cache_bytes = o_.cache.activation_bytes;
    q = rotate(q, heads, angles, cache_bytes);
    k = rotate(k, kv, angles, o_.cache.bytes);
    v = vector(Op::kCopy, {{v, 0, kv * tokens_}}, kv * tokens_, o_.cache.bytes);

    const int attended = attend(q, k, v, kv, per_kv, seen);
    const int summed = multiply_to_sum({{Weight::kAttnOut, -1}}, {attended}, {packed_lanes(heads)});
    const int stream = scatter(summed, residual_, false);

    const int ready = norm_of_all(stream, Weight::kFfnNorm);
    int sum = 0;
    if (kind.experts) {
      sum = experts(ready);
    } else {
      const std::vector<int> inner = parts_of(divided(shape_.inner, group), target_.lanes);
      const int gated = gate(ready, inner, -1, -1);
      sum = multiply_to_sum({{Weight::kDown, -1}}, {gated}, {inner});
    }
    hands_on(scatter(sum, stream, true));
  }

  void head(int part, int parts) {
    const int here = divided(divided(shape_.vocabulary, parts), o_.group);
    takes(residual_);
    hands_on(residual_);
    const int normed = norm_of_all(residual_, Weight::kOutputNorm);
    const std::vector<int> outputs = parts_of(here, target_.lanes);
    const int rows = static_cast<int>(outputs.size());
    const int logits = allocate(rows, kWide);
    multiply_all({{Weight::kHead, logits, outputs}}, normed, width_lanes());
    // The best of the chip's part, then of all chips and of the parts before.
    const int best = vector(Op::kChoose, {{logits, 0, rows}}, 1, kWide, target_.reduce_cycles);
    const int all = exchange(best, 1, kWide);
    std::vector<Operand> operands{{all, 0, o_.group}};
    if (part > 0) {
      operands.push_back({choice_, 0, 1});
      takes(choice_);
    }
    const int out = duplicate_place(choice_);
    hands_on(out);
    vector_into(Op::kChoose, operands, out, 0, 1, target_.reduce_cycles).first = false;
    segment_.part = part;
    last_instruction().n = part;
  }

  void hand_on(HandOn what) {
    for (const auto& [buffer, rows, wanted] :
         {std::tuple(residual_, shard_ * tokens_, what != HandOn::kChoice),
          std::tuple(choice_, tokens_, what != HandOn::kStream)}) {
      if (!wanted)
        continue;
      send_next(buffer, rows);
      takes(buffer);
      hands_on(buffer);
    }
  }

  Result<Segment> finish() {
    const auto fail = [&](const std::string& message) {
      return Error{
          ErrorCode::kInvalid, fmt::format("{} on {}: {}", shape_.name, target_.id, message), {}};
    };
    for (const std::int64_t row : next_scratch_) {
      if (row > target_.rows_per_bank) {
        return fail(fmt::format(
            "what lies beside the weights for {} token{} on {} chip{} takes {} rows of a bank that "
            "has {}; a context shorter than {} or another number of chips a group may take less",
            o_.tokens, o_.tokens == 1 ? "" : "s", o_.group, o_.group == 1 ? "" : "s", row,
            target_.rows_per_bank, o_.context));
      }
    }
    segment_.rows[static_cast<int>(Area::kScratch)] =
        *std::max_element(next_scratch_.begin(), next_scratch_.end());
    segment_.rows[static_cast<int>(Area::kConstants)] =
        *std::max_element(next_constant_.begin(), next_constant_.end());
    const auto stripes = [&](Area area, const std::vector<std::int64_t>& next) {
      auto& rows = segment_.rows[static_cast<int>(area)];
      for (const std::int64_t row : next)
        rows = std::max(rows, row);
    };
    stripes(Area::kWeights, next_tile_);
    stripes(Area::kExperts, next_expert_tile_);
    for (const Instruction& in : segment_.instructions) {
      segment_.cycles = std::max(segment_.cycles, in.start + in.busy);
      for (const Access& access : in.accesses) {
        const bool first_only = planted(ScheduleBug::kEndTooEarly) && access.remote;
        segment_.cycles = std::max(segment_.cycles,
                                   in.start + (first_only ? access.cycle : last_cycle(access)) + 1);
      }
    }
    return std::move(segment_);
  }

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

  // --- Memory ---

  void use(Area area, std::int64_t bytes) { segment_.used_bytes[static_cast<int>(area)] += bytes; }

  int places() const { return target_.hemispheres * (ports_ - 1) * target_.banks; }

  int allocate_at(int hemisphere, int port, int bank, int rows, int bytes, std::int64_t ready) {
    const int place = (port * target_.banks + bank) * target_.hemispheres + hemisphere;
    std::int64_t& next = next_scratch_[static_cast<std::size_t>(place)];
    buffers_.push_back({.hemisphere = hemisphere,
                        .slice = stripe_slices(target_) + port * kWide,
                        .bank = bank,
                        .row = static_cast<int>(next),
                        .rows = rows,
                        .bytes = bytes,
                        .area = Area::kScratch,
                        .ready = std::vector<std::int64_t>(static_cast<std::size_t>(rows), ready)});
    next += rows - (planted(ScheduleBug::kBuffersOverlap) && rows > 1 ? 1 : 0);
    return static_cast<int>(buffers_.size()) - 1;
  }

  // The next place by turns at which none of `avoid` lies.
  int allocate(int rows, int bytes, const std::vector<Operand>& avoid = {}) {
    const int count = places();
    int chosen = turn_ % count;
    for (int i = 0; i < count; ++i) {
      const int place = (turn_ + i) % count;
      const auto [hemisphere, port, bank] = place_of(place);
      const bool taken = std::any_of(avoid.begin(), avoid.end(), [&](const Operand& operand) {
        const Buffer& b = buffers_[static_cast<std::size_t>(operand.buffer)];
        return b.hemisphere == hemisphere && b.bank == bank &&
               b.slice == stripe_slices(target_) + port * kWide;
      });
      if (!taken) {
        chosen = place;
        break;
      }
    }
    turn_ = chosen + 1;
    const auto [hemisphere, port, bank] = place_of(chosen);
    return allocate_at(hemisphere, port, bank, rows, bytes, kNever);
  }

  std::array<int, 3> place_of(int place) const {
    const int rest = place / target_.hemispheres;
    return {place % target_.hemispheres, rest / target_.banks, rest % target_.banks};
  }

  // Another value at the place of a buffer: what is handed on.
  int duplicate_place(int buffer) {
    Buffer copy = buffers_[static_cast<std::size_t>(buffer)];
    std::fill(copy.ready.begin(), copy.ready.end(), kNever);
    buffers_.push_back(std::move(copy));
    return static_cast<int>(buffers_.size()) - 1;
  }
  void takes(int buffer) {
    segment_.inputs.push_back(
        access_of({buffer, 0, buffers_[static_cast<std::size_t>(buffer)].rows}));
  }
  void hands_on(int buffer) {
    segment_.outputs.push_back(
        access_of({buffer, 0, buffers_[static_cast<std::size_t>(buffer)].rows}));
  }

  // Constants lie in the last port, in banks by turns.
  int constant(int rows) {
    const std::size_t place = constant_turn_++ % next_constant_.size();
    std::int64_t& next = next_constant_[place];
    buffers_.push_back({.hemisphere = static_cast<int>(place) % target_.hemispheres,
                        .slice = stripe_slices(target_) + (ports_ - 1) * kWide,
                        .bank = static_cast<int>(place) / target_.hemispheres,
                        .row = static_cast<int>(next) -
                               (planted(ScheduleBug::kConstantsOverlap) && next > 0 ? 1 : 0),
                        .rows = rows,
                        .bytes = kWide,
                        .area = Area::kConstants,
                        .ready = std::vector<std::int64_t>(static_cast<std::size_t>(rows), -1)});
    next += rows;
    return static_cast<int>(buffers_.size()) - 1;
  }

  // --- Instructions ---

  Access access_of(const Operand& operand) const {
    const Buffer& b = buffers_[static_cast<std::size_t>(operand.buffer)];
    MEDLEY_CHECK(operand.row + operand.rows <= b.rows, segment_.name);
    return {.area = b.area,
            .hemisphere = static_cast<std::uint8_t>(b.hemisphere),
            .bank = static_cast<std::uint8_t>(b.bank),
            .slice = static_cast<std::int16_t>(b.slice),
            .slices = static_cast<std::int16_t>(b.bytes),
            .row = b.row + operand.row,
            .rows = operand.rows,
            .period = operand.period,
            .streams = static_cast<std::int16_t>(b.bytes),
            .lanes = static_cast<std::int16_t>(target_.lanes),
            .value = b.area == Area::kScratch ? operand.buffer : kNoValue};
  }
  Access read_of(const Operand& operand) const { return access_of(operand); }

  static std::int64_t last_cycle(const Access& access) {
    return access.cycle + std::int64_t{access.rows - 1} * access.period;
  }
  static bool meet(const Access& a, const Access& b, bool whole_slice) {
    return a.hemisphere == b.hemisphere && a.slice < b.slice + b.slices &&
           b.slice < a.slice + a.slices && (whole_slice || a.bank == b.bank) &&
           a.cycle <= last_cycle(b) && b.cycle <= last_cycle(a);
  }

  // Reads side by side where their slices allow it, else one after the other.
  void add_read(Instruction& in, const Operand& operand, std::int64_t earliest = 0) const {
    Access access = read_of(operand);
    access.cycle = earliest;
    for (bool again = true; again;) {
      again = false;
      for (const Access& other : in.accesses) {
        if (!other.write && meet(access, other, true)) {
          access.cycle = last_cycle(other) + 1;
          again = true;
        }
      }
    }
    in.accesses.push_back(access);
  }

  // Later where a bank of it is still read.
  Access& add_write(Instruction& in, const Operand& operand, std::int64_t cycle) const {
    Access access = access_of(operand);
    access.write = true;
    access.cycle = cycle;
    for (const Access& other : in.accesses) {
      if (meet(access, other, other.write))
        access.cycle = last_cycle(other) + 1;
    }
    if (planted(ScheduleBug::kResultTooEarly))
      access.cycle = std::max<std::int64_t>(0, access.cycle - 1);
    in.accesses.push_back(access);
    return in.accesses.back();
  }

  // The cycle from which all that is read is there.
  std::int64_t ready_for(const Instruction& in) const {
    std::int64_t ready = 0;
    int reads = 0;
    for (const Access& access : in.accesses) {
      if (access.write || access.value == kNoValue)
        continue;
      if (planted(ScheduleBug::kOperandForgotten) && ++reads == 2)
        continue;
      const Buffer& b = buffers_[static_cast<std::size_t>(access.value)];
      const int turns = access.peer == kNoPeer ? 1 : o_.group;
      for (int peer = 0; peer < turns; ++peer) {
        for (int i = 0; i < access.rows; ++i) {
          const int row = access.row - b.row + i + peer * access.peer_rows;
          if (row >= b.rows)
            continue;
          const std::int64_t written = b.ready[static_cast<std::size_t>(row)];
          MEDLEY_CHECK(written != kNever, segment_.name);
          ready = std::max(ready, written + (planted(ScheduleBug::kReadTooEarly) ? -1 : 1) -
                                      access.cycle - std::int64_t{i} * access.period);
        }
      }
    }
    return ready;
  }

  Instruction& emit(Instruction in, std::int64_t ready = 0, int preferred = -1) {
    if (planted(ScheduleBug::kUnitOfNone) && in.unit.kind == UnitKind::kVector)
      in.unit.count = 0;
    resources_.place(in, std::max(ready, ready_for(in)), preferred);
    for (const Access& access : in.accesses) {
      if (!access.write || access.value == kNoValue)
        continue;
      Buffer& b = buffers_[static_cast<std::size_t>(access.value)];
      const int turns = access.peer == kNoPeer ? 1 : o_.group;
      for (int peer = 0; peer < turns; ++peer) {
        for (int i = 0; i < access.rows; ++i) {
          const int row = access.row - b.row + i + peer * access.peer_rows;
          auto& written = b.ready[static_cast<std::size_t>(row)];
          written = std::max(written, in.start + access.cycle + std::int64_t{i} * access.period);
        }
      }
    }
    segment_.instructions.push_back(std::move(in));
    return segment_.instructions.back();
  }
  Instruction& last_instruction() { return segment_.instructions.back(); }

  // A pass of the vector unit: row i of the result follows from row i of the operands. `after`
  // cycles more for what crosses the lanes.
  Instruction& vector_into(Op op, const std::vector<Operand>& operands, int out, int out_row,
                           int rows, int after = 0, Weight weight = Weight::kNone) {
    Instruction in{.op = op, .unit = {.kind = UnitKind::kVector}, .weight = weight};
    for (const Operand& operand : operands)
      add_read(in, operand);
    std::int64_t lag = 0;  // of the last operand's first row
    for (const Access& access : in.accesses) {
      lag = std::max(lag, access.cycle);
      in.busy = std::max(in.busy, last_cycle(access) + 1);
    }
    in.busy = std::max<std::int64_t>(in.busy, lag + rows);
    // What is one number for all rows needs all rows.
    if (after > 0)
      lag = in.busy - rows;
    add_write(in, {out, out_row, rows}, lag + target_.vector_latency + after);
    return emit(std::move(in));
  }
  int vector(Op op, const std::vector<Operand>& operands, int rows, int bytes, int after = 0,
             Weight weight = Weight::kNone) {
    const int out = allocate(rows, bytes, operands);
    vector_into(op, operands, out, 0, rows, after, weight);
    return out;
  }

  // A pass of the switch over rows.
  Instruction& switch_into(Op op, const Operand& from, const Operand& to, int lane, int lanes) {
    const int hemisphere = buffers_[static_cast<std::size_t>(from.buffer)].hemisphere;
    Instruction in{
        .op = op,
        .unit = {.kind = UnitKind::kSwitch, .hemisphere = static_cast<std::uint8_t>(hemisphere)}};
    add_read(in, from);
    in.busy = from.rows;
    int latency = target_.switch_latency;
    if (planted(ScheduleBug::kWrongUnit)) {
      in.unit = {.kind = UnitKind::kVector};
      latency = target_.vector_latency;
    }
    Access& written = add_write(in, to, latency);
    written.lane = static_cast<std::int16_t>(lane);
    written.lanes = static_cast<std::int16_t>(lanes);
    return emit(std::move(in));
  }

  // --- Matrices ---

  // A tile's place: stripes and banks by turns.
  Access tile_of(const Planes& planes, int set, int rows, bool expert) {
    auto& next = expert ? next_expert_tile_ : next_tile_;
    const auto banks = static_cast<std::size_t>(target_.banks);
    const auto first =
        next.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(set) * banks);
    const auto least = std::min_element(first, first + target_.banks);
    Access access = stripe(planes, static_cast<int>(least - first));
    access.area = expert ? Area::kExperts : Area::kWeights;
    access.indirect = expert;
    access.row = static_cast<std::int32_t>(*least);
    access.rows = rows;
    if (planted(ScheduleBug::kChunkElsewhere) && tokens_ > 1)
      access.bank = static_cast<std::uint8_t>((access.bank + 1) % target_.banks);
    *least += rows - (planted(ScheduleBug::kTilesOverlap) && rows > 1 ? 1 : 0);
    return access;
  }

  Access stripe(const Planes& planes, int bank) const {
    return {.hemisphere = static_cast<std::uint8_t>(planes.hemisphere),
            .bank = static_cast<std::uint8_t>(bank),
            .slice = static_cast<std::int16_t>(planes.slice),
            .slices = static_cast<std::int16_t>(planes.slices),
            .streams = static_cast<std::int16_t>(planes.slices),
            .lanes = static_cast<std::int16_t>(target_.lanes)};
  }

  static Unit unit_of(const Planes& planes, UnitKind kind) {
    return {.kind = kind,
            .hemisphere = static_cast<std::uint8_t>(planes.hemisphere),
            .index = static_cast<std::int16_t>(planes.first),
            .count = static_cast<std::int16_t>(planes.count)};
  }

  // The next weights may come as soon as those before are multiplied with: a plane has room for
  // both.
  int install(const Planes& planes, Instruction in, const Access& tile, std::int64_t ready) {
    in.op = Op::kInstall;
    in.unit = unit_of(planes, UnitKind::kInstall);
    in.accesses.push_back(tile);
    in.busy = tile.rows;
    if (planted(ScheduleBug::kTileTooShort) && tile.rows > 1) {
      in.accesses.back().rows -= 1;
      in.busy -= 1;
    }
    if (planted(ScheduleBug::kWeightsTooSlow))
      in.accesses.back().period = 2;
    for (int i = 0; i < planes.count && !planted(ScheduleBug::kTileReplacedEarly); ++i)
      ready = std::max(ready, multiplied(planes, i).first);
    emit(std::move(in), ready);
    return static_cast<int>(segment_.instructions.size()) - 1;
  }

  // (start of the last product, its end) of a plane.
  std::pair<std::int64_t, std::int64_t>& multiplied(const Planes& planes, int i) {
    return multiplied_[static_cast<std::size_t>(planes.hemisphere * target_.planes + planes.first +
                                                i)];
  }

  // Rows of `from` through the tile. Writes rows of `to` (where `last`).
  void multiply(const Planes& planes, const NumberFormat& format, int tile, const Operand& from,
                const Operand& to, bool first, bool last, int detail = 0) {
    const Instruction& installed = segment_.instructions[static_cast<std::size_t>(tile)];
    Instruction in{.op = Op::kMultiply, .unit = unit_of(planes, UnitKind::kMultiply)};
    in.weight = installed.weight;
    in.n = installed.n;
    in.columns = installed.columns;
    in.k = installed.k;
    in.lanes = installed.lanes;
    in.chosen = installed.chosen;
    in.head = installed.head;
    in.tile = tile;
    in.first = first;
    in.last = last;
    in.detail = detail;
    const int cycles = format.cycles_per_vector;
    const int period = planted(ScheduleBug::kVectorsTooFast) ? 1 : cycles;
    Operand read = from;
    read.period = period;
    add_read(in, read);
    in.accesses.back().lanes = static_cast<std::int16_t>(in.lanes);
    in.busy = std::int64_t{from.rows} * cycles;
    if (last) {
      Operand write = to;
      write.period = period;
      add_write(in, write, target_.matrix_latency);
    }
    const std::int64_t ready = installed.start + installed.busy;
    segment_.macs += std::int64_t{in.columns} * in.lanes * from.rows;
    // On the streams that the weights came on: they are free now, and those of other planes stay
    // so.
    const Instruction& placed = emit(std::move(in), ready, installed.accesses.front().stream[0]);
    for (int i = 0; i < planes.count; ++i) {
      auto& times = multiplied(planes, i);
      times = {std::max(times.first, placed.start),
               std::max(times.second, placed.start + placed.busy)};
    }
  }

  // Products with one input: rows of all outputs to the sets of planes by turns, each row summed
  // over the input's rows.
  void multiply_all(const std::vector<Product>& products, int input,
                    const std::vector<int>& lanes) {
    struct Row {
      const Product* product;
      int row, n;
    };
    const int sets = plane_sets(target_, o_.weights);
    std::vector<std::vector<Row>> rows(static_cast<std::size_t>(sets));
    std::vector<int> load(static_cast<std::size_t>(sets), 0);
    for (const Product& product : products) {
      int n = 0;
      for (std::size_t row = 0; row < product.columns.size(); ++row) {
        const auto least = std::min_element(load.begin(), load.end()) - load.begin();
        rows[static_cast<std::size_t>(least)].push_back({&product, static_cast<int>(row), n});
        load[static_cast<std::size_t>(least)] +=
            tile_rows(target_, o_.weights, product.columns[row]);
        n += product.columns[row];
      }
    }
    std::size_t longest = 0;
    for (const auto& of_set : rows)
      longest = std::max(longest, of_set.size());
    for (std::size_t i = 0; i < longest; ++i) {
      int k = 0;
      for (std::size_t chunk = 0; chunk < lanes.size(); ++chunk) {
        for (int set = 0; set < sets; ++set) {
          if (i >= rows[static_cast<std::size_t>(set)].size())
            continue;
          const Row& row = rows[static_cast<std::size_t>(set)][i];
          tile_product(set, *row.product, row.row, row.n, static_cast<int>(chunk), k, lanes[chunk],
                       input, chunk == 0, chunk + 1 == lanes.size());
        }
        k += lanes[chunk];
      }
    }
  }

  void tile_product(int set, const Product& product, int row, int n, int chunk, int k, int lanes,
                    int input, bool first, bool last) {
    if (planted(ScheduleBug::kTileForgotten) && chunk < 2 && !(first && last)) {
      if (first)
        return;
      first = true;
    }
    if (planted(ScheduleBug::kSumRestarted))
      first = true;
    if (planted(ScheduleBug::kWrongPlane) && chunk == 1)
      set = (set + 1) % plane_sets(target_, o_.weights);
    const Planes planes = planes_of(target_, o_.weights, set);
    const int columns = product.columns[static_cast<std::size_t>(row)];
    Instruction in{.weight = product.weight};
    in.n = n;
    in.columns = columns;
    in.k = k;
    in.lanes = lanes;
    in.chosen = product.chosen;
    // The experts of a token share their places in the block of the one that was chosen.
    const bool expert = product.chosen >= 0;
    const auto key = std::array<int, 4>{static_cast<int>(product.weight), n, k, 0};
    Access place;
    if (expert) {
      const auto known = std::find_if(expert_tiles_.begin(), expert_tiles_.end(),
                                      [&](const auto& entry) { return entry.first == key; });
      if (known == expert_tiles_.end()) {
        place = tile_of(planes, set, tile_rows(target_, o_.weights, columns), true);
        expert_tiles_.emplace_back(key, place);
        use(Area::kExperts, 1LL * columns * lanes * o_.weights.bytes);
      } else {
        place = known->second;
      }
    } else {
      place = tile_of(planes, set, tile_rows(target_, o_.weights, columns), false);
      use(Area::kWeights, 1LL * columns * lanes * o_.weights.bytes);
    }
    const int tile = install(planes, std::move(in), place, expert ? routed_ : 0);
    if (planted(ScheduleBug::kWrongOperand))
      chunk = 0;
    multiply(planes, o_.weights, tile, {input, chunk * tokens_, tokens_},
             {product.out, row * tokens_, tokens_}, first, last);
  }

  // Lanes used of each row of the residual stream.
  std::vector<int> width_lanes() const {
    std::vector<int> lanes;
    for (int left = shape_.width; left > 0; left -= target_.lanes)
      lanes.push_back(std::min(left, target_.lanes));
    return lanes;
  }
  std::vector<int> packed_lanes(int heads) const {
    std::vector<int> lanes;
    for (int left = heads * shape_.head_size; left > 0; left -= target_.lanes)
      lanes.push_back(std::min(left, target_.lanes));
    return lanes;
  }

  // Products that are summands of the whole width, one for each chip: padded to whole shards.
  int multiply_to_sum(const std::vector<Summand>& weights, const std::vector<int>& inputs,
                      const std::vector<std::vector<int>>& lanes) {
    const std::vector<int> columns = width_lanes();
    const int rows = static_cast<int>(columns.size());
    const int all = o_.group * shard_;
    const int out = allocate(all * tokens_, exchange_);
    if (all > rows)
      vector_zero(out, rows * tokens_, (all - rows) * tokens_);
    const int sets = plane_sets(target_, o_.weights);
    int chunks = 0, chunk_count = 0;
    for (const auto& of_input : lanes)
      chunk_count += static_cast<int>(of_input.size());
    for (int first = 0; first < rows; first += sets) {
      chunks = 0;
      for (std::size_t w = 0; w < weights.size(); ++w) {
        int k = 0;
        for (std::size_t chunk = 0; chunk < lanes[w].size(); ++chunk, ++chunks) {
          for (int row = first; row < std::min(rows, first + sets); ++row) {
            const Product product{weights[w].weight, out, columns, weights[w].chosen};
            tile_product(row - first, product, row, row * target_.lanes, static_cast<int>(chunk), k,
                         lanes[w][chunk], inputs[w], chunks == 0, chunks + 1 == chunk_count);
          }
          k += lanes[w][chunk];
        }
      }
    }
    return out;
  }

  void vector_zero(int buffer, int row, int rows) {
    Instruction in{.op = Op::kZero, .unit = {.kind = UnitKind::kVector}};
    in.busy = rows;
    add_write(in, {buffer, row, rows}, target_.vector_latency);
    emit(std::move(in));
  }

  // --- Between chips ---

  // Sends `from` to the chip so far on, into `to`. What goes to other nodes shares a few links.
  void send(int distance, Access from, Access to, int bytes) {
    int cycles = target_.link_cycles(bytes * target_.lanes);
    const bool far = distance >= target_.node_chips;
    const int link = far ? target_.node_chips + distance % target_.far_links : distance;
    const int turn = planted(ScheduleBug::kLinkTwice) ? turn_++ : 0;
    Instruction in{
        .op = Op::kSend,
        .unit = {.kind = UnitKind::kLink,
                 .hemisphere = static_cast<std::uint8_t>((link + turn) % target_.hemispheres),
                 .index = static_cast<std::int16_t>(link)}};
    in.detail = distance;
    if (planted(ScheduleBug::kLinkTooFast) && cycles > 1)
      --cycles;
    from.period = cycles;
    to.period = cycles;
    to.write = true;
    to.remote = true;
    to.cycle = cycles + (far ? target_.far_latency : target_.link_latency) -
               (planted(ScheduleBug::kHopTooEarly) ? 1 : 0);
    in.busy = std::int64_t{cycles} * from.rows;
    in.accesses = {from, to};
    emit(std::move(in));
  }

  void send_next(int buffer, int rows) {
    const int cycles =
        target_.link_cycles(buffers_[static_cast<std::size_t>(buffer)].bytes * target_.lanes);
    Instruction in{.op = Op::kHandOn, .unit = {.kind = UnitKind::kNext}};
    Access from = read_of({buffer, 0, rows, cycles});
    Access to = access_of({buffer, 0, rows, cycles});
    to.write = true;
    to.remote = true;
    to.cycle = cycles + target_.next_latency;
    if (planted(ScheduleBug::kHalfHandedOn))
      to.lanes /= 2;
    in.busy = std::int64_t{cycles} * rows;
    in.accesses = {from, to};
    emit(std::move(in));
  }

  // Every chip's rows at all chips, in the order of the chips.
  int exchange(int mine, int rows, int bytes) {
    const Operand own{mine, 0, rows};
    const int all = allocate(o_.group * rows, bytes, {own});
    const auto slot = [&](int peer) {
      Access access = access_of({all, 0, rows});
      access.peer = static_cast<std::int16_t>(peer);
      access.peer_rows = rows;
      return access;
    };
    for (int distance = 1; distance < o_.group; ++distance)
      send(distance, read_of(own), slot(0), bytes);
    Instruction copy{.op = Op::kShift,
                     .unit = {.kind = UnitKind::kSwitch, .hemisphere = slot(0).hemisphere}};
    add_read(copy, own);
    copy.busy = rows;
    Access to = slot(0);
    to.write = true;
    to.cycle = target_.switch_latency;
    copy.accesses.push_back(to);
    emit(std::move(copy));
    return all;
  }

  // The norm of the whole residual stream at every chip, in the format that is multiplied.
  int norm_of_all(int shard, Weight weight) {
    const int rows = static_cast<int>(width_lanes().size());
    const int weights = constant(rows);
    use(Area::kConstants, 1LL * shape_.width * kWide);
    if (o_.group == 1)
      return norm(shard, rows, rows * tokens_, weights, weight, tokens_);
    const int mine = vector(Op::kCopy, {{shard, 0, shard_ * tokens_}}, shard_ * tokens_, exchange_);
    const int all = exchange(mine, shard_ * tokens_, exchange_);
    return norm(all, rows, rows * tokens_, weights, weight, tokens_);
  }

  // Two passes: the sum of squares, then the product.
  int norm(int in_buffer, int per_token, int rows, int weights, Weight weight, int weight_period) {
    const Operand all{in_buffer, 0, rows};
    const bool heads = weight == Weight::kQueryNorm || weight == Weight::kKeyNorm;
    const int out = allocate(rows, heads ? kWide : o_.weights.activation_bytes, {all});
    Instruction in{.op = Op::kNorm, .unit = {.kind = UnitKind::kVector}, .weight = weight};
    in.detail = per_token;
    const std::int64_t second = rows + target_.vector_latency + target_.reduce_cycles;
    add_read(in, all);
    add_read(in, all, second);
    add_read(in, {weights, 0, buffers_[static_cast<std::size_t>(weights)].rows, weight_period},
             second);
    in.busy = second + rows;
    add_write(in, {out, 0, rows}, second + target_.vector_latency);
    emit(std::move(in));
    return out;
  }

  int norm_heads(int buffer, int heads, Weight weight) {
    const int weights = constant(1);
    use(Area::kConstants, 1LL * shape_.head_size * kWide);
    return norm(buffer, 1, heads * tokens_, weights, weight, 1);
  }

  int add_bias(int buffer, int heads, Weight weight) {
    const int rows = heads * tokens_;
    const int bias = constant(heads);
    use(Area::kConstants, 1LL * heads * shape_.head_size * kWide);
    return vector(Op::kSum, {{buffer, 0, rows}, {bias, 0, heads, tokens_}}, rows, kWide, 0, weight);
  }

  // Sums of all chips' summands, a shard to each, on top of the residual stream.
  int scatter(int summands, int residual, bool hand_on) {
    const int rows = shard_ * tokens_;
    const auto slot = [&](int peer) {
      Access access = access_of({summands, 0, rows});
      access.peer = static_cast<std::int16_t>(peer);
      access.peer_rows = rows;
      return access;
    };
    std::vector<Operand> operands{{residual, 0, rows}};
    std::vector<int> received;
    for (int distance = 1; distance < o_.group; ++distance) {
      received.push_back(allocate(rows, exchange_, {{summands, 0, rows}}));
      send(distance, slot(distance), access_of({received.back(), 0, rows}), exchange_);
      if (!(planted(ScheduleBug::kChipForgotten) && distance > 1))
        operands.push_back({received.back(), 0, rows});
    }
    const int out = hand_on ? duplicate_place(residual_) : allocate(rows, kWide, operands);
    Instruction in{.op = Op::kSum, .unit = {.kind = UnitKind::kVector}};
    in.accesses.push_back(slot(0));
    for (const Operand& operand : operands)
      add_read(in, operand);
    std::int64_t lag = 0;
    for (const Access& access : in.accesses) {
      lag = std::max(lag, access.cycle);
      in.busy = std::max(in.busy, last_cycle(access) + 1);
    }
    add_write(in, {out, 0, rows}, lag + target_.vector_latency);
    emit(std::move(in));
    return out;
  }

  // --- Attention ---

  int angles() {
    Instruction in{.op = Op::kAngles, .unit = {.kind = UnitKind::kVector}};
    const int out = allocate(tokens_, kWide);
    in.busy = tokens_;
    add_write(in, {out, 0, tokens_}, target_.vector_latency);
    emit(std::move(in));
    return out;
  }

  int rotate(int buffer, int heads, int angles, int bytes) {
    const Operand all{buffer, 0, heads * tokens_};
    const int swapped = allocate(heads * tokens_, kWide, {all, {angles, 0, tokens_}});
    switch_into(Op::kSwap, all, {swapped, 0, heads * tokens_}, 0, target_.lanes);
    return vector(Op::kRotate, {all, {swapped, 0, heads * tokens_}, {angles, 0, tokens_}},
                  heads * tokens_, bytes);
  }

  // Where the cache of a KV head begins, in rows of its bank, and the access that reaches all of it
  // in one set of planes.
  struct CachePart {
    int bank = 0, row = 0, rows = 0;
  };
  Access cache_access(const Planes& planes, const CachePart& part, bool write) const {
    Access access = stripe(planes, part.bank);
    access.write = write;
    access.indirect = write;
    access.area = Area::kCache;
    access.row = part.row;
    access.range = write ? part.rows : 0;
    return access;
  }

  int attend(int q, int k, int v, int kv, int per_kv, long long seen) {
    const NumberFormat& format = o_.cache;
    const int size = shape_.head_size, lanes = target_.lanes;
    const int sets = plane_sets(target_, format);
    const int blocks = lanes / size;         // keys side by side in a vector
    const int spans = divided(seen, lanes);  // positions of a row of scores
    const int key_tiles = divided(spans, blocks);
    const int key_rows = tile_rows(target_, format, lanes),
              value_rows = tile_rows(target_, format, size);
    // Keys of even heads in bank 0 and values in bank 1; of odd heads the other way round.
    std::array<int, 2> next{0, 0};
    std::vector<CachePart> keys, values;
    for (int head = 0; head < kv; ++head) {
      const int bank = head % 2;
      keys.push_back(
          {bank, next[static_cast<std::size_t>(bank)], divided(key_tiles, sets) * key_rows});
      next[static_cast<std::size_t>(bank)] += keys.back().rows;
      values.push_back(
          {1 - bank, next[static_cast<std::size_t>(1 - bank)], divided(spans, sets) * value_rows});
      next[static_cast<std::size_t>(1 - bank)] += values.back().rows;
    }
    segment_.rows[static_cast<int>(Area::kCache)] = std::max(next[0], next[1]);
    use(Area::kCache, 2LL * kv * size * seen * format.bytes);

    // The token's own keys and values come first: its attention sees them.
    std::vector<std::int64_t> key_ready, value_ready;
    for (int head = 0; head < kv; ++head) {
      key_ready.push_back(append(Op::kAppendKey, k, head, keys[static_cast<std::size_t>(head)], 1));
      value_ready.push_back(
          append(Op::kAppendValue, v, head, values[static_cast<std::size_t>(head)], value_rows));
    }
    // Queries once more for each place of keys in a vector, zeros elsewhere.
    std::vector<int> queries{q};
    const int query_rows = kv * per_kv * tokens_;
    for (int block = 1; block < std::min(blocks, spans); ++block) {
      queries.push_back(allocate(query_rows, format.activation_bytes, {{q, 0, query_rows}}));
      switch_into(Op::kShift, {q, 0, query_rows}, {queries.back(), 0, query_rows}, 0, lanes)
          .detail = -block * size;
    }

    const int rows = per_kv * tokens_;  // of a KV head
    std::vector<int> scores, shares, sums, outs;
    for (int head = 0; head < kv; ++head) {
      scores.push_back(allocate(spans * rows, kWide));
      for (int tile = 0; tile < key_tiles; ++tile) {
        const int set = (head + tile) % sets;
        const Planes planes = planes_of(target_, format, set);
        Access place = cache_access(planes, keys[static_cast<std::size_t>(head)], false);
        place.row += tile / sets * key_rows;
        place.rows = key_rows;
        Instruction in{.weight = Weight::kKey};
        in.n = tile;
        in.columns = lanes;
        in.lanes = lanes;
        in.head = head;
        const int installed = install(planes, std::move(in), place,
                                      planted(ScheduleBug::kCacheTooEarly)
                                          ? 0
                                          : key_ready[static_cast<std::size_t>(head)] + 1);
        for (int block = 0; block < blocks && tile * blocks + block < spans; ++block) {
          multiply(planes, format, installed,
                   {queries[static_cast<std::size_t>(block)], head * rows, rows},
                   {scores.back(), (tile * blocks + block) * rows, rows}, true, true, block);
        }
      }
    }
    for (int head = 0; head < kv; ++head) {
      const auto [share, sum] = softmax(scores[static_cast<std::size_t>(head)], spans, rows);
      shares.push_back(share);
      sums.push_back(sum);
    }
    const int out = allocate(kv * rows, o_.weights.activation_bytes);
    for (int head = 0; head < kv; ++head) {
      std::vector<Operand> partial;
      for (int first = 0; first < std::min(sets, spans); ++first)
        partial.push_back({allocate(rows, kWide), 0, rows});
      for (int span = 0; span < spans; ++span) {
        const int set = (head + span) % sets;
        const Planes planes = planes_of(target_, format, set);
        Access place = cache_access(planes, values[static_cast<std::size_t>(head)], false);
        place.row += span / sets * value_rows;
        place.rows = value_rows;
        Instruction in{.weight = Weight::kValue};
        in.n = span;
        in.columns = size;
        in.lanes = lanes;
        in.head = head;
        const int installed =
            install(planes, std::move(in), place, value_ready[static_cast<std::size_t>(head)] + 1);
        multiply(planes, format, installed,
                 {shares[static_cast<std::size_t>(head)], span * rows, rows},
                 partial[static_cast<std::size_t>(span % sets)], span < sets, span + sets >= spans);
      }
      std::vector<Operand> operands{{sums[static_cast<std::size_t>(head)], 0, rows}};
      if (planted(ScheduleBug::kPartialForgotten) && partial.size() > 1)
        partial.pop_back();
      operands.insert(operands.end(), partial.begin(), partial.end());
      vector_into(Op::kScale, operands, out, head * rows, rows);
    }
    return pack(out, kv * per_kv);
  }

  // Into the cache at the token's position: which tile that is changes with it, so all sets of
  // planes keep a cycle for each row, and the switch of each hemisphere serves its own. The cycle
  // in which all is written.
  std::int64_t append(Op op, int buffer, int head, const CachePart& part, int rows) {
    std::int64_t written = 0;
    for (int hemisphere = 0; hemisphere < target_.hemispheres; ++hemisphere) {
      Instruction in{
          .op = op,
          .unit = {.kind = UnitKind::kSwitch, .hemisphere = static_cast<std::uint8_t>(hemisphere)}};
      in.head = head;
      add_read(in, {buffer, head * tokens_, tokens_, rows});
      in.busy = std::int64_t{tokens_} * rows;
      for (int set = 0; set < plane_sets(target_, o_.cache); ++set) {
        const Planes planes = planes_of(target_, o_.cache, set);
        if (planes.hemisphere != hemisphere)
          continue;
        Access access = cache_access(planes, part, true);
        access.rows = tokens_ * rows;
        access.cycle = target_.switch_latency;
        // Transposed values fill the stripe, a row of it a cycle.
        if (op == Op::kAppendKey)
          access.streams = static_cast<std::int16_t>(o_.cache.bytes);
        in.accesses.push_back(access);
      }
      const Instruction& placed = emit(std::move(in));
      written = std::max(written, placed.start + last_cycle(placed.accesses.back()));
    }
    return written;
  }

  // The largest score of each query, then exponentials, and their sums, which whoever has
  // multiplied the values divides by.
  std::pair<int, int> softmax(int scores, int spans, int rows) {
    const Operand all{scores, 0, spans * rows};
    const int share = allocate(spans * rows, o_.cache.activation_bytes, {all});
    const int sum = allocate(rows, kWide, {all, {share, 0, 1}});
    Instruction in{.op = Op::kSoftmax, .unit = {.kind = UnitKind::kVector}};
    in.detail = spans;
    const std::int64_t second = spans * rows + target_.vector_latency + target_.reduce_cycles;
    add_read(in, all);
    add_read(in, all, second);
    in.busy = second + spans * rows;
    add_write(in, {share, 0, spans * rows}, second + target_.vector_latency);
    add_write(in, {sum, 0, rows},
              second + spans * rows + target_.vector_latency + target_.reduce_cycles);
    emit(std::move(in));
    return {share, sum};
  }

  // Heads close together, as the next matrix multiplies them.
  int pack(int heads_buffer, int heads) {
    const int size = shape_.head_size, lanes = target_.lanes;
    const int bytes = o_.weights.activation_bytes;
    const int rows = divided(heads * size, lanes);
    const int out = allocate(rows * tokens_, bytes, {{heads_buffer, 0, heads * tokens_}});
    for (int head = 0; head < heads; ++head) {
      for (int from = 0; from < size;) {
        const int at = head * size + from;
        const int count = std::min(size - from, lanes - at % lanes);
        Instruction& moved = switch_into(Op::kShift, {heads_buffer, head * tokens_, tokens_},
                                         {out, at / lanes * tokens_, tokens_}, at % lanes, count);
        moved.detail = from - at % lanes;  // how far down numbers are moved
        from += count;
      }
    }
    return out;
  }

  // --- Feed-forward ---

  int gate(int input, const std::vector<int>& inner, int chosen, int shares) {
    const int rows = static_cast<int>(inner.size()) * tokens_;
    const int gates = allocate(rows, kWide), ups = allocate(rows, kWide, {{gates, 0, rows}});
    multiply_all({{Weight::kGate, gates, inner, chosen}, {Weight::kUp, ups, inner, chosen}}, input,
                 width_lanes());
    std::vector<Operand> operands{{gates, 0, rows}, {ups, 0, rows}};
    if (shares >= 0)
      operands.push_back({shares, chosen, 1});
    return vector(Op::kGate, operands, rows, o_.weights.activation_bytes);
  }

  int experts(int input) {
    const std::vector<int> scores_columns = parts_of(shape_.experts, target_.lanes);
    const int score_rows = static_cast<int>(scores_columns.size());
    const int scores = allocate(score_rows * tokens_, kWide);
    multiply_all({{Weight::kRouter, scores, scores_columns}}, input, width_lanes());
    // One after the other the largest is found and left out.
    const int chosen = shape_.experts_per_token;
    const int shares = vector(Op::kRoute, {{scores, 0, score_rows * tokens_}}, chosen, kWide,
                              chosen * target_.reduce_cycles);
    routed_ = planted(ScheduleBug::kExpertTooEarly)
                  ? 0
                  : buffers_[static_cast<std::size_t>(shares)].ready.back() + 1;
    const std::vector<int> inner = parts_of(divided(shape_.expert_inner, o_.group), target_.lanes);
    std::vector<Summand> weights;
    std::vector<int> inputs;
    std::vector<std::vector<int>> lanes;
    for (int i = 0; i < chosen; ++i) {
      inputs.push_back(gate(input, inner, i, shares));
      weights.push_back({Weight::kDown, i});
      lanes.push_back(inner);
    }
    return multiply_to_sum(weights, inputs, lanes);
  }

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

Status possible(const BuildOptions& options) {
  const auto fail = [&](const std::string& message) {
    return Error{ErrorCode::kInvalid,
                 fmt::format("{} on {}: {}", options.shape.name, options.target.id, message),
                 {}};
  };
  if (options.shape.head_size > options.target.lanes) {
    return fail(fmt::format("a head of {} numbers does not fit a vector of {}",
                            options.shape.head_size, options.target.lanes));
  }
  if (options.context < 1)
    return fail("a context of no tokens");
  // The scores alone; what else there is, is counted when it is built.
  const long long rows = (options.context + options.target.lanes - 1) / options.target.lanes *
                         options.shape.heads_per_kv_head() * options.tokens;
  if (rows > options.target.rows_per_bank)
    return fail(too_long(options, rows));
  const int sums = options.tokens * options.shape.heads_per_kv_head();
  if (sums > options.target.accumulators) {
    return fail(fmt::format("{} queries of a KV head at once, and a plane keeps {} sums", sums,
                            options.target.accumulators));
  }
  return Done{};
}

}  // namespace

int shard_rows(const Target& target, const Shape& shape, int group) {
  return divided(divided(shape.width, target.lanes), group);
}

int vocabulary_parts(const BuildOptions& options) {
  const Target& target = options.target;
  const NumberFormat& format = options.weights;
  const int sets = plane_sets(target, format);
  const int lines = divided(options.shape.width, target.lanes);
  for (int parts = 1; parts <= 64; ++parts) {
    const int here = divided(options.shape.vocabulary, parts);
    const int side_by_side = planes_of(target, format, 0).slices / format.bytes;
    const long long embed = 1LL * divided(here, 1LL * sets * target.banks * side_by_side) *
                            shard_rows(target, options.shape, options.group);
    // Tiles of the head, spread over sets and banks.
    const std::vector<int> outputs = parts_of(divided(here, options.group), target.lanes);
    const long long head = 1LL * divided(static_cast<long long>(outputs.size()), sets) * lines *
                               tile_rows(target, format, outputs.front()) / target.banks +
                           tile_rows(target, format, outputs.front());
    if (std::max(embed, head) <= target.rows_per_bank)
      return parts;
  }
  return 0;
}

Result<Segment> build_layer(const BuildOptions& options, const LayerKind& kind) {
  MEDLEY_TRY_STATUS(possible(options));
  std::string name = kind.experts ? "expert layer" : "layer";
  if (kind.window > 0 && kind.window < options.context)
    name += fmt::format(", window {}", kind.window);
  Builder builder(options, SegmentKind::kLayer, name);
  builder.layer(kind);
  return builder.finish();
}

Result<Segment> build_embed(const BuildOptions& options, int part, int parts) {
  MEDLEY_TRY_STATUS(possible(options));
  Builder builder(options, SegmentKind::kEmbed,
                  parts == 1 ? "embedding" : fmt::format("embedding {}", part + 1));
  builder.embed(part, parts);
  return builder.finish();
}

Result<Segment> build_head(const BuildOptions& options, int part, int parts) {
  MEDLEY_TRY_STATUS(possible(options));
  Builder builder(options, SegmentKind::kHead,
                  parts == 1 ? "head" : fmt::format("head {}", part + 1));
  builder.head(part, parts);
  return builder.finish();
}

Result<Segment> build_hand_on(const BuildOptions& options, HandOn what) {
  Builder builder(options, SegmentKind::kHandOn, what == HandOn::kChoice ? "hand back" : "hand on");
  builder.hand_on(what);
  return builder.finish();
}

}  // namespace medley::lpu::chip
