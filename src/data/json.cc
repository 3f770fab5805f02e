#include "data/json.h"

#include <simdjson.h>

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <cmath>

namespace medley::data {
namespace {

namespace json = boost::json;

constexpr std::size_t kLineWidth = 100;

// What is not UTF-8 becomes U+FFFD, or nobody could read the rest.
std::string quoted(std::string_view text) {
  std::string valid;
  while (!text.empty()) {
    std::size_t length = std::min<std::size_t>(text.size(), 4);
    while (length > 0 && !simdjson::validate_utf8(text.data(), length))
      --length;
    valid += length > 0 ? text.substr(0, length) : "\xef\xbf\xbd";
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return json::serialize(json::string(valid));
}

void write_number(double value, std::string& out) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  char digits[40];
  const auto [end, failure] = std::to_chars(digits, digits + sizeof digits, value);
  out.append(digits, end);
}

void write(const json::value& value, std::string& out) {
  switch (value.kind()) {
    case json::kind::double_:
      write_number(value.get_double(), out);
      return;
    case json::kind::array: {
      out += '[';
      const char* separator = "";
      for (const json::value& item : value.get_array()) {
        out += separator;
        write(item, out);
        separator = ",";
      }
      out += ']';
      return;
    }
    case json::kind::object: {
      out += '{';
      const char* separator = "";
      for (const auto& [key, item] : value.get_object()) {
        out += separator;
        out += quoted(key);
        out += ':';
        write(item, out);
        separator = ",";
      }
      out += '}';
      return;
    }
    case json::kind::string:
      out += quoted(value.get_string());
      return;
    default:
      out += json::serialize(value);
  }
}

bool is_flat(const json::value& value) {
  const auto plain = [](const json::value& item) { return !item.is_structured(); };
  if (value.is_array())
    return std::all_of(value.get_array().begin(), value.get_array().end(), plain);
  return value.is_object() &&
         std::all_of(value.get_object().begin(), value.get_object().end(),
                     [&](const auto& member) { return plain(member.value()); });
}

std::string one_line(const json::value& value) {
  std::string out;
  const bool object = value.is_object();
  out += object ? '{' : '[';
  const char* separator = "";
  if (object) {
    for (const auto& [key, item] : value.get_object()) {
      out += separator + quoted(key) + ": ";
      write(item, out);
      separator = ", ";
    }
  } else {
    for (const json::value& item : value.get_array()) {
      out += separator;
      write(item, out);
      separator = ", ";
    }
  }
  return out + (object ? '}' : ']');
}

void write_pretty(const json::value& value, std::size_t indent, std::string& out) {
  if (!value.is_structured()) {
    write(value, out);
    return;
  }
  if (is_flat(value)) {
    if (std::string line = one_line(value); indent + line.size() <= kLineWidth) {
      out += line;
      return;
    }
  }
  const std::string pad(indent + 2, ' ');
  const char* separator = "\n";
  if (value.is_object()) {
    out += '{';
    for (const auto& [key, item] : value.get_object()) {
      out += separator + pad + quoted(key) + ": ";
      write_pretty(item, indent + 2, out);
      separator = ",\n";
    }
  } else {
    out += '[';
    for (const json::value& item : value.get_array()) {
      out += separator + pad;
      write_pretty(item, indent + 2, out);
      separator = ",\n";
    }
  }
  out += '\n' + std::string(indent, ' ') + (value.is_object() ? '}' : ']');
}

}  // namespace

std::string json_text(const json::value& value) {
  std::string out;
  write(value, out);
  return out;
}

std::string json_pretty(const json::value& value) {
  std::string out;
  write_pretty(value, 0, out);
  return out + '\n';
}

}  // namespace medley::data
