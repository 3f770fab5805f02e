#include "cli/compile_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <map>
#include <string_view>
#include <vector>

#include "chart/chart.h"

namespace medley::cli {
namespace {

using lpu::chip::Instruction;
using lpu::chip::Op;
using lpu::chip::Segment;
using lpu::chip::UnitKind;
using lpu::chip::Weight;

constexpr int kWidth = 1100, kLeft = 130, kRight = 20, kRow = 18;
constexpr std::size_t kMostStageRows = 24;
constexpr double kPale = 0.35;  // of what is under way

std::string counted(std::size_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

// What an instruction is for, as the picture tells apart; the index is its colour.
constexpr std::string_view kWork[] = {
    "attention: q, k, v, out", "feed-forward", "the cache", "vectors", "switch",
    "between chips",           "head",         "a layer"};

std::size_t work_of(const Instruction& in, bool cached) {
  switch (in.unit.kind) {
    case UnitKind::kVector:
      return 3;
    case UnitKind::kSwitch:
      return 4;
    case UnitKind::kLink:
    case UnitKind::kNext:
      return 5;
    case UnitKind::kInstall:
    case UnitKind::kMultiply:
      break;
  }
  if (cached)
    return 2;
  switch (in.weight) {
    case Weight::kQuery:
    case Weight::kKey:
    case Weight::kValue:
    case Weight::kAttnOut:
      return 0;
    case Weight::kHead:
      return 6;
    default:
      return 1;
  }
}

// What both pictures are drawn with: text, boxes, a legend, an axis below.
class Canvas {
 protected:
  std::string page(std::string_view model, std::string_view what) const {
    return fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" viewBox=\"0 0 {0} {1}\" "
        "width=\"{0}\" "
        "height=\"{1}\" role=\"img\"><title>Static schedule of {2}</title><desc>{3}</desc>"
        "<style>{4}</style>\n<rect "
        "class=\"paper\" "
        "width=\"100%\" height=\"100%\"/>\n{5}</svg>\n",
        kWidth, static_cast<int>(y_) + 10, chart::escaped(model), what, chart::style_sheet(), out_);
  }
  void text(double x, double y, std::string_view anchor, std::string_view what,
            std::string_view style = {}) {
    fmt::format_to(std::back_inserter(out_),
                   "<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\"{}>{}</text>\n", x, y, anchor,
                   style.empty() ? std::string() : fmt::format(" class=\"{}\"", style),
                   chart::escaped(what));
  }
  void box(double x, double y, double width, double height, std::size_t colour,
           double opacity = 1) {
    fmt::format_to(std::back_inserter(out_),
                   "<rect class=\"area s{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" "
                   "height=\"{:.1f}\"{}/>\n",
                   colour, x, y, std::max(0.3, width), height,
                   opacity < 1 ? fmt::format(" opacity=\"{}\"", opacity) : std::string());
  }
  // `at` and `of` in the same unit.
  static double at(double place, double of) {
    return kLeft + place / of * (kWidth - kLeft - kRight);
  }
  static double at(std::int64_t cycle, std::int64_t cycles) {
    return at(static_cast<double>(cycle), static_cast<double>(cycles));
  }

  void legend(std::initializer_list<std::size_t> works, bool under_way) {
    double x = kLeft;
    for (const std::size_t i : works) {
      box(x, y_ - 10, 11, 11, i);
      text(x + 16, y_, "start", kWork[i]);
      x += 34 + 7.0 * static_cast<double>(kWork[i].size());
    }
    if (under_way) {
      box(x, y_ - 10, 11, 11, 5, kPale);
      text(x + 16, y_, "start", "under way");
    }
    y_ += 26;
  }

  // Ticks below, and their lines from `top` on: under what was drawn since `ground`, as lines over
  // boxes would look like gaps. `least` is the smallest step.
  void axis(double length, double least, std::string_view unit, double top, std::size_t ground) {
    std::string lines;
    // 1, 2 or 5 times a power of ten: no more than ten ticks.
    double step = least;
    for (int turn = 0; length / step > 10; ++turn)
      step *= turn % 3 == 1 ? 2.5 : 2;
    for (int tick = 0; tick * step <= length; ++tick) {
      const double x = at(tick * step, length);
      fmt::format_to(std::back_inserter(lines),
                     "<path class=\"grid\" d=\"M{:.1f} {:.1f}V{:.1f}\"/>\n", x, top, y_ + 2);
      text(x, y_ + 15, "middle", chart::short_number(tick * step));
    }
    out_.insert(ground, lines);
    text(kWidth - kRight, y_ + 30, "end", unit, "unit");
    y_ += 44;
  }

  std::string out_;
  double y_ = 0;
};

class ChipPicture : Canvas {
 public:
  ChipPicture(const lpu::chip::Compiled& compiled, const lpu::chip::Target& target)
      : compiled_(compiled), schedule_(compiled.schedule), target_(target) {}

  std::string draw() {
    text(kLeft, 22, "start",
         fmt::format("{} on {}: {} in {}", schedule_.model, target_.name,
                     counted(static_cast<std::size_t>(schedule_.chips()), "chip"),
                     counted(schedule_.stages.size(), "stage")),
         "title");
    y_ = 48;
    legend({0, 1, 2, 3, 4, 5, 6, 7}, true);
    stages();
    // The kind of layer that most of the token's time goes to, and the head.
    std::map<int, std::int64_t> cycles;
    for (const auto& stage : schedule_.stages) {
      for (const auto& run : stage.runs)
        cycles[run.segment] += schedule_.segments[static_cast<std::size_t>(run.segment)].cycles;
    }
    int longest = 0;
    for (const auto& [segment, sum] : cycles) {
      if (sum > cycles[longest])
        longest = segment;
    }
    units(schedule_.segments[static_cast<std::size_t>(longest)]);
    return page(schedule_.model,
                "A token's way over the stages, and the units of a chip by cycle.");
  }

 private:
  void axis_of(std::int64_t cycles, double top, std::size_t ground) {
    const auto length = static_cast<double>(cycles);
    axis(length, 1,
         fmt::format("cycles; {} are {:.4g} µs", chart::short_number(length),
                     target_.seconds(length) * 1e6),
         top, ground);
  }

  // The way of one token: each stage a line, or several where there are many.
  void stages() {
    const std::size_t count = schedule_.stages.size();
    const std::size_t rows = std::min(count, kMostStageRows);
    text(kLeft, y_, "start",
         fmt::format("one token over the stages{}: {:.4g} µs; a stage takes the next stream after "
                     "{:.4g} µs",
                     rows < count ? fmt::format(" ({} in {} rows)", count, rows) : std::string(),
                     target_.seconds(static_cast<double>(schedule_.token_cycles)) * 1e6,
                     target_.seconds(static_cast<double>(schedule_.interval_cycles)) * 1e6),
         "title");
    y_ += 12;
    const double top = y_, height = rows < count ? 6 : 12;
    const std::size_t ground = out_.size();
    for (std::size_t s = 0; s < count; ++s) {
      const std::size_t row = s * rows / count;
      const double line = top + static_cast<double>(row) * (height + 2);
      if (s == 0 || row != (s - 1) * rows / count) {
        // The last stage of the row: the first of the next one is not in it.
        std::size_t last = s;
        while (last + 1 < count && (last + 1) * rows / count == row)
          ++last;
        if (rows == count) {
          text(kLeft - 8, line + height - 1, "end", fmt::format("stage {}", s + 1));
        } else if (row % 4 == 0) {
          text(kLeft - 8, line + height, "end",
               last > s ? fmt::format("stages {} to {}", s + 1, last + 1)
                        : fmt::format("stage {}", s + 1));
        }
      }
      for (const auto& run : schedule_.stages[s].runs) {
        const Segment& segment = schedule_.segments[static_cast<std::size_t>(run.segment)];
        std::size_t colour = 7;
        if (segment.kind == lpu::chip::SegmentKind::kHandOn)
          colour = 5;
        else if (segment.kind == lpu::chip::SegmentKind::kHead)
          colour = 6;
        else if (segment.kind == lpu::chip::SegmentKind::kEmbed)
          colour = 3;
        const double x = at(run.start, schedule_.token_cycles);
        const double end = at(run.start + segment.cycles, schedule_.token_cycles);
        box(x, line, std::max(0.3, end - x - 0.5), height, colour);
      }
    }
    y_ = top + static_cast<double>(rows) * (height + 2);
    axis_of(schedule_.token_cycles, top, ground);
  }

  // A segment by unit and cycle.
  void units(const Segment& segment) {
    y_ += 14;
    text(kLeft, y_, "start",
         fmt::format("{} of one token on each chip of a stage, by unit and cycle", segment.name),
         "title");
    y_ += 12;
    struct Line {
      std::string name;
      std::vector<std::tuple<std::int64_t, std::int64_t, std::size_t, bool>>
          boxes;  // begin, end, work, faint
    };
    std::map<std::tuple<int, int, int, int>, Line> lines;
    for (const Instruction& in : segment.instructions) {
      const Instruction& tile =
          in.op == Op::kMultiply ? segment.instructions[static_cast<std::size_t>(in.tile)] : in;
      const bool cached =
          tile.op == Op::kInstall && tile.accesses.front().area == lpu::chip::Area::kCache;
      for (int n = 0; n < in.unit.count; ++n) {
        const int unit = in.unit.index + n;
        const int kind = static_cast<int>(in.unit.kind);
        std::string name(name_of(in.unit.kind));
        int order = kind, hemisphere = in.unit.hemisphere;
        if (in.unit.kind == UnitKind::kInstall || in.unit.kind == UnitKind::kMultiply) {
          name = fmt::format("plane {} {}", in.unit.hemisphere * target_.planes + unit + 1,
                             in.op == Op::kInstall ? "install" : "multiply");
          order = 0;
        } else if (in.unit.kind == UnitKind::kSwitch) {
          name = fmt::format("switch {}", in.unit.hemisphere + 1);
        } else if (in.unit.kind == UnitKind::kLink) {
          name = unit < target_.node_chips
                     ? fmt::format("link +{}", unit)
                     : fmt::format("far link {}", unit - target_.node_chips + 1);
          hemisphere = 0;
        }
        Line& line = lines[{order, hemisphere, unit, kind}];
        line.name = name;
        const std::size_t work = work_of(in, cached);
        line.boxes.emplace_back(in.start, in.start + in.busy, work, false);
        // What is on its way over a link.
        if (in.unit.kind == UnitKind::kLink || in.unit.kind == UnitKind::kNext) {
          const auto& last = in.accesses.back();
          line.boxes.emplace_back(in.start + in.busy,
                                  in.start + last.cycle + std::int64_t{last.rows - 1} * last.period,
                                  work, true);
        }
      }
    }
    const double top = y_;
    const std::size_t ground = out_.size();
    for (auto& [key, line] : lines) {
      text(kLeft - 8, y_ + kRow - 6, "end", line.name);
      std::sort(line.boxes.begin(), line.boxes.end());
      // Boxes nearer than half a pixel are one.
      for (std::size_t i = 0; i < line.boxes.size();) {
        auto [begin, end, work, faint] = line.boxes[i];
        std::size_t next = i + 1;
        while (next < line.boxes.size() && std::get<2>(line.boxes[next]) == work &&
               std::get<3>(line.boxes[next]) == faint &&
               at(std::get<0>(line.boxes[next]), segment.cycles) - at(end, segment.cycles) < 0.5) {
          end = std::max(end, std::get<1>(line.boxes[next]));
          ++next;
        }
        box(at(begin, segment.cycles), y_, at(end, segment.cycles) - at(begin, segment.cycles),
            kRow - 4, work, faint ? kPale : 1);
        i = next;
      }
      y_ += kRow;
    }
    axis_of(segment.cycles, top, ground);
  }

  const lpu::chip::Compiled& compiled_;
  const lpu::chip::Schedule& schedule_;
  const lpu::chip::Target& target_;
};

// A core's: the whole token, then a layer of it, by operation and time.
class CorePicture : Canvas {
 public:
  CorePicture(const std::string& model, const std::vector<TimedInstruction>& program)
      : model_(model), program_(program) {
    double now = 0;
    for (const TimedInstruction& of : program) {
      starts_.push_back(now);
      now += of.seconds;
      if (std::find(lines_.begin(), lines_.end(), of.operation) == lines_.end())
        lines_.push_back(of.operation);
    }
    starts_.push_back(now);
  }

  std::string draw(const std::string& core) {
    text(kLeft, 22, "start",
         fmt::format("{} on {}: {} one after the other", model_, core,
                     counted(program_.size(), "instruction")),
         "title");
    y_ = 48;
    legend({0, 1, 2, 3, 6}, false);
    text(kLeft, y_, "start",
         fmt::format("one token: {:.4g} µs as predicted, at a full context", starts_.back() * 1e6),
         "title");
    panel(0, program_.size(), true);
    // The layer in the middle: of the first ones caches may still hold what came before.
    const int layers =
        1 + std::max_element(program_.begin(), program_.end(), [](const auto& a, const auto& b) {
              return a.layer < b.layer;
            })->layer;
    if (layers < 1)
      return page(model_, "The instructions of a core by operation and time.");
    const auto in_it = [&](const TimedInstruction& of) { return of.layer == layers / 2; };
    const auto first = std::find_if(program_.begin(), program_.end(), in_it);
    const auto last = std::find_if_not(first, program_.end(), in_it);
    const auto from = static_cast<std::size_t>(first - program_.begin());
    const auto to = static_cast<std::size_t>(last - program_.begin());
    y_ += 14;
    text(kLeft, y_, "start",
         fmt::format("layer {} of {}: {:.4g} µs", layers / 2 + 1, layers,
                     (starts_[to] - starts_[from]) * 1e6),
         "title");
    panel(from, to, false);
    return page(model_, "The instructions of a core by operation and time.");
  }

 private:
  // Instructions from one to before another, a line each operation; above them the layers, or what
  // the instructions compute.
  void panel(std::size_t from, std::size_t to, bool layers) {
    y_ += 12;
    const double top = y_, begin = starts_[from], length = starts_[to] - begin;
    const std::size_t ground = out_.size();
    const auto place = [&](double seconds) { return at(seconds - begin, length); };
    // What boxes below are part of, pale, with its name where that fits.
    text(kLeft - 8, y_ + kRow - 6, "end", layers ? "layers" : "computes");
    for (std::size_t i = from; i < to;) {
      const TimedInstruction& of = program_[i];
      std::size_t next = i + 1;
      while (layers && next < to && program_[next].layer == of.layer)
        ++next;
      const double x = place(starts_[i]), end = place(starts_[next]);
      const std::string what = layers ? std::to_string(of.layer + 1) : of.what;
      if (!layers || of.layer >= 0)
        box(x, y_, end - x - 1, kRow - 4, layers ? 7 : of.work, kPale);
      if ((!layers || of.layer >= 0) && 6.5 * static_cast<double>(what.size()) < end - x)
        text((x + end) / 2, y_ + kRow - 7, "middle", what);
      i = next;
    }
    y_ += kRow;
    for (const std::string& line : lines_) {
      const auto of_line = [&](std::size_t i) { return program_[i].operation == line; };
      bool any = false;
      for (std::size_t i = from; i < to; ++i)
        any = any || of_line(i);
      if (!any)
        continue;
      text(kLeft - 8, y_ + kRow - 6, "end", line);
      for (std::size_t i = from; i < to; ++i) {
        if (!of_line(i))
          continue;
        const double x = place(starts_[i]), end = place(starts_[i + 1]);
        box(x, y_, end - x, kRow - 4, program_[i].work);
      }
      y_ += kRow;
    }
    axis(length * 1e6, 1e-3, "µs", top, ground);
  }

  const std::string& model_;
  const std::vector<TimedInstruction>& program_;
  std::vector<double> starts_;      // and the end of the last
  std::vector<std::string> lines_;  // operations, in the order of their first
};

}  // namespace

std::string picture_of(const lpu::chip::Compiled& compiled, const lpu::chip::Target& target) {
  return ChipPicture(compiled, target).draw();
}

std::size_t work_of(const lpu::Instruction& instruction, const lpu::Graph& graph) {
  switch (instruction.operation) {
    case lpu::Operation::kAttend:
    case lpu::Operation::kStore:
      return 2;
    case lpu::Operation::kChoose:
      return 6;
    case lpu::Operation::kMatrix: {
      if (instruction.layer < 0)
        return 6;
      const std::string_view role = graph.nodes[static_cast<std::size_t>(instruction.node)].role;
      return role == "q" || role == "k" || role == "v" || role == "attn_out" ? 0 : 1;
    }
    default:
      return 3;
  }
}

std::string picture_of(const std::string& model, const std::string& core,
                       const std::vector<TimedInstruction>& program) {
  return CorePicture(model, program).draw(core);
}

}  // namespace medley::cli
