#include "lpu/chip/compile.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "lpu/chip/build.h"
#include "lpu/chip/plant.h"

namespace medley::lpu::chip {
namespace {

constexpr int kMostNodes = 8;  // of a group

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
      case SegmentKind::kHandOn:
        if (kHandsOn[index - static_cast<std::size_t>(hand_on_)] == HandOn::kChoice)
          break;  // of the last token only
        return build_hand_on(build, kHandsOn[index - static_cast<std::size_t>(hand_on_)]);
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
      MEDLEY_TRY(Segment segment, build_hand_on(build_, what));
      segments.push_back(std::move(segment));
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
      const Run send{.segment = hand_on_ + static_cast<int>(handed_on(stage)), .start = now};
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
  int hand_on_ = 0, parts_ = 0;
};

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
  if (options.group > target.node_chips && options.group % target.node_chips != 0) {
    return fail(fmt::format("a group of {} chips is no whole number of nodes of {}", options.group,
                            target.node_chips));
  }
  std::vector<int> groups;
  if (options.group > 0) {
    groups.push_back(options.group);
  } else {
    for (int group = 1; group <= target.node_chips; ++group)
      groups.push_back(group);
    // Wider than a node only where a layer needs it.
    for (int nodes = 2; nodes <= kMostNodes; nodes *= 2)
      groups.push_back(nodes * target.node_chips);
  }
  std::optional<Compiler> best;
  std::optional<Error> error;
  for (const int group : groups) {
    if (best && group > target.node_chips)
      break;
    Compiler compiler(shape, target, options, *weights, *cache, group);
    if (const Status status = compiler.run(); !status.ok()) {
      error = status.error();
      continue;
    }
    if (!best ||
        compiler.compiled().schedule.token_cycles < best->compiled().schedule.token_cycles) {
      best.emplace(std::move(compiler));
    }
  }
  if (!best)
    return *error;
  MEDLEY_TRY_STATUS(best->add_prefill());
  return std::move(best->compiled());
}

}  // namespace medley::lpu::chip
