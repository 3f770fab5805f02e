#include "sched/arrivals.h"

#include <algorithm>
#include <cmath>

#include "sched/admission.h"

namespace medley::sched {
namespace {

constexpr double kWindowS = 60;  // of the running means
// What stays away for so many of its mean gaps is taken to come no more often than that: when
// demand ends, patient work need not leave it room for a minute.
constexpr double kGaps = 4;
constexpr double kLeastSeenS = 10;         // a few arrivals in the first second are no rate
constexpr double kRarest = 1e-4;           // of all arrivals: groups below it say nothing
constexpr double kRefreshS = 1;            // what a pool can do for a class changes slowly
constexpr double kLeastProbability = 0.5;  // a pool that keeps its targets less often is no home
constexpr double kBurst = 2;               // D; the study's value on this trace
// Standard deviations that count against a forecast where others would pay for its error. With
// forecasts 30 % wrong 3 does a tenth of a point better than 2, 1 a point worse at loads 1.5 and 2;
// none costs 2 and 3 points (scenarios/mixed_fleet.yaml, seed 9).
constexpr double kDeviations = 2;
constexpr double kLeastLeft = 0.02;  // of a pool, for a class that dearer ones leave nothing
constexpr double kCounts = 0.05;  // of a pool's work or value: a class that has less sets no limits
constexpr double kMostLoad = 0.9;      // ρ
constexpr double kMostAffected = 1.5;  // K

double decayed(double sum, double seconds) { return sum * std::exp(-seconds / kWindowS); }

}  // namespace

Arrivals::Arrivals(const Fleet& fleet, const perf::PerfModel& perf, const Ledger& ledger,
                   const Predictor& predictor)
    : fleet_(fleet),
      perf_(perf),
      ledger_(ledger),
      predictor_(predictor),
      lanes_(fleet.pools.size()),
      limits_(fleet.pools.size()) {}

void Arrivals::arrived(Instant now, const Request& request) {
  if (!first_)
    first_ = now;
  Kind& kind = kinds_[{request.service_class, request.model, request.label,
                       length_bucket(request.prompt_tokens)}];
  const double gone = to_seconds(now - kind.last).value();
  const auto prompt = static_cast<double>(request.prompt_tokens.count());
  kind.count = decayed(kind.count, gone) + 1;
  kind.prompt = decayed(kind.prompt, gone) + prompt;
  kind.prompt_squared = decayed(kind.prompt_squared, gone) + prompt * prompt;
  kind.output = decayed(kind.output, gone) + static_cast<double>(predictor_.output_tokens(request));
  kind.last = now;
  kind.sample = request;
  refresh(now);
}

std::vector<Arrivals::Group> Arrivals::groups(Instant now) const {
  const double seen_s = first_ ? to_seconds(now - *first_).value() : 0;
  const double window_s = kWindowS * (1 - std::exp(-std::max(seen_s, kLeastSeenS) / kWindowS));
  std::vector<Group> all;
  double total = 0;
  for (const auto& [key, kind] : kinds_) {
    Group group;
    const double away_s = to_seconds(now - kind.last).value();
    group.rate = decayed(kind.count, away_s) / window_s;
    if (away_s * group.rate > kGaps)
      group.rate = kGaps / away_s;
    const double mean = kind.prompt / kind.count;
    group.spread = kind.prompt_squared / kind.count / (mean * mean);
    group.typical = kind.sample;
    group.typical.arrived_at = now;
    group.typical.prompt_tokens = Tokens(std::max(1LL, std::llround(mean)));
    group.typical.output_known = Tokens(std::max(1LL, std::llround(kind.output / kind.count)));
    group.typical.targets = fleet_.policy(kind.sample.service_class).targets;
    total += group.rate;
    all.push_back(group);
  }
  std::erase_if(all, [total](const Group& group) { return group.rate < kRarest * total; });
  return all;
}

void Arrivals::refresh(Instant now) {
  if (!first_)
    return;
  if (fresh_at_ && to_seconds(now - *fresh_at_).value() < kRefreshS)
    return;
  fresh_at_ = now;
  const std::size_t pools = fleet_.pools.size();
  std::array<ServiceClass, kServiceClassCount> dearest_first = kServiceClasses;
  std::stable_sort(dearest_first.begin(), dearest_first.end(), [&](ServiceClass a, ServiceClass b) {
    return fleet_.policy(a).value > fleet_.policy(b).value;
  });
  const std::vector<Group> all_groups = groups(now);
  lanes_.assign(pools, {});
  std::vector<double> used(pools, 0);  // replicas that the classes so far take
  for (const ServiceClass service_class : dearest_first) {
    std::vector<Lane> lanes(pools);
    std::vector<double> joins = used;
    for (const Group& group : all_groups) {
      const Request& typical = group.typical;
      if (typical.service_class != service_class)
        continue;
      const double rate = group.rate, spread = group.spread;
      // What each pool could take of it, per second.
      std::vector<Forecast> idle(pools);
      std::vector<double> usage(pools, 0), room(pools, 0);
      double all = 0;
      for (std::size_t i = 0; i < pools; ++i) {
        const PoolId pool(i);
        const double replicas = ledger_.live(pool);
        if (replicas == 0 || forbidden_by_law(fleet_, perf_, typical, pool) != Forbidden::kNo)
          continue;
        idle[i] = predictor_.forecast_alone(now, typical, pool);
        if (predictor_.probability(now, typical, pool, idle[i]) < kLeastProbability)
          continue;
        usage[i] = predictor_.usage_s(pool, typical);
        room[i] = std::max(kLeastLeft * replicas, replicas - used[i]) / usage[i];
        all += room[i];
      }
      for (std::size_t i = 0; i < pools; ++i) {
        if (!(room[i] > 0))
          continue;
        const double here = rate * room[i] / all;
        joins[i] += here * usage[i];
        Lane& lane = lanes[i];
        const double per_replica = here / ledger_.live(PoolId(i));
        lane.rate += per_replica;
        lane.work_s += per_replica * idle[i].work_s;
        lane.work_squared += per_replica * idle[i].work_s * idle[i].work_s * spread;
        lane.join_s += per_replica * std::max(0.0, idle[i].ttft_s - idle[i].work_s);
        lane.usage_s += per_replica * usage[i];
        lane.tpot_s += per_replica * predictor_.forecast_idle(now, typical, PoolId(i)).tpot_s;
      }
    }
    used = joins;
    const ClassPolicy& policy = fleet_.policy(service_class);
    for (std::size_t i = 0; i < pools; ++i) {
      Lane& lane = lanes[i];
      if (!(lane.rate > 0))
        continue;
      for (double* mean :
           {&lane.work_s, &lane.work_squared, &lane.join_s, &lane.usage_s, &lane.tpot_s})
        *mean /= lane.rate;
      lane.value = policy.value.value();
      if (policy.targets.tpot)
        lane.tpot_limit_s = to_seconds(*policy.targets.tpot).value();
      if (policy.targets.ttft) {
        lane.ttft_limit_s = to_seconds(*policy.targets.ttft).value();
        const double load = std::min(kMostLoad, lane.rate * lane.work_s);
        lane.decay = 2 * (1 - load) / (kBurst * lane.rate * lane.work_squared);
        lane.limit_s = *lane.ttft_limit_s - lane.work_s - lane.join_s;
        lane.affected = std::min(kMostAffected, 1 / (1 - load));
      }
      lanes_[i].push_back(lane);
    }
  }
  limits_.assign(pools, {});
  for (std::size_t i = 0; i < pools; ++i) {
    double work = 0, worth = 0;
    for (const Lane& lane : lanes_[i]) {
      work += lane.rate * lane.usage_s;
      worth += lane.rate * lane.value;
    }
    Limits& limits = limits_[i];
    for (const Lane& lane : lanes_[i]) {
      if (lane.rate * lane.usage_s < kCounts * work && lane.rate * lane.value < kCounts * worth)
        continue;
      limits.dearest = std::max(limits.dearest, lane.value);
      if (lane.ttft_limit_s)
        limits.ttft_s = std::min(limits.ttft_s, *lane.ttft_limit_s);
      if (lane.tpot_limit_s) {
        const double least_s = lane.tpot_s < *lane.tpot_limit_s ? lane.tpot_s : 0;
        limits.tpot.push_back({least_s, *lane.tpot_limit_s - least_s});
      }
    }
  }
}

Arrivals::Standing Arrivals::standing(PoolId pool, double value, const Forecast& forecast) const {
  // What is less certain than the pool's error bar says counts as nearer.
  const double unstated = std::max(0.0, predictor_.ttft_error(pool) - perf_.pool(pool).ttft_error);
  const double ttft_s = forecast.ttft_s * (1 + kDeviations * unstated);
  const Limits& limits = limits_[pool.number()];
  double nearness = ttft_s / limits.ttft_s;
  for (const Limits::Tpot& tpot : limits.tpot)
    nearness = std::max(nearness, (forecast.tpot_s - tpot.least_s) / tpot.span_s);
  return {nearness, limits.dearest > value};
}

bool Arrivals::outlasts_dearer(PoolId pool, double value, double wait_s) const {
  const Limits& limits = limits_[pool.number()];
  return limits.dearest > value && wait_s > limits.ttft_s;
}

double Arrivals::harm(double worth, PoolId pool, const Forecast& forecast) const {
  if (perf_.pool(pool).kind != perf::ServingKind::kSlotted)
    return 0;
  const double longer = 1 + kDeviations * predictor_.ttft_error(pool);
  const double ahead_s = forecast.wait_s * longer, work_s = forecast.work_s * longer;
  double most = 0;
  for (const Lane& lane : lanes_[pool.number()]) {
    if (lane.value <= worth || !lane.ttft_limit_s || !(lane.work_s > 0))
      continue;
    const auto missed = [&](double backlog) {
      return backlog < lane.limit_s ? std::exp(-lane.decay * (lane.limit_s - backlog))
                                    : 1 + lane.rate * (backlog - lane.limit_s);
    };
    const double lost = lane.affected * (missed(ahead_s + work_s) - missed(ahead_s));
    // Nobody misses it who does not come while it is ahead.
    const double come = lane.rate * (ahead_s + work_s);
    most = std::max(most, lane.value * std::min({lost, come, forecast.work_s / lane.work_s}));
  }
  return most;
}

}  // namespace medley::sched
