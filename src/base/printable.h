// Text from files and from elsewhere, for terminals.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace medley {

// Decodes the UTF-8 code point at `at` and moves past it; a stray byte stands for itself.
std::uint32_t next_code_point(std::string_view text, std::size_t& at);

// What moves a terminal's cursor, or worse: C0, C1 and DEL.
constexpr bool is_control(std::uint32_t point) {
  return point < 0x20 || (point >= 0x7F && point < 0xA0);
}

// `text` with spaces in place of control characters.
std::string printable(std::string_view text);

}  // namespace medley
