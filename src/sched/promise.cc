#include "sched/promise.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/plant.h"

namespace medley::sched {
namespace {

constexpr double kLeastDeviations = 4.5;

// Of context that it holds at most: up to its own limit, or until its context is full.
long long most_tokens(const Request& request, const perf::PoolModel& model) {
  if (!request.output_cap)
    return model.max_context;
  return std::min(request.prompt_tokens.count() + request.output_cap->count(), model.max_context);
}

auto place_of(auto& prompts, RequestId request) {
  return std::find_if(prompts.begin(), prompts.end(),
                      [&](const auto& prompt) { return prompt.request == request; });
}

Duration up_to_microseconds(Duration duration) {
  return std::chrono::ceil<std::chrono::microseconds>(duration);
}

}  // namespace

Promises::Promises(const perf::PerfModel& perf, const Ledger& ledger)
    : perf_(perf), ledger_(ledger), terms_(perf.pools.size()), lanes_(ledger.replicas().size()) {
  for (std::size_t i = 0; i < terms_.size(); ++i) {
    const perf::PoolModel& model = perf.pools[i];
    if (model.kind != perf::ServingKind::kSlotted)
      continue;
    perf::StepShape full;
    full.decodes = model.max_running;
    full.decode_context = model.kv_tokens;
    full.decode_context_min = full.decode_context_max = model.kv_tokens / model.max_running;
    Terms& terms = terms_[i];
    terms.join = round_to_duration(model.steps->step({.decodes = 1}).time);
    terms.margin = std::expm1(kPromiseDeviations * model.ttft_error);
    terms.least_margin = std::expm1(kLeastDeviations * model.ttft_error);
    terms.every_token = up_to_microseconds(round_to_duration(
        model.steps->step(full).time * std::exp(kPromiseDeviations * model.tpot_error)));
  }
}

bool Promises::crowded(const Lane& lane, const perf::PoolModel& model, int on_board) {
  if (planted(Bug::kWindowWithoutRoom))
    return false;
  return on_board > model.max_running || lane.most_tokens > model.kv_tokens;
}

Instant Promises::latest_end(const Lane& lane, double margin, std::size_t count) {
  Instant latest{};
  double sum = 0, squares = 0;
  while (count-- > 0) {
    const Prompt& prompt = lane.prompts[count];
    sum += prompt.lane_s;
    squares += prompt.lane_s * prompt.lane_s;
    const Duration work = round_to_duration(Seconds(sum + margin * std::sqrt(squares)));
    latest = std::max(latest, std::max(prompt.since, lane.open_since) + work);
  }
  return latest;
}

std::optional<TokenWindow> Promises::dispatched(Instant now, const Resident& resident) {
  const ReplicaAccount& account = ledger_.replica(resident.replica);
  const perf::PoolModel& model = perf_.pool(account.pool);
  if (model.kind != perf::ServingKind::kSlotted)
    return std::nullopt;
  const Terms& terms = terms_[account.pool.number()];
  const Request& request = resident.request;
  Lane& lane = lanes_[resident.replica.number()];
  const std::array chunk = {perf::PrefillChunk{.tokens = request.prompt_tokens.count()}};
  // Whatever comes, no more slots than the others can be taken.
  const double lane_s =
      model.steps->step({.chunks = chunk, .decodes = std::max(0, model.max_running - 1)})
          .time.value();
  lane.prompts.push_back({request.id, now, lane_s * std::max(1.0, resident.ttft_ratio)});
  lane.most_tokens += most_tokens(request, model);

  if (!is_promised_windows(request.service_class) || resident.failures > 0 ||
      account.outside != OutsideLoad{} ||  // what others send there nobody can bound
      crowded(lane, model, account.outstanding())) {
    return std::nullopt;
  }
  if (latest_end(lane, terms.margin, 1) + terms.every_token < now)
    return std::nullopt;  // the lane is later than it should ever be: nobody knows when it will end
  const auto first_token_within = [&](double margin) {
    const Instant at = latest_end(lane, margin, lane.prompts.size()) + terms.every_token;
    return up_to_microseconds(at - request.arrived_at);
  };
  TokenWindow window{first_token_within(terms.margin), terms.every_token};
  const Targets& targets = request.targets;
  if (targets.ttft && window.first_token_within > *targets.ttft) {
    if (first_token_within(terms.least_margin) > *targets.ttft)
      return std::nullopt;
    window.first_token_within = *targets.ttft;
  }
  const long long answer = most_tokens(request, model) - request.prompt_tokens.count();
  if ((targets.tpot && window.every_token_within > *targets.tpot) ||
      (targets.deadline &&
       window.first_token_within + std::max(0LL, answer - 1) * window.every_token_within >
           *targets.deadline)) {
    return std::nullopt;
  }
  return window;
}

void Promises::first_token(Instant now, const Resident& resident) {
  std::vector<Prompt>& prompts = lanes_[resident.replica.number()].prompts;
  const auto found = place_of(prompts, resident.request.id);
  if (found == prompts.end())
    return;
  // Those before it have left the lane, unless long prompts are read beside it: then it may have
  // passed one.
  const bool was_first = found == prompts.begin();
  prompts.erase(found);
  if (!was_first || prompts.empty())
    return;
  // It left the lane a token time ago, at the least.
  const PoolId pool = ledger_.replica(resident.replica).pool;
  prompts.front().since = std::max(prompts.front().since, now - terms_[pool.number()].join);
}

void Promises::left(Instant now, const Resident& resident) {
  const ReplicaAccount& account = ledger_.replica(resident.replica);
  const perf::PoolModel& model = perf_.pool(account.pool);
  if (model.kind != perf::ServingKind::kSlotted)
    return;
  Lane& lane = lanes_[resident.replica.number()];
  // Where there was not room for all, the lane may have stood still until now.
  if (crowded(lane, model, account.outstanding() + 1))
    lane.open_since = std::max(lane.open_since, now);
  lane.most_tokens -= most_tokens(resident.request, model);
  const auto found = place_of(lane.prompts, resident.request.id);
  if (found == lane.prompts.end())
    return;
  const double margin = terms_[account.pool.number()].margin;
  const Duration longest = round_to_duration(Seconds(found->lane_s * (1 + margin)));
  lane.open_since = std::max(lane.open_since, now + longest);
  lane.prompts.erase(found);
}

void Promises::lost(ReplicaId replica) {
  Lane& lane = lanes_[replica.number()];
  lane.prompts.clear();
  lane.open_since = {};
}

}  // namespace medley::sched
