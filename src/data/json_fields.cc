#include "data/json_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <limits>

#include "data/file.h"

namespace medley::data {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxBytes = 256 << 20;
constexpr std::size_t kMostOfAValue = 40;  // characters shown in a message

std::optional<double> as_number(const json::value& value) {
  switch (value.kind()) {
    case json::kind::int64:
      return static_cast<double>(value.get_int64());
    case json::kind::uint64:
      return static_cast<double>(value.get_uint64());
    case json::kind::double_:
      return value.get_double();
    default:
      return std::nullopt;
  }
}

}  // namespace

Result<json::value> read_json(const std::string& path) {
  MEDLEY_TRY(const std::string text, read_file(path, kMaxBytes));
  return parse_json(text, path);
}

Result<json::value> parse_json(std::string_view text, const std::string& name) {
  json::stream_parser parser;
  json::error_code failure;
  const std::size_t read = parser.write_some(text.data(), text.size(), failure);
  if (!failure && !parser.done())
    parser.finish(failure);
  const auto rest = std::find_if(
      text.begin() + static_cast<std::ptrdiff_t>(read), text.end(),
      [](char c) { return std::string_view(" \t\r\n").find(c) == std::string_view::npos; });
  if (failure || rest != text.end()) {
    const auto at = failure ? text.begin() + static_cast<std::ptrdiff_t>(read) : rest;
    const auto line_start = std::find(std::make_reverse_iterator(at), text.rend(), '\n').base();
    return Error{
        ErrorCode::kInvalid,
        fmt::format("{}:{}:{}: not JSON: {}", name, std::count(text.begin(), at, '\n') + 1,
                    at - line_start + 1, failure ? failure.message() : "more after its end"),
        {}};
  }
  return parser.release();
}

JsonField::JsonField(const json::value& value, const JsonField& parent, std::string_view step)
    : value_(&value), where_(fmt::format("{}{}", parent.prefix_, step)), prefix_(where_ + ".") {}

Error JsonField::wrong(std::string_view expected) const {
  std::string got = value_->is_object()  ? "an object"
                    : value_->is_array() ? "an array"
                                         : json::serialize(*value_);
  if (got.size() > kMostOfAValue)
    got = got.substr(0, kMostOfAValue) + "...";
  return {ErrorCode::kInvalid, fmt::format("{}: expected {}, got {}", where_, expected, got),
          where_};
}

Result<JsonField> JsonField::member(std::string_view name) const {
  if (!value_->is_object())
    return wrong("an object");
  const json::value* const found =
      value_->get_object().if_contains(json::string_view(name.data(), name.size()));
  if (found == nullptr)
    return Error{ErrorCode::kInvalid, fmt::format("{}: missing key '{}'", where_, name), where_};
  return JsonField(*found, *this, name);
}

Result<std::vector<std::pair<std::string, JsonField>>> JsonField::members() const {
  if (!value_->is_object())
    return wrong("an object");
  std::vector<std::pair<std::string, JsonField>> all;
  for (const auto& [key, value] : value_->get_object()) {
    const std::string name(key);
    all.emplace_back(name, JsonField(value, *this, name));
  }
  return all;
}

Result<std::vector<JsonField>> JsonField::items() const {
  if (!value_->is_array())
    return wrong("an array");
  std::vector<JsonField> all;
  for (const json::value& value : value_->get_array()) {
    JsonField item(value, *this, "");
    item.where_ = fmt::format("{}[{}]", where_, all.size());
    item.prefix_ = item.where_ + ".";
    all.push_back(std::move(item));
  }
  return all;
}

Result<double> JsonField::number(double least, double most) const {
  const std::optional<double> number = as_number(*value_);
  if (!number || !std::isfinite(*number) || *number < least || *number > most)
    return wrong(fmt::format("a number from {:g} to {:g}", least, most));
  return *number;
}

Result<std::int64_t> JsonField::whole(std::int64_t least, std::int64_t most) const {
  const std::optional<double> number = as_number(*value_);
  if (!number || std::trunc(*number) != *number || *number < static_cast<double>(least) ||
      *number > static_cast<double>(most))
    return wrong(fmt::format("a whole number from {} to {}", least, most));
  return static_cast<std::int64_t>(*number);
}

Result<std::string> JsonField::text() const {
  if (!value_->is_string())
    return wrong("text");
  return std::string(value_->get_string());
}

}  // namespace medley::data
