#include "net/sse.h"

#include <utility>

namespace medley::net {

bool SseReader::feed(std::string_view bytes, std::vector<SseEvent>& events) {
  if (overflown_)
    return false;
  while (!bytes.empty()) {
    if (after_cr_ && bytes.front() == '\n')
      bytes.remove_prefix(1);
    after_cr_ = false;
    const auto end = bytes.find_first_of("\r\n");
    line_ += bytes.substr(0, end);
    if (line_.size() + event_.data.size() > max_event_bytes_) {
      overflown_ = true;
      return false;
    }
    if (end == std::string_view::npos)
      break;
    after_cr_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    take_line(events);
  }
  return true;
}

void SseReader::take_line(std::vector<SseEvent>& events) {
  std::string_view line = line_;
  if (std::exchange(first_line_, false) && line.starts_with("\xef\xbb\xbf"))
    line.remove_prefix(3);
  if (line.empty()) {
    if (has_data_)
      events.push_back(std::move(event_));
    event_ = {};
    has_data_ = false;
  } else {
    const auto colon = line.find(':');
    const std::string_view field = line.substr(0, colon);
    std::string_view value;
    if (colon != std::string_view::npos)
      value = line.substr(colon + 1);
    if (value.starts_with(' '))
      value.remove_prefix(1);
    if (field == "data") {
      if (has_data_)
        event_.data += '\n';
      event_.data += value;
      has_data_ = true;
    } else if (field == "event") {
      event_.name = value;
    }
  }
  line_.clear();
}

}  // namespace medley::net
