#include "data/csv.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/nearest.h"
#include "data/file.h"

namespace medley::data {
namespace {

constexpr std::size_t kMaxBytes = std::numeric_limits<std::uint32_t>::max();
constexpr std::size_t kMaxColumns = 4096;

std::string_view trimmed(std::string_view cell) {
  while (!cell.empty() && (cell.front() == ' ' || cell.front() == '\t'))
    cell.remove_prefix(1);
  while (!cell.empty() && (cell.back() == ' ' || cell.back() == '\t'))
    cell.remove_suffix(1);
  if (cell.size() >= 2 && cell.front() == '"' && cell.back() == '"')
    cell = cell.substr(1, cell.size() - 2);
  return cell;
}

std::string shown(std::string_view cell) {
  std::string clean;
  for (const char c : cell.substr(0, 40))
    clean += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;
  return cell.size() > 40 ? clean + "..." : clean;
}

}  // namespace

Result<std::size_t> CsvTable::column(std::string_view name) const {
  const auto found = std::find(columns_.begin(), columns_.end(), name);
  if (found != columns_.end())
    return static_cast<std::size_t>(found - columns_.begin());
  return Error{ErrorCode::kInvalid,
               fmt::format("{}:1: no column '{}'{}", file_, name, suggestion(name, columns_)),
               {}};
}

bool CsvTable::has_column(std::string_view name) const {
  return std::find(columns_.begin(), columns_.end(), name) != columns_.end();
}

std::string_view CsvTable::cell(std::size_t row, std::size_t column) const {
  const Span span = cells_[row * columns_.size() + column];
  return std::string_view(text_).substr(span.begin, span.size);
}

std::string CsvTable::where(std::size_t row) const {
  return fmt::format("{}:{}", file_, lines_[row]);
}

namespace {

template <typename T>
bool parse_cell(std::string_view cell, T& value) {
  const char* end = cell.data() + cell.size();
  const auto [stop, failure] = std::from_chars(cell.data(), end, value);
  return failure == std::errc() && stop == end && std::isfinite(static_cast<double>(value));
}

template <typename T>
Result<std::vector<T>> parse_column(const CsvTable& table, std::string_view name,
                                    std::string_view expected) {
  MEDLEY_TRY(const std::size_t column, table.column(name));
  std::vector<T> values(table.rows());
  for (std::size_t row = 0; row < values.size(); ++row) {
    const std::string_view cell = table.cell(row, column);
    if (parse_cell(cell, values[row]))
      continue;
    return Error{
        ErrorCode::kInvalid,
        fmt::format("{}: {}: expected {}, got '{}'", table.where(row), name, expected, shown(cell)),
        std::string(name)};
  }
  return values;
}

}  // namespace

Result<std::vector<double>> CsvTable::numbers(std::string_view column) const {
  return parse_column<double>(*this, column, "a number");
}

Result<std::vector<long long>> CsvTable::wholes(std::string_view column) const {
  return parse_column<long long>(*this, column, "a whole number");
}

Result<std::vector<std::string_view>> CsvTable::texts(std::string_view name) const {
  MEDLEY_TRY(const std::size_t place, column(name));
  std::vector<std::string_view> values;
  values.reserve(rows());
  for (std::size_t row = 0; row < rows(); ++row)
    values.push_back(cell(row, place));
  return values;
}

Result<CsvTable> parse_csv(std::string text, std::string name) {
  CsvTable table;
  table.file_ = std::move(name);
  table.text_ = std::move(text);
  const auto fail = [&](std::size_t line, const std::string& message) {
    return Error{ErrorCode::kInvalid, fmt::format("{}:{}: {}", table.file_, line, message), {}};
  };
  if (table.text_.size() > kMaxBytes)
    return fail(1, "larger than 4 GiB");

  const std::string_view all = table.text_;
  std::size_t at = all.starts_with("\xEF\xBB\xBF") ? 3 : 0;
  std::uint32_t line_number = 0;
  std::size_t blank_since = 0;
  while (at < all.size()) {
    ++line_number;
    std::size_t end = all.find('\n', at);
    const std::size_t next = end == std::string_view::npos ? all.size() : end + 1;
    if (end == std::string_view::npos)
      end = all.size();
    if (end > at && all[end - 1] == '\r')
      --end;
    const std::string_view line = all.substr(at, end - at);
    if (line.empty()) {
      if (blank_since == 0)
        blank_since = line_number;
      at = next;
      continue;
    }
    if (blank_since > 0)
      return fail(blank_since, "an empty line between rows");

    std::size_t cells = 0;
    for (std::size_t begin = 0;;) {
      const std::size_t comma = std::min(line.find(',', begin), line.size());
      const std::string_view cell = trimmed(line.substr(begin, comma - begin));
      if (table.lines_.empty() && line_number == 1) {
        if (table.columns_.size() == kMaxColumns)
          return fail(1, fmt::format("more than {} columns", kMaxColumns));
        table.columns_.emplace_back(cell);
      } else {
        table.cells_.push_back({static_cast<std::uint32_t>(cell.data() - all.data()),
                                static_cast<std::uint32_t>(cell.size())});
      }
      ++cells;
      if (comma == line.size())
        break;
      begin = comma + 1;
    }
    if (line_number > 1) {
      if (cells != table.columns_.size()) {
        return fail(line_number, fmt::format("expected {} cells as in the first line, got {}",
                                             table.columns_.size(), cells));
      }
      table.lines_.push_back(line_number);
    }
    at = next;
  }
  if (table.columns_.empty())
    return fail(1, "expected a line with the columns' names");
  for (std::size_t i = 0; i < table.columns_.size(); ++i) {
    const auto first = table.columns_.begin() + static_cast<std::ptrdiff_t>(i);
    if (std::find(table.columns_.begin(), first, table.columns_[i]) != first) {
      return fail(1, fmt::format("two columns called '{}'", shown(table.columns_[i])));
    }
  }
  return table;
}

Result<CsvTable> read_csv(const std::string& path) {
  MEDLEY_TRY(std::string text, read_file_maybe_gzip(path));
  return parse_csv(std::move(text), path);
}

namespace {

// A number as fixed decimals by whole-number arithmetic, several times as fast as to_chars and
// equal to it: a double is m · 2^-shift, so that m · 10^decimals, shifted with rounding to even, is
// its decimals exactly. Null where that does not fit: negative, huge, or more than nine decimals.
char* print_short(double value, int decimals, char* out) {
  if (!(value >= 0 && value < 9e9) || std::signbit(value) || decimals > 9)
    return nullptr;
  std::uint64_t power = 1;
  for (int i = 0; i < decimals; ++i)
    power *= 10;
  const auto bits = std::bit_cast<std::uint64_t>(value);
  const auto exponent = static_cast<int>(bits >> 52);
  constexpr std::uint64_t kHidden = std::uint64_t{1} << 52;
  const std::uint64_t mantissa = (bits & (kHidden - 1)) | (exponent > 0 ? kHidden : 0);
  const int shift = 1075 - std::max(exponent, 1);  // 20 and more, the value being below 2^33.1
  std::uint64_t whole = 0;
  if (shift < 128) {
    __extension__ typedef unsigned __int128 Wide;
    const Wide product = Wide{mantissa} * power;
    whole = static_cast<std::uint64_t>(product >> shift);
    const Wide rest = product & ((Wide{1} << shift) - 1), half = Wide{1} << (shift - 1);
    if (rest > half || (rest == half && whole % 2 == 1))
      ++whole;
  }
  char* end = std::to_chars(out, out + 24, whole / power).ptr;
  if (decimals == 0)
    return end;
  *end = '.';
  std::uint64_t fraction = whole % power;
  for (int i = decimals; i > 0; --i, fraction /= 10)
    end[i] = static_cast<char>('0' + fraction % 10);
  return end + 1 + decimals;
}

}  // namespace

CsvWriter::CsvWriter(const std::vector<std::string>& columns) {
  for (const std::string& column : columns)
    text(column);
  end_row();
}

void CsvWriter::separate() {
  if (row_begun_)
    text_ += ',';
  row_begun_ = true;
}

std::string CsvWriter::quoted(std::string_view value) {
  if (value.find_first_of(",\"\r\n") == std::string_view::npos)
    return std::string(value);
  std::string text = "\"";
  for (const char c : value) {
    if (c == '"')
      text += '"';
    text += c;
  }
  return text + '"';
}

CsvWriter& CsvWriter::text(std::string_view value) { return plain(quoted(value)); }

CsvWriter& CsvWriter::plain(std::string_view value) {
  separate();
  text_.append(value);
  return *this;
}

CsvWriter& CsvWriter::whole(long long value) {
  separate();
  char digits[24];
  const auto [end, failure] = std::to_chars(digits, digits + sizeof digits, value);
  text_.append(digits, end);
  return *this;
}

CsvWriter& CsvWriter::number(double value, int decimals) {
  MEDLEY_CHECK(decimals >= 0 && decimals <= 60);
  separate();
  // 309 digits before the point and what is asked for after it.
  char digits[400];
  if (char* const end = print_short(value, decimals, digits)) {
    text_.append(digits, end);
    return *this;
  }
  const auto [end, failure] =
      std::to_chars(digits, digits + sizeof digits, value, std::chars_format::fixed, decimals);
  MEDLEY_CHECK(failure == std::errc());
  text_.append(digits, end);
  return *this;
}

CsvWriter& CsvWriter::significant(double value, int digits) {
  MEDLEY_CHECK(digits >= 1 && digits <= 60);
  separate();
  char text[100];
  const auto [end, failure] =
      std::to_chars(text, text + sizeof text, value, std::chars_format::general, digits);
  MEDLEY_CHECK(failure == std::errc());
  text_.append(text, end);
  return *this;
}

CsvWriter& CsvWriter::empty() {
  separate();
  return *this;
}

void CsvWriter::end_row() {
  text_ += '\n';
  row_begun_ = false;
}

}  // namespace medley::data
