// JSON files that people bring, read field by field with messages that say where.
//
//   MEDLEY_TRY(const boost::json::value root, read_json(path));
//   MEDLEY_TRY(const JsonField cost, JsonField(root, path).member("cost"));
//   MEDLEY_TRY(const double value, cost.number(0, 1e6));
#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace medley::data {

// Errors name the path, and for what is no JSON the line and column.
Result<boost::json::value> read_json(const std::string& path);
// The same from memory; `name` stands for the file in errors.
Result<boost::json::value> parse_json(std::string_view text, const std::string& name);

// A value and where it stands: "cases.json: tables.a.gpu_info.l4.cost". Refers to the value. All
// errors are kInvalid and say what was expected.
class JsonField {
 public:
  // The whole of a file.
  JsonField(const boost::json::value& value, std::string path)
      : value_(&value), where_(std::move(path)), prefix_(where_ + ": ") {}

  const std::string& where() const { return where_; }
  bool is_null() const { return value_->is_null(); }
  Error wrong(std::string_view expected) const;

  Result<JsonField> member(std::string_view name) const;                   // missing: an error
  Result<std::vector<std::pair<std::string, JsonField>>> members() const;  // of an object, in order
  Result<std::vector<JsonField>> items() const;                            // of an array
  // Finite, from `least` to `most`.
  Result<double> number(double least, double most) const;
  Result<std::int64_t> whole(std::int64_t least, std::int64_t most) const;
  Result<std::string> text() const;

 private:
  JsonField(const boost::json::value& value, const JsonField& parent, std::string_view step);

  const boost::json::value* value_;
  std::string where_;
  std::string prefix_;  // of what is inside
};

}  // namespace medley::data
