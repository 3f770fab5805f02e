#include "chart/chart.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "chart/page.h"

namespace medley::chart {
namespace {

std::size_t count(const std::string& text, std::string_view part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++found;
  return found;
}

// Every element that is opened is closed, in order, and no quote or bracket is left open.
void expect_well_formed(const std::string& text) {
  std::vector<std::string> open;
  for (std::size_t at = text.find('<'); at != std::string::npos; at = text.find('<', at + 1)) {
    const std::size_t end = text.find('>', at);
    ASSERT_NE(end, std::string::npos) << text.substr(at, 80);
    const std::string tag = text.substr(at + 1, end - at - 1);
    if (tag.starts_with('!') || tag.starts_with("meta"))
      continue;
    const std::string name = tag.substr(0, tag.find_first_of(" />", 1));
    if (tag.starts_with('/')) {
      ASSERT_FALSE(open.empty()) << tag;
      EXPECT_EQ("/" + open.back(), name);
      open.pop_back();
    } else if (!tag.ends_with('/')) {
      open.push_back(name);
    }
    EXPECT_EQ(count(tag, "\"") % 2, 0u) << tag;
  }
  EXPECT_TRUE(open.empty());
}

Chart simple() {
  Chart chart{.id = "c",
              .title = "A & B",
              .description = "two lines",
              .x = {.label = "seconds"},
              .y = {.label = "share", .min = 0, .max = 1, .percent = true}};
  chart.series = {{.name = "first", .points = {{0, 0}, {5, 0.5}, {10, 1}}},
                  {.name = "<second>", .colour = Colour::k1, .points = {{0, 1}, {10, 0}}}};
  return chart;
}

TEST(Chart, DrawsALineFromTheFirstPointToTheLast) {
  const std::string text = svg(simple(), Use::kPage);
  expect_well_formed(text);
  // The frame reaches from the labels of the y axis ("100 %", five characters) to 14 from the
  // right, and from below the names of the series to 40 above the bottom.
  EXPECT_NE(text.find("d=\"M44 220L375 144L706 68\""), std::string::npos) << text;
  EXPECT_NE(text.find("A &amp; B"), std::string::npos);
  EXPECT_NE(text.find("&lt;second&gt;"), std::string::npos);
  EXPECT_NE(text.find(">40 %<"), std::string::npos) << text;
  EXPECT_EQ(text.find("xmlns"), std::string::npos);
  EXPECT_EQ(text, svg(simple(), Use::kPage));
}

TEST(Chart, AFileOfItsOwnCarriesItsStyle) {
  const std::string text = svg(simple(), Use::kFile);
  expect_well_formed(text);
  EXPECT_NE(text.find("prefers-color-scheme: dark"), std::string::npos);
  EXPECT_NE(text.find("xmlns"), std::string::npos);
}

TEST(Chart, StacksAreasUpToTheirSum) {
  Chart chart{.id = "s", .x = {.label = "s"}, .y = {.min = 0, .max = 4}, .stacked = true};
  chart.series = {{.name = "low", .colour = Colour::kPrefill, .points = {{0, 1}, {1, 2}, {2, 2}}},
                  {.name = "high", .colour = Colour::kDecode, .points = {{0, 1}, {1, 2}, {2, 2}}}};
  const std::string text = svg(chart, Use::kPage);
  expect_well_formed(text);
  EXPECT_EQ(count(text, "<path class=\"area"), 2u);
  // The upper one ends at the top of the frame, where its sum is 4.
  const std::size_t high = text.find("<path class=\"area decode\"");
  const std::string path = text.substr(high, text.find("/>", high) - high);
  EXPECT_NE(path.find("V50H706"), std::string::npos) << path;
}

TEST(Chart, LeavesOutWhatIsNoNumberAndSurvivesEmptySeries) {
  Chart chart = simple();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  chart.series[0].points = {{nan, 1}, {1, HUGE_VAL}, {2, nan}};
  chart.series[1].points = {};
  for (const Scale scale : {Scale::kLinear, Scale::kLog}) {
    chart.x = {.label = "x", .scale = scale};
    chart.y = {.label = "y", .scale = scale};
    const std::string text = svg(chart, Use::kPage);
    expect_well_formed(text);
    EXPECT_EQ(text.find("nan"), std::string::npos);
    EXPECT_EQ(text.find("inf"), std::string::npos);
  }
  chart.series[0].points = {{3, 7}};
  expect_well_formed(svg(chart, Use::kPage));
}

TEST(Chart, DrawsAWhiskerAsLongAsAPointIsUncertain) {
  Chart chart = simple();
  chart.series[0].margins = {0, 0.25};  // none is known of the last one
  const std::string text = svg(chart, Use::kPage);
  expect_well_formed(text);
  EXPECT_EQ(count(text, "<circle class=\"dot s0\""), 3u);
  EXPECT_EQ(count(text, "class=\"whisker"), 1u);
  // The middle point stands at 144 between 220 (0 %) and 68 (100 %).
  EXPECT_NE(text.find("<path class=\"whisker s0\" d=\"M375 182V106\"/>"), std::string::npos);
  chart.y = {.label = "free"};
  chart.series[0].margins = {0, 0, 2};
  EXPECT_NE(svg(chart, Use::kPage).find(">3<"), std::string::npos) << "the axis has room for it";
}

TEST(Chart, PutsDecadesOnALogarithmicAxis) {
  Chart chart = simple();
  chart.x.scale = Scale::kLog;
  chart.series[0].points = {{0.01, 0}, {1e4, 1}};
  chart.series[1].points = {{0, 0.5}, {1, 0.5}};  // 0 stands at the left end
  const std::string text = svg(chart, Use::kPage);
  for (const char* tick : {">0.01<", ">0.1<", ">1<", ">10<", ">100<", ">1k<", ">10k<"})
    EXPECT_NE(text.find(tick), std::string::npos) << tick;
}

TEST(Chart, EscapesWhatIsNoText) {
  EXPECT_EQ(escaped("a<b>&\"c\""), "a&lt;b&gt;&amp;&quot;c&quot;");
  EXPECT_EQ(escaped("gr\xC3\xBC\xC3\x9F"), "gr\xC3\xBC\xC3\x9F");
  EXPECT_EQ(escaped("x\xFFy\xC3"), "x?y?");
  EXPECT_EQ(escaped("\xED\xA0\x80"), "???") << "a surrogate";
  EXPECT_EQ(escaped(std::string_view("a\0b\x1b", 4)), "a b ");
}

TEST(Chart, ShortensNumbers) {
  EXPECT_EQ(short_number(0), "0");
  EXPECT_EQ(short_number(1200), "1.2k");
  EXPECT_EQ(short_number(3e7), "30M");
  EXPECT_EQ(short_number(0.05), "0.05");
  EXPECT_EQ(short_number(-2500), "-2.5k");
  EXPECT_EQ(time_unit(7200).name, "min");
  EXPECT_EQ(time_unit(86400).name, "h");
}

TEST(Strips, DrawOneRowEach) {
  Strips strips{.id = "r", .title = "replicas", .description = "", .x = {.label = "s"}};
  for (const char* name : {"a/0", "a/1", "a-name-that-is-longer-than-any-other"}) {
    strips.rows.push_back(
        {name, {{.name = "busy", .colour = Colour::kDecode, .points = {{0, 1}, {1, 0}, {2, 0}}}}});
  }
  const std::string text = svg(strips, Use::kPage);
  expect_well_formed(text);
  EXPECT_EQ(count(text, "<path class=\"area decode\""), 3u);
  EXPECT_EQ(count(text, ">busy<"), 1u) << "one legend for all rows";
}

TEST(Page, HoldsPicturesAndTheirFiguresWithoutScripts) {
  Page page("Run <1>");
  page.facts({{"requests", "12"}});
  page.begin_row();
  page.figure(svg(simple(), Use::kPage), {.columns = {{"x"}, {"y", true}}, .rows = {{"a&b", "1"}}});
  page.end_row();
  page.note("simulated");
  const std::string html = page.html();
  expect_well_formed(html);
  EXPECT_NE(html.find("<title>Run &lt;1&gt;</title>"), std::string::npos);
  EXPECT_NE(html.find("<td>a&amp;b</td><td class=\"n\">1</td>"), std::string::npos);
  EXPECT_EQ(html.find("<script"), std::string::npos);
  EXPECT_EQ(html.find("http"), std::string::npos) << "nothing is loaded from elsewhere";
}

}  // namespace
}  // namespace medley::chart
