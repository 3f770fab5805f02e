// Choosing the replica: a seam, so that policies can be compared in one simulator.
//
// A policy chooses among pools that passed the hard filters (admission.h, quota.h, health). Its
// state is its own; the ledger belongs to the scheduler.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "sched/arrivals.h"
#include "sched/explanation.h"
#include "sched/ledger.h"
#include "sched/market.h"
#include "sched/predictor.h"
#include "sched/quota.h"

namespace medley::sched {

// What a policy may look at.
struct View {
  Instant now;
  const Fleet& fleet;
  const perf::PerfModel& perf;
  const Ledger& ledger;
  const Predictor& predictor;
  const Arrivals& arrivals;
  const Market& market;
  const Quotas& quotas;
};

struct Choice {
  std::optional<ReplicaId> replica;  // empty: no replica should have it now
  // With a replica, where the policy predicts: counted from now.
  std::optional<Forecast> forecast;
  bool late = false;  // it is more likely to break its targets there than to keep them
};

class Placement {
 public:
  virtual ~Placement() = default;
  // `filtered` by pool: kNo for those to choose from (other entries say what forbids them). `avoid`
  // names replicas that failed this request before. `last_chance`: it is now or never, and a late
  // answer is better than none where a replica has slack. When `candidates` is not null it has one
  // entry a pool, forbidden ones filled in already, to be completed.
  virtual Choice choose(const View& view, const Request& request,
                        std::span<const Forbidden> filtered, std::span<const ReplicaId> avoid,
                        bool last_chance, std::vector<Candidate>* candidates) = 0;
  // Whether requests may wait in the core's backlog; else every request is dispatched at arrival.
  virtual bool holds_back() const = 0;
};

std::unique_ptr<Placement> make_placement(const Fleet& fleet);

}  // namespace medley::sched
