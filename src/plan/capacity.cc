#include "plan/capacity.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace medley::plan {
namespace {

using perf::PoolModel, perf::PrefillChunk, perf::StepCost, perf::StepShape;

constexpr double kNever = 1e300;

std::string milliseconds(double s) {
  return s < 1 ? fmt::format("{:.3g} ms", s * 1000) : fmt::format("{:.3g} s", s);
}

// Quantile of the standard normal distribution (Hastings, Approximations for Digital Computers,
// 26.2.23 in Abramowitz and Stegun): good to 5e-4, for shares of a half and more.
double normal_quantile(double share) {
  const double tail = std::clamp(1 - share, 1e-6, 0.5);
  const double t = std::sqrt(-2 * std::log(tail));
  return t - (2.515517 + 0.802853 * t + 0.010328 * t * t) /
                 (1 + 1.432788 * t + 0.189269 * t * t + 0.001308 * t * t * t);
}

// A length that `share` of the requests stay below.
double length_at(const data::LengthLaw& law, double share) {
  const double length = law.quantiles.empty()
                            ? law.median * std::exp(law.sigma * normal_quantile(share))
                            : law.quantiles.at(share);
  return std::clamp(length, 1.0, static_cast<double>(law.max));
}

// (deviation / mean)² of a length.
double spread_of(const data::LengthLaw& law) {
  if (law.quantiles.empty())
    return std::exp(law.sigma * law.sigma) - 1;
  const double mean = data::mean_of(law);
  double square = 0;
  for (std::size_t i = 1; i < law.quantiles.points.size(); ++i) {
    const auto& [low_share, low] = law.quantiles.points[i - 1];
    const auto& [high_share, high] = law.quantiles.points[i];
    square += (high_share - low_share) * (low * low + low * high + high * high) / 3;
  }
  return std::max(0.0, square / (mean * mean) - 1);
}

constexpr double kLongShare = 0.999;

// What all formulas ask of a demand.
struct Asked {
  double prompt, output, long_prompt, spread;
  double ttft_s, tpot_s, deadline_s, attain, gap_cv;

  explicit Asked(const data::Demand& demand)
      : prompt(data::mean_of(demand, false)),
        output(data::mean_of(demand, true)),
        long_prompt(length_at(demand.prompt_tokens, demand.attain)),
        spread(spread_of(demand.prompt_tokens)),
        ttft_s(seconds(demand.targets.ttft)),
        tpot_s(seconds(demand.targets.tpot)),
        deadline_s(seconds(demand.targets.deadline)),
        attain(demand.attain),
        gap_cv(demand.gap_cv) {}

  static double seconds(const std::optional<Duration>& target) {
    return target ? std::chrono::duration<double>(*target).count() : kNever;
  }
};

// The wait in front of a server that is busy for a share `busy` of the time with jobs of `mean_s`:
// what `attain` of them stay below.
double wait_s(const Asked& asked, double mean_s, double busy) {
  if (busy >= 1)
    return kNever;
  const double mean_wait = mean_s * (asked.gap_cv * asked.gap_cv + asked.spread) / 2 / (1 - busy);
  return mean_wait * std::max(0.0, std::log(busy / (1 - asked.attain)));
}

struct Verdict {
  Obstacle obstacle = Obstacle::kNone;
  double reached_s = 0;
};

Verdict judge(const Asked& asked, const Operation& state) {
  if (state.tpot_s > asked.tpot_s)
    return {Obstacle::kTpot, state.tpot_s};
  if (state.ttft_s > asked.ttft_s)
    return {Obstacle::kTtft, state.ttft_s};
  const double all = state.ttft_s + asked.output * state.tpot_s;
  if (all > asked.deadline_s)
    return {Obstacle::kDeadline, all};
  return {};
}

StepCost step_of(const PoolModel& model, double prompt_tokens, double prompt_before, double decodes,
                 double context) {
  const PrefillChunk chunk{std::max(1LL, std::llround(prompt_tokens)), std::llround(prompt_before)};
  StepShape shape;
  if (prompt_tokens > 0)
    shape.chunks = {&chunk, 1};
  shape.decodes = std::llround(decodes);
  const long long each = std::llround(context);
  shape.decode_context = shape.decodes * each;
  shape.decode_context_min = shape.decode_context_max = shape.decodes > 0 ? each : 0;
  return model.steps->step(shape);
}

// B sequences at once; empty where prompts do not keep up with them.
std::optional<Operation> batched_state(const PoolModel& model, const Asked& asked, int sequences,
                                       double utilisation) {
  const double b = sequences;
  const double room = model.chunk_tokens > 0 ? static_cast<double>(model.chunk_tokens) - b : 1e9;
  if (room < 1)
    return std::nullopt;
  // Several prompts may share a step where there is room for them.
  const double per_step = model.chunk_tokens > 0 ? room : asked.prompt;
  const double share = b * asked.prompt / (asked.output * per_step);
  if (share > 1)
    return std::nullopt;
  const double context = asked.prompt + asked.output / 2;
  const StepCost decode = step_of(model, 0, 0, b, context);
  const StepCost mixed =
      step_of(model, per_step, std::max(0.0, (asked.prompt - per_step) / 2), b, context);
  const double t_d = decode.time.value(), t_m = mixed.time.value();
  const double mean = t_d + share * (t_m - t_d);
  const double deviation = std::sqrt(share * (1 - share) / asked.output);
  const double met = std::min(1.0, share + normal_quantile(asked.attain) * deviation);
  Operation state;
  state.sequences = b;
  state.requests_per_s = b / (asked.output * mean);
  state.tpot_s = t_d + met * (t_m - t_d);
  const double steps = std::max(1.0, asked.long_prompt / per_step);
  const double service = std::max(1.0, asked.prompt / per_step) * t_m;
  state.ttft_s = steps * t_m + t_d + wait_s(asked, service, share * utilisation);
  const double joules = decode.energy.value() + share * (mixed.energy - decode.energy).value();
  state.busy_w = joules / mean;
  const double idle_w = std::min(model.steps->idle_power().value(), state.busy_w);
  state.joules_per_request = (state.busy_w - idle_w) / state.requests_per_s;
  state.joules_per_token = state.busy_w / state.requests_per_s / asked.output;
  return state;
}

int most_sequences(const PoolModel& model, const Asked& asked) {
  // Blocks fill to the end of each sequence; half of the answers are there at any time.
  const double by_memory = static_cast<double>(model.kv_tokens) / (asked.prompt + asked.output / 2);
  return std::max(1, static_cast<int>(std::min(static_cast<double>(model.max_running), by_memory)));
}

// The widest state that keeps the targets. More at once is more a second, until it is too slow.
Use batched(const PoolModel& model, const Asked& asked, double utilisation) {
  Use best;
  best.obstacle = Obstacle::kTtft;
  Verdict first;
  bool any = false;
  const int most = most_sequences(model, asked);
  for (int b = 1; b <= most; b = b < 16 ? b + 1 : b + b / 16) {
    const std::optional<Operation> state = batched_state(model, asked, b, utilisation);
    if (!state)
      break;
    const Verdict verdict = judge(asked, *state);
    if (b == 1)
      first = verdict;
    if (verdict.obstacle == Obstacle::kNone &&
        (!any || state->requests_per_s > best.operation.requests_per_s)) {
      best.operation = *state;
      any = true;
    }
  }
  best.obstacle = any ? Obstacle::kNone : first.obstacle;
  if (!any && first.obstacle == Obstacle::kNone)
    best.obstacle = Obstacle::kTtft;  // one prompt alone fills the step
  if (!any)
    best.operation.tpot_s = first.reached_s;
  return best;
}

Use slotted(const PoolModel& model, const Asked& asked, double utilisation) {
  const double token = step_of(model, 0, 0, 1, asked.prompt).time.value();
  const double others = std::max(0, model.max_running - 1);
  const double lane = step_of(model, asked.prompt, 0, others, 0).time.value();
  const double long_lane = step_of(model, asked.long_prompt, 0, others, 0).time.value();
  const double by_memory = static_cast<double>(model.kv_tokens) / (asked.prompt + asked.output);
  const double slots = std::max(1.0, std::min<double>(model.max_running, by_memory));
  const double most = std::min(slots / (lane + asked.output * token), 1 / lane);
  Use use;
  Verdict verdict;
  for (double share = 1; share > 0.02; share -= 0.02) {  // less of it waits less for the lane
    Operation& state = use.operation;
    state.requests_per_s = most * share;
    state.sequences = state.requests_per_s * (lane + asked.output * token);
    state.tpot_s = token;
    state.ttft_s =
        long_lane + token + wait_s(asked, lane, state.requests_per_s * lane * utilisation);
    state.busy_w = model.steps->idle_power().value();
    state.joules_per_request = 0;  // a slot draws the same whether it is filled or not
    state.joules_per_token = state.busy_w / state.requests_per_s / asked.output;
    verdict = judge(asked, state);
    if (verdict.obstacle == Obstacle::kNone)
      return use;
    if (verdict.obstacle == Obstacle::kTpot)
      break;
  }
  use.obstacle = verdict.obstacle;
  use.operation.tpot_s = verdict.reached_s;
  return use;
}

// The latency law has to keep the demand's share of promises by itself.
Use metered(const Metered& law, const Asked& asked) {
  Use use;
  use.operation.tpot_s = law.tpot_s;
  use.operation.ttft_s =
      law.ttft_median_s * std::exp(law.ttft_sigma * normal_quantile(asked.attain));
  use.operation.requests_per_s = kNever;
  const Verdict verdict = judge(asked, use.operation);
  use.obstacle = verdict.obstacle;
  if (!use.ok())
    use.operation.tpot_s = verdict.reached_s;
  return use;
}

}  // namespace

std::string_view name_of(Obstacle obstacle) {
  constexpr std::array<std::string_view, 9> kNames = {
      "none", "model", "label", "context", "tpot", "ttft", "deadline", "quota", "memory"};
  return kNames[static_cast<std::size_t>(obstacle)];
}

Use use_of(const Pool& pool, const PoolModel& model, const data::Demand& demand,
           double utilisation) {
  const auto blocked = [](Obstacle obstacle, std::string why) {
    return Use{.obstacle = obstacle, .why = std::move(why)};
  };
  if (std::find(demand.models.begin(), demand.models.end(), pool.model.id) == demand.models.end())
    return blocked(Obstacle::kModel, fmt::format("{} is no model for it", pool.model.id));
  const Asked asked(demand);
  const double longest = asked.long_prompt + asked.output;
  if (longest > static_cast<double>(model.max_context)) {
    return blocked(Obstacle::kContext, fmt::format("{:.0f} tokens do not fit its context of {}",
                                                   longest, model.max_context));
  }
  Use use = model.kind == perf::ServingKind::kMetered   ? metered(*pool.metered, asked)
            : model.kind == perf::ServingKind::kSlotted ? slotted(model, asked, utilisation)
                                                        : batched(model, asked, utilisation);
  if (use.ok())
    return use;
  const auto against = [&](std::string_view figure, double target) {
    return use.operation.tpot_s > 1e100
               ? fmt::format("{} of {} at no load", figure, milliseconds(target))
               : fmt::format("{} {} at best, {} asked", figure, milliseconds(use.operation.tpot_s),
                             milliseconds(target));
  };
  use.why = use.obstacle == Obstacle::kTpot   ? against("TPOT", asked.tpot_s)
            : use.obstacle == Obstacle::kTtft ? against("TTFT", asked.ttft_s)
                                              : against("the whole answer", asked.deadline_s);
  use.reached_s = use.operation.tpot_s;
  use.operation = {};
  return use;
}

std::optional<Fastest> fastest(const PoolModel& model, const data::Demand& demand) {
  if (!model.steps)
    return std::nullopt;
  const double prompt = data::mean_of(demand, false);
  const StepCost alone = step_of(model, 0, 0, 1, prompt);
  const double seconds = alone.time.value();
  if (model.kind == perf::ServingKind::kSlotted)
    return Fastest{1 / seconds, model.steps->idle_power().value() * seconds};
  return Fastest{1 / seconds, alone.energy.value()};
}

double long_request(const data::Demand& demand) {
  double output = 0;
  for (const data::OutputRange& range : demand.output_tokens)
    output = std::max(output, length_at(range.tokens, kLongShare));
  return length_at(demand.prompt_tokens, kLongShare) + output;
}

}  // namespace medley::plan
