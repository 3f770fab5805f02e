// SipHash-2-4 (Aumasson and Bernstein, 2012) of a sequence of 64-bit words: a hash under a key, so
// that who does not know the key can neither make two inputs collide nor tell an input by its hash.
#pragma once

#include <bit>
#include <cstdint>

namespace medley {

class SipHash {
 public:
  struct Key {
    std::uint64_t low = 0, high = 0;
  };
  explicit SipHash(Key key)
      : v0_(key.low ^ 0x736f6d6570736575U),
        v1_(key.high ^ 0x646f72616e646f6dU),
        v2_(key.low ^ 0x6c7967656e657261U),
        v3_(key.high ^ 0x7465646279746573U) {}

  void add(std::uint64_t word) {
    ++words_;
    absorb(word);
  }
  // Of all words so far; more may follow. That of the same bytes, little end first.
  std::uint64_t value() const {
    SipHash ended = *this;
    ended.absorb((words_ * 8) << 56);
    ended.v2_ ^= 0xff;
    for (int i = 0; i < 4; ++i)
      ended.round();
    return ended.v0_ ^ ended.v1_ ^ ended.v2_ ^ ended.v3_;
  }

 private:
  void absorb(std::uint64_t word) {
    v3_ ^= word;
    round();
    round();
    v0_ ^= word;
  }
  void round() {
    v0_ += v1_;
    v1_ = std::rotl(v1_, 13) ^ v0_;
    v0_ = std::rotl(v0_, 32);
    v2_ += v3_;
    v3_ = std::rotl(v3_, 16) ^ v2_;
    v0_ += v3_;
    v3_ = std::rotl(v3_, 21) ^ v0_;
    v2_ += v1_;
    v1_ = std::rotl(v1_, 17) ^ v2_;
    v2_ = std::rotl(v2_, 32);
  }

  std::uint64_t v0_, v1_, v2_, v3_;
  std::uint64_t words_ = 0;
};

}  // namespace medley
