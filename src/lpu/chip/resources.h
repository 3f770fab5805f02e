// What can be taken only once in a cycle, and when it is: units, banks, ports, streams of a chip.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "lpu/chip/schedule.h"
#include "lpu/chip/target.h"

namespace medley::lpu::chip {

// The cycles in which one resource is taken.
class Timeline {
 public:
  // The first cycle from `from` on with `length` free ones.
  std::int64_t fit(std::int64_t from, std::int64_t length) const {
    auto next = after(from);
    while (next != taken_.end() && next->first < from + length) {
      from = std::max(from, next->second);
      ++next;
    }
    return from;
  }
  // Precondition: they are free.
  void take(std::int64_t from, std::int64_t length) {
    const auto next = taken_.begin() + (after(from) - taken_.begin());
    const bool joins_left = next != taken_.begin() && (next - 1)->second == from;
    const bool joins_right = next != taken_.end() && next->first == from + length;
    if (joins_left && joins_right) {
      (next - 1)->second = next->second;
      taken_.erase(next);
    } else if (joins_left) {
      (next - 1)->second += length;
    } else if (joins_right) {
      next->first = from;
    } else {
      taken_.insert(next, {from, from + length});
    }
  }

 private:
  std::vector<std::pair<std::int64_t, std::int64_t>>::const_iterator after(
      std::int64_t cycle) const {
    return std::upper_bound(taken_.begin(), taken_.end(), cycle,
                            [](std::int64_t at, const auto& taken) { return at < taken.second; });
  }
  std::vector<std::pair<std::int64_t, std::int64_t>> taken_;  // [begin, end), apart from each other
};

class Resources {
 public:
  explicit Resources(const Target& target);

  // The first start from `ready` on at which the unit, all banks, ports and streams of the
  // instruction are free; takes them and fills in the streams, from `preferred` on where they are
  // free.
  void place(Instruction& instruction, std::int64_t ready, int preferred = -1);

 private:
  struct Leg {
    int hemisphere;
    bool outward;
  };
  // From slices to unit or back; at most two legs.
  int legs(const Instruction& instruction, const Access& access, Leg (&out)[2]) const;
  Timeline& unit(const Unit& unit, int number);
  Timeline& bank(int hemisphere, int slice, int bank);
  Timeline& port(int hemisphere, int slice, bool write);
  Timeline& stream(const Leg& leg, int number);
  // Zero if it can start at `start`, else by how much later to try.
  std::int64_t delay(Instruction& instruction, std::int64_t start, int preferred);

  const Target& target_;
  std::vector<Timeline> installs_, multiplies_, switches_, links_, banks_, ports_, streams_;
  Timeline vector_, next_;
};

}  // namespace medley::lpu::chip
