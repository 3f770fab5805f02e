#include "lpu/chip/compile.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "lpu/chip/build.h"
#include "lpu/chip/layout.h"
#include "lpu/chip/plant.h"

namespace medley::lpu::chip {
namespace {

// Groups that are tried, and can be asked for: every size that divides a node, up to so many chips,
// then whole nodes. Others would stand in two nodes, and all their exchanges take the time between.
constexpr int kMostInNode = 64, kMostNodes = 8, kMostGroup = 256;
// Of a layer, as Least counts them: far more than any known model's has (3,877 with
// Llama 3.1 405B), and few enough to be placed in seconds.
constexpr double kMostInstructions = 20000;

constexpr std::array kHandsOn{HandOn::kStream, HandOn::kStreamAndChoice, HandOn::kChoice};

constexpr std::size_t at(Area area) { return static_cast<std::size_t>(area); }

// What is put on stages, in the order of a token's way.
struct Item {
  int segment = 0;
  int layer = -1;
};

class Compiler {
 public:
  Compiler(const Shape& shape, const Target& target, const CompileOptions& options,
           const NumberFormat& weights, const NumberFormat& cache, int group)
      : shape_(shape),
        target_(target),
        options_(options),
        build_{.target = target,
               .shape = shape,
               .weights = weights,
               .cache = cache,
               .group = group,
               .context = options.context} {
    Schedule& s = compiled_.schedule;
    s.model = shape.name;
    s.target = target.id;
    s.weights = weights.precision;
    s.cache = cache.precision;
    s.group = group;
    s.node = std::min(group, target.node_chips);
    s.shard_rows = shard_rows(target, shape, group);
    s.experts = shape.experts;
    s.lanes = target.lanes;
    s.context = options.context;
    s.streams = options.streams;
  }

  Status run() {
    MEDLEY_TRY_STATUS(build_segments());
    MEDLEY_TRY_STATUS(put_on_stages());
    time_token();
    return Done{};
  }
  Compiled& compiled() { return compiled_; }

  // Segments for chunks of prompts and their time, on the stages as they are.
  Status add_prefill() {
    BuildOptions build = build_;
    // Tokens of a chunk choose experts of their own, so they go one by one.
    build.tokens = shape_.experts > 0 ? 1 : kChunkTokens;
    Schedule& s = compiled_.schedule;
    std::vector<Segment> chunk;  // in place of each segment
    while (true) {
      chunk.clear();
      std::optional<Error> error;
      for (std::size_t i = 0; i < s.segments.size(); ++i) {
        Result<Segment> built = prefill_segment(build, i);
        if (!built.ok()) {
          error = built.error();
          break;
        }
        chunk.push_back(std::move(built).value());
      }
      if (!error)
        break;
      if (build.tokens == 1)
        return *error;
      build.tokens /= 2;
    }
    compiled_.prefill_tokens = build.tokens;
    for (const Stage& stage : s.stages) {
      std::int64_t kept = 0;
      for (const Run& run : stage.runs) {
        const Segment& segment = chunk[static_cast<std::size_t>(run.segment)];
        compiled_.prefill_cycles += segment.cycles;
        if (segment.kind == SegmentKind::kHead)
          continue;  // after the last chunk only
        kept += segment.kind == SegmentKind::kHandOn ? segment.instructions.front().busy
                                                     : segment.cycles;
      }
      compiled_.prefill_interval_cycles = std::max(compiled_.prefill_interval_cycles, kept);
    }
    for (std::size_t i = 0; i < chunk.size(); ++i) {
      if (chunk[i].tokens > 1) {
        chunk[i].chunk_of = static_cast<int>(i);
        s.segments.push_back(std::move(chunk[i]));
      }
    }
    return Done{};
  }

 private:
  Error fail(const std::string& message) const {
    return {ErrorCode::kInvalid, fmt::format("{} on {}: {}", shape_.name, target_.id, message), {}};
  }

  Result<Segment> prefill_segment(const BuildOptions& build, std::size_t index) const {
    const Segment& segment = compiled_.schedule.segments[index];
    switch (segment.kind) {
      case SegmentKind::kEmbed:
        return build_embed(build, segment.part, parts_);
      case SegmentKind::kLayer:
        return build_layer(build, shape_.kinds[index - static_cast<std::size_t>(parts_)]);
      case SegmentKind::kHead:
        break;  // of the last token only
      case SegmentKind::kHandOn: {
        const std::size_t which = index - static_cast<std::size_t>(hand_on_);
        if (kHandsOn[which / 2] == HandOn::kChoice)
          break;  // of the last token only
        return build_hand_on(build, kHandsOn[which / 2], which % 2 == 1);
      }
    }
    return segment;
  }

  Status build_segments() {
    std::vector<Segment>& segments = compiled_.schedule.segments;
    const int parts = parts_ = vocabulary_parts(build_);
    if (parts == 0) {
      return fail(fmt::format("a vocabulary of {} does not fit 64 groups of {} chips",
                              shape_.vocabulary, build_.group));
    }
    for (int part = 0; part < parts; ++part) {
      MEDLEY_TRY(Segment embed, build_embed(build_, part, parts));
      items_.push_back({static_cast<int>(segments.size()), -1});
      segments.push_back(std::move(embed));
    }
    const int first_kind = static_cast<int>(segments.size());
    for (const LayerKind& kind : shape_.kinds) {
      MEDLEY_TRY(Segment layer, build_layer(build_, kind));
      segments.push_back(std::move(layer));
    }
    const int layers =
        shape_.layers - (planted(ScheduleBug::kLayerForgotten) && shape_.layers > 1 ? 1 : 0);
    for (int layer = 0; layer < layers; ++layer) {
      const int kind = shape_.kind_of_layer[static_cast<std::size_t>(layer)];
      const bool windowed = planted(ScheduleBug::kWindowEverywhere) && shape_.kinds.size() > 1 &&
                            shape_.kinds[1].window > 0 && kind == 0;
      items_.push_back({first_kind + kind + (windowed ? 1 : 0), layer});
    }
    for (int part = 0; part < parts; ++part) {
      MEDLEY_TRY(Segment head, build_head(build_, part, parts));
      items_.push_back({static_cast<int>(segments.size()), -1});
      segments.push_back(std::move(head));
    }
    hand_on_ = static_cast<int>(segments.size());
    for (const HandOn what : kHandsOn) {
      for (const bool other_node : {false, true}) {
        MEDLEY_TRY(Segment segment, build_hand_on(build_, what, other_node));
        segments.push_back(std::move(segment));
      }
    }
    return Done{};
  }

  // Rows that an item takes of every bank of the stripes.
  std::int64_t stripe_rows(const Segment& segment, int streams) const {
    return segment.rows[at(Area::kWeights)] + segment.rows[at(Area::kExperts)] * shape_.experts +
           segment.rows[at(Area::kCache)] * streams;
  }

  // Fills stages in order, each with as much as it holds and `most_cycles` allow. Empty: some item
  // alone is too much.
  std::vector<std::vector<Item>> fill(std::int64_t most_cycles) const {
    std::vector<std::vector<Item>> stages;
    std::int64_t rows = 0, constants = 0, cycles = 0;
    for (const Item& item : items_) {
      const Segment& segment = compiled_.schedule.segments[static_cast<std::size_t>(item.segment)];
      const std::int64_t more =
          stripe_rows(segment, planted(ScheduleBug::kSramOver) ? 0 : options_.streams);
      const std::int64_t more_constants = segment.rows[at(Area::kConstants)];
      if (more > target_.rows_per_bank || more_constants > target_.rows_per_bank ||
          segment.cycles > most_cycles) {
        return {};
      }
      if (stages.empty() || rows + more > target_.rows_per_bank ||
          constants + more_constants > target_.rows_per_bank ||
          cycles + segment.cycles > most_cycles) {
        stages.emplace_back();
        rows = constants = cycles = 0;
      }
      rows += more;
      constants += more_constants;
      cycles += segment.cycles;
      stages.back().push_back(item);
    }
    return stages;
  }

  Status put_on_stages() {
    const std::vector<Segment>& segments = compiled_.schedule.segments;
    std::int64_t all = 0, most = 0;
    for (const Item& item : items_) {
      const Segment& segment = segments[static_cast<std::size_t>(item.segment)];
      if (const std::int64_t rows = stripe_rows(segment, options_.streams);
          rows > target_.rows_per_bank) {
        const std::int64_t free = target_.rows_per_bank - stripe_rows(segment, 0);
        const std::int64_t cache = segment.rows[at(Area::kCache)];
        return fail(
            free < cache || cache == 0
                ? fmt::format("one {} takes {} rows of a bank on {} chips, with the cache of one "
                              "stream of {} tokens, and a bank has {}; more chips a group or a "
                              "shorter context would fit",
                              segment.name, stripe_rows(segment, 1), build_.group, options_.context,
                              target_.rows_per_bank)
                : fmt::format("{} chips hold one {} and the cache of {} streams of {} tokens, not "
                              "of {}",
                              build_.group, segment.name, free / cache, options_.context,
                              options_.streams));
      }
      all += segment.cycles;
      most = std::max(most, segment.cycles);
    }
    std::vector<std::vector<Item>> stages = fill(all);
    const auto needed = static_cast<long long>(stages.size()) * build_.group;
    const long long given = options_.chips > 0 ? options_.chips : needed;
    if (stages.empty() || given < needed) {
      return fail(fmt::format("needs {} chips of {} in groups of {}, not {}", needed, target_.id,
                              build_.group, given));
    }
    if (needed > target_.most_chips) {
      return fail(fmt::format("needs {} chips, and no more than {} of {} can be joined", needed,
                              target_.most_chips, target_.id));
    }
    // The shortest longest stage that the chips allow: streams follow each other at its pace.
    std::int64_t low = most, high = all;
    while (low < high) {
      const std::int64_t middle = low + (high - low) / 2;
      const auto filled = fill(middle);
      if (!filled.empty() && static_cast<long long>(filled.size()) * build_.group <= given) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    stages = fill(high);

    compiled_.most_streams = -1;
    for (const std::vector<Item>& items : stages) {
      Stage stage{.first_chip = static_cast<int>(compiled_.schedule.stages.size()) * build_.group};
      // Weights of all runs first, then the caches: stream after stream, run after run.
      std::array<std::int64_t, kAreas> next{};
      std::int64_t weights = 0, cache = 0;
      for (const Item& item : items) {
        const Segment& segment = segments[static_cast<std::size_t>(item.segment)];
        Run run{.segment = item.segment, .layer = item.layer};
        run.base[at(Area::kWeights)] = weights;
        if (!planted(ScheduleBug::kRunsOverlap))
          weights += segment.rows[at(Area::kWeights)];
        run.base[at(Area::kExperts)] = weights;
        weights += segment.rows[at(Area::kExperts)] * shape_.experts;
        run.base[at(Area::kConstants)] = next[at(Area::kConstants)];
        next[at(Area::kConstants)] += segment.rows[at(Area::kConstants)];
        run.base[at(Area::kCache)] = cache;
        cache += segment.rows[at(Area::kCache)];
        stage.runs.push_back(run);
      }
      for (Run& run : stage.runs)
        run.base[at(Area::kCache)] += weights;
      if (cache > 0) {
        const long long room = (target_.rows_per_bank - weights) / cache;
        compiled_.most_streams =
            compiled_.most_streams < 0 ? room : std::min(compiled_.most_streams, room);
      }
      compiled_.schedule.stages.push_back(std::move(stage));
    }
    return Done{};
  }

  // From a stage to the next, or from the last back to the first.
  bool leads_to_other_node(std::size_t stage) const {
    const std::vector<Stage>& stages = compiled_.schedule.stages;
    const auto node = [&](std::size_t i) { return stages[i].first_chip / target_.node_chips; };
    return node(stage) != node((stage + 1) % stages.size()) &&
           !planted(ScheduleBug::kNodeForgotten);
  }

  HandOn handed_on(const Stage& stage) const {
    const Segment& last =
        compiled_.schedule.segments[static_cast<std::size_t>(stage.runs.back().segment)];
    if (last.kind == SegmentKind::kLayer)
      return HandOn::kStream;
    if (last.part + 1 < parts_)
      return HandOn::kStreamAndChoice;
    return last.kind == SegmentKind::kEmbed || planted(ScheduleBug::kChoiceForgotten)
               ? HandOn::kStream
               : HandOn::kChoice;
  }

  void time_token() {
    Schedule& s = compiled_.schedule;
    std::int64_t now = 0;
    for (std::size_t i = 0; i < s.stages.size(); ++i) {
      Stage& stage = s.stages[i];
      if (i == 0)
        stage.start = 0;
      for (Run& run : stage.runs) {
        run.start = now;
        now += s.segments[static_cast<std::size_t>(run.segment)].cycles -
               (planted(ScheduleBug::kRunTooEarly) ? 1 : 0);
      }
      stage.end = now;
      if (s.stages.size() == 1)
        break;
      const int what = static_cast<int>(handed_on(stage));
      const Run send{.segment = hand_on_ + 2 * what + (leads_to_other_node(i) ? 1 : 0),
                     .start = now};
      const Segment& segment = s.segments[static_cast<std::size_t>(send.segment)];
      for (const Instruction& in : segment.instructions)
        stage.end = std::max(stage.end, now + in.start + in.busy);
      // The first vector's arrival takes the next stage; the first one is taken for the next token.
      const Instruction& first = segment.instructions.front();
      const std::int64_t arrival = now + first.start + first.accesses.back().cycle;
      stage.runs.push_back(send);
      now += segment.cycles;
      if (i + 1 < s.stages.size())
        s.stages[i + 1].start = arrival;
      else if (!planted(ScheduleBug::kFirstStageFree))
        s.stages.front().start = arrival - now;
    }
    s.token_cycles = now;
    for (const Stage& stage : s.stages)
      s.interval_cycles = std::max(s.interval_cycles, stage.end - stage.start);
    compiled_.slots =
        static_cast<int>(std::max<std::int64_t>(1, s.token_cycles / s.interval_cycles));

    Spent sum;
    for (const Stage& stage : s.stages) {
      for (const Run& run : stage.runs) {
        const Spent of = spent(s.segments[static_cast<std::size_t>(run.segment)]);
        sum.matrix += of.matrix;
        sum.links += of.links;
        sum.vector += of.vector;
        sum.switches += of.switches;
        sum.latency += of.latency;
      }
    }
    const std::array<std::pair<std::int64_t, const char*>, 5> kinds{{{sum.matrix, "matrix"},
                                                                     {sum.links, "links"},
                                                                     {sum.vector, "vector"},
                                                                     {sum.switches, "switch"},
                                                                     {sum.latency, "latency"}}};
    compiled_.binds =
        std::max_element(kinds.begin(), kinds.end(), [](const auto& a, const auto& b) {
          return a.first < b.first;
        })->second;
  }

  const Shape& shape_;
  const Target& target_;
  const CompileOptions& options_;
  BuildOptions build_;
  Compiled compiled_;
  std::vector<Item> items_;
  int hand_on_ = 0, parts_ = 0;  // hand_on_: the first of two for each of kHandsOn
};

// What a model takes at least, before anything is laid out: bytes of weights and of cache without
// rounding, and instructions of a layer on one chip. All that cannot be is refused by it at once.
class Least {
 public:
  Least(const Shape& shape, const Target& target, const CompileOptions& options,
        const NumberFormat& weights, const NumberFormat& cache)
      : shape_(shape),
        target_(target),
        options_(options),
        chip_bytes_(1.0 * target.hemispheres * stripe_slices(target) * target.banks *
                    target.rows_per_bank * target.lanes) {
    const double width = shape.width;
    const double kv = 1.0 * shape.kv_heads * shape.head_size;
    weight_bytes_ = 2.0 * shape.vocabulary * width * weights.bytes;
    for (std::size_t i = 0; i < shape.kinds.size(); ++i) {
      const LayerKind& kind = shape.kinds[i];
      const double attention = width * (2.0 * shape.heads * shape.head_size + 2 * kv);
      const double forward =
          kind.experts ? 3 * width * shape.expert_inner * shape.experts : 3 * width * shape.inner;
      const double layer = (attention + forward) * weights.bytes;
      const double kept = 2 * kv * cache.bytes * options.streams *
                          static_cast<double>(positions_kept(kind, options.context));
      if (layer + kept > layer_bytes_ + cache_bytes_) {
        layer_bytes_ = layer;
        cache_bytes_ = kept;
      }
      const auto runs = static_cast<double>(
          std::count(shape.kind_of_layer.begin(), shape.kind_of_layer.end(), static_cast<int>(i)));
      weight_bytes_ += runs * layer;
      kept_bytes_ += runs * kept;
    }
  }

  // Empty: the model may fit. Else why no group does.
  std::optional<std::string> too_much() const {
    const auto chips = [&](double bytes) { return std::ceil(bytes / chip_bytes_); };
    if (chips(weight_bytes_ + kept_bytes_) > target_.most_chips) {
      return fmt::format(
          "needs at least {:.0f} chips for weights and caches, and no more than {} of {} can be "
          "joined{}",
          chips(weight_bytes_ + kept_bytes_), target_.most_chips, target_.id,
          chips(weight_bytes_) <= target_.most_chips
              ? "; a shorter context or fewer streams would take less"
              : "");
    }
    return std::nullopt;
  }
  // The same of groups of so many chips, of which there can be `most` in a group.
  std::optional<std::string> too_much(int group, int most) const {
    const double all = layer_bytes_ + cache_bytes_;
    if (all > group * chip_bytes_) {
      return fmt::format(
          "a layer takes at least {} of weights and {} of cache for {} stream{} of {} tokens, and "
          "{} chip{} {}; {}",
          size(layer_bytes_), size(cache_bytes_), options_.streams,
          options_.streams == 1 ? "" : "s", options_.context, group,
          group == 1 ? " holds" : "s hold", size(group * chip_bytes_),
          all <= most * chip_bytes_            ? "more chips a group or a shorter context would fit"
          : layer_bytes_ <= most * chip_bytes_ ? "a shorter context would fit"
                                               : fmt::format("a group has at most {} chips", most));
    }
    if (const double count = instructions(group); count > kMostInstructions) {
      return fmt::format(
          "a layer takes about {:.0f} instructions of each of {} chip{}, and at most {:.0f} are "
          "scheduled: {} KV heads over {} positions, {} wide",
          count, group, group == 1 ? "" : "s", kMostInstructions, shape_.kv_heads, options_.context,
          shape_.width);
    }
    return std::nullopt;
  }

 private:
  static std::string size(double bytes) {
    return bytes >= 1e9 ? fmt::format("{:.3g} GB", bytes / 1e9)
                        : fmt::format("{:.3g} MB", bytes / 1e6);
  }

  double instructions(int group) const {
    const auto tiles = [&](double outputs, double inputs) {
      return std::ceil(outputs / target_.columns) * std::ceil(inputs / target_.lanes);
    };
    const double heads = divided(shape_.kv_heads, group);
    const double kv = heads * shape_.head_size, q = kv * shape_.heads_per_kv_head();
    const double width = shape_.width;
    double most = 0;
    for (const LayerKind& kind : shape_.kinds) {
      const double inner = divided(kind.experts ? shape_.expert_inner : shape_.inner, group);
      const double forward = (2 * tiles(inner, width) + tiles(width, inner)) *
                             (kind.experts ? shape_.experts_per_token : 1);
      const double spans =
          std::ceil(static_cast<double>(positions_kept(kind, options_.context)) / target_.lanes);
      most = std::max(most, 2 * (tiles(q + 2 * kv, width) + tiles(width, q) + forward) +
                                heads * (3 * spans + 20) + 4.0 * group);
    }
    return most;
  }

  const Shape& shape_;
  const Target& target_;
  const CompileOptions& options_;
  const double chip_bytes_;                   // of stripes
  double layer_bytes_ = 0, cache_bytes_ = 0;  // of the layer that takes most
  double weight_bytes_ = 0, kept_bytes_ = 0;  // of the model
};

// As few chips as hold the model; of these, or of those given, the shortest token.
bool better(const Schedule& a, const Schedule& b, bool chips_given) {
  if (!chips_given && a.chips() != b.chips())
    return a.chips() < b.chips();
  return a.token_cycles < b.token_cycles;
}

}  // namespace

Spent spent(const Segment& segment) {
  // Marks where each kind of work begins and ends, then one sweep.
  struct Mark {
    std::int64_t cycle;
    int kind, step;
  };
  std::vector<Mark> marks;
  for (const Instruction& in : segment.instructions) {
    int kind = 2;
    std::int64_t end = in.start + in.busy;
    switch (in.unit.kind) {
      case UnitKind::kInstall:
      case UnitKind::kMultiply:
        kind = 0;
        break;
      case UnitKind::kLink:
      case UnitKind::kNext:
        kind = 1;
        for (const Access& access : in.accesses) {
          end = std::max(
              end, in.start + access.cycle + std::int64_t{access.rows - 1} * access.period + 1);
        }
        break;
      case UnitKind::kVector:
        kind = 2;
        break;
      case UnitKind::kSwitch:
        kind = 3;
        break;
    }
    marks.push_back({in.start, kind, 1});
    marks.push_back({end, kind, -1});
  }
  std::sort(marks.begin(), marks.end(), [](const Mark& a, const Mark& b) {
    return std::tie(a.cycle, a.kind, a.step) < std::tie(b.cycle, b.kind, b.step);
  });
  std::array<std::int64_t, 5> sums{};
  std::array<int, 4> active{};
  std::int64_t now = 0;
  for (const Mark& mark : marks) {
    std::size_t kind = 0;
    while (kind < 4 && active[kind] == 0)
      ++kind;
    sums[kind] += mark.cycle - now;
    now = mark.cycle;
    active[static_cast<std::size_t>(mark.kind)] += mark.step;
  }
  sums[4] += segment.cycles - now;
  return {sums[0], sums[1], sums[2], sums[3], sums[4]};
}

Result<Compiled> compile(const Shape& shape, const Target& target, const CompileOptions& options) {
  const auto fail = [&](const std::string& message) {
    return Error{
        ErrorCode::kInvalid, fmt::format("{} on {}: {}", shape.name, target.id, message), {}};
  };
  const auto known = [&] {
    std::string names;
    for (const NumberFormat& format : target.formats)
      names += fmt::format("{}{}", names.empty() ? "" : ", ", name_of(format.precision));
    return names;
  };
  const NumberFormat* weights =
      options.weights ? target.format(*options.weights) : &target.formats.front();
  if (weights == nullptr) {
    return fail(fmt::format("the target holds no {} weights; it has {}", name_of(*options.weights),
                            known()));
  }
  const NumberFormat* half = target.format(Precision::kFp16);
  const NumberFormat* cache = options.cache ? target.format(*options.cache)
                              : weights->bytes < 2 && half != nullptr ? half
                                                                      : weights;
  if (cache == nullptr) {
    return fail(
        fmt::format("the target holds no {} cache; it has {}", name_of(*options.cache), known()));
  }
  if (options.streams < 1)
    return fail("no streams: at least one is needed");
  if (options.context < 1)
    return fail("a context of no tokens: at least one is needed");
  const int most_group = std::min({kMostGroup, kMostNodes * target.node_chips, target.most_chips});
  if (options.group > most_group) {
    return fail(fmt::format("a group of {} chips: at most {} of {} can work on one token together",
                            options.group, most_group, target.id));
  }
  const auto tiles_nodes = [&](int group) {
    return target.node_chips % group == 0 || group % target.node_chips == 0 ||
           planted(ScheduleBug::kGroupAcrossNodes);
  };
  if (options.group > 0 && !tiles_nodes(options.group)) {
    return fail(fmt::format(
        "a group of {} chips would stand in two nodes; expected a number that divides a node of "
        "{}, or whole nodes",
        options.group, target.node_chips));
  }
  const Least least(shape, target, options, *weights, *cache);
  if (const auto why = least.too_much())
    return fail(*why);
  std::optional<Compiler> best;
  std::optional<Error> error;
  Compiled::Faster fastest;
  const auto attempt = [&](int group) {
    if (const auto why = least.too_much(group, most_group)) {
      error = fail(*why);
      return;
    }
    Compiler compiler(shape, target, options, *weights, *cache, group);
    if (const Status status = compiler.run(); !status.ok()) {
      error = status.error();
      return;
    }
    const Schedule& s = compiler.compiled().schedule;
    if (fastest.group == 0 || s.token_cycles < fastest.token_cycles)
      fastest = {group, s.chips(), s.token_cycles};
    if (!best || better(s, best->compiled().schedule, options.chips > 0))
      best.emplace(std::move(compiler));
  };
  if (options.group > 0) {
    attempt(options.group);
  } else {
    for (int group = 1; group <= std::min({target.node_chips, kMostInNode, most_group}); ++group) {
      if (tiles_nodes(group))
        attempt(group);
    }
    // Wider than a node only where a layer needs it.
    if (!best) {
      for (int nodes = 2; nodes * target.node_chips <= most_group; ++nodes)
        attempt(nodes * target.node_chips);
    }
  }
  if (!best && options.chips > 0) {
    // What the last group that was tried needs is no answer where another needs less.
    CompileOptions fewest = options;
    fewest.chips = 0;
    MEDLEY_TRY(const Compiled compiled, compile(shape, target, fewest));
    return fail(fmt::format("needs {} chips of {} in groups of {}, not {}",
                            compiled.schedule.chips(), target.id, compiled.schedule.group,
                            options.chips));
  }
  if (!best)
    return *error;
  if (fastest.token_cycles < best->compiled().schedule.token_cycles)
    best->compiled().faster = fastest;
  MEDLEY_TRY_STATUS(best->add_prefill());
  return std::move(best->compiled());
}

}  // namespace medley::lpu::chip
