// Aligned text tables for people; programs get JSON.
//
//   Table table({{"device"}, {"memory", Align::kRight}});
//   table.add_row({"h100_sxm", "85.9 GB"});
//   std::fputs(table.text().c_str(), out);
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/printable.h"

namespace medley::cli {

enum class Align { kLeft, kRight };

struct Column {
  std::string title;
  Align align = Align::kLeft;
};

class Table {
 public:
  explicit Table(std::vector<Column> columns);

  // Missing cells are empty, control characters left out (printable). Precondition: no more cells
  // than columns.
  void add_row(std::vector<std::string> cells);
  // A line between the rows before and those after, for sums.
  void add_rule();
  std::size_t rows() const { return rows_.size(); }

  // Titles, a rule and the rows, two spaces between columns, no spaces at line ends, each line
  // ended.
  std::string text() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;  // an empty one is a rule
};

// Columns that a terminal gives to UTF-8 text: one a code point, two for East Asian wide ones and
// emoji, none for combining marks. Bytes that are not UTF-8 count one each.
std::size_t display_width(std::string_view text);

using medley::printable;  // for what is printed beside tables

}  // namespace medley::cli
