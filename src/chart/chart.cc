#include "chart/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <iterator>

namespace medley::chart {
namespace {

constexpr double kDigitWidth = 6.8;  // of the system's sans serif at 12 pixels, about
constexpr int kMostTicks = 6;

// CSS class and dash pattern; dashes tell lines apart without colours.
constexpr std::array<std::string_view, 13> kClasses = {
    "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "prefill", "decode", "idle", "lost", "muted"};
constexpr std::array<std::string_view, 13> kDashes = {
    "", "6 3", "2 3", "8 3 2 3", "1 2", "10 4", "4 2", "12 3", "", "", "", "", "3 3"};
std::string_view class_of(Colour colour) { return kClasses[static_cast<std::size_t>(colour)]; }

std::string dash_of(Colour colour) {
  const std::string_view dash = kDashes[static_cast<std::size_t>(colour)];
  return dash.empty() ? "" : fmt::format(" stroke-dasharray=\"{}\"", dash);
}

// A coordinate: a tenth of a pixel is enough, and short.
std::string at(double value) {
  std::string text = fmt::format("{:.1f}", value);
  if (text.ends_with(".0"))
    text.resize(text.size() - 2);
  return text == "-0" ? "0" : text;
}

std::string tick_text(const Axis& axis, double value) {
  if (axis.percent)
    return short_number(value * 100) + " %";
  return short_number(value);
}

// 1, 2 or 5 times a power of ten: the step that gives at most kMostTicks.
double nice_step(double span) {
  const double raw = span / kMostTicks;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= raw * (1 - 1e-9))
      return factor * power;
  }
  return 10 * power;
}

// Where an axis begins and ends, its ticks, and how values become shares of it.
struct Ruler {
  Scale scale = Scale::kLinear;
  double min = 0, max = 1;
  std::vector<double> ticks;

  double share(double value) const {
    if (scale == Scale::kLinear)
      return std::clamp((value - min) / (max - min), 0.0, 1.0);
    const double positive = std::max(value, min);
    return std::clamp(std::log(positive / min) / std::log(max / min), 0.0, 1.0);
  }
};

Ruler make_ruler(const Axis& axis, std::vector<double> values, bool from_zero) {
  std::erase_if(values, [&](double value) {
    return !std::isfinite(value) || (axis.scale == Scale::kLog && value <= 0);
  });
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  Ruler ruler;
  ruler.scale = axis.scale;
  ruler.min = values.empty() ? (axis.scale == Scale::kLog ? 1 : 0) : *least;
  ruler.max = values.empty() ? (axis.scale == Scale::kLog ? 10 : 1) : *most;
  if (axis.scale == Scale::kLinear && from_zero)
    ruler.min = std::min(0.0, ruler.min);
  ruler.min = axis.min.value_or(ruler.min);
  ruler.max = axis.max.value_or(ruler.max);
  if (axis.scale == Scale::kLog) {
    ruler.min = std::max(ruler.min, 1e-300);
    if (!(ruler.max > ruler.min * 1.01)) {
      ruler.min /= 1.5;
      ruler.max = ruler.min * 2.25;
    }
    const int low = static_cast<int>(std::floor(std::log10(ruler.min)));
    const int high = static_cast<int>(std::ceil(std::log10(ruler.max)));
    const int every = std::max(1, (high - low) / (kMostTicks + 2));
    const bool between = high - low <= 3;
    for (int power = low; power <= high; power += every) {
      for (const double factor : {1.0, 2.0, 5.0}) {
        const double tick = factor * std::pow(10, power);
        if ((between || factor == 1) && tick >= ruler.min * (1 - 1e-9) &&
            tick <= ruler.max * (1 + 1e-9))
          ruler.ticks.push_back(tick);
      }
    }
    return ruler;
  }
  if (!(ruler.max > ruler.min))
    ruler.max = ruler.min + std::max(1.0, std::abs(ruler.min));
  const double step = nice_step(ruler.max - ruler.min);
  if (!axis.max)
    ruler.max = std::ceil(ruler.max / step - 1e-9) * step;
  for (int i = 0; i <= 2 * kMostTicks; ++i) {
    const double tick = (std::ceil(ruler.min / step - 1e-9) + i) * step;
    if (tick > ruler.max + step * 1e-9)
      break;
    ruler.ticks.push_back(std::abs(tick) < step * 1e-9 ? 0 : tick);
  }
  return ruler;
}

// The rectangle that data are drawn in.
struct Frame {
  double left = 0, top = 0, right = 0, bottom = 0;
  Ruler x, y;

  double px(double value) const { return left + x.share(value) * (right - left); }
  double py(double value) const { return bottom - y.share(value) * (bottom - top); }
};

void text(std::string& out, double x, double y, std::string_view anchor, std::string_view content,
          std::string_view more = "") {
  fmt::format_to(std::back_inserter(out),
                 "<text x=\"{}\" y=\"{}\" text-anchor=\"{}\"{}>{}</text>\n", at(x), at(y), anchor,
                 more, escaped(content));
}

void draw_x_axis(std::string& out, const Frame& frame, const Axis& axis) {
  double last = -1e9;
  for (const double tick : frame.x.ticks) {
    const double x = frame.px(tick);
    fmt::format_to(std::back_inserter(out), "<path class=\"grid\" d=\"M{} {}V{}\"/>\n", at(x),
                   at(frame.top), at(frame.bottom));
    const std::string label = tick_text(axis, tick);
    const double half = static_cast<double>(label.size()) * kDigitWidth / 2;
    if (x - half < last + 6)
      continue;  // it would touch the one before
    last = x + half;
    text(out, x, frame.bottom + 16, "middle", label);
  }
  fmt::format_to(std::back_inserter(out), "<path class=\"axis\" d=\"M{} {}H{}\"/>\n",
                 at(frame.left), at(frame.bottom), at(frame.right));
  text(out, (frame.left + frame.right) / 2, frame.bottom + 34, "middle", axis.label);
}

void draw_y_axis(std::string& out, const Frame& frame, const Axis& axis) {
  for (const double tick : frame.y.ticks) {
    const double y = frame.py(tick);
    fmt::format_to(std::back_inserter(out), "<path class=\"grid\" d=\"M{} {}H{}\"/>\n",
                   at(frame.left), at(y), at(frame.right));
    text(out, frame.left - 6, y + 4, "end", tick_text(axis, tick));
  }
}

bool is_finite(const std::pair<double, double>& point) {
  return std::isfinite(point.first) && std::isfinite(point.second);
}

std::string line_path(const Frame& frame, const Series& series) {
  std::string path;
  std::string x_before, y_before;
  for (const auto& point : series.points) {
    if (!is_finite(point))
      continue;
    const std::string x = at(frame.px(point.first)), y = at(frame.py(point.second));
    if (path.empty()) {
      path = fmt::format("M{} {}", x, y);
    } else if (series.form == Form::kSteps) {
      if (x != x_before)
        path += "H" + x;
      if (y != y_before)
        path += "V" + y;
    } else if (x != x_before || y != y_before) {
      path += fmt::format("L{} {}", x, y);
    }
    x_before = x;
    y_before = y;
  }
  return path;
}

// A closed area of steps between `low` and `high`, both by the index of `points`' x.
std::string area_path(const Frame& frame, const std::vector<std::pair<double, double>>& points,
                      const std::vector<double>& low, const std::vector<double>& high) {
  std::string path, y_before, x_after;
  const std::size_t steps = points.size() < 2 ? 0 : points.size() - 1;
  // A run of equal values is one line.
  const auto go = [&](std::size_t from, std::size_t to, double value) {
    const std::string y = at(frame.py(value));
    if (path.empty()) {
      path = fmt::format("M{} {}", at(frame.px(points[from].first)), y);
    } else if (y != y_before) {
      path += "H" + x_after + "V" + y;
    }
    y_before = y;
    x_after = at(frame.px(points[to].first));
  };
  for (std::size_t i = 0; i < steps; ++i)
    go(i, i + 1, high[i]);
  for (std::size_t i = steps; i-- > 0;)
    go(i + 1, i, low[i]);
  return path.empty() ? path : path + "H" + x_after + "Z";
}

void draw_stack(std::string& out, const Frame& frame, const std::vector<Series>& parts) {
  if (parts.empty())
    return;
  std::vector<double> low(parts.front().points.size(), 0), high = low;
  for (const Series& part : parts) {
    for (std::size_t i = 0; i < high.size() && i < part.points.size(); ++i) {
      const double value = part.points[i].second;
      high[i] = low[i] + (std::isfinite(value) ? std::max(0.0, value) : 0);
    }
    if (high != low) {
      fmt::format_to(std::back_inserter(out), "<path class=\"area {}\" d=\"{}\"/>\n",
                     class_of(part.colour), area_path(frame, parts.front().points, low, high));
    }
    low = high;
  }
}

struct Key {
  std::string name;
  Colour colour;
  bool area;
};

// Names of series with a sample of each, in rows; answers the height taken.
double draw_legend(std::string& out, const std::vector<Key>& keys, double left, double right,
                   double top) {
  double x = left, y = top + 11;
  if (keys.empty())
    return 0;
  for (const Key& key : keys) {
    const double width = 30 + static_cast<double>(key.name.size()) * kDigitWidth;
    if (x > left && x + width > right) {
      x = left;
      y += 18;
    }
    if (key.area) {
      fmt::format_to(std::back_inserter(out),
                     "<rect class=\"area {}\" x=\"{}\" y=\"{}\" width=\"16\" height=\"10\"/>\n",
                     class_of(key.colour), at(x), at(y - 9));
    } else {
      fmt::format_to(std::back_inserter(out), "<path class=\"line {}\"{} d=\"M{} {}h18\"/>\n",
                     class_of(key.colour), dash_of(key.colour), at(x), at(y - 4));
    }
    text(out, x + 23, y, "start", key.name);
    x += width + 14;
  }
  return y - top + 7;
}

std::string opened(std::string_view id, std::string_view title, std::string_view description,
                   int width, double height, Use use) {
  std::string out = fmt::format(
      "<svg{} viewBox=\"0 0 {} {}\" width=\"{}\" role=\"img\" aria-labelledby=\"{}-t {}-d\" "
      "class=\"chart\">\n<title id=\"{}-t\">{}</title>\n<desc id=\"{}-d\">{}</desc>\n",
      use == Use::kFile ? " xmlns=\"http://www.w3.org/2000/svg\"" : "", width, at(height), width,
      id, id, id, escaped(title), id, escaped(description));
  if (use == Use::kFile) {
    out += "<style>" + style_sheet() + "</style>\n";
    out += "<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n";
  }
  return out;
}

double margin_of(const Series& series, std::size_t point) {
  const double margin = point < series.margins.size() ? series.margins[point] : 0;
  return std::isfinite(margin) ? margin : 0;
}

// A dot at each point and a whisker as long as it is uncertain; one without length is left out.
void draw_margins(std::string& out, const Frame& frame, const Series& series) {
  for (std::size_t i = 0; i < series.points.size() && !series.margins.empty(); ++i) {
    const auto& point = series.points[i];
    if (!is_finite(point))
      continue;
    const std::string x = at(frame.px(point.first) + series.shift);
    const double margin = margin_of(series, i);
    if (margin > 0) {
      fmt::format_to(std::back_inserter(out), "<path class=\"whisker {}\" d=\"M{} {}V{}\"/>\n",
                     class_of(series.colour), x, at(frame.py(point.second - margin)),
                     at(frame.py(point.second + margin)));
    }
    fmt::format_to(std::back_inserter(out),
                   "<circle class=\"dot {}\" cx=\"{}\" cy=\"{}\" r=\"3\"/>\n",
                   class_of(series.colour), x, at(frame.py(point.second)));
  }
}

// Everything of a chart but its <svg> element, from `top` on; answers where it ends.
double draw(std::string& out, const Chart& chart, double top) {
  double y = top;
  text(out, 0, y + 14, "start", chart.title, " class=\"title\"");
  y += 26;
  std::vector<Key> keys;
  if (chart.series.size() > 1 || chart.stacked) {
    for (const Series& series : chart.series)
      keys.push_back({series.name, series.colour, chart.stacked});
  }
  y += draw_legend(out, keys, 0, chart.width, y);
  if (!chart.y.label.empty()) {
    text(out, 0, y + 12, "start", chart.y.label, " class=\"unit\"");
    y += 18;
  }

  std::vector<double> xs, ys;
  for (const Series& series : chart.series) {
    for (std::size_t i = 0; i < series.points.size(); ++i) {
      const auto& point = series.points[i];
      if (!is_finite(point))
        continue;
      xs.push_back(point.first);
      ys.push_back(point.second);
      if (const double margin = margin_of(series, i); margin > 0) {
        ys.push_back(point.second - margin);
        ys.push_back(point.second + margin);
      }
    }
  }
  if (chart.stacked && !chart.series.empty()) {
    ys.assign(chart.series.front().points.size(), 0);
    for (const Series& series : chart.series) {
      for (std::size_t i = 0; i < std::min(ys.size(), series.points.size()); ++i)
        ys[i] +=
            std::isfinite(series.points[i].second) ? std::max(0.0, series.points[i].second) : 0;
    }
  }
  Frame frame;
  frame.x = make_ruler(chart.x, xs, false);
  if (!chart.x.max && !xs.empty() && chart.x.scale == Scale::kLinear)
    frame.x.max = std::max(frame.x.min + 1e-12, *std::max_element(xs.begin(), xs.end()));
  std::erase_if(frame.x.ticks, [&](double tick) { return tick > frame.x.max * (1 + 1e-9); });
  frame.y = make_ruler(chart.y, ys, true);
  std::size_t longest = 1;
  for (const double tick : frame.y.ticks)
    longest = std::max(longest, tick_text(chart.y, tick).size());
  frame.left = 10 + static_cast<double>(longest) * kDigitWidth;
  frame.right = chart.width - 14;
  frame.top = y + 6;
  frame.bottom = top + chart.height - 40;

  if (!chart.stacked) {
    draw_y_axis(out, frame, chart.y);
    draw_x_axis(out, frame, chart.x);
  } else {
    draw_stack(out, frame, chart.series);
    draw_y_axis(out, frame, chart.y);
    draw_x_axis(out, frame, chart.x);
    return top + chart.height;
  }
  for (const Series& series : chart.series) {
    if (series.form == Form::kDots) {
      for (const auto& point : series.points) {
        if (is_finite(point)) {
          fmt::format_to(
              std::back_inserter(out), "<circle class=\"dot {}\" cx=\"{}\" cy=\"{}\" r=\"3\"/>\n",
              class_of(series.colour), at(frame.px(point.first)), at(frame.py(point.second)));
        }
      }
      continue;
    }
    const std::string path = line_path(frame, series);
    if (!path.empty()) {
      fmt::format_to(std::back_inserter(out), "<path class=\"line {}\"{} d=\"{}\"/>\n",
                     class_of(series.colour), dash_of(series.colour), path);
    }
    draw_margins(out, frame, series);
  }
  return top + chart.height;
}

}  // namespace

std::string svg(const Chart& chart, Use use) {
  std::string out =
      opened(chart.id, chart.title, chart.description, chart.width, chart.height, use);
  draw(out, chart, 0);
  return out + "</svg>\n";
}

std::string svg(const Strips& strips, Use use) {
  const double pitch = strips.row_height + 4;
  std::vector<Key> keys;
  std::size_t longest = 1;
  std::vector<double> xs;
  for (const Strips::Row& row : strips.rows) {
    longest = std::max(longest, std::min<std::size_t>(row.name.size(), 24));
    for (const Series& part : row.parts) {
      if (std::none_of(keys.begin(), keys.end(),
                       [&](const Key& key) { return key.colour == part.colour; }))
        keys.push_back({part.name, part.colour, true});
      for (const auto& point : part.points)
        xs.push_back(point.first);
    }
  }
  std::string body;
  text(body, 0, 14, "start", strips.title, " class=\"title\"");
  double y = 26 + draw_legend(body, keys, 0, strips.width, 26) + 6;
  Frame frame;
  frame.x = make_ruler(strips.x, xs, false);
  if (!strips.x.max && !xs.empty())
    frame.x.max = std::max(frame.x.min + 1e-12, *std::max_element(xs.begin(), xs.end()));
  std::erase_if(frame.x.ticks, [&](double tick) { return tick > frame.x.max * (1 + 1e-9); });
  frame.y.min = 0;
  frame.y.max = 1;
  frame.left = 10 + static_cast<double>(longest) * kDigitWidth;
  frame.right = strips.width - 14;
  const double top = y;
  for (const Strips::Row& row : strips.rows) {
    frame.top = y;
    frame.bottom = y + strips.row_height;
    const std::string name = row.name.size() > 24 ? row.name.substr(0, 22) + ".." : row.name;
    text(body, frame.left - 6, frame.bottom - 3, "end", name);
    draw_stack(body, frame, row.parts);
    y += pitch;
  }
  frame.top = top;
  frame.bottom = y;
  draw_x_axis(body, frame, strips.x);
  return opened(strips.id, strips.title, strips.description, strips.width, y + 44, use) + body +
         "</svg>\n";
}

std::string svg_file(std::string_view heading, const std::vector<Chart>& charts) {
  constexpr double kMargin = 16;
  int width = 720;
  double height = 34;
  std::string description;
  for (const Chart& chart : charts) {
    width = std::max(width, chart.width);
    height += chart.height + 16;
    description += (description.empty() ? "" : " ") + chart.description;
  }
  std::string out = opened("picture", heading, description, width + static_cast<int>(2 * kMargin),
                           height + 2 * kMargin, Use::kFile);
  fmt::format_to(std::back_inserter(out), "<g transform=\"translate({} {})\">\n", kMargin, kMargin);
  text(out, 0, 14, "start", heading, " class=\"title\"");
  double y = 34;
  for (const Chart& chart : charts)
    y = draw(out, chart, y) + 16;
  return out + "</g>\n</svg>\n";
}

std::string style_sheet() {
  // Dark enough on white, light enough on black: at least 3:1 for what carries data.
  return R"(
:root, svg { --ink: #1c1f24; --quiet: #5a6270; --rule: #e1e4e9; --paper: #ffffff;
  --c0: #1f6fc4; --c1: #b8540b; --c2: #0b7f5f; --c3: #9a3f94; --c4: #766200; --c5: #5257a8;
  --c6: #a3324a; --c7: #3d7a8c; --prefill: #e07b1f; --decode: #2f7fd1; --idle: #d9dde3;
  --lost: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root, svg { --ink: #e6e9ee; --quiet: #a2abb8; --rule: #333a44; --paper: #14171b;
    --c0: #6fb1f5; --c1: #f19a55; --c2: #4cc79c; --c3: #dd93d6; --c4: #cfb947; --c5: #a9adf0;
    --c6: #f0899d; --c7: #7cc3d6; --prefill: #f0984a; --decode: #5a9fe3; --idle: #3a414b;
    --lost: #f2665c; } }
@media print { :root, svg { --ink: #000000; --quiet: #444444; --paper: #ffffff; } }
.chart { font: 12px system-ui, sans-serif; max-width: 100%; height: auto; }
.chart text { fill: var(--quiet); }
.chart text.title { fill: var(--ink); font-weight: 600; font-size: 14px; }
.chart .paper { fill: var(--paper); }
.chart .grid { stroke: var(--rule); stroke-width: 1; fill: none; }
.chart .axis { stroke: var(--quiet); stroke-width: 1; fill: none; }
.chart .line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke: var(--colour); }
.chart .whisker { fill: none; stroke-width: 1.5; stroke: var(--colour); }
.chart .area, .chart .dot { fill: var(--colour); stroke: none; }
.s0 { --colour: var(--c0); } .s1 { --colour: var(--c1); } .s2 { --colour: var(--c2); }
.s3 { --colour: var(--c3); } .s4 { --colour: var(--c4); } .s5 { --colour: var(--c5); }
.s6 { --colour: var(--c6); } .s7 { --colour: var(--c7); } .prefill { --colour: var(--prefill); }
.decode { --colour: var(--decode); } .idle { --colour: var(--idle); }
.lost { --colour: var(--lost); } .muted { --colour: var(--quiet); }
)";
}

std::string escaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    // A whole UTF-8 sequence, or its first byte is replaced.
    const std::size_t length = byte < 0x80 ? 1 : byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2;
    bool whole = byte < 0x80 || (byte >= 0xC2 && byte <= 0xF4 && i + length <= text.size());
    std::uint32_t point = length == 1 ? byte : byte & (0xFFU >> (length + 1));
    for (std::size_t k = 1; whole && k < length; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      whole = (next & 0xC0) == 0x80;
      point = point << 6 | (next & 0x3F);
    }
    whole = whole && !(length == 3 && point < 0x800) && !(length == 4 && point < 0x10000) &&
            point <= 0x10FFFF && !(point >= 0xD800 && point <= 0xDFFF) &&
            (point & 0xFFFE) != 0xFFFE;
    if (!whole || (byte < 0x20 && byte != '\n') || byte == 0x7F) {
      out += whole ? " " : "?";
      ++i;
      continue;
    }
    switch (text[i]) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out.append(text.substr(i, length));
    }
    i += length;
  }
  return out;
}

std::string short_number(double value) {
  const double size = std::abs(value);
  if (!std::isfinite(value))
    return "-";
  if (size >= 1e15)
    return fmt::format("{:.3g}", value);
  for (const auto& [unit, letter] :
       {std::pair(1e12, "T"), std::pair(1e9, "G"), std::pair(1e6, "M"), std::pair(1e3, "k")}) {
    if (size >= unit)
      return fmt::format("{:.4g}{}", value / unit, letter);
  }
  return size > 0 && size < 1e-3 ? fmt::format("{:.2g}", value) : fmt::format("{:.4g}", value);
}

TimeUnit time_unit(double span_s) {
  if (span_s > 3 * 3600)
    return {3600, "h"};
  if (span_s > 5 * 60)
    return {60, "min"};
  return {1, "s"};
}

}  // namespace medley::chart
