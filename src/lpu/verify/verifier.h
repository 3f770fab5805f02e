// The rules of verify.h, in rooms by what they look at: units.cc (what units can do, and when),
// memory.cc (banks, ways, places, what is read), work.cc (that it is all of the model, summed as it
// should be), stages.cc (runs, stages, chunks of prompts).
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "lpu/chip/schedule.h"
#include "lpu/chip/shape.h"
#include "lpu/chip/target.h"
#include "lpu/verify/verify.h"

namespace medley::lpu::verify {

using chip::Access;
using chip::Area;
using chip::Instruction;
using chip::Op;
using chip::Segment;
using chip::SegmentKind;
using chip::Shape;
using chip::Target;
using chip::UnitKind;
using chip::Weight;

inline std::int64_t cycle_of(const Access& access, std::int64_t row) {
  return access.cycle + row * access.period;
}
inline std::int64_t last_of(const Access& access) { return cycle_of(access, access.rows - 1); }
inline bool striped(Area area) {
  return area == Area::kWeights || area == Area::kExperts || area == Area::kCache;
}
inline std::int64_t ceiling(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// Cycles [begin, end) in which something is taken.
struct Taken {
  std::int64_t key, begin, end;
  int instruction;
};

class Verifier {
 public:
  Verifier(const chip::Schedule& schedule, const Target& target, const Shape& shape)
      : schedule_(schedule), target_(target), shape_(shape) {}
  Certificate run();

 private:
  void find(const std::string& message, int instruction = -1);
  // Reports the first pair of each key that overlaps.
  void check_taken(std::vector<Taken>& taken, const char* what);
  std::int64_t link_cycles(int bytes) const;
  // The chip of a group that is so far on: so many nodes, and so many places.
  int peer_of(int chip, int distance) const {
    const int node = schedule_.node;
    return (chip / node + distance / node) % (schedule_.group / node) * node +
           (chip + distance) % node;
  }
  const chip::NumberFormat& format_of(const Instruction& in) const;
  const Instruction& instruction(int i) const {
    return segment_->instructions[static_cast<std::size_t>(i)];
  }
  int count() const { return static_cast<int>(segment_->instructions.size()); }

  // units.cc
  void check_form();
  void check_units();
  void check_times();
  void check_planes();
  bool starts_multiply(const std::vector<int>& list, int tile, std::int64_t cycle) const;

  // memory.cc
  void check_memory();
  void check_places();
  void check_order();
  void check_values(int chip);

  // work.cc. A matrix of one chip, as the model has it: outputs and inputs.
  struct Extent {
    std::int64_t outputs = 0, inputs = 0;
    bool operator==(const Extent&) const = default;
  };
  using Matrices = std::map<std::pair<Weight, int>, Extent>;  // by weight and chosen expert
  Matrices matrices_due() const;
  std::map<Weight, std::int64_t> constants_due() const;
  // Products that a plane adds up one after the other, in the order of time; the last writes.
  std::vector<std::vector<int>> sums();
  void check_matrices();
  void check_attention();
  void check_constants();
  void check_table();
  void check_exchanges();
  std::int64_t positions_swept(const Segment& segment) const;

  // stages.cc
  void check_stages();
  void check_nodes(std::size_t stage);
  void check_kind(const chip::Run& run);
  void check_chunks();
  void check_way_of_chunks(int tokens);
  // A row of a slice: hemisphere, bank, slice, row.
  using Cell = std::tuple<int, int, int, int>;
  static std::set<Cell> cells(const std::vector<Access>& accesses);
  bool leaves(const std::vector<Access>& left, const Segment& next) const;
  bool arrives_as_it_was(const Instruction& hand_on) const;

  const chip::Schedule& schedule_;
  const Target& target_;
  const Shape& shape_;
  const chip::NumberFormat *weights_ = nullptr, *cache_ = nullptr;
  const Segment* segment_ = nullptr;
  int parts_ = 1;  // of the vocabulary
  Certificate certificate_;
};

}  // namespace medley::lpu::verify
