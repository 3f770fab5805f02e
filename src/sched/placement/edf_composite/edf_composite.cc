#include "sched/placement/edf_composite/edf_composite.h"

#include <algorithm>
#include <utility>

#include "sched/placement/feasible.h"

namespace medley::sched {
namespace {

// Tuned on scenarios/mixed_fleet.yaml, seed 9, at loads 1 and 1.75
// (docs/decisions/0052-edf-composite.md).
constexpr Margins kMargins = {.ttft = 0.95, .tpot = 1}, kLastMargins = {.ttft = 1, .tpot = 1};
constexpr double kGuard = 0.95;  // of a resident's time per token, at most
// Of a dearer class's time to first token, how much cheaper work may fill: on a lane that serves
// prompts in turn beside the decodes, and on a batched replica. Where no prompt waits, it may have
// the replica whatever its own takes.
constexpr double kLaneShare = 0.09, kBatchShare = 0.15;
constexpr int kTries = 64;

bool guards_residents(const View& view, const ReplicaAccount& account, const Forecast& forecast) {
  for (const ServiceClass service_class : kServiceClasses) {
    const std::optional<Duration>& target = view.fleet.policy(service_class).targets.tpot;
    if (account.by_class[index_of(service_class)] == 0 || !target)
      continue;
    if (forecast.tpot_s > kGuard * to_seconds(*target).value())
      return false;
  }
  return true;
}

// Whether what waits and works there leaves dearer classes that can live there the time to their
// first token.
bool leaves_room_for_dearer(const View& view, double value, bool slotted,
                            const Forecast& forecast) {
  for (const ServiceClass dearer : kServiceClasses) {
    const ClassPolicy& policy = view.fleet.policy(dearer);
    if (policy.value.value() <= value || !policy.targets.ttft || !policy.targets.tpot ||
        forecast.tpot_s > to_seconds(*policy.targets.tpot).value())
      continue;
    const double share = slotted ? kLaneShare : kBatchShare;
    if (forecast.wait_s + forecast.work_s > share * to_seconds(*policy.targets.ttft).value())
      return false;
  }
  return true;
}

// The least capable first: small models, then what is statically scheduled, since only it gives
// tokens so fast, and what costs money by the token last.
std::pair<int, double> capability_of(const Pool& pool, const perf::PoolModel& model) {
  switch (model.kind) {
    case perf::ServingKind::kBatched:
      return {0, pool.model.parameters};
    case perf::ServingKind::kSlotted:
      return {1, 0};
    case perf::ServingKind::kMetered:
      return {2, 0};
  }
  return {};
}

}  // namespace

int EdfComposite::tries_per_group() const { return kTries; }

std::optional<double> EdfComposite::rank(const View&, const Request& request,
                                         std::span<const Forbidden>) {
  Instant due = Instant::max();
  if (request.targets.ttft)
    due = request.arrived_at + *request.targets.ttft;
  if (request.targets.deadline)
    due = std::min(due, request.arrived_at + *request.targets.deadline);
  return -to_seconds(due.time_since_epoch()).value();
}

Choice EdfComposite::choose(const View& view, const Request& request,
                            std::span<const Forbidden> filtered, std::span<const ReplicaId> avoid,
                            bool last_chance, std::vector<Candidate>* candidates) {
  const Margins& margins = last_chance ? kLastMargins : kMargins;
  const double value = view.fleet.policy(request.service_class).value.value();
  struct Best {
    ReplicaId replica;
    Forecast forecast;
    std::pair<std::pair<int, double>, double> order;  // lower is better
  };
  std::optional<Best> best;
  for (std::size_t i = 0; i < filtered.size(); ++i) {
    if (filtered[i] != Forbidden::kNo)
      continue;
    const PoolId pool(i);
    const Pool& facts = view.fleet.pool(pool);
    const perf::PoolModel& model = view.perf.pool(pool);
    const bool slotted = model.kind == perf::ServingKind::kSlotted;
    std::optional<Best> best_here;
    Forbidden why = Forbidden::kLost;
    const std::uint64_t first = view.ledger.first_replica(pool).number();
    for (std::uint64_t r = first; r < first + static_cast<std::uint64_t>(facts.replicas); ++r) {
      const ReplicaId id(r);
      const ReplicaAccount& account = view.ledger.replica(id);
      if ((view.only && id != *view.only) || !account.live ||
          std::find(avoid.begin(), avoid.end(), id) != avoid.end())
        continue;
      if (!has_room(view, request, account)) {
        why = Forbidden::kFull;
        continue;
      }
      const Forecast forecast = view.predictor.forecast(view.now, request, pool, account);
      if (!keeps_targets(view, request, forecast, margins)) {
        why = Forbidden::kSlow;
        continue;
      }
      if (!guards_residents(view, account, forecast)) {
        why = Forbidden::kDearer;
        continue;
      }
      if (!facts.metered && account.prefilling > 0 &&
          !leaves_room_for_dearer(view, value, slotted, forecast)) {
        why = Forbidden::kDearer;
        continue;
      }
      const std::pair order(capability_of(facts, model), forecast.ttft_s);
      if (!best_here || order < best_here->order)
        best_here = {id, forecast, order};
    }
    if (candidates != nullptr) {
      Candidate& candidate = candidates->at(i);
      if (best_here) {
        candidate.replica = best_here->replica;
        candidate.ttft_s =
            to_seconds(view.now - request.arrived_at).value() + best_here->forecast.ttft_s;
        candidate.tpot_s = best_here->forecast.tpot_s;
        candidate.money = best_here->forecast.money;
        if (best_here->forecast.joules > 0)
          candidate.joules = best_here->forecast.joules;
      } else {
        candidate.forbidden = why;
      }
    }
    if (best_here && (!best || best_here->order < best->order))
      best = best_here;
  }
  if (!best)
    return {};
  return {best->replica, best->forecast};
}

}  // namespace medley::sched
