#include "sched/placement/baselines/baseline.h"

#include <algorithm>
#include <cmath>

namespace medley::sched {

Choice Baseline::choose(const View& view, const Request& request,
                        std::span<const Forbidden> filtered, std::span<const ReplicaId> avoid, bool,
                        std::vector<Candidate>* candidates) {
  if (polled_.poll(view))
    refreshed(view, request);
  options_.clear();
  for (std::size_t i = 0; i < filtered.size(); ++i) {
    if (filtered[i] != Forbidden::kNo)
      continue;
    const PoolId pool(i);
    const std::uint64_t first = view.ledger.first_replica(pool).number();
    const auto count = static_cast<std::uint64_t>(view.fleet.pool(pool).replicas);
    for (std::uint64_t r = first; r < first + count; ++r) {
      const ReplicaId id(r);
      if (!view.ledger.replica(id).live || std::find(avoid.begin(), avoid.end(), id) != avoid.end())
        continue;
      options_.push_back({id, pool, &polled_.seen(view, id)});
    }
  }
  if (options_.empty())
    return {};
  const Option* chosen = pick(view, request, options_);
  if (candidates != nullptr) {
    cost_shown_.resize(filtered.size());
    for (const Option& option : options_) {
      Candidate& candidate = candidates->at(option.pool.number());
      // The chosen replica of its pool, of the others the one that costs least.
      const bool better = !candidate.replica || option.cost < cost_shown_[option.pool.number()];
      if (&option != chosen && (!better || (chosen != nullptr && chosen->pool == option.pool)))
        continue;
      candidate.replica = option.replica;
      cost_shown_[option.pool.number()] = option.cost;
      if (std::isfinite(option.cost))
        candidate.score = -option.cost;
      if (option.forecast) {
        candidate.ttft_s = ttft_from_arrival_s(view, request, *option.forecast);
        candidate.tpot_s = option.forecast->tpot_s;
        candidate.money = option.forecast->money;
      }
    }
  }
  if (chosen == nullptr)
    return {};
  return {chosen->replica, chosen->forecast};
}

const Option* least(std::span<const Option> options) {
  return &*std::min_element(options.begin(), options.end(),
                            [](const Option& a, const Option& b) { return a.cost < b.cost; });
}

double cached_share(const View& view, const Request& request, const Option& option) {
  return static_cast<double>(view.ledger.cached_tokens(request, option.replica)) /
         static_cast<double>(request.prompt_tokens.count());
}

double kv_fraction(const View& view, const ReplicaAccount& account) {
  const long long tokens = view.perf.pool(account.pool).kv_tokens;
  if (tokens <= 0)
    return 0;
  return std::min(1.0, static_cast<double>(account.decode_context) / static_cast<double>(tokens));
}

Forecast foreseen(const View& view, const Request& request, const Option& option) {
  const ReplicaAccount& account = *option.account;
  const perf::PoolModel& model = view.perf.pool(option.pool);
  const int there = account.outstanding();
  // How many of its kind it can hold at once.
  int room = model.max_running;
  const long long need = request.prompt_tokens.count() + view.predictor.output_tokens(request);
  if (model.kv_tokens > 0 && account.reserved_tokens + need > model.kv_tokens) {
    const double mean = static_cast<double>(account.reserved_tokens + need) / (there + 1);
    room = std::min(room, static_cast<int>(static_cast<double>(model.kv_tokens) / mean));
  }
  room = std::max(1, room);
  if (there < room || model.kind == perf::ServingKind::kMetered)
    return view.predictor.forecast(view.now, request, option.pool, account);

  ReplicaAccount full = account;  // what runs beside it once it has a place
  full.decoding = std::min(full.decoding, room - 1);
  full.prefilling = room - 1 - full.decoding;
  full.decode_context = account.decoding > 0
                            ? account.decode_context * full.decoding / account.decoding
                            : account.decode_context;
  full.pending_prompt_tokens =
      account.prefilling > 0 ? account.pending_prompt_tokens * full.prefilling / account.prefilling
                             : 0;
  Forecast forecast = view.predictor.forecast(view.now, request, option.pool, full);
  // Those ahead of it leave one by one, `room` in the time of an answer.
  const double answer_s =
      forecast.work_s +
      forecast.tpot_s * static_cast<double>(view.predictor.output_tokens(request));
  const double wait_s = answer_s * (there - room + 1) / room;
  if (wait_s > forecast.wait_s) {
    forecast.ttft_s += wait_s - forecast.wait_s;
    forecast.wait_s = wait_s;
  }
  return forecast;
}

double ttft_from_arrival_s(const View& view, const Request& request, const Forecast& forecast) {
  return to_seconds(view.now - request.arrived_at).value() + forecast.ttft_s;
}

double end_from_arrival_s(const View& view, const Request& request, const Forecast& forecast) {
  return ttft_from_arrival_s(view, request, forecast) +
         forecast.tpot_s * static_cast<double>(view.predictor.output_tokens(request));
}

bool meets_targets(const View& view, const Request& request, const Forecast& forecast) {
  const Targets& targets = request.targets;
  if (targets.ttft &&
      ttft_from_arrival_s(view, request, forecast) > to_seconds(*targets.ttft).value())
    return false;
  if (targets.tpot && forecast.tpot_s > to_seconds(*targets.tpot).value())
    return false;
  return !targets.deadline ||
         end_from_arrival_s(view, request, forecast) <= to_seconds(*targets.deadline).value();
}

double list_price(const View& view, PoolId pool, Tokens prompt, Tokens output) {
  if (const auto& metered = view.fleet.pool(pool).metered)
    return metered->price(prompt, output);
  const perf::PoolModel& model = view.perf.pool(pool);
  constexpr long long kSequences = 64, kContext = 1000;
  const long long batch =
      std::max(1LL, std::min<long long>(
                        model.kind == perf::ServingKind::kSlotted ? model.max_running : kSequences,
                        model.max_running));
  perf::StepShape decodes;
  decodes.decodes = batch;
  decodes.decode_context = batch * kContext;
  decodes.decode_context_min = decodes.decode_context_max = kContext;
  const perf::StepCost step = model.steps->step(decodes);
  const double watts = (step.energy / step.time).value();
  const double output_s = step.time.value() / static_cast<double>(batch);
  // A lane for prompts beside the decodes has its share of the power, as in the predictor.
  const double prompt_s =
      1 / view.predictor.prefill_tokens_per_s(pool) /
      (model.kind == perf::ServingKind::kSlotted ? static_cast<double>(batch) : 1);
  const double joules = watts * (prompt_s * static_cast<double>(prompt.count()) +
                                 output_s * static_cast<double>(output.count()));
  return (Joules(joules) * view.fleet.energy_price(view.now)).value();
}

}  // namespace medley::sched
