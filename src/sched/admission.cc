#include "sched/admission.h"

#include <algorithm>

namespace medley::sched {

Forbidden forbidden_by_law(const Fleet& fleet, const perf::PerfModel& perf, const Request& request,
                           PoolId pool) {
  const Offer& offer = fleet.offers.at(request.model.number());
  const std::vector<PoolId>& allowed = offer.pools[index_of(request.service_class)];
  if (std::find(allowed.begin(), allowed.end(), pool) == allowed.end())
    return Forbidden::kModel;
  const Label& label = fleet.labels.at(request.label.number());
  if (!label.allows(fleet.pool(pool).zone))
    return Forbidden::kZone;
  const long long least = request.prompt_tokens.count() + 1;
  const perf::PoolModel& model = perf.pool(pool);
  if (least > model.max_context || (model.kv_tokens > 0 && least > model.kv_tokens)) {
    return Forbidden::kContext;
  }
  return Forbidden::kNo;
}

Targets effective_targets(const Fleet& fleet, const Request& request) {
  Targets targets = fleet.policy(request.service_class).targets;
  if (request.targets.ttft)
    targets.ttft = request.targets.ttft;
  if (request.targets.tpot)
    targets.tpot = request.targets.tpot;
  if (request.targets.deadline)
    targets.deadline = request.targets.deadline;
  return targets;
}

}  // namespace medley::sched
