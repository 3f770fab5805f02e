#include "cli/table.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/check.h"

namespace medley::cli {
namespace {

struct Interval {
  std::uint32_t first, last;
};
// The blocks that matter in names and prose; not the whole of Unicode's table.
constexpr Interval kCombining[] = {
    {0x0300, 0x036F}, {0x200B, 0x200F}, {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}};
constexpr Interval kWide[] = {
    {0x1100, 0x115F}, {0x2E80, 0xA4CF}, {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},
    {0xFF00, 0xFF60}, {0xFFE0, 0xFFE6}, {0x1F300, 0x1F64F}, {0x1F900, 0x1F9FF}, {0x20000, 0x3FFFD}};

bool within(std::uint32_t point, const Interval* begin, const Interval* end) {
  return std::any_of(begin, end,
                     [&](const Interval& i) { return point >= i.first && point <= i.last; });
}

}  // namespace

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::uint32_t point = next_code_point(text, at);
    if (point >= 0x300) {
      if (within(point, std::begin(kCombining), std::end(kCombining)))
        continue;
      if (within(point, std::begin(kWide), std::end(kWide)))
        ++width;
    }
    ++width;
  }
  return width;
}

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {
  for (Column& column : columns_)
    column.title = printable(column.title);
}

void Table::add_row(std::vector<std::string> cells) {
  MEDLEY_CHECK(cells.size() <= columns_.size());
  cells.resize(columns_.size());
  for (std::string& cell : cells)
    cell = printable(cell);
  rows_.push_back(std::move(cells));
}

void Table::add_rule() { rows_.emplace_back(); }

std::string Table::text() const {
  std::vector<std::size_t> widths;
  for (std::size_t column = 0; column < columns_.size(); ++column) {
    std::size_t width = display_width(columns_[column].title);
    for (const auto& row : rows_) {
      if (!row.empty())
        width = std::max(width, display_width(row[column]));
    }
    widths.push_back(width);
  }

  std::string out;
  const auto line = [&](const auto& cell_of) {
    std::string built;
    for (std::size_t column = 0; column < columns_.size(); ++column) {
      const std::string& cell = cell_of(column);
      const std::string padding(widths[column] - display_width(cell), ' ');
      if (column > 0)
        built += "  ";
      built += columns_[column].align == Align::kRight ? padding + cell : cell + padding;
    }
    built.erase(built.find_last_not_of(' ') + 1);
    out += built + '\n';
  };
  const auto rule = [&] {
    std::vector<std::string> dashes;
    for (const std::size_t width : widths)
      dashes.emplace_back(width, '-');
    line([&](std::size_t column) -> const std::string& { return dashes[column]; });
  };
  line([&](std::size_t column) -> const std::string& { return columns_[column].title; });
  rule();
  for (const auto& row : rows_) {
    if (row.empty()) {
      rule();
    } else {
      line([&](std::size_t column) -> const std::string& { return row[column]; });
    }
  }
  return out;
}

}  // namespace medley::cli
