// The opponent to take seriously: everything that helps short of prices and probabilities, put
// together by hand and tuned (docs/decisions/0052-edf-composite.md).
//
//   margins        a replica is feasible where the forecast takes up at most so much of each target
//   guard          and where no class that is there would see its time per token broken by a join
//   reserve        and where a lane that serves prompts in turn keeps time for dearer work
//   least capable  of the feasible ones: small models first, statically scheduled devices and then
//                  rented services last
//   EDF            what waits is tried by its deadline, whatever its class
//   refusal        where nothing is feasible when the time to first token is spent
#pragma once

#include <limits>

#include "sched/placement/placement.h"

namespace medley::sched {

class EdfComposite final : public Placement {
 public:
  Choice choose(const View& view, const Request& request, std::span<const Forbidden> filtered,
                std::span<const ReplicaId> avoid, bool last_chance,
                std::vector<Candidate>* candidates) override;
  bool holds_back() const override { return true; }
  int tries_per_group() const override;
  int groups_looked_at() const override { return std::numeric_limits<int>::max(); }
  std::optional<double> rank(const View& view, const Request& request,
                             std::span<const Forbidden> filtered) override;
};

}  // namespace medley::sched
