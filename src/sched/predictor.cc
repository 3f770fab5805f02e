#include "sched/predictor.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/digest.h"
#include "base/prng.h"

namespace medley::sched {
namespace {

constexpr double kRateWindowS =
    30;  // prompts of the last half minute tell how much prefill is yet to come

// No bar falls below those of devices that were measured (perf's of GPUs): what a pool is seen to
// do is what it was chosen for, and the next request may ask for something else. With none, 1
// to 1.8 points of the bound less on the mixed fleet
// (docs/decisions/0107-an-idle-pool-is-tried.md).
constexpr double kLeastTtftError = 0.2, kLeastTpotError = 0.16;

// A replica is filled until its steps take this share of what a time per token may be: what others'
// prompts add to some of them needs the rest.
constexpr double kUsedOfTpot = 0.8;

constexpr int kCertain = 6;  // standard deviations; the rest is 1e-9

// Asked for many times a decision: between the points of a table, to 2e-6.
double normal_cdf(double z) {
  constexpr int kPoints = 128;  // by unit
  static const auto kTable = [] {
    std::array<double, kCertain * kPoints + 2> table;
    for (std::size_t i = 0; i < table.size(); ++i)
      table[i] = 0.5 * std::erfc(-static_cast<double>(i) / kPoints / std::sqrt(2.0));
    return table;
  }();
  const double at = std::abs(z) * kPoints;
  if (!(at < kCertain * kPoints))
    return z > 0 ? 1 : 0;
  const auto below = static_cast<std::size_t>(at);
  const double up =
      kTable[below] + (at - static_cast<double>(below)) * (kTable[below + 1] - kTable[below]);
  return z > 0 ? up : 1 - up;
}

constexpr int kMostStays = 50;  // requests that a mean stay is over

// Probability that something predicted at `predicted` stays within `limit`, where the logarithm of
// what comes deviates by `error`.
double within(double predicted, double error, double limit) {
  constexpr double kFloor =
      1e-5;  // a prediction of zero is still a prediction, and so is a sure one
  if (!(limit > 0))
    return 0;
  predicted = std::max(predicted, kFloor);
  error = std::max(error, kFloor);
  // Most are certain, which wants no logarithm: 1 - 1/r <= ln r <= r - 1.
  if (limit - predicted >= kCertain * error * limit)
    return 1;
  if (predicted - limit >= kCertain * error * predicted)
    return 0;
  return normal_cdf(std::log(limit / predicted) / error);
}

// Both are relative and apart from one another.
double with_load(double error, double load_error) {
  return load_error > 0 ? std::sqrt(error * error + load_error * load_error) : error;
}

double error_factor(const ForecastError& error, RequestId request, ReplicaId replica,
                    std::uint64_t which) {
  Digest place;
  place.add(request.number());
  place.add(replica.number());
  place.add(which);
  constexpr std::uint64_t kPurpose = 0x666f726563617374;  // "forecast"
  return std::exp(error.share * Prng::stream(error.seed, kPurpose, place.value()).normal());
}

perf::StepShape decode_shape(long long decodes, long long context) {
  perf::StepShape shape;
  shape.decodes = decodes;
  shape.decode_context = context;
  if (decodes > 0) {
    shape.decode_context_min = context / decodes;
    shape.decode_context_max = context / decodes;
  }
  return shape;
}

}  // namespace

double Predictor::PromptRate::kept(Instant now) const {
  return std::exp(-to_seconds(now - last).value() / kRateWindowS);
}

void Predictor::PromptRate::add(Instant now, const Resident& resident) {
  const double share = kept(now);
  const double added = static_cast<double>(resident.tokens_to_prefill()) / kRateWindowS;
  all = all * share + added;
  interactive = interactive * share + (is_interactive(resident.request.service_class) ? added : 0);
  last = now;
}

void Predictor::PromptRate::remove(const Resident& resident) {
  const double gone_s = to_seconds(last - resident.dispatched_at).value();
  const double added = static_cast<double>(resident.tokens_to_prefill()) / kRateWindowS *
                       std::exp(-gone_s / kRateWindowS);
  all = std::max(0.0, all - added);
}

double Predictor::arriving(Instant now, PoolId pool, const ReplicaAccount& account,
                           double PromptRate::*part) const {
  if (account.id && fleet_.pool(pool).batching.prefix_caching) {
    const PromptRate& rate = sent_[account.id->number()];
    return rate.*part * rate.kept(now) + account.outside.prompt_tokens_per_s;
  }
  return observed_[pool.number()].prompts.*part / std::max(1, ledger_.live(pool)) +
         account.outside.prompt_tokens_per_s;
}

Predictor::Predictor(const Fleet& fleet, const perf::PerfModel& perf, const Ledger& ledger,
                     const ForecastError& error, Duration heard_every)
    : fleet_(fleet),
      perf_(perf),
      ledger_(ledger),
      lengths_(fleet),
      error_(error),
      heard_every_s_(to_seconds(heard_every).value()),
      decode_steps_(ledger.replicas().size()),
      sent_(ledger.replicas().size()) {
  for (std::size_t i = 0; i < fleet.pools.size(); ++i) {
    const perf::PoolModel& model = perf.pool(PoolId(i));
    observed_.push_back({Correction(model.ttft_error, kLeastTtftError),
                         Correction(model.tpot_error, kLeastTpotError),
                         {}});
    double tokens_per_s = 0, watts = 0;
    std::vector<DecodeRate>& rates = decode_rates_.emplace_back();
    if (model.kind == perf::ServingKind::kMetered) {
      const Metered& metered = fleet.pools[i].metered.value();
      tokens_per_s = metered.tokens_per_minute
                         ? static_cast<double>(*metered.tokens_per_minute) / 60
                         : model.max_running / std::max(metered.tpot_s, 1e-6);
    } else {
      // The operating point of a batched replica: 64 sequences of a thousand tokens, or what it can
      // hold.
      constexpr int kOperatingBatch = 64;
      constexpr long long kOperatingContext = 1000;
      const bool slotted = model.kind == perf::ServingKind::kSlotted;
      const int batch =
          std::max(1, slotted ? model.max_running : std::min(kOperatingBatch, model.max_running));
      const perf::StepCost step = model.steps->step(decode_shape(batch, batch * kOperatingContext));
      tokens_per_s = batch / step.time.value();
      watts = slotted ? 0 : step.energy.value() / step.time.value();
      for (int of = 1; of < batch; of += 1 + of / 4) {
        const perf::StepShape shape = decode_shape(of, of * kOperatingContext);
        const double step_s = model.steps->step_time(shape).value();
        rates.push_back({step_s, of / step_s});
      }
      rates.push_back({step.time.value(), tokens_per_s});
    }
    operating_watts_.push_back(watts);
    capability_.push_back(tokens_per_s);
    constexpr long long kPrompt = 1000;
    const bool slotted = model.kind == perf::ServingKind::kSlotted;
    const long long beside = slotted ? std::max(0, model.max_running - 1) : 0;
    prefill_tokens_per_s_.push_back(
        model.kind == perf::ServingKind::kMetered
            ? tokens_per_s
            : kPrompt / std::max(1e-9, prefill(model, kPrompt, 0, beside, 0, 0).own_s));
  }
}

long long Predictor::output_tokens(const Request& request) const {
  if (request.output_known)
    return std::max(1LL, request.output_known->count());
  long long tokens = std::max(1LL, std::llround(lengths_.expected(request)));
  if (request.output_cap)
    tokens = std::min(tokens, std::max(1LL, request.output_cap->count()));
  return tokens;
}

double Predictor::usage_s(PoolId pool, const Request& request) const {
  const auto prompt = static_cast<double>(request.prompt_tokens.count());
  if (perf_.pool(pool).kind == perf::ServingKind::kMetered)
    return (prompt + static_cast<double>(output_tokens(request))) / capability(pool);
  const double prefill = prompt / prefill_tokens_per_s(pool);
  if (perf_.pool(pool).kind == perf::ServingKind::kSlotted)
    return prefill;
  return prefill + static_cast<double>(output_tokens(request)) / decode_rate(pool, request);
}

double Predictor::decode_rate(PoolId pool, const Request& request) const {
  if (!request.targets.tpot)
    return capability(pool);
  const std::vector<DecodeRate>& rates = decode_rates_[pool.number()];
  const double longest = kUsedOfTpot * to_seconds(*request.targets.tpot).value();
  const auto above =
      std::partition_point(rates.begin(), rates.end(),
                           [longest](const DecodeRate& rate) { return rate.step_s <= longest; });
  return above == rates.begin() ? above->tokens_per_s : std::prev(above)->tokens_per_s;
}

Predictor::Prefill Predictor::prefill(const perf::PoolModel& model, long long prompt_tokens,
                                      long long cached, long long decodes, long long context,
                                      double without_s) const {
  perf::StepShape shape = decode_shape(decodes, context);
  if (model.kind == perf::ServingKind::kSlotted) {
    // Its prefill lane runs beside the decodes.
    const perf::PrefillChunk chunk{prompt_tokens, 0};
    const perf::StepShape lane{
        .chunks = {&chunk, 1},
        .decodes = std::clamp<long long>(decodes, 0, std::max(0, model.max_running - 1))};
    const double seconds = model.steps->step_time(lane).value();
    return {seconds, seconds / static_cast<double>(prompt_tokens)};
  }
  // The decodes of a step take their tokens first; prompts share what is left of the chunk.
  const long long limit =
      model.chunk_tokens > 0 ? std::max(1LL, model.chunk_tokens - decodes) : prompt_tokens;
  const long long tokens = std::min(prompt_tokens, limit);
  const perf::PrefillChunk chunk{tokens, cached + (prompt_tokens - tokens) / 2};
  shape.chunks = {&chunk, 1};
  const double with = model.steps->step_time(shape).value();
  const double steps = static_cast<double>(prompt_tokens) / static_cast<double>(tokens);
  return {steps * with, std::max(0.0, with - without_s) / static_cast<double>(tokens)};
}

double Predictor::pending_prefill_s(PoolId pool, const ReplicaAccount& account) const {
  const perf::PoolModel& model = perf_.pool(pool);
  if (account.tokens_to_prefill() == 0 || model.kind == perf::ServingKind::kMetered)
    return 0;
  // Those ahead will decode beside the ones behind them.
  // What is cached of them stands before them; on average half of it before each.
  return prefill(model, account.tokens_to_prefill(), account.pending_cached_tokens / 2,
                 account.sequences() - 1, account.context() + account.prompt_tokens_ahead() / 2, 0)
             .own_s *
         observed_[pool.number()].ttft.ratio();
}

perf::StepCost Predictor::decode_step(const ReplicaAccount& account, long long context) const {
  const perf::StepModel& steps = *perf_.pool(account.pool).steps;
  const long long decodes = account.sequences();
  if (!account.id)
    return steps.step(decode_shape(decodes, context));
  DecodeStep& kept = decode_steps_[account.id->number()];
  if (kept.decodes != decodes || kept.context != context)
    kept = {decodes, context, steps.step(decode_shape(decodes, context))};
  return kept.cost;
}

double Predictor::prompts_ahead_s(Instant now, const ReplicaAccount& account) const {
  double ahead_s = lane_s(now, account);
  if (account.outside.pending_prompt_tokens > 0) {
    ahead_s += static_cast<double>(account.outside.pending_prompt_tokens) /
               prefill_tokens_per_s(account.pool) * observed_[account.pool.number()].ttft.ratio();
  }
  return ahead_s;
}

double Predictor::wait_s(Instant now, const Request& request, const ReplicaAccount& account) const {
  double wait_s = prompts_ahead_s(now, account);
  if (error_.share > 0 && account.id)
    wait_s *= error_factor(error_, request.id, *account.id, 0);
  return wait_s * observed_[account.pool.number()].ttft.shrinking(wait_s);
}

Forecast Predictor::forecast(Instant now, const Request& request, PoolId pool,
                             const ReplicaAccount& account) const {
  return corrected(now, request, pool, account, arriving(now, pool, account, &PromptRate::all));
}

Forecast Predictor::forecast_undisturbed(Instant now, const Request& request, PoolId pool,
                                         const ReplicaAccount& account) const {
  return corrected(now, request, pool, account,
                   arriving(now, pool, account, &PromptRate::interactive));
}

Forecast Predictor::corrected(Instant now, const Request& request, PoolId pool,
                              const ReplicaAccount& account, double prompt_tokens_per_s) const {
  const Observed& observed = observed_[pool.number()];
  const double ttft_ratio = observed.ttft.ratio(), tpot_ratio = observed.tpot.ratio();
  Forecast forecast =
      forecast_with(now, request, pool, account, ttft_ratio, tpot_ratio, prompt_tokens_per_s);
  double ttft = 1, tpot = 1;
  if (error_.share > 0 && account.id) {
    ttft = error_factor(error_, request.id, *account.id, 0);
    tpot = error_factor(error_, request.id, *account.id, 1);
  }
  forecast.model_ttft_s = ttft * forecast.ttft_s / ttft_ratio;
  forecast.model_tpot_s = tpot * forecast.tpot_s / tpot_ratio;
  ttft *= observed.ttft.shrinking(ttft * forecast.ttft_s);
  tpot *= observed.tpot.shrinking(tpot * forecast.tpot_s);
  forecast.wait_s *= ttft;
  forecast.work_s *= ttft;
  forecast.ttft_s *= ttft;
  forecast.tpot_s *= tpot;
  forecast.tpot_before_s *= tpot;
  return forecast;
}

Forecast Predictor::forecast_with(Instant now, const Request& request, PoolId pool,
                                  const ReplicaAccount& account, double ttft_ratio,
                                  double tpot_ratio, double prompt_tokens_per_s) const {
  const perf::PoolModel& model = perf_.pool(pool);
  const long long prompt = request.prompt_tokens.count();
  const Tokens expected(output_tokens(request));
  const auto output = static_cast<double>(expected.count());
  Forecast forecast;
  forecast.ttft_ratio = ttft_ratio;
  forecast.load_error = account.outside.deviation / (1 + account.sequences());
  if (model.kind == perf::ServingKind::kMetered) {
    const Metered& metered = fleet_.pool(pool).metered.value();
    forecast.ttft_s = metered.ttft_median_s * ttft_ratio;
    forecast.tpot_s = forecast.tpot_before_s = metered.tpot_s * tpot_ratio;
    forecast.money = metered.price(request.prompt_tokens, expected);
    return forecast;
  }

  const bool slotted = model.kind == perf::ServingKind::kSlotted;
  const long long decodes = account.sequences();
  // Those still in prefill will decode beside it: their prompts count as context.
  const long long context = account.context() + account.prompt_tokens_ahead();
  const perf::StepCost alone = decodes > 0 ? decode_step(account, context) : perf::StepCost{};
  const long long cached = account.id ? ledger_.cached_tokens(request, *account.id) : 0;
  const long long computed = prompt - cached;
  const Prefill own = prefill(model, computed, cached, decodes, context, alone.time.value());
  const perf::StepCost after = model.steps->step(
      decode_shape(decodes + 1, context + prompt + static_cast<long long>(output / 2)));
  const perf::StepCost& before = decodes > 0 ? alone : after;

  double tpot = after.time.value(), tpot_before = before.time.value();
  if (!slotted) {
    // Prompts that keep arriving are processed in the same steps: the share of time they take
    // stretches a token's.
    // The rest of a prompt that is mostly cached says little of what others take.
    const double per_token_s =
        cached == 0 ? own.per_token_s
                    : prefill(model, prompt, 0, decodes, context, alone.time.value()).per_token_s;
    const double idle_share = 1 - std::min(0.9, prompt_tokens_per_s * per_token_s);
    const double longest = tpot + per_token_s * static_cast<double>(model.chunk_tokens);
    const auto stretched = [&](double step) {
      return model.chunk_tokens > 0 ? std::min(step / idle_share, std::max(longest, step))
                                    : step / idle_share;
    };
    tpot = stretched(tpot);
    tpot_before = stretched(tpot_before);
  }
  forecast.wait_s = prompts_ahead_s(now, account);
  // A batched replica takes the prompt up when the step in progress ends: on average half a step
  // from now.
  const double join_s =
      slotted ? after.time.value()
              : (account.decoding + account.outside.decoding > 0 ? tpot_before / 2 : 0);
  forecast.work_s = own.own_s * ttft_ratio;
  forecast.ttft_s = forecast.wait_s + join_s * ttft_ratio + forecast.work_s;
  forecast.tpot_s = tpot * tpot_ratio;
  forecast.tpot_before_s = tpot_before * tpot_ratio;

  // Its share of the energy: by the sequences that are there with it. A statically scheduled system
  // burns the same power however many of its slots are taken.
  const double watts = after.time.value() > 0 ? after.energy.value() / after.time.value() : 0;
  const auto sharers = static_cast<double>(decodes + 1);
  const double decode_s = output * after.time.value();
  const double prefill_s = slotted ? own.own_s : own.per_token_s * static_cast<double>(computed);
  if (!slotted)
    forecast.holds_up_s = prefill_s * ttft_ratio;
  forecast.joules =
      watts * (slotted ? (decode_s + prefill_s) / sharers : decode_s / sharers + prefill_s);
  forecast.money = (Joules(forecast.joules) * fleet_.energy_price(now)).value();
  return forecast;
}

Forecast Predictor::forecast_idle(Instant now, const Request& request, PoolId pool) const {
  ReplicaAccount idle;
  idle.pool = pool;
  idle.prefill_free_at = now;
  return forecast(now, request, pool, idle);
}

Forecast Predictor::forecast_alone(Instant now, const Request& request, PoolId pool) const {
  ReplicaAccount idle;
  idle.pool = pool;
  idle.prefill_free_at = now;
  return forecast_with(now, request, pool, idle, 1, 1, 0);
}

double Predictor::tpot_probability(PoolId pool, double tpot_s, Duration target,
                                   double load_error) const {
  return within(tpot_s, with_load(tpot_error(pool), load_error), to_seconds(target).value());
}

double Predictor::ttft_probability(Instant now, const Request& request, PoolId pool,
                                   const Forecast& forecast) const {
  if (!request.targets.ttft)
    return 1;
  const double left = to_seconds(request.arrived_at + *request.targets.ttft - now).value();
  return within(forecast.ttft_s, with_load(ttft_error(pool), forecast.load_error), left);
}

double Predictor::end_probability(const Request& request, PoolId pool, const Forecast& forecast,
                                  double left_s) const {
  const double error = std::max(ttft_error(pool), tpot_error(pool));
  const auto ends_within = [&](double tokens, double spread) {
    const double answer_s = forecast.tpot_s * tokens, end_s = forecast.ttft_s + answer_s;
    const double of_length = end_s > 0 ? spread * answer_s / end_s : 0;
    return within(end_s, with_load(std::hypot(error, of_length), forecast.load_error), left_s);
  };
  const auto expected = static_cast<double>(output_tokens(request));
  if (request.output_known)
    return ends_within(expected, 0);
  const Lengths::Likely& likely = lengths_.of(request);
  const double whatever = ends_within(expected * likely.median, std::sqrt(likely.log_variance));
  // No answer is longer than its own cap.
  return request.output_cap
             ? std::max(
                   whatever,
                   ends_within(static_cast<double>(std::max(1LL, request.output_cap->count())), 0))
             : whatever;
}

double Predictor::fits_probability(const Request& request, PoolId pool) const {
  const long long left = perf_.pool(pool).max_context - request.prompt_tokens.count();
  if (request.output_cap && request.output_cap->count() <= left)
    return 1;
  const long long expected = output_tokens(request);
  if (request.output_known)
    return expected <= left ? 1 : 0;
  constexpr long long kFarOff = 32;  // times what is expected: nobody gets there
  if (left / kFarOff >= expected)
    return 1;
  if (left <= 0)
    return 0;
  const double variance = lengths_.of(request).log_variance;
  const double above = std::log(static_cast<double>(left) / static_cast<double>(expected));
  if (variance <= 0)
    return above >= 0 ? 1 : 0;
  return 0.5 * std::erfc(-(above + variance / 2) / std::sqrt(2 * variance));
}

double Predictor::probability(Instant now, const Request& request, PoolId pool,
                              const Forecast& forecast) const {
  double probability = ttft_probability(now, request, pool, forecast);
  if (request.targets.tpot) {
    probability *=
        tpot_probability(pool, forecast.tpot_s, *request.targets.tpot, forecast.load_error);
  }
  if (request.targets.deadline) {
    const double left = to_seconds(request.arrived_at + *request.targets.deadline - now).value();
    probability *= end_probability(request, pool, forecast, left);
  }
  return probability;
}

void Predictor::refresh(Instant now) {
  constexpr Duration kEvery = std::chrono::seconds(1);
  if (refreshed_ && now - *refreshed_ < kEvery)
    return;
  const bool is_first = !std::exchange(refreshed_, now);
  for (Observed& observed : observed_) {
    if (is_first)
      observed.used = now;
    if (to_seconds(now - observed.used).value() < observed.unused_s)
      continue;
    observed.used = now;
    observed.unused_s = std::min(2 * observed.unused_s, kMostUnusedS);
    observed.trials = std::max(observed.trials, kTrialsInDoubt);
    observed.ttft.doubt();
    observed.tpot.doubt();
  }
}

void Predictor::dispatched(Instant now, PoolId pool, const Resident& resident) {
  Observed& observed = observed_[pool.number()];
  if (observed.trials == 0)
    observed.unused_s = kUnusedS;  // it was chosen for what it is known to do
  observed.trials = std::max(0, observed.trials - 1);
  observed.used = now;
  observed_[pool.number()].prompts.add(now, resident);
  sent_[resident.replica.number()].add(now, resident);
}

void Predictor::preempted(const Resident& resident, PoolId pool) {
  if (resident.first_token_at)
    return;
  observed_[pool.number()].prompts.remove(resident);
  sent_[resident.replica.number()].remove(resident);
}

void Predictor::first_token(const Resident& resident, PoolId pool, Instant at) {
  // It came at some time since the last report: when it was predicted for, if that is possible.
  const double heard_s = to_seconds(at - resident.dispatched_at).value();
  const double came_s = std::clamp(resident.ttft_from_dispatch_s.value_or(heard_s),
                                   std::max(0.0, heard_s - heard_every_s_), heard_s);
  observed_[pool.number()].ttft.observe(resident.model_ttft_s, came_s, resident.load_error);
}

void Predictor::finished(const Resident& resident, PoolId pool, Instant at, Tokens generated) {
  // An engine that claims more than its context holds must not make later answers seem too long for
  // every quota.
  const long long length = std::min(generated.count(), perf_.pool(pool).max_context);
  lengths_.ended(resident.request, length);
  Observed& observed = observed_[pool.number()];
  observed.stays = std::min(observed.stays + 1, kMostStays);
  observed.stay_s +=
      (to_seconds(at - resident.dispatched_at).value() - observed.stay_s) / observed.stays;
  observe_tpot(resident, pool, at, generated);
}

void Predictor::broken_off(const Resident& resident, PoolId pool, Instant at, Tokens generated) {
  if (resident.first_token_at)
    return observe_tpot(resident, pool, at, generated);
  // It would have taken longer still.
  const double waited_s = to_seconds(at - resident.dispatched_at).value();
  if (resident.ttft_from_dispatch_s && waited_s > *resident.ttft_from_dispatch_s + heard_every_s_)
    observed_[pool.number()].ttft.observe(resident.model_ttft_s, waited_s, resident.load_error);
}

void Predictor::observe_tpot(const Resident& resident, PoolId pool, Instant at, Tokens generated) {
  if (!resident.first_token_at || generated.count() < 2)
    return;
  const auto tokens = static_cast<double>(generated.count() - 1);
  const double heard_s = to_seconds(at - *resident.first_token_at).value();
  const double took_s =
      std::clamp(resident.tpot_s.value_or(heard_s / tokens) * tokens,
                 std::max(0.0, heard_s - heard_every_s_), heard_s + heard_every_s_);
  observed_[pool.number()].tpot.observe(resident.model_tpot_s, took_s / tokens,
                                        resident.load_error);
}

}  // namespace medley::sched
