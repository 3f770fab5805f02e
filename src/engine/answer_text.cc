#include "engine/answer_text.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace medley::engine {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// How one character may go on (Unicode standard, table 3-7). `length` 0: no character begins so.
struct Lead {
  std::size_t length = 0;
  unsigned char second_low = 0x80, second_high = 0xBF;
};

Lead lead_of(unsigned char byte) {
  if (byte < 0x80)
    return {1};
  if (byte < 0xC2)
    return {};
  if (byte < 0xE0)
    return {2};
  if (byte == 0xE0)
    return {3, 0xA0, 0xBF};
  if (byte == 0xED)
    return {3, 0x80, 0x9F};
  if (byte < 0xF0)
    return {3};
  if (byte == 0xF0)
    return {4, 0x90, 0xBF};
  if (byte < 0xF4)
    return {4};
  if (byte == 0xF4)
    return {4, 0x80, 0x8F};
  return {};
}

// How many bytes at the start of `text` are one character or the longest beginning of one, and
// whether it is whole. At least 1 byte.
struct Character {
  std::size_t bytes = 1;
  bool whole = false;
  bool unfinished = false;  // only for want of more bytes
};

Character first_character(std::string_view text) {
  const Lead lead = lead_of(static_cast<unsigned char>(text[0]));
  if (lead.length == 0)
    return {};
  Character c{1, lead.length == 1, false};
  while (c.bytes < lead.length) {
    if (c.bytes == text.size()) {
      c.unfinished = true;
      return c;
    }
    const auto byte = static_cast<unsigned char>(text[c.bytes]);
    const unsigned char low = c.bytes == 1 ? lead.second_low : 0x80;
    const unsigned char high = c.bytes == 1 ? lead.second_high : 0xBF;
    if (byte < low || byte > high)
      return c;
    ++c.bytes;
  }
  c.whole = true;
  return c;
}

// Moves whole characters from `bytes` to the result; an unfinished last one stays, unless this is
// the end.
std::string take_characters(std::string& bytes, bool end) {
  std::string text;
  text.reserve(bytes.size());
  std::string_view rest = bytes;
  while (!rest.empty()) {
    const Character c = first_character(rest);
    if (c.unfinished && !end)
      break;
    text += c.whole ? rest.substr(0, c.bytes) : kReplacement;
    rest.remove_prefix(c.bytes);
  }
  bytes.erase(0, bytes.size() - rest.size());
  return text;
}

// The length of the longest end of `text` that begins `stop`, but not all of it.
std::size_t begun(std::string_view text, std::string_view stop) {
  for (std::size_t length = std::min(text.size(), stop.size() - 1); length > 0; --length) {
    if (text.ends_with(stop.substr(0, length)))
      return length;
  }
  return 0;
}

}  // namespace

AnswerText::AnswerText(std::vector<std::string> stops) : stops_(std::move(stops)) {
  std::erase(stops_, "");
}

std::string AnswerText::add(std::string_view bytes) {
  MEDLEY_CHECK(!stopped_);
  held_ += bytes;
  std::size_t first = std::string::npos;
  std::size_t keep = 0;
  for (const std::string& stop : stops_) {
    first = std::min(first, held_.find(stop));
    keep = std::max(keep, begun(held_, stop));
  }
  if (first != std::string::npos) {
    stopped_ = true;
    held_.erase(first);
    return finish();
  }
  std::string certain = held_.substr(0, held_.size() - keep);
  std::string text = take_characters(certain, false);
  held_.replace(0, held_.size() - keep, certain);
  return text;
}

std::string AnswerText::finish() { return take_characters(held_, true); }

}  // namespace medley::engine
