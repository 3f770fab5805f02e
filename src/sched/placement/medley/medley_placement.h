// medley's own policy: the probability of keeping the targets, money, joules and the harm to those
// already there.
//
//     score = worth − money − Σ_residents value·ΔP − harm to later arrivals − scarcity·price·usage
//
// worth is value·P(own targets) plus a tenth of the value for an answer that comes late, in
// proportion to how late. Money contains the joules at the tariff of the hour. docs/scheduling.md
// says what each term is, docs/decisions/0064-what-work-costs.md when money refuses.
//
// A replica is a candidate when it has room (sequences, KV cache) and the targets are not lost
// there: P is at least kLeastProbability, or no idle lawful replica of the fleet could do better,
// since a promise that the fleet cannot keep even when idle is no reason to refuse. At its last
// chance a request whose targets are lost is still taken by a replica with slack.
//
// Guaranteed work that finds no place to keep its targets may have that of flex and batch work,
// where its score there exceeds what those lose: the work done so far, at the price of the replica,
// and what less likely they keep their own targets.
#pragma once

#include "sched/placement/placement.h"

namespace medley::sched {

class MedleyPlacement final : public Placement {
 public:
  explicit MedleyPlacement(const PlacementPolicy& policy) : policy_(policy) {}
  Choice choose(const View& view, const Request& request, std::span<const Forbidden> filtered,
                std::span<const ReplicaId> avoid, bool last_chance,
                std::vector<Candidate>* candidates) override;
  Displacement displace(const View& view, const Request& request,
                        std::span<const Forbidden> filtered,
                        std::span<const ReplicaId> avoid) override;
  bool holds_back() const override { return true; }
  int groups_looked_at() const override { return 4; }
  std::span<const double> margins() const override { return margins_; }

 private:
  // choose(); of `candidates` only which replica of each pool was best, or came nearest.
  Choice decide(const View& view, const Request& request, std::span<const Forbidden> filtered,
                std::span<const ReplicaId> avoid, bool last_chance,
                std::vector<Candidate>* candidates);
  const PlacementPolicy policy_;
  std::vector<double> margins_;
  std::vector<Instant> no_room_until_;  // by pool: when displace() looks at it again
};

}  // namespace medley::sched
