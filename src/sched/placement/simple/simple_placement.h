// The baselines that look at counts alone (rules: docs/simulate.md): turn, queue, outstanding,
// pending tokens.
//
// They dispatch at arrival, predict nothing and refuse nothing that is lawful. The least loaded
// replica is found by an index of the live ones in each pool, kept up with what the ledger says has
// changed: a choice costs the same among ten replicas or a thousand.
#pragma once

#include "base/tournament.h"
#include "sched/placement/placement.h"

namespace medley::sched {

class SimplePlacement final : public Placement {
 public:
  explicit SimplePlacement(PlacementKind kind) : kind_(kind) {}
  Choice choose(const View& view, const Request& request, std::span<const Forbidden> filtered,
                std::span<const ReplicaId> avoid, bool last_chance,
                std::vector<Candidate>* candidates) override;
  bool holds_back() const override { return false; }
  // The turn goes on with what was really dispatched: a door may decline a choice.
  void dispatched(Instant now, const Resident& resident) override;

 private:
  void update_index(const View& view);
  std::optional<ReplicaId> least_loaded(const View& view,
                                        std::span<const Forbidden> filtered) const;

  PlacementKind kind_;
  std::vector<Tournament<long long>> loads_;  // by pool, then by place in it; lost ones lose
  std::vector<ReplicaId> changed_;            // scratch
  std::size_t turn_ = 0;                      // round_robin: the replica to look at first
};

}  // namespace medley::sched
