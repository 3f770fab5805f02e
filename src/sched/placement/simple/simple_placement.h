// The baselines that look at counts alone (rules: docs/simulate.md): turn, queue, outstanding,
// pending tokens.
//
// They dispatch at arrival, predict nothing and refuse nothing that is lawful.
#pragma once

#include "sched/placement/placement.h"

namespace medley::sched {

class SimplePlacement final : public Placement {
 public:
  explicit SimplePlacement(PlacementKind kind) : kind_(kind) {}
  Choice choose(const View& view, const Request& request, std::span<const Forbidden> filtered,
                std::span<const ReplicaId> avoid, bool last_chance,
                std::vector<Candidate>* candidates) override;
  bool holds_back() const override { return false; }

 private:
  PlacementKind kind_;
  std::size_t turn_ = 0;  // round_robin: the replica to look at first
};

}  // namespace medley::sched
