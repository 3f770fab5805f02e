// A report as one HTML file: headings, text, tables and pictures, nothing loaded from elsewhere, no
// scripts. Legible in light and dark, printable.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace medley::chart {

struct TableColumn {
  std::string title;
  bool number = false;  // aligned right
  bool wraps = false;   // long text takes several lines
};

struct HtmlTable {
  std::string caption;
  std::vector<TableColumn> columns;
  std::vector<std::vector<std::string>> rows;
};

class Page {
 public:
  explicit Page(std::string_view title);
  // All text is escaped.
  void heading(std::string_view text);
  void paragraph(std::string_view text);
  void note(std::string_view text);  // set apart, for what a reader must not miss
  void code(std::string_view text);
  // Large figures beside one another.
  struct Fact {
    std::string name, value;
  };
  void facts(const std::vector<Fact>& facts);
  void table(const HtmlTable& table);
  // A picture from svg(…, Use::kPage), and its figures as a table that opens on demand.
  void figure(std::string_view svg, const HtmlTable& figures);
  // Pictures side by side where there is room.
  void begin_row();
  void end_row();

  std::string html() const;

 private:
  std::string title_, body_;
};

}  // namespace medley::chart
