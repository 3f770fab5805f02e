// The least of a fixed number of keys, found anew after each change: a winner tree.
//
// set() takes log2(size) comparisons, least() none. Of equal keys the lower place wins, so that who
// is next never depends on the order of changes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/check.h"

namespace medley {

template <typename Key>
class Tournament {
 public:
  // Every place starts with `key`. Precondition: size >= 1.
  Tournament(std::size_t size, Key key) {
    MEDLEY_CHECK(size >= 1);
    while (leaves_ < size)
      leaves_ *= 2;
    keys_.assign(size, key);
    winners_.resize(2 * leaves_);
    // Places beyond the last stand for no key: they lose against everyone.
    for (std::size_t place = 0; place < leaves_; ++place)
      winners_[leaves_ + place] = static_cast<std::uint32_t>(place);
    for (std::size_t node = leaves_ - 1; node >= 1; --node)
      winners_[node] = winner(node);
  }

  std::size_t least() const { return winners_[1]; }
  const Key& least_key() const { return keys_[winners_[1]]; }
  const Key& key(std::size_t place) const { return keys_[place]; }

  void set(std::size_t place, Key key) {
    keys_[place] = std::move(key);
    for (std::size_t node = (leaves_ + place) / 2; node >= 1; node /= 2) {
      const std::uint32_t before = winners_[node];
      winners_[node] = winner(node);
      // Above here only a match that this place won or wins now can come out otherwise.
      if (before != place && winners_[node] != place)
        return;
    }
  }

 private:
  std::uint32_t winner(std::size_t node) const {
    const std::uint32_t left = winners_[2 * node], right = winners_[2 * node + 1];
    return right < keys_.size() && keys_[right] < keys_[left] ? right : left;
  }

  std::size_t leaves_ = 1;
  std::vector<Key> keys_;
  std::vector<std::uint32_t> winners_;  // [1] the root; a node's children are 2n and 2n + 1
};

}  // namespace medley
