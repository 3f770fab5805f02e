// What a long run is at, on a terminal: one line that is drawn over. Elsewhere nothing is written.
#pragma once

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <string_view>

namespace medley::cli {

class ProgressLine {
 public:
  // `to` must outlive it.
  explicit ProgressLine(std::FILE* to) : to_(::isatty(::fileno(to)) == 1 ? to : nullptr) {}
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine() { clear(); }

  // `text`: printable, and shorter than a line.
  void show(std::string_view text) {
    if (to_ == nullptr)
      return;
    fmt::print(to_, "\r\x1b[K{}", text);
    std::fflush(to_);
  }
  // For good: nothing is shown any more.
  void clear() {
    show("");
    to_ = nullptr;
  }

 private:
  std::FILE* to_;  // null: not a terminal, or cleared
};

}  // namespace medley::cli
