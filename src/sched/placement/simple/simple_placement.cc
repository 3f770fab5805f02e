#include "sched/placement/simple/simple_placement.h"

#include <algorithm>

#include "base/check.h"

namespace medley::sched {
namespace {

// Lower is better.
long long load_of(PlacementKind kind, const ReplicaAccount& account) {
  switch (kind) {
    case PlacementKind::kLeastQueued:
      // Who waits for admission only the replica knows; without a report, everything without a
      // first token does.
      if (!account.signal || !account.signal->waiting)
        return account.prefilling;
      return *account.signal->waiting + account.dispatched_since_signal;
    case PlacementKind::kLeastOutstanding:
      return account.outstanding();
    case PlacementKind::kLeastPendingTokens:
      return account.pending_prompt_tokens + account.outstanding();
    case PlacementKind::kRoundRobin:
    case PlacementKind::kMedley:
      break;
  }
  return 0;
}

}  // namespace

Choice SimplePlacement::choose(const View& view, const Request&,
                               std::span<const Forbidden> filtered,
                               std::span<const ReplicaId> avoid, bool,
                               std::vector<Candidate>* candidates) {
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
  if (best && kind_ == PlacementKind::kRoundRobin)
    turn_ = (best->number() + 1) % replicas.size();
  return {best, std::nullopt};
}

}  // namespace medley::sched
