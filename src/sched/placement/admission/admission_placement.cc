#include "sched/placement/admission/admission_placement.h"

#include "sched/placement/feasible.h"

namespace medley::sched {
namespace {

// Tuned in a feasibility study, for all policies it wrapped.
constexpr Margins kMargins = {.ttft = 0.90, .tpot = 0.95};

}  // namespace

Choice AdmissionPlacement::choose(const View& view, const Request& request,
                                  std::span<const Forbidden> filtered,
                                  std::span<const ReplicaId> avoid, bool last_chance,
                                  std::vector<Candidate>* candidates) {
  const Choice chosen = inner_->choose(view, request, filtered, avoid, last_chance, candidates);
  if (!chosen.replica)
    return {};
  const ReplicaAccount& account = view.ledger.replica(*chosen.replica);
  const PoolId pool = account.pool;
  const Forecast forecast = view.predictor.forecast(view.now, request, pool, account);
  const bool room = has_room(view, request, account);
  const bool passes = room && keeps_targets(view, request, forecast, kMargins);
  if (candidates != nullptr) {
    Candidate& candidate = candidates->at(pool.number());
    candidate.replica = chosen.replica;
    if (passes) {
      candidate.ttft_s = to_seconds(view.now - request.arrived_at).value() + forecast.ttft_s;
      candidate.tpot_s = forecast.tpot_s;
      candidate.money = forecast.money;
      if (forecast.joules > 0)
        candidate.joules = forecast.joules;
    } else {
      candidate.replica.reset();
      candidate.forbidden = room ? Forbidden::kSlow : Forbidden::kFull;
    }
  }
  if (!passes)
    return {};
  return {chosen.replica, forecast};
}

}  // namespace medley::sched
