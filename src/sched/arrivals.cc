#include "sched/arrivals.h"

#include <algorithm>
#include <cmath>

#include "sched/admission.h"

namespace medley::sched {
namespace {

constexpr double kWindowS = 60;            // of the running means
constexpr double kLeastSeenS = 10;         // a few arrivals in the first second are no rate
constexpr double kRefreshS = 1;            // what a pool can do for a class changes slowly
constexpr double kLeastProbability = 0.5;  // a pool that keeps its targets less often is no home
constexpr double kBurst = 2;               // D; the study's value on this trace
constexpr double kMostLoad = 0.9;          // ρ
constexpr double kMostAffected = 1.5;      // K
constexpr double kNearlyFull = 0.8;  // of a lane: where its work begins to displace other work

double decayed(double sum, double seconds) { return sum * std::exp(-seconds / kWindowS); }

}  // namespace

Arrivals::Arrivals(const Fleet& fleet, const perf::PerfModel& perf, const Predictor& predictor)
    : fleet_(fleet), perf_(perf), predictor_(predictor) {}

void Arrivals::arrived(Instant now, const Request& request) {
  if (!first_)
    first_ = now;
  Kind& kind = kinds_[{request.service_class, request.model}];
  const ClassPolicy& policy = fleet_.policy(request.service_class);
  kind.value = policy.value.value();
  kind.ttft = policy.targets.ttft;
  const double gone = to_seconds(now - kind.last).value();
  const auto prompt = static_cast<double>(request.prompt_tokens.count());
  kind.count = decayed(kind.count, gone) + 1;
  kind.prompt = decayed(kind.prompt, gone) + prompt;
  kind.prompt_squared = decayed(kind.prompt_squared, gone) + prompt * prompt;
  kind.last = now;
  kind.sample = request;
}

void Arrivals::refresh(Instant now, Kind& kind) const {
  if (kind.fresh_at && to_seconds(now - *kind.fresh_at).value() < kRefreshS)
    return;
  kind.fresh_at = now;
  kind.lanes.assign(fleet_.pools.size(), {});
  const double seen_s = to_seconds(now - *first_).value();
  const double rate = decayed(kind.count, to_seconds(now - kind.last).value()) /
                      (kWindowS * (1 - std::exp(-std::max(seen_s, kLeastSeenS) / kWindowS)));
  const double mean = kind.prompt / kind.count;
  const double spread = kind.prompt_squared / kind.count / (mean * mean);
  Request typical = kind.sample;
  typical.arrived_at = now;
  typical.prompt_tokens = Tokens(std::max(1LL, std::llround(mean)));
  typical.targets = fleet_.policy(typical.service_class).targets;
  double capability = 0;
  std::vector<double> weights(fleet_.pools.size(), 0);
  for (std::size_t i = 0; i < fleet_.pools.size(); ++i) {
    const PoolId pool(i);
    if (perf_.pool(pool).kind == perf::ServingKind::kMetered ||
        forbidden_by_law(fleet_, perf_, typical, pool) != Forbidden::kNo) {
      continue;
    }
    const Forecast idle = predictor_.forecast_idle(now, typical, pool);
    if (predictor_.probability(now, typical, pool, idle) < kLeastProbability)
      continue;
    Kind::Lane& lane = kind.lanes[i];
    lane.work_s = idle.work_s;
    lane.work_squared = idle.work_s * idle.work_s * spread;
    lane.usage_s = predictor_.usage_s(pool, typical);
    lane.join_s = std::max(0.0, idle.ttft_s - idle.work_s);
    weights[i] = predictor_.prefill_tokens_per_s(pool);
    capability += weights[i] * fleet_.pool(pool).replicas;
  }
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] > 0)
      kind.lanes[i].rate = rate * weights[i] / capability;
  }
}

double Arrivals::harm(Instant now, const Request& request, double worth, PoolId pool,
                      const Forecast& forecast) const {
  const double lane_s = forecast.wait_s, work_s = forecast.work_s;
  double most = 0;
  for (auto& [key, kind] : kinds_) {
    if (kind.value <= worth || !kind.ttft || kind.count <= 0)
      continue;
    refresh(now, kind);
    const Kind::Lane& lane = kind.lanes[pool.number()];
    if (!(lane.rate > 0) || !(lane.work_s > 0))
      continue;
    const double load = std::min(kMostLoad, lane.rate * lane.work_s);
    const double decay = 2 * (1 - load) / (kBurst * lane.rate * lane.work_squared);
    const double limit = to_seconds(*kind.ttft).value() - lane.work_s - lane.join_s;
    const auto missed = [&](double backlog) {
      return backlog < limit ? std::exp(-decay * (limit - backlog))
                             : 1 + lane.rate * (backlog - limit);
    };
    const double affected = std::min(kMostAffected, 1 / (1 - load));
    // Where their work alone fills the lane, whatever else is taken on displaces them.
    const double full =
        std::clamp((lane.rate * lane.usage_s - kNearlyFull) / (1 - kNearlyFull), 0.0, 1.0);
    const double displaced = predictor_.usage_s(pool, request) / lane.usage_s;
    const double pushed = affected * (missed(lane_s + work_s) - missed(lane_s));
    most = std::max(most, kind.value * std::min(displaced, std::max(pushed, full * displaced)));
  }
  return most;
}

}  // namespace medley::sched
