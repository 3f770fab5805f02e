#include "sched/placement/feasible.h"

namespace medley::sched {

bool keeps_targets(const View& view, const Request& request, const Forecast& forecast,
                   const Margins& margins) {
  const double waited = to_seconds(view.now - request.arrived_at).value();
  const Targets& targets = request.targets;
  if (targets.ttft && waited + forecast.ttft_s > margins.ttft * to_seconds(*targets.ttft).value())
    return false;
  if (targets.tpot && forecast.tpot_s > margins.tpot * to_seconds(*targets.tpot).value())
    return false;
  if (targets.deadline) {
    const double end_s =
        waited + forecast.ttft_s +
        forecast.tpot_s * static_cast<double>(view.predictor.output_tokens(request));
    return end_s <= margins.ttft * to_seconds(*targets.deadline).value();
  }
  return true;
}

bool has_room(const View& view, const Request& request, const ReplicaAccount& account) {
  if (account.outstanding() == 0)
    return true;
  const perf::PoolModel& model = view.perf.pool(account.pool);
  const long long need = request.prompt_tokens.count() + view.predictor.output_tokens(request);
  return account.sequences() < model.max_running &&
         (model.kv_tokens <= 0 || account.tokens_taken() + need <= model.kv_tokens);
}

}  // namespace medley::sched
