#include "sched/placement/simple/simple_placement.h"

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "base/plant.h"

namespace medley::sched {
namespace {

// Lower is better.
long long load_of(PlacementKind kind, const ReplicaAccount& account) {
  switch (kind) {
    case PlacementKind::kLeastQueued:
      // Who waits for admission only the replica knows; without a report, everything without a
      // first token does.
      if (!account.signal || !account.signal->waiting)
        return planted(Bug::kStaleAsIdle) ? 0 : account.prefilling;
      return *account.signal->waiting + account.dispatched_since_signal;
    case PlacementKind::kLeastOutstanding:
      return account.outstanding();
    case PlacementKind::kLeastPendingTokens:
      return account.pending_prompt_tokens + account.outstanding();
    default:  // a turn needs no load
      break;
  }
  return 0;
}

constexpr long long kLost = std::numeric_limits<long long>::max();

}  // namespace

void SimplePlacement::update_index(const View& view) {
  if (loads_.empty()) {
    for (const Pool& pool : view.fleet.pools)
      loads_.emplace_back(static_cast<std::size_t>(std::max(1, pool.replicas)), kLost);
  }
  view.ledger.take_changed(changed_);
  for (const ReplicaId id : changed_) {
    const ReplicaAccount& account = view.ledger.replica(id);
    const std::size_t place = id.number() - view.ledger.first_replica(account.pool).number();
    loads_[account.pool.number()].set(place, account.live ? load_of(kind_, account) : kLost);
  }
}

// Of equal loads the lower replica, and so the earlier pool.
std::optional<ReplicaId> SimplePlacement::least_loaded(const View& view,
                                                       std::span<const Forbidden> filtered) const {
  std::optional<ReplicaId> best;
  long long best_load = kLost;
  for (std::size_t pool = 0; pool < loads_.size(); ++pool) {
    if (filtered[pool] != Forbidden::kNo || loads_[pool].least_key() >= best_load)
      continue;
    best_load = loads_[pool].least_key();
    best = ReplicaId(view.ledger.first_replica(PoolId(pool)).number() + loads_[pool].least());
  }
  return best;
}

Choice SimplePlacement::choose(const View& view, const Request&,
                               std::span<const Forbidden> filtered,
                               std::span<const ReplicaId> avoid, bool,
                               std::vector<Candidate>* candidates) {
  if (kind_ != PlacementKind::kRoundRobin) {
    update_index(view);
    if (avoid.empty() && candidates == nullptr)
      return {least_loaded(view, filtered), std::nullopt};
  }
  // One by one: in turn, or past those that failed, or for a log that names candidates.
  const std::vector<ReplicaAccount>& replicas = view.ledger.replicas();
  const std::size_t start = kind_ == PlacementKind::kRoundRobin ? turn_ : 0;
  std::optional<ReplicaId> best;
  long long best_load = 0;
  for (std::size_t step = 0; step < replicas.size(); ++step) {
    const ReplicaId id((start + step) % replicas.size());
    const ReplicaAccount& account = view.ledger.replica(id);
    if (!account.live || filtered[account.pool.number()] != Forbidden::kNo)
      continue;
    if (std::find(avoid.begin(), avoid.end(), id) != avoid.end())
      continue;
    const long long load = load_of(kind_, account);
    if (candidates != nullptr && !candidates->at(account.pool.number()).replica) {
      candidates->at(account.pool.number()).replica = id;
    }
    if (!best || load < best_load) {
      best = id;
      best_load = load;
    }
    if (kind_ == PlacementKind::kRoundRobin)
      break;
  }
  return {best, std::nullopt};
}

void SimplePlacement::dispatched(Instant, const Resident& resident) {
  turn_ = resident.replica.number() + 1;
}

}  // namespace medley::sched
