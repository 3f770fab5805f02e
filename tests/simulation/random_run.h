// A seed draws everything: fleet, traffic, faults. What checkers watch is in the tests beside it.
#pragma once

#include <fmt/format.h>

#include <string>
#include <vector>

#include "base/prng.h"
#include "sched/test_fleet.h"
#include "seeds.h"
#include "simulate/simulation.h"

namespace medley::simulate {

struct RandomRun {
  sched::TestFleet made;
  std::vector<Arrival> arrivals;
  std::vector<Fault> faults;
};

inline RandomRun random_run(std::uint64_t seed) {
  Prng prng(seed);
  const std::vector<std::string> zones = {"here", "edge", "us-east"};
  std::vector<sched::TestPool> pools;
  const std::uint64_t pool_count = 1 + prng.below(5);
  for (std::uint64_t i = 0; i < pool_count; ++i) {
    sched::TestPool pool;
    pool.name = fmt::format("pool{}", i);
    pool.zone = zones[prng.below(zones.size())];
    pool.replicas = 1 + static_cast<int>(prng.below(3));
    pool.max_running = 1 + static_cast<int>(prng.below(12));
    pool.step_s = prng.log_normal(0.008, 0.8);
    pool.max_context = 512 + static_cast<long long>(prng.below(8000));
    pool.kv_tokens = pool.max_context + static_cast<long long>(prng.below(60'000));
    const std::uint64_t kind = prng.below(5);
    if (kind == 0)
      pool.kind = perf::ServingKind::kSlotted;
    if (kind == 1) {
      pool.kind = perf::ServingKind::kMetered;
      pool.metered = {.per_million_prompt = prng.uniform() * 3,
                      .per_million_output = prng.uniform() * 10,
                      .tokens_per_minute = 2000 + static_cast<long long>(prng.below(100'000)),
                      .requests_per_day = 5 + static_cast<long long>(prng.below(1000)),
                      .ttft_median_s = 0.1 + prng.uniform(),
                      .ttft_sigma = 0.5,
                      .tpot_s = 0.01 + 0.03 * prng.uniform()};
    }
    pools.push_back(pool);
  }
  RandomRun run{sched::make_test_fleet(pools), {}, {}};
  if (prng.below(4) == 0) {
    // Any but medley's own, which is the default.
    run.made.fleet.placement = static_cast<PlacementKind>(1 + prng.below(kPlacementKindCount - 1));
  }
  const std::uint64_t requests = 10 + prng.below(60);
  const double gap_s = prng.log_normal(0.05, 1);
  double at_s = 0;
  for (std::uint64_t i = 0; i < requests; ++i) {
    at_s += prng.exponential(gap_s);
    Arrival arrival;
    arrival.request.id = RequestId(i);
    arrival.request.arrived_at = round_to_instant(Seconds(at_s));
    arrival.request.service_class = kServiceClasses[prng.below(kServiceClassCount)];
    arrival.request.label = LabelId(prng.below(3));
    arrival.request.prompt_tokens = Tokens(1 + static_cast<long long>(prng.log_normal(200, 1.2)));
    arrival.output_tokens = 1 + static_cast<long long>(prng.log_normal(60, 0.8));
    run.arrivals.push_back(arrival);
  }
  const std::size_t replicas = run.made.fleet.replica_count();
  const std::uint64_t faults = prng.below(6);
  for (std::uint64_t i = 0; i < faults; ++i) {
    run.faults.push_back({ReplicaId(prng.below(replicas)),
                          round_to_instant(Seconds(prng.uniform() * at_s)),
                          round_to_duration(Seconds(prng.exponential(2)))});
  }
  std::sort(run.faults.begin(), run.faults.end(),
            [](const Fault& a, const Fault& b) { return a.at < b.at; });
  return run;
}

}  // namespace medley::simulate
