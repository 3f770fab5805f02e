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
// 26.2.23 in Abramowitz and Stegun): good to 5e-4.
double normal_quantile(double share) {
  if (share < 0.5)
    return -normal_quantile(1 - share);
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

// What `share` of the answers stay below, of the hours with the longest.
double output_at(const data::Demand& demand, double share) {
  double output = 0;
  for (const data::OutputRange& range : demand.output_tokens)
    output = std::max(output, length_at(range.tokens, share));
  return output;
}

// What all formulas ask of a demand. `answer`: which a deadline is held against, the mean, or less
// where fewer answers have to keep it.
struct Asked {
  double prompt, output, answer, long_prompt, spread;
  double ttft_s, tpot_s, deadline_s, attain, gap_cv;

  explicit Asked(const data::Demand& demand)
      : prompt(data::mean_of(demand, false)),
        output(data::mean_of(demand, true)),
        answer(std::min(output, output_at(demand, demand.attain))),
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
  const double all = state.ttft_s + asked.answer * state.tpot_s;
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

// What the devices of a state draw that are at work for a share `active` of the time.
void draw(const PoolModel& model, const Asked& asked, double busy_w, double active,
          Operation& state) {
  const double idle_w = std::min(model.steps->idle_power().value(), busy_w);
  const double above = (busy_w - idle_w) * active;
  state.busy_w = busy_w;
  state.joules_per_request = above / state.requests_per_s;
  state.joules_per_token = (idle_w + above) / state.requests_per_s / asked.output;
}

// B sequences at once, or less than one, where there is none at times; empty where prompts do not
// keep up with them.
std::optional<Operation> batched_state(const PoolModel& model, const Asked& asked, double b,
                                       double utilisation) {
  const double decodes = std::max(1.0, b);
  const double room =
      model.chunk_tokens > 0 ? static_cast<double>(model.chunk_tokens) - decodes : 1e9;
  if (room < 1)
    return std::nullopt;
  // Several prompts may share a step where there is room for them, and several are there.
  const double most = model.chunk_tokens > 0 ? room : asked.prompt;
  const double per_step = b < 1 ? std::min(most, asked.prompt) : most;
  const double share = b * asked.prompt / (asked.output * per_step);
  if (share > 1)
    return std::nullopt;
  const double context = asked.prompt + asked.output / 2;
  const StepCost decode = step_of(model, 0, 0, decodes, context);
  const StepCost mixed =
      step_of(model, per_step, std::max(0.0, (asked.prompt - per_step) / 2), decodes, context);
  const double t_d = decode.time.value(), t_m = mixed.time.value();
  const double mean = t_d + share * (t_m - t_d);
  const double deviation = std::sqrt(share * (1 - share) / asked.output);
  const double met = std::clamp(share + normal_quantile(asked.attain) * deviation, 0.0, 1.0);
  const double steps = std::max(1.0, asked.long_prompt / per_step);
  const double service = std::max(1.0, asked.prompt / per_step) * t_m;
  Operation state;
  state.sequences = b;
  state.requests_per_s = b / (asked.output * mean);
  state.tpot_s = t_d + met * (t_m - t_d);
  state.ttft_s = steps * t_m + t_d + wait_s(asked, service, share * utilisation);
  const double joules = decode.energy.value() + share * (mixed.energy - decode.energy).value();
  draw(model, asked, joules / mean, std::min(1.0, b), state);
  return state;
}

// From the start of a prompt to its first token where nothing else is on the replica.
StepCost prompt_alone(const PoolModel& model, double prompt) {
  const double most = model.chunk_tokens > 0 ? static_cast<double>(model.chunk_tokens) : prompt;
  StepCost all;
  for (double before = 0; before < prompt; before += most) {
    const StepCost step = step_of(model, std::min(most, prompt - before), before, 0, 0);
    all.time = all.time + step.time;
    all.energy = all.energy + step.energy;
  }
  return all;
}

// Requests that find the replica idle and stay alone on it: the best that it can do, for so few
// that the share of promises does. With service time S, λS of a Poisson stream find somebody, and
// as many are found by somebody.
Operation alone(const PoolModel& model, const Asked& asked) {
  const double prompt = std::min(asked.prompt, asked.long_prompt);
  const StepCost token = step_of(model, 0, 0, 1, prompt + asked.answer / 2);
  const StepCost mean = prompt_alone(model, asked.prompt);
  const double service = mean.time.value() + asked.output * token.time.value();
  Operation state;
  state.sequences =
      std::min(1.0, (1 - asked.attain) / 2 / std::max(1.0, asked.gap_cv * asked.gap_cv));
  state.requests_per_s = state.sequences / service;
  state.tpot_s = token.time.value();
  state.ttft_s = prompt_alone(model, asked.long_prompt).time.value();
  draw(model, asked, (mean.energy.value() + asked.output * token.energy.value()) / service,
       state.sequences, state);
  return state;
}

int most_sequences(const PoolModel& model, const Asked& asked) {
  // Blocks fill to the end of each sequence; half of the answers are there at any time.
  const double by_memory = static_cast<double>(model.kv_tokens) / (asked.prompt + asked.output / 2);
  return std::max(1, static_cast<int>(std::min(static_cast<double>(model.max_running), by_memory)));
}

// The state with the most requests a second that keeps the targets: many sequences at once, or
// fewer requests than keep one sequence there, or one at a time that waits for nobody. What that
// one does not reach, no number of replicas does.
Use batched(const PoolModel& model, const Asked& asked, double utilisation) {
  Use best;
  const auto keeps = [&](const Operation& state) {
    return judge(asked, state).obstacle == Obstacle::kNone;
  };
  const int most = most_sequences(model, asked);
  for (int b = 1; b <= most; b = b < 16 ? b + 1 : b + b / 16) {
    const std::optional<Operation> state = batched_state(model, asked, b, utilisation);
    if (!state)
      break;
    if (keeps(*state) && state->requests_per_s > best.operation.requests_per_s)
      best.operation = *state;
  }
  constexpr double kFewer = 0.7, kFewest = 0.01;
  for (double b = kFewer; b > kFewest && best.operation.requests_per_s == 0; b *= kFewer) {
    const std::optional<Operation> state = batched_state(model, asked, b, utilisation);
    if (state && keeps(*state))
      best.operation = *state;
  }
  if (best.operation.requests_per_s > 0)
    return best;
  const Operation idle = alone(model, asked);
  const Verdict verdict = judge(asked, idle);
  best.obstacle = verdict.obstacle;
  best.operation = idle;
  if (!best.ok())
    best.operation.tpot_s = verdict.reached_s;
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
  // Less of it waits less for the lane; the last of these for nobody.
  constexpr int kShares = 50;
  const double unheard = (1 - asked.attain) / (most * lane * utilisation);
  for (int i = kShares; i >= 0; --i) {
    const double share =
        i > 0 ? static_cast<double>(i) / kShares : std::min(1.0 / kShares, unheard);
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
  return length_at(demand.prompt_tokens, kLongShare) + output_at(demand, kLongShare);
}

}  // namespace medley::plan
