// Runs of steps advanced at once against stepping, through core and simulator: random fleets with
// failures (random_run.h), whose step models know the shortcut or hide it.
#include <gtest/gtest.h>

#include "random_run.h"

namespace medley::simulate {
namespace {

class StepByStep final : public perf::StepModel {
 public:
  explicit StepByStep(std::shared_ptr<const perf::StepModel> steps) : steps_(std::move(steps)) {}
  perf::StepCost step(const perf::StepShape& shape) const override { return steps_->step(shape); }
  Watts idle_power() const override { return steps_->idle_power(); }

 private:
  std::shared_ptr<const perf::StepModel> steps_;
};

void expect_near(const std::optional<double>& a, const std::optional<double>& b) {
  ASSERT_EQ(a.has_value(), b.has_value());
  if (a) {
    ASSERT_NEAR(*a, *b, 1e-9 * std::abs(*b));
  }
}

TEST(RunsSimulation, EqualSteppingWhateverThePolicyAndTheFaults) {
  for (const std::uint64_t seed : seeds_for_this_run(1000)) {
    RandomRun run = random_run(seed);
    const SimulationResult ran =
        simulate(run.made.fleet, run.made.perf, run.arrivals, run.faults, {seed, nullptr});
    for (perf::PoolModel& pool : run.made.perf.pools) {
      if (pool.kind == perf::ServingKind::kBatched)
        pool.steps = std::make_shared<StepByStep>(pool.steps);
    }
    const SimulationResult stepped =
        simulate(run.made.fleet, run.made.perf, run.arrivals, run.faults, {seed, nullptr});
    SCOPED_TRACE(replay_command(seed));
    for (std::size_t i = 0; i < ran.requests.size(); ++i) {
      const RequestRecord &a = ran.requests[i], &b = stepped.requests[i];
      ASSERT_EQ(a.outcome, b.outcome) << i;
      ASSERT_EQ(a.replica, b.replica) << i;
      expect_near(a.first_token_s, b.first_token_s);
      expect_near(a.finished_s, b.finished_s);
      ASSERT_NEAR(a.joules, b.joules, 1e-9 * b.joules) << i;
    }
    ASSERT_EQ(ran.steps, stepped.steps);
    ASSERT_EQ(ran.wake_ups, stepped.wake_ups);
  }
}

}  // namespace
}  // namespace medley::simulate
