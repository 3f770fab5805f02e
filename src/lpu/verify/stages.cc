#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <tuple>

#include "lpu/verify/verifier.h"

namespace medley::lpu::verify {

std::set<Verifier::Cell> Verifier::cells(const std::vector<Access>& accesses) {
  std::set<Cell> all;
  for (const Access& a : accesses) {
    for (int slice = a.slice; slice < a.slice + a.slices; ++slice) {
      for (int row = a.row; row < a.row + a.rows; ++row)
        all.insert({a.hemisphere, a.bank, slice, row});
    }
  }
  return all;
}

bool Verifier::leaves(const std::vector<Access>& left, const Segment& next) const {
  const std::set<Cell> there = cells(left), needed = cells(next.inputs);
  return std::includes(there.begin(), there.end(), needed.begin(), needed.end());
}

// The next group has in the same place, in all lanes, what this one had.
bool Verifier::arrives_as_it_was(const Instruction& in) const {
  if (in.accesses.size() != 2)
    return false;
  const Access &from = in.accesses[0], &to = in.accesses[1];
  const auto place = [](const Access& a) {
    return std::tie(a.area, a.hemisphere, a.bank, a.slice, a.slices, a.row, a.rows, a.lane, a.lanes,
                    a.value, a.peer);
  };
  return !from.write && to.write && to.remote && place(from) == place(to);
}

// Which node each chip of a stage stands in, by its number, and which link each of its hops takes:
// those within the node lead nowhere else.
void Verifier::check_nodes(std::size_t stage) {
  const std::vector<chip::Stage>& stages = schedule_.stages;
  const int first = stages[stage].first_chip, next = stages[(stage + 1) % stages.size()].first_chip;
  const auto other_node = [&](int a, int b) {
    return a / target_.node_chips != b / target_.node_chips;
  };
  const auto check = [&](int from, int to, bool leaves_node) {
    if (other_node(from, to) == leaves_node)
      return true;
    find(fmt::format("stage {}: chip {} reaches chip {} {} by a link {}", stage, from, to,
                     leaves_node ? "of its node" : "of another node",
                     leaves_node ? "to other nodes" : "within its own"));
    return false;
  };
  // Hops to the next group, of a token and of chunks of a prompt: within the node, and out of it.
  bool taken[2] = {};
  for (const chip::Run& run : stages[stage].runs) {
    for (std::size_t s = 0; s < schedule_.segments.size(); ++s) {
      const Segment& segment = schedule_.segments[s];
      if (static_cast<int>(s) != run.segment && segment.chunk_of != run.segment)
        continue;
      for (const Instruction& in : segment.instructions) {
        if (in.op == Op::kHandOn)
          taken[in.detail == 1] = true;
      }
    }
  }
  for (int chip = 0; chip < schedule_.group; ++chip) {
    for (int distance = 1; distance < schedule_.group; ++distance) {
      if (!check(first + chip, first + peer_of(chip, distance), distance >= schedule_.node))
        return;
    }
    for (const bool leaves_node : {false, true}) {
      if (taken[leaves_node] && !check(first + chip, next + chip, leaves_node))
        return;
    }
  }
}

void Verifier::check_stages() {
  std::int64_t now = 0, arrival = 0;
  int next_layer = 0, next_chip = 0, next_embed = 0, next_head = 0;
  const Segment* before = nullptr;  // of the run before
  const std::size_t stages = schedule_.stages.size();
  for (std::size_t s = 0; s < stages; ++s) {
    const chip::Stage& stage = schedule_.stages[s];
    const auto at_stage = [&](const std::string& message) {
      find(fmt::format("stage {}: {}", s, message));
    };
    if (stage.first_chip != next_chip)
      at_stage("its chips are not those after the stage before");
    next_chip = stage.first_chip + schedule_.group;
    if (stage.start > arrival)
      at_stage("is not kept when the first vector arrives");
    if (stage.runs.empty())
      return at_stage("has nothing to do");
    std::int64_t busy_until = 0, cache_rows = 0;
    struct Range {
      std::int64_t begin, end;
    };
    std::vector<Range> stripes, constants;
    std::int64_t cache_from = -1;
    for (const chip::Run& run : stage.runs) {
      if (run.segment < 0 || run.segment >= static_cast<int>(schedule_.segments.size()))
        return at_stage("there is no such segment");
      const Segment& segment = schedule_.segments[static_cast<std::size_t>(run.segment)];
      if (run.start < now)
        at_stage(fmt::format("{} starts in cycle {}, before {}", segment.name, run.start, now));
      now = run.start + segment.cycles;
      const auto rows = [&](Area area) { return segment.rows[static_cast<int>(area)]; };
      const auto base = [&](Area area) { return run.base[static_cast<int>(area)]; };
      const auto add = [](std::vector<Range>& ranges, std::int64_t begin, std::int64_t size) {
        if (size > 0)
          ranges.push_back({begin, begin + size});
      };
      add(stripes, base(Area::kWeights), rows(Area::kWeights));
      add(stripes, base(Area::kExperts), rows(Area::kExperts) * schedule_.experts);
      add(constants, base(Area::kConstants), rows(Area::kConstants));
      if (rows(Area::kCache) > 0) {
        if (cache_from < 0)
          cache_from = base(Area::kCache);
        if (base(Area::kCache) != cache_from + cache_rows)
          at_stage("caches of its runs do not lie one after the other");
        cache_rows += rows(Area::kCache);
      }
      if (rows(Area::kScratch) > target_.rows_per_bank)
        at_stage(fmt::format("{} needs more rows than a bank has", segment.name));
      if (segment.tokens != 1)
        at_stage(fmt::format("{} takes {} tokens at once", segment.name, segment.tokens));
      // First the table of words, then all layers, then the last matrix.
      switch (segment.kind) {
        case SegmentKind::kEmbed:
          if (next_layer > 0 || segment.part != next_embed++)
            at_stage(fmt::format("{} is not due", segment.name));
          break;
        case SegmentKind::kLayer:
          if (next_embed != parts_ || run.layer != next_layer++ || run.layer >= shape_.layers)
            return at_stage(fmt::format("layer {} where {} is due", run.layer, next_layer - 1));
          check_kind(run);
          break;
        case SegmentKind::kHead:
          if (next_layer != shape_.layers || segment.part != next_head++)
            at_stage(fmt::format("{} is not due after {} of {} layers", segment.name, next_layer,
                                 shape_.layers));
          break;
        case SegmentKind::kHandOn: {
          if (&run != &stage.runs.back())
            at_stage("hands on before its last run");
          std::vector<Access> sent;
          for (const Instruction& in : segment.instructions) {
            if (!arrives_as_it_was(in))
              at_stage(fmt::format("{} leaves something else than it takes", segment.name));
            for (const Access& access : in.accesses) {
              if (access.write)
                sent.push_back(access);
            }
          }
          if (cells(sent) != cells(segment.outputs))
            at_stage("does not send what it says it hands on");
          break;
        }
      }
      if (before != nullptr && !leaves(before->outputs, segment))
        at_stage(fmt::format("{} does not find what it starts from", segment.name));
      before = &segment;
      if (segment.kind == SegmentKind::kHandOn) {
        arrival = run.start;
        for (const Instruction& in : segment.instructions) {
          busy_until = std::max(busy_until, run.start + in.start + in.busy);
          if (&in == &segment.instructions.front())
            arrival = run.start + in.start + in.accesses.back().cycle;
        }
      } else {
        busy_until = std::max(busy_until, now);
      }
    }
    // The caches of all streams follow each other.
    if (cache_rows > 0)
      stripes.push_back({cache_from, cache_from + cache_rows * schedule_.streams});
    for (auto* ranges : {&stripes, &constants}) {
      std::sort(ranges->begin(), ranges->end(),
                [](const Range& a, const Range& b) { return a.begin < b.begin; });
      for (std::size_t i = 1; i < ranges->size(); ++i) {
        if ((*ranges)[i].begin < (*ranges)[i - 1].end)
          at_stage(fmt::format("two uses share row {}", (*ranges)[i].begin));
      }
      if (!ranges->empty() && ranges->back().end > target_.rows_per_bank) {
        at_stage(fmt::format("needs {} rows of a bank of {}", ranges->back().end,
                             target_.rows_per_bank));
      }
    }
    check_nodes(s);
    if (stage.end < busy_until)
      at_stage("is let go before it has ended");
    if (schedule_.interval_cycles < stage.end - stage.start)
      at_stage("the next stream comes before it is free");
  }
  if (next_embed != parts_ || next_layer != shape_.layers || next_head != parts_)
    find(fmt::format("{} of {} layers, {} and {} of {} parts of the vocabulary", next_layer,
                     shape_.layers, next_embed, next_head, parts_));
  // The next token begins where the last stage leaves the choice, which the first is kept for.
  if (before != nullptr) {
    const Segment& first =
        schedule_.segments[static_cast<std::size_t>(schedule_.stages.front().runs.front().segment)];
    if (first.inputs.empty() || !leaves(before->outputs, first))
      find("the first stage does not get the token that was chosen");
    if (stages > 1 && schedule_.stages.front().start > arrival - schedule_.token_cycles)
      find("the first stage is not kept when the token chosen arrives");
  }
  if (schedule_.token_cycles < now)
    find("the token is called done before it is");
  if (schedule_.chips() > target_.most_chips)
    find(fmt::format("{} chips where {} can be joined", schedule_.chips(), target_.most_chips));
}

// A layer's segment has the experts and sees the positions that the model's layer does.
void Verifier::check_kind(const chip::Run& run) {
  const Segment& segment = schedule_.segments[static_cast<std::size_t>(run.segment)];
  const chip::LayerKind& kind = shape_.kinds[static_cast<std::size_t>(
      shape_.kind_of_layer[static_cast<std::size_t>(run.layer)])];
  const bool experts = std::any_of(segment.instructions.begin(), segment.instructions.end(),
                                   [](const Instruction& in) { return in.op == Op::kRoute; });
  if (experts != kind.experts)
    find(fmt::format("layer {}: {} where the model has {}", run.layer, segment.name,
                     kind.experts ? "experts" : "none"));
  for (const Segment& each : schedule_.segments) {
    if (&each != &segment && each.chunk_of != run.segment)
      continue;
    // A chunk needs what each of its tokens sees.
    const long long seen = kind.window > 0
                               ? std::min(kind.window + each.tokens - 1, schedule_.context)
                               : schedule_.context;
    if (positions_swept(each) < seen)
      find(fmt::format("layer {}: {} sweeps {} positions of {}", run.layer, each.name,
                       positions_swept(each), seen));
  }
}

// A chunk of a prompt finds weights and cache where single tokens have them.
void Verifier::check_chunks() {
  // Of each part of the model: hemisphere, bank, slice, slices, row, rows.
  using Part = std::array<int, 7>;
  const auto places = [](const Segment& segment) {
    std::set<std::pair<Part, std::array<int, 6>>> all;
    for (const Instruction& in : segment.instructions) {
      for (const Access& a : in.accesses) {
        if (a.area == Area::kScratch)
          continue;
        const bool appends = a.write;
        all.insert(
            {{static_cast<int>(a.area), static_cast<int>(in.weight), appends ? 1 : 0,
              static_cast<int>(in.op), in.head, in.n, in.k},
             {a.hemisphere, a.bank, a.slice, a.slices, a.row, a.range > 0 ? a.range : a.rows}});
      }
    }
    return all;
  };
  std::set<int> sizes;
  for (const Segment& chunk : schedule_.segments) {
    if (chunk.chunk_of < 0) {
      if (chunk.tokens != 1)
        find(fmt::format("{}: of no segment of one token", chunk.name));
      continue;
    }
    if (chunk.chunk_of >= static_cast<int>(schedule_.segments.size()))
      return find(fmt::format("{}: there is no such segment", chunk.name));
    const Segment& one = schedule_.segments[static_cast<std::size_t>(chunk.chunk_of)];
    segment_ = &chunk;
    sizes.insert(chunk.tokens);
    if (one.tokens != 1 || one.kind != chunk.kind || one.part != chunk.part)
      find(fmt::format("does not stand for {}", one.name));
    for (const Area area : {Area::kWeights, Area::kExperts, Area::kCache, Area::kConstants}) {
      const auto index = static_cast<std::size_t>(area);
      if (chunk.rows[index] != one.rows[index])
        find(fmt::format("{} rows of {} where single tokens have {}", chunk.rows[index],
                         name_of(area), one.rows[index]));
    }
    if (places(chunk) != places(one))
      find("other places than single tokens have");
    if (chunk.rows[static_cast<std::size_t>(Area::kScratch)] > target_.rows_per_bank)
      find("needs more rows than a bank has");
  }
  segment_ = nullptr;
  for (const int tokens : sizes)
    check_way_of_chunks(tokens);
}

// From run to run, up to the last matrix: that is for the last token of a prompt only.
void Verifier::check_way_of_chunks(int tokens) {
  const Segment* before = nullptr;
  for (const chip::Stage& stage : schedule_.stages) {
    for (const chip::Run& run : stage.runs) {
      if (schedule_.segments[static_cast<std::size_t>(run.segment)].kind == SegmentKind::kHead)
        return;
      const auto chunk = std::find_if(
          schedule_.segments.begin(), schedule_.segments.end(), [&](const Segment& segment) {
            return segment.chunk_of == run.segment && segment.tokens == tokens;
          });
      if (chunk == schedule_.segments.end())
        return find(fmt::format("{} tokens at once have no way through {}", tokens,
                                schedule_.segments[static_cast<std::size_t>(run.segment)].name));
      if (before != nullptr && !leaves(before->outputs, *chunk))
        find(fmt::format("{} of {} tokens does not find what it starts from", chunk->name, tokens));
      before = &*chunk;
    }
  }
}

}  // namespace medley::lpu::verify
