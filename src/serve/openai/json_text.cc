#include "serve/openai/json_text.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <cmath>

namespace medley::serve::openai {
namespace {

// The length of the UTF-8 character that `text` begins with; 0 when it begins with none.
std::size_t character_length(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  const std::size_t length = lead < 0x80       ? 1
                             : lead >> 5 == 6  ? 2
                             : lead >> 4 == 14 ? 3
                             : lead >> 3 == 30 ? 4
                                               : 0;
  return length > 0 && length <= text.size() && simdjson::validate_utf8(text.data(), length)
             ? length
             : 0;
}

void append_escaped(std::string& out, std::string_view text) {
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
        } else {
          out += c;
        }
    }
  }
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  if (simdjson::validate_utf8(text.data(), text.size())) {
    append_escaped(out, text);
  } else {
    while (!text.empty()) {
      const std::size_t length = character_length(text);
      append_escaped(out, length > 0 ? text.substr(0, length) : "\xef\xbf\xbd");
      text.remove_prefix(length > 0 ? length : 1);
    }
  }
  out += '"';
}

void append_json_string_or_null(std::string& out, std::string_view text) {
  if (text.empty()) {
    out += "null";
  } else {
    append_json_string(out, text);
  }
}

void append_json_number(std::string& out, const std::optional<double>& number) {
  if (number && std::isfinite(*number)) {
    fmt::format_to(std::back_inserter(out), "{}", *number);
  } else {
    out += "null";
  }
}

}  // namespace medley::serve::openai
