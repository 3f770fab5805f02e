// Token-window promises in virtual time: none is broken on any seed while nothing fails, though the
// true time of every prompt deviates from the model's; and nearly all that may be promised are.
#include <gtest/gtest.h>

#include <cmath>

#include "data/catalog.h"
#include "data/scenario_file.h"
#include "engine/manual_loop.h"
#include "sched/test_fleet.h"
#include "seeds.h"
#include "serve/driver.h"
#include "simulate/report.h"
#include "simulate/workload.h"

namespace medley::simulate {
namespace {

constexpr double kError = 0.03;

const WindowCounts& guaranteed(const Report& report) {
  static const WindowCounts kNothing;
  for (const ClassReport& of_class : report.classes) {
    if (of_class.service_class == ServiceClass::kGuaranteed)
      return of_class.windows;
  }
  return kNothing;
}

// A token time and a lane of so many prompt tokens a second, whoever is there.
class LaneSteps final : public perf::StepModel {
 public:
  LaneSteps(double token_s, double prompt_tokens_per_s)
      : token_s_(token_s), prompt_tokens_per_s_(prompt_tokens_per_s) {}
  perf::StepCost step(const perf::StepShape& shape) const override {
    const double lane_s = static_cast<double>(shape.prefill_tokens()) / prompt_tokens_per_s_;
    return {Seconds(shape.chunks.empty() ? token_s_ : lane_s), {}};
  }
  Watts idle_power() const override { return Watts(0); }

 private:
  double token_s_, prompt_tokens_per_s_;
};

struct WindowRun {
  sched::TestFleet made;
  std::vector<Arrival> arrivals;
  std::vector<Fault> faults;

  Report report(std::uint64_t seed, double prefill_error = kError) const {
    const SimulationResult result = simulate(made.fleet, made.perf, arrivals, faults,
                                             {.seed = seed, .prefill_error = prefill_error});
    return make_report("", made.fleet, result);
  }
};

// Scheduled replicas of few slots and little memory beside others, from idle to far too much work,
// under any placement; answers with and without a limit of their own.
WindowRun random_windows(std::uint64_t seed) {
  Prng prng(seed);
  std::vector<sched::TestPool> pools;
  const std::uint64_t pool_count = 1 + prng.below(3);
  for (std::uint64_t i = 0; i < pool_count; ++i) {
    sched::TestPool pool;
    pool.name = fmt::format("pool{}", i);
    pool.replicas = 1 + static_cast<int>(prng.below(3));
    pool.max_running = 1 + static_cast<int>(prng.below(16));
    pool.max_context = 2048;
    pool.kv_tokens = 2048 + static_cast<long long>(prng.below(20'000));
    if (i == 0 || prng.below(3) == 0)
      pool.kind = perf::ServingKind::kSlotted;
    pools.push_back(pool);
  }
  WindowRun run{sched::make_test_fleet(pools), {}, {}};
  for (perf::PoolModel& model : run.made.perf.pools) {
    if (model.kind != perf::ServingKind::kSlotted)
      continue;
    model.steps =
        std::make_shared<LaneSteps>(0.001 + 0.004 * prng.uniform(), prng.log_normal(10'000, 0.7));
    model.ttft_error = model.tpot_error = kError;
  }
  if (prng.below(2) == 0) {
    run.made.fleet.placement = static_cast<PlacementKind>(prng.below(kPlacementKindCount));
  }
  const bool capped = prng.below(2) == 0;
  const std::uint64_t requests = 200 + prng.below(200);
  const double gap_s = prng.log_normal(0.03, 1);
  double at_s = 0;
  for (std::uint64_t i = 0; i < requests; ++i) {
    at_s += prng.below(8) == 0 ? 0 : prng.exponential(gap_s);
    Arrival arrival;
    arrival.request.id = RequestId(i);
    arrival.request.arrived_at = round_to_instant(Seconds(at_s));
    arrival.request.service_class = prng.below(2) == 0
                                        ? ServiceClass::kGuaranteed
                                        : kServiceClasses[prng.below(kServiceClassCount)];
    arrival.request.label = LabelId(1);
    arrival.request.prompt_tokens =
        Tokens(std::min(1 + static_cast<long long>(prng.log_normal(300, 1.0)), 1500LL));
    arrival.output_tokens = 1 + static_cast<long long>(prng.log_normal(60, 0.8));
    if (capped)
      arrival.request.output_cap = Tokens(std::max(64LL, arrival.output_tokens));
    run.arrivals.push_back(arrival);
  }
  return run;
}

TEST(WindowSimulation, NoPromiseIsBrokenWhileNothingFails) {
  const std::vector<std::uint64_t> seeds = seeds_for_this_run(1000);
  WindowCounts sum;
  for (const std::uint64_t seed : seeds) {
    const WindowCounts windows = guaranteed(random_windows(seed).report(seed));
    ASSERT_EQ(windows.broken, 0) << replay_command(seed, "WindowSimulation.NoPromise*");
    sum += windows;
  }
  fmt::print("{} guaranteed requests on scheduled devices, {} promises, none broken\n",
             sum.admitted, sum.promised);
  if (seeds.size() > 1) {
    // The draws reach what the test is about: slots, memory and time run out.
    EXPECT_GT(sum.promised, 50'000);
    EXPECT_GT(sum.admitted, sum.promised + 30'000);
  }
}

TEST(WindowSimulation, ALostReplicaBreaksItsPromisesAndNoSecondOneHidesIt) {
  WindowCounts sum;
  for (const std::uint64_t seed : seeds_for_this_run(300)) {
    WindowRun run = random_windows(seed);
    Prng prng = Prng::stream(seed, 0x6c6f7373);
    const double end_s = to_seconds(run.arrivals.back().request.arrived_at).value();
    for (int i = 0; i < 4; ++i) {
      run.faults.push_back({ReplicaId(prng.below(run.made.fleet.replica_count())),
                            round_to_instant(Seconds(prng.uniform() * end_s)),
                            round_to_duration(Seconds(prng.exponential(0.5)))});
    }
    std::sort(run.faults.begin(), run.faults.end(),
              [](const Fault& a, const Fault& b) { return a.at < b.at; });
    const WindowCounts windows = guaranteed(run.report(seed));
    ASSERT_EQ(windows.broken, windows.lost)
        << replay_command(seed, "WindowSimulation.ALostReplica*");
    sum += windows;
  }
  fmt::print("{} promises, {} broken with their replicas\n", sum.promised, sum.lost);
}

// Counts what serve's driver says of windows.
struct WindowListener final : serve::RequestListener {
  void on_dispatched(const sched::Dispatch& dispatch) override {
    promised |= dispatch.window.has_value();
  }
  void on_tokens(std::string_view, int) override {}
  void on_restarted() override {}
  void on_end(const engine::Ending&, const serve::Served& served) override {
    broken = served.window && served.window->late;
  }
  void on_rejected(const sched::Reject&) override {}
  void on_failed(const Error&, const serve::Served&) override {}
  bool promised = false, broken = false;
};

// serve's driver over emulated devices on a manual clock: what was in the lane and left stays
// there.
TEST(WindowSimulation, ClientsThatLeaveBreakNoPromiseOfOthers) {
  long long promised = 0, left = 0;
  for (const std::uint64_t seed : seeds_for_this_run(100)) {
    const WindowRun run = random_windows(seed);
    const Fleet& fleet = run.made.fleet;
    Prng prng = Prng::stream(seed, 0x6c65617665);
    engine::ManualLoop loop;
    std::vector<WindowListener> listeners(run.arrivals.size());
    std::vector<std::unique_ptr<engine::Engine>> engines;
    for (const PoolId pool : fleet.pools_of_replicas()) {
      engines.push_back(*engine::make_engine(
          {loop, fleet.pool(pool), run.made.perf.pool(pool), ReplicaId(engines.size()), 0, seed}));
    }
    serve::Driver driver(loop, fleet, run.made.perf, std::move(engines));
    for (std::size_t i = 0; i < run.arrivals.size(); ++i) {
      const Arrival& arrival = run.arrivals[i];
      engine::Generation generation;
      generation.prompt_tokens = arrival.request.prompt_tokens;
      generation.max_tokens = Tokens(arrival.output_tokens);
      loop.call_at(arrival.request.arrived_at, replica::Phase::kArrival, i, [&, i, generation] {
        driver.submit(run.arrivals[i].request, generation, listeners[i]);
      });
      if (prng.below(3) > 0)
        continue;
      const Duration stays = round_to_duration(Seconds(prng.exponential(0.05)));
      loop.call_at(arrival.request.arrived_at + stays, replica::Phase::kArrival, i,
                   [&, i] { left += driver.cancel(run.arrivals[i].request.id).has_value(); });
    }
    loop.run_until_idle();
    for (std::size_t i = 0; i < listeners.size(); ++i) {
      ASSERT_FALSE(listeners[i].broken)
          << i << ", " << replay_command(seed, "WindowSimulation.Clients*");
      promised += listeners[i].promised;
    }
  }
  fmt::print("{} promises, {} clients left\n", promised, left);
}

// What the core does not know breaks promises, and is seen to.
TEST(WindowSimulation, ASlowerLaneBreaksPromisesAndTheyAreCounted) {
  WindowCounts sum;
  for (const std::uint64_t seed : seeds_for_this_run(50)) {
    WindowRun run = random_windows(seed);
    run.faults = {{ReplicaId(0), Instant{}, Duration::max(), 2.0}};
    sum += guaranteed(run.report(seed));
  }
  EXPECT_GT(sum.broken, 0);
  EXPECT_EQ(sum.lost, 0);
}

// The fleet and mix of scenarios/mixed_fleet.yaml; lengths by the quantiles of its trace.
constexpr std::string_view kMixedFleet = R"(
fleet: fleet-mixed-study.yaml
workload:
  for: 40s
  rate_per_s: 65
  prompt_tokens:
    {quantiles: [[0, 2], [0.1, 207], [0.25, 396], [0.5, 1020], [0.75, 1189], [0.9, 2735], [0.95, 4083], [1, 4142]]}
  output_tokens: {quantiles: [[0, 10], [0.1, 54], [0.25, 85], [0.5, 129], [0.75, 395], [0.9, 424], [1, 601]]}
mix:
  classes: {guaranteed: 0.20, standard: 0.45, flex: 0.20, batch: 0.15}
  longer: {guaranteed: {than_tokens: 4096, become: standard}}
  max_tokens_at_least: 64
  labels: {public: 0.6, internal: 0.4}
  model:
    guaranteed: large
    standard: {large: 0.8, any: 0.2}
    flex: {large: 0.5, any: 0.5}
    batch: {large: 0.3, any: 0.7}
)";

TEST(WindowSimulation, NearlyAllOfTheMixedFleetsGuaranteedRequestsCarryAPromise) {
  const Result<data::Catalog> catalog = data::read_catalog(data::default_catalog_folder());
  ASSERT_TRUE(catalog.ok()) << catalog.error().message;
  for (const double load : {0.5, 1.0, 1.5, 2.0}) {
    WindowCounts sum;
    for (const std::uint64_t seed : seeds_for_this_run(4)) {
      Result<data::Scenario> scenario =
          data::parse_scenario(kMixedFleet, "scenarios/windows.yaml", *catalog);
      ASSERT_TRUE(scenario.ok()) << scenario.error().message;
      scenario->seed = seed;
      scenario->workload->streams.front().rate_per_s *= load;
      const Result<perf::PerfModel> models = make_models(scenario->fleet);
      ASSERT_TRUE(models.ok()) << models.error().message;
      const SimulationResult result = simulate(scenario->fleet, *models, *make_arrivals(*scenario),
                                               {}, {.seed = seed, .prefill_error = kError});
      sum += guaranteed(make_report("", scenario->fleet, result));
      ASSERT_EQ(sum.broken, 0) << load << ", " << replay_command(seed, "WindowSimulation.Nearly*");
    }
    fmt::print("load {}: {} of {} guaranteed requests on the LPU system carry a promise\n", load,
               sum.promised, sum.admitted);
    EXPECT_GE(static_cast<double>(sum.promised), 0.95 * static_cast<double>(sum.admitted)) << load;
    EXPECT_GT(sum.admitted, 500) << load;
  }
}

}  // namespace
}  // namespace medley::simulate
