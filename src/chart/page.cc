#include "chart/page.h"

#include <fmt/format.h>

#include <iterator>

#include "chart/chart.h"

namespace medley::chart {
namespace {

constexpr std::string_view kPageStyle = R"(
:root { color-scheme: light dark; }
body { margin: 2rem auto; max-width: 56rem; padding: 0 1.2rem; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p { margin: .5rem 0; max-width: 48rem; } .note { border-left: 4px solid var(--prefill);
  padding: .3rem .8rem; } code { font: 13px ui-monospace, monospace; overflow-wrap: anywhere; }
pre { background: var(--rule); padding: .6rem .8rem; white-space: pre-wrap; }
.facts { display: flex; flex-wrap: wrap; gap: .6rem 2.2rem; margin: 1rem 0; }
.facts div { min-width: 6rem; } .facts dt { color: var(--quiet); font-size: .85rem; margin: 0; }
.facts dd { font-size: 1.35rem; font-weight: 600; margin: 0; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; margin: .6rem 0;
  font-size: .88rem; } caption { text-align: left; color: var(--quiet); padding: .2rem 0; }
th, td { padding: .2rem .7rem .2rem 0; text-align: left; border-bottom: 1px solid var(--rule);
  white-space: nowrap; } th { color: var(--quiet); font-weight: 500; }
td.w { white-space: normal; min-width: 15rem; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0; break-inside: avoid; } figure svg { width: 100%; } details { font-size: .85rem; color: var(--quiet); }
.row { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: 0 1.4rem; }
@media print { body { max-width: none; margin: 0; } details { display: none; }
  h2 { break-after: avoid; } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
)";

std::string table_html(const HtmlTable& table) {
  std::string out = "<div class=\"scroll\"><table>";
  if (!table.caption.empty())
    out += "<caption>" + escaped(table.caption) + "</caption>";
  out += "<thead><tr>";
  for (const TableColumn& column : table.columns) {
    fmt::format_to(std::back_inserter(out), "<th scope=\"col\"{}>{}</th>",
                   column.number ? " class=\"n\"" : "", escaped(column.title));
  }
  out += "</tr></thead><tbody>\n";
  for (const std::vector<std::string>& row : table.rows) {
    out += "<tr>";
    for (std::size_t i = 0; i < row.size(); ++i) {
      const TableColumn column = i < table.columns.size() ? table.columns[i] : TableColumn{};
      fmt::format_to(std::back_inserter(out), "<td{}>{}</td>",
                     column.number  ? " class=\"n\""
                     : column.wraps ? " class=\"w\""
                                    : "",
                     escaped(row[i]));
    }
    out += "</tr>\n";
  }
  return out + "</tbody></table></div>\n";
}

}  // namespace

Page::Page(std::string_view title) : title_(title) { body_ = "<h1>" + escaped(title) + "</h1>\n"; }

void Page::heading(std::string_view text) { body_ += "<h2>" + escaped(text) + "</h2>\n"; }
void Page::paragraph(std::string_view text) { body_ += "<p>" + escaped(text) + "</p>\n"; }
void Page::note(std::string_view text) { body_ += "<p class=\"note\">" + escaped(text) + "</p>\n"; }
void Page::code(std::string_view text) {
  body_ += "<pre><code>" + escaped(text) + "</code></pre>\n";
}

void Page::facts(const std::vector<Fact>& facts) {
  body_ += "<dl class=\"facts\">\n";
  for (const Fact& fact : facts) {
    body_ += "<div><dt>" + escaped(fact.name) + "</dt><dd>" + escaped(fact.value) + "</dd></div>\n";
  }
  body_ += "</dl>\n";
}

void Page::table(const HtmlTable& table) { body_ += table_html(table); }

void Page::figure(std::string_view svg, const HtmlTable& figures) {
  body_ += "<figure>\n";
  body_ += svg;
  if (!figures.rows.empty())
    body_ += "<details><summary>The figures of this picture</summary>\n" + table_html(figures) +
             "</details>\n";
  body_ += "</figure>\n";
}

void Page::begin_row() { body_ += "<div class=\"row\">\n"; }
void Page::end_row() { body_ += "</div>\n"; }

std::string Page::html() const {
  return "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>" +
         escaped(title_) + "</title>\n<style>" + style_sheet() + std::string(kPageStyle) +
         "</style>\n</head>\n<body>\n<main>\n" + body_ + "</main>\n</body>\n</html>\n";
}

}  // namespace medley::chart
