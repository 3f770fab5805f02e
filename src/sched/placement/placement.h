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
  // Where set: whether this replica should have it, the others having been found wanting a moment
  // ago.
  std::optional<ReplicaId> only = std::nullopt;
  // Seconds of prompts that every replica with work is to be taken to hold besides: room that a
  // tenant with more than its share leaves to others.
  double left_free_s = 0;
};

struct Choice {
  std::optional<ReplicaId> replica;  // empty: no replica should have it now
  // With a replica, where the policy predicts: counted from now.
  std::optional<Forecast> forecast;
  bool late = false;  // it is more likely to break its targets there than to keep them
};

// Cheaper work to take off a replica so that a request can have its place.
struct Displacement {
  Choice choice;                     // empty: it is not worth it anywhere
  std::vector<RequestId> preempted;  // residents of choice.replica; at least one
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
  // choose() has just found no place where the request keeps its promise: whether it should have
  // that of cheaper work, and whose.
  virtual Displacement displace(const View& view, const Request& request,
                                std::span<const Forbidden> filtered,
                                std::span<const ReplicaId> avoid) {
    (void)view, (void)request, (void)filtered, (void)avoid;
    return {};
  }
  // Whether requests may wait in the core's backlog; else every request is dispatched at arrival.
  virtual bool holds_back() const = 0;
  // Whether it asks the predictor: the core then keeps up when the prompts of a replica will be
  // done.
  virtual bool predicts() const { return holds_back(); }
  // Whether waiting work is refused once its targets are out of reach; else it waits until it is
  // placed.
  virtual bool gives_up() const { return true; }
  // Where View::only means something to it: how many groups of waiting work are looked at again
  // where a replica improved; everywhere they are looked at from time to time only. 0: everything
  // is looked at everywhere at every event.
  virtual int groups_looked_at() const { return 0; }
  // How near the last choose() came to placing it on each pool: 0 or more, it could have been; less
  // the farther away. Empty: it cannot say.
  virtual std::span<const double> margins() const { return {}; }
  // Requests of one group that are tried in vain before the group is left for this time.
  virtual int tries_per_group() const { return 4; }
  // Where the policy has an order of its own for what waits, higher first: of requests at the head
  // of a group. Asked of all or of none; none keeps the core's order, dearer classes first.
  virtual std::optional<double> rank(const View& view, const Request& request,
                                     std::span<const Forbidden> filtered) {
    (void)view, (void)request, (void)filtered;
    return std::nullopt;
  }
  // What became of a choice: the request was dispatched, which a wrapper or a second choice may
  // have prevented; it left its replica: ended (then `generated` is known), broken, failed or
  // cancelled.
  virtual void dispatched(Instant now, const Resident& resident) { (void)now, (void)resident; }
  virtual void left(Instant now, const Resident& resident, std::optional<Tokens> generated) {
    (void)now, (void)resident, (void)generated;
  }
};

std::unique_ptr<Placement> make_placement(const Fleet& fleet);

}  // namespace medley::sched
