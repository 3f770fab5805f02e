// Server-sent events as a client reads them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace medley::net {

struct SseEvent {
  std::string name;  // "" when the stream names none
  std::string data;  // several data lines joined by LF
};

// Cuts a byte stream into events; pieces may end anywhere. Lines end in LF, CR or CRLF; comments
// and unknown fields are ignored. An event counts when its empty line has come: a torn last one
// never shows.
class SseReader {
 public:
  explicit SseReader(std::size_t max_event_bytes = 1 << 20) : max_event_bytes_(max_event_bytes) {}
  // Appends the events that `bytes` complete. False, for good, when one is larger than allowed.
  [[nodiscard]] bool feed(std::string_view bytes, std::vector<SseEvent>& events);

 private:
  void take_line(std::vector<SseEvent>& events);

  std::size_t max_event_bytes_;
  std::string line_;
  SseEvent event_;
  bool has_data_ = false;
  bool after_cr_ = false;
  bool first_line_ = true;
  bool overflown_ = false;
};

}  // namespace medley::net
