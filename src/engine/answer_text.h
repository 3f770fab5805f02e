// The text of an answer while it grows: whole characters only, and nothing of a stop string.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace medley::engine {

// Takes the bytes of one token after the other and gives out what may be shown. Holds back an
// unfinished UTF-8 character and whatever may turn out to begin a stop string. Bytes that are no
// UTF-8 become U+FFFD.
class AnswerText {
 public:
  // Empty stop strings are ignored.
  explicit AnswerText(std::vector<std::string> stops = {});

  // The text that `bytes` made certain. When they complete a stop string: what stands before the
  // first one; stopped() is true from then on. Precondition: not stopped().
  std::string add(std::string_view bytes);
  // The answer ends here: what was held back.
  std::string finish();
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace medley::engine
