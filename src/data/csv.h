// Tables of numbers in CSV: read by column name, written with fixed decimals. For traces and
// step-time tables; not for prose (no quoting beyond plain quotes around a cell, no line breaks in
// cells).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace medley::data {

// A CSV file whose first line names the columns. CRLF, a byte-order mark, blank lines at the end
// and a missing last line end are ordinary; a row with another number of cells than the header has
// is an error. Views into the text are valid as long as the table lives.
class CsvTable {
 public:
  const std::string& file() const { return file_; }
  const std::vector<std::string>& columns() const { return columns_; }
  std::size_t rows() const { return columns_.empty() ? 0 : cells_.size() / columns_.size(); }

  // The place of a column; the error names the nearest one.
  Result<std::size_t> column(std::string_view name) const;
  bool has_column(std::string_view name) const;
  std::string_view cell(std::size_t row, std::size_t column) const;
  // "perf.csv:12" for messages about a row.
  std::string where(std::size_t row) const;

  // A whole column. Errors name file, line and column.
  Result<std::vector<double>> numbers(std::string_view column) const;
  Result<std::vector<long long>> wholes(std::string_view column) const;
  Result<std::vector<std::string_view>> texts(std::string_view column) const;

 private:
  friend Result<CsvTable> parse_csv(std::string text, std::string name);
  struct Span {
    std::uint32_t begin, size;
  };
  std::string file_, text_;
  std::vector<std::string> columns_;
  std::vector<Span> cells_;           // row by row
  std::vector<std::uint32_t> lines_;  // line of each row, from 1
};

// A file, gunzipped where its name ends in ".gz".
Result<CsvTable> read_csv(const std::string& path);
Result<CsvTable> parse_csv(std::string text, std::string name);

// Builds CSV text row by row: numbers with fixed decimals, texts quoted where they must be.
class CsvWriter {
 public:
  explicit CsvWriter(const std::vector<std::string>& columns);
  CsvWriter& text(std::string_view value);
  CsvWriter& whole(long long value);
  CsvWriter& number(double value, int decimals);
  // With so many significant digits, as printf's %g.
  CsvWriter& significant(double value, int digits);
  // A text that is known to need no quotes, or has them.
  CsvWriter& plain(std::string_view value);
  CsvWriter& empty();
  void end_row();
  // A text as text() writes it, for plain().
  static std::string quoted(std::string_view value);
  // What was built so far; clear() after having written it out.
  const std::string& str() const { return text_; }
  void clear() { text_.clear(); }

 private:
  void separate();
  std::string text_;
  bool row_begun_ = false;
};

}  // namespace medley::data
