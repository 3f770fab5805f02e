// One core: serve's driver and the simulator, told the same, decide the same.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "data/catalog.h"
#include "data/scenario_file.h"
#include "engine/asio_loop.h"
#include "engine/manual_loop.h"
#include "net/event_loop.h"
#include "serve/driver.h"
#include "simulate/workload.h"

namespace medley {
namespace {

// Small enough to be driven past saturation by a few hundred requests: one GPU group, an LPU, an
// NPU and a rented service with a tight quota.
constexpr std::string_view kScenario = R"(
site: {zone: here, tariff: {currency: EUR, per_kwh: 0.2}}
labels:
  public: {zones: any}
  internal: {zones: [here]}
default_label: internal
pools:
  - {name: gpu, device: h100_sxm, model: llama-3.1-70b, precision: bf16, tensor_parallel: 4, replicas: 2,
     batching: {kind: chunked_prefill, chunk_tokens: 256, max_running: 12}}
  - {name: lpu, device: groq_lpu_v1, chips: 576, model: llama-3.1-70b, precision: int8, slots: 2}
  - {name: cloud, device: metered, model: llama-3.1-70b, zone: far,
     metered: {per_million_prompt: 0.6, per_million_output: 0.8, tokens_per_minute: 20000,
               ttft_s: {median: 0.2, sigma: 0.5}, tpot_s: 0.01}}
workload:
  requests: REQUESTS
  rate_per_s: 60
  prompt_tokens: {median: 300, sigma: 0.8, max: 2000}
  output_tokens: {median: 60, sigma: 0.7, max: 400}
mix:
  classes: {guaranteed: 0.2, standard: 0.5, flex: 0.2, batch: 0.1}
  labels: {public: 0.5, internal: 0.5}
seed: 7
)";

struct Setting {
  data::Scenario scenario;
  perf::PerfModel models;
  std::vector<simulate::Arrival> arrivals;
};

Setting make_run(std::string_view text) {
  Result<data::Catalog> catalog = data::read_catalog(data::default_catalog_folder());
  EXPECT_TRUE(catalog.ok()) << catalog.error().message;
  Result<data::Scenario> scenario = data::parse_scenario(text, "one_core.yaml", *catalog);
  EXPECT_TRUE(scenario.ok()) << scenario.error().message;
  Setting run{std::move(*scenario), {}, {}};
  Result<perf::PerfModel> models = simulate::make_models(run.scenario.fleet);
  EXPECT_TRUE(models.ok()) << models.error().message;
  run.models = std::move(*models);
  run.arrivals = *simulate::make_arrivals(run.scenario);
  return run;
}

Setting make_run(int requests) {
  std::string text(kScenario);
  text.replace(text.find("REQUESTS"), 8, std::to_string(requests));
  return make_run(text);
}

// Hears of one request and keeps where it went.
struct Listener final : serve::RequestListener {
  void on_dispatched(const sched::Dispatch& dispatch) override { replica = dispatch.replica; }
  void on_tokens(std::string_view, int count) override { tokens += count; }
  void on_restarted() override { tokens = 0; }
  void on_end(const engine::Ending&, const serve::Served&) override { ++ends; }
  void on_rejected(const sched::Reject&) override {
    ++ends;
    rejected = true;
  }
  void on_failed(const Error&, const serve::Served&) override { ++ends; }

  std::optional<ReplicaId> replica;
  int tokens = 0, ends = 0;
  bool rejected = false;
};

std::vector<std::unique_ptr<engine::Engine>> make_engines(engine::Loop& loop, const Setting& run) {
  std::vector<std::unique_ptr<engine::Engine>> engines;
  const Fleet& fleet = run.scenario.fleet;
  for (const PoolId pool : fleet.pools_of_replicas()) {
    const engine::EngineContext context{
        loop, fleet.pool(pool), run.models.pool(pool), ReplicaId(engines.size()),
        0,    run.scenario.seed};
    Result<std::unique_ptr<engine::Engine>> made = engine::make_engine(context);
    EXPECT_TRUE(made.ok()) << made.error().message;
    engines.push_back(std::move(*made));
  }
  return engines;
}

engine::Generation generation_of(const simulate::Arrival& arrival) {
  engine::Generation generation;
  generation.prompt_tokens = arrival.request.prompt_tokens;
  generation.max_tokens = Tokens(arrival.output_tokens);
  return generation;
}

// Each at its time; all four outlive the loop's run.
void submit_all(const Setting& run, engine::Loop& loop, serve::Driver& driver,
                std::vector<Listener>& listeners) {
  for (std::size_t i = 0; i < run.arrivals.size(); ++i) {
    loop.call_at(run.arrivals[i].request.arrived_at, replica::Phase::kArrival, i, [&, i] {
      driver.submit(run.arrivals[i].request, generation_of(run.arrivals[i]), listeners[i]);
    });
  }
}

class OneCoreWithALoss : public testing::TestWithParam<std::chrono::milliseconds> {};

// The loss ends long after the step it interrupts, or before.
INSTANTIATE_TEST_SUITE_P(OfTwoSecondsAndOfOneMillisecond, OneCoreWithALoss,
                         testing::Values(std::chrono::seconds(2), std::chrono::milliseconds(1)));

TEST_P(OneCoreWithALoss, TheDriverOnAManualClockDecidesAsTheSimulatorDoes) {
  const Setting run = make_run(600);
  const ReplicaId lost(1);
  const simulate::Fault fault{lost, Instant(std::chrono::seconds(3)), GetParam(), {}};
  const simulate::SimulationResult simulated = simulate::simulate(
      run.scenario.fleet, run.models, run.arrivals, {fault}, {run.scenario.seed, nullptr});

  engine::ManualLoop loop;
  std::vector<Listener> listeners(run.arrivals.size());
  serve::Driver driver(loop, run.scenario.fleet, run.models, make_engines(loop, run),
                       serve::make_delayed_price_solver(loop, simulate::kSolvingTakes));
  submit_all(run, loop, driver, listeners);
  loop.call_at(fault.at, replica::Phase::kFault, 0, [&] { driver.replica_lost(lost); });
  loop.call_at(fault.at + fault.lasts, replica::Phase::kFault, 0,
               [&] { driver.replica_returned(lost); });
  loop.run_until_idle();

  int rejections = 0, moved = 0;
  for (std::size_t i = 0; i < listeners.size(); ++i) {
    EXPECT_EQ(listeners[i].ends, 1) << "request " << i;
    rejections += listeners[i].rejected;
    moved += simulated.requests[i].replica != listeners[i].replica;
  }
  fmt::print("{} arrivals, {} rejections, {} wake-ups, 1 replica lost and back; digest {}\n",
             run.arrivals.size(), rejections, simulated.wake_ups, simulated.digest.hex());
  // The run is past saturation, or the comparison would say little.
  EXPECT_GE(rejections, 20);
  EXPECT_GE(simulated.wake_ups, 20);
  EXPECT_EQ(moved, 0);
  EXPECT_EQ(driver.scheduler().digest().hex(), simulated.digest.hex());
}

TEST(OneCore, WhatMakesRoomDoesSoInBoth) {
  std::ifstream file("scenarios/bursts-beside-batch.yaml");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const Setting run = make_run(text);
  const simulate::SimulationResult simulated = simulate::simulate(
      run.scenario.fleet, run.models, run.arrivals, {}, {run.scenario.seed, nullptr});
  EXPECT_GT(simulated.preemptions, 15);

  engine::ManualLoop loop;
  std::vector<Listener> listeners(run.arrivals.size());
  serve::Driver driver(loop, run.scenario.fleet, run.models, make_engines(loop, run),
                       serve::make_delayed_price_solver(loop, simulate::kSolvingTakes));
  submit_all(run, loop, driver, listeners);
  loop.run_until_idle();
  for (std::size_t i = 0; i < listeners.size(); ++i)
    EXPECT_EQ(listeners[i].ends, 1) << "request " << i;
  EXPECT_EQ(driver.scheduler().digest().hex(), simulated.digest.hex());
}

// In real time arrivals and step ends come a little late, so that some decisions differ: how many
// is printed.
TEST(OneCore, InRealTimeMostDecisionsAreTheSame) {
  const Setting run = make_run(300);
  const simulate::SimulationResult simulated = simulate::simulate(
      run.scenario.fleet, run.models, run.arrivals, {}, {run.scenario.seed, nullptr});

  net::EventLoop events;
  engine::AsioLoop loop(events);
  std::vector<Listener> listeners(run.arrivals.size());
  serve::Driver driver(loop, run.scenario.fleet, run.models, make_engines(loop, run),
                       serve::make_threaded_price_solver(loop));
  submit_all(run, loop, driver, listeners);
  const Instant last = run.arrivals.back().request.arrived_at;
  const std::function<void()> stop_when_done = [&] {
    if (driver.held() == 0)
      return events.stop();
    loop.call_at(loop.now() + std::chrono::milliseconds(20), replica::Phase::kAlarm, 1,
                 stop_when_done);
  };
  loop.call_at(last + std::chrono::milliseconds(20), replica::Phase::kAlarm, 1, stop_when_done);
  events.run();

  int same = 0;
  for (std::size_t i = 0; i < listeners.size(); ++i) {
    EXPECT_EQ(listeners[i].ends, 1) << "request " << i;
    same += listeners[i].rejected ==
                (simulated.requests[i].outcome == simulate::RequestOutcome::kRejected) &&
            listeners[i].replica == simulated.requests[i].replica;
  }
  fmt::print("real time: {} of {} requests decided as simulated ({:.0f} %)\n", same,
             listeners.size(), 100.0 * same / static_cast<double>(listeners.size()));
}

}  // namespace
}  // namespace medley
