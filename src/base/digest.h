// A 64-bit digest of a sequence of numbers (FNV-1a over their bytes, little end first).
//
// For comparing runs, not for security: equal sequences give equal digests on every machine.
#pragma once

#include <cstdint>
#include <string>

namespace medley {

class Digest {
 public:
  void add(std::uint64_t number) {
    for (int byte = 0; byte < 8; ++byte) {
      state_ = (state_ ^ ((number >> (8 * byte)) & 0xff)) * 0x100000001b3U;
    }
  }
  std::uint64_t value() const { return state_; }
  std::string hex() const {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string text(16, '0');
    for (int i = 0; i < 16; ++i)
      text[i] = kDigits[(state_ >> (60 - 4 * i)) & 0xf];
    return text;
  }

 private:
  std::uint64_t state_ = 0xcbf29ce484222325U;
};

}  // namespace medley
