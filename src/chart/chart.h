// Pictures for people: charts as SVG text, drawn without scripts, the same bytes for the same
// input.
//
// A chart is a plain struct, filled by whoever has the figures; svg() lays it out. Colours are CSS
// variables with a light and a dark set, series differ in dash as well as in colour, and every
// picture carries a title and a description for those who do not see it.
//
//   Chart chart{.id = "ttft", .title = "TTFT", .x = {"seconds", Scale::kLog}, .y = {"share"}};
//   chart.series.push_back({.name = "standard", .points = cdf});
//   write(path, svg(chart, Use::kFile));
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace medley::chart {

enum class Scale { kLinear, kLog };

struct Axis {
  std::string label;  // with the unit
  Scale scale = Scale::kLinear;
  std::optional<double> min, max;  // default: what the points need; linear y axes begin at 0
  bool percent = false;            // ticks as percent of 1
};

// The colours of a series: eight to tell kinds apart, and those with a meaning of their own.
enum class Colour { k0, k1, k2, k3, k4, k5, k6, k7, kPrefill, kDecode, kIdle, kLost, kMuted };

enum class Form {
  kLine,
  kSteps,  // a value holds until the next point; the last point only ends it
  kDots,
};

struct Series {
  std::string name;
  Colour colour = Colour::k0;
  Form form = Form::kLine;
  std::vector<std::pair<double, double>> points;  // x ascending; what is not finite is left out
  // How uncertain each point is: drawn as a dot with a whisker of this half-length. Empty: plain.
  std::vector<double> margins;
  // Pixels to the right: where several series have points at the same x, so that none hides
  // another.
  double shift = 0;
};

struct Chart {
  std::string id;  // unique in its page: letters, digits and hyphens
  std::string title;
  std::string description;
  Axis x, y;
  std::vector<Series> series;
  bool stacked = false;  // areas one upon the other; every series has the same x, form kSteps
  int width = 720, height = 260;
};

// Rows of small stacked areas over one time axis, one a replica or pool, each from 0 to 1.
struct Strips {
  std::string id, title, description;
  Axis x;
  struct Row {
    std::string name;
    std::vector<Series> parts;  // form kSteps, all with the same x
  };
  std::vector<Row> rows;
  int width = 720, row_height = 14;
};

// In a page, whose style sheet is style_sheet(); or in a file of its own, which carries it.
enum class Use { kPage, kFile };
std::string svg(const Chart& chart, Use use);
std::string svg(const Strips& strips, Use use);
// Several charts below one another, as one picture with a heading, in a file of its own.
std::string svg_file(std::string_view heading, const std::vector<Chart>& charts);

// The variables and classes that charts use, light and dark.
std::string style_sheet();

// Text for XML and HTML: quotes and angle brackets escaped, control characters and bytes that are
// not UTF-8 replaced.
std::string escaped(std::string_view text);

// "1.2k", "30M", "0.05": four digits, short.
std::string short_number(double value);

// Seconds on an axis: "s", "min" or "h" by the span, and what to divide by.
struct TimeUnit {
  double seconds = 1;
  std::string name = "s";
};
TimeUnit time_unit(double span_s);

}  // namespace medley::chart
