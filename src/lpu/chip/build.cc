#include "lpu/chip/build.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "base/check.h"
#include "lpu/chip/builder.h"

namespace medley::lpu::chip {
namespace {

// Sets of slices beside the stripes, wide enough for one wide number.
int ports(const Target& target) {
  return std::min((target.slices - stripe_slices(target)) / kWide, target.streams / kWide);
}

std::string too_long(const BuildOptions& options, long long rows) {
  return fmt::format(
      "a sweep over {} positions for {} token{} needs {} rows beside the weights, and a bank has "
      "{}; "
      "try a shorter context",
      options.context, options.tokens, options.tokens == 1 ? "" : "s", rows,
      options.target.rows_per_bank);
}

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

Builder::Builder(const BuildOptions& options, SegmentKind kind, std::string name)
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

void Builder::embed(int part, int parts) {
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
  add_write(in, {out, 0, shard_ * tokens_}, lag + target_.gather_latency + target_.vector_latency);
  emit(std::move(in));
  segment_.part = part;
}

void Builder::layer(const LayerKind& kind) {
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

void Builder::head(int part, int parts) {
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

void Builder::hand_on(HandOn what, bool other_node) {
  for (const auto& [buffer, rows, wanted] :
       {std::tuple(residual_, shard_ * tokens_, what != HandOn::kChoice),
        std::tuple(choice_, tokens_, what != HandOn::kStream)}) {
    if (!wanted)
      continue;
    send_next(buffer, rows, other_node);
    takes(buffer);
    hands_on(buffer);
  }
}

Result<Segment> Builder::finish() {
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

Result<Segment> build_hand_on(const BuildOptions& options, HandOn what, bool other_node) {
  std::string name = what == HandOn::kChoice ? "hand back" : "hand on";
  if (!other_node)
    name += " within a node";
  Builder builder(options, SegmentKind::kHandOn, std::move(name));
  builder.hand_on(what, other_node);
  return builder.finish();
}

}  // namespace medley::lpu::chip
