#include "simulate/training_shares.h"

#include <gtest/gtest.h>

#include "base/prng.h"

namespace medley::simulate {
namespace {

using Status = TrainingShares::Status;

// One device each of a fast and a slow type; the second job gains less from the fast one.
TrainingCase two_jobs(TrainingObjective objective) {
  return {.count = {1, 1},
          .cost_per_hour = {4, 1},
          .jobs = {{.gang = 1, .total_steps = 4000, .steps_per_s = {4, 1}},
                   {.gang = 1, .total_steps = 3000, .steps_per_s = {2, 1}}},
          .objective = objective};
}

TrainingShares shares_of(const TrainingCase& given) {
  const Result<TrainingShares> answer = best_training_shares(given);
  EXPECT_TRUE(answer.ok()) << (answer.ok() ? "" : answer.error().message);
  return answer.ok() ? *answer : TrainingShares{};
}

TEST(TrainingShares, ThroughputGivesTheFastDeviceToWhoGainsMost) {
  const TrainingShares answer = shares_of(two_jobs(TrainingObjective::kThroughput));
  EXPECT_EQ(answer.status, Status::kOptimal);
  EXPECT_NEAR(answer.objective, 5, 1e-9);
  EXPECT_NEAR(answer.shares[0][0], 1, 1e-9);
  EXPECT_NEAR(answer.shares[1][1], 1, 1e-9);
}

TEST(TrainingShares, DollarsChangeThat) {
  const TrainingShares answer = shares_of(two_jobs(TrainingObjective::kThroughputPerDollar));
  EXPECT_NEAR(answer.objective, 2, 1e-9);  // 4/4 and 1/1
}

TEST(TrainingShares, MakespanSharesTheFastDevice) {
  // Both end at T: 4 a + (1 - a) = 4000 / T and 2 (1 - a) + a = 3000 / T.
  const TrainingShares answer = shares_of(two_jobs(TrainingObjective::kMakespan));
  EXPECT_EQ(answer.status, Status::kOptimal);
  const double a = 5.0 / 13;  // (1 + 3 a) / (2 - a) = 4 / 3
  EXPECT_NEAR(answer.objective, 4000 / (1 + 3 * a), 1e-6 * answer.objective);
  EXPECT_LE(answer.bound, answer.objective * (1 + 1e-12));
}

TEST(TrainingShares, MaxMinMeasuresAgainstAnEqualSplit) {
  // Two equal jobs: each as much as an equal split gives it, which is half of each device.
  TrainingCase given = two_jobs(TrainingObjective::kMaxMin);
  given.jobs[1] = given.jobs[0];
  EXPECT_NEAR(shares_of(given).objective, 1, 1e-9);
}

TEST(TrainingShares, ATypeWithoutDevicesCountsNowhere) {
  for (const TrainingObjective objective :
       {TrainingObjective::kMaxMin, TrainingObjective::kMakespan, TrainingObjective::kThroughput,
        TrainingObjective::kThroughputPerDollar}) {
    TrainingCase with = two_jobs(objective), without = two_jobs(objective);
    with.count.push_back(0);
    with.cost_per_hour.push_back(0);
    for (TrainingJob& job : with.jobs)
      job.steps_per_s.push_back(100);
    EXPECT_NEAR(shares_of(with).objective, shares_of(without).objective, 1e-9);
    EXPECT_EQ(shares_of(with).shares[0][2], 0);
  }
}

TEST(TrainingShares, NamesJobsThatRunNowhere) {
  TrainingCase given = two_jobs(TrainingObjective::kMakespan);
  given.jobs[1].steps_per_s = {0, 0};
  const TrainingShares answer = shares_of(given);
  EXPECT_EQ(answer.status, Status::kInfeasible);
  EXPECT_EQ(answer.infeasible_jobs, (std::vector<std::size_t>{1}));
  given.objective = TrainingObjective::kThroughput;
  EXPECT_EQ(shares_of(given).status, Status::kOptimal);
  given.objective = TrainingObjective::kMakespan;
  given.jobs[1].total_steps = 0;  // and has nothing to do
  EXPECT_NEAR(shares_of(given).objective, 1000, 1e-6);
}

TEST(TrainingShares, NothingToDoTakesNoTime) {
  TrainingCase given = two_jobs(TrainingObjective::kMakespan);
  for (TrainingJob& job : given.jobs)
    job.total_steps = 0;
  EXPECT_EQ(shares_of(given).status, Status::kOptimal);
  EXPECT_EQ(shares_of(given).objective, 0);
}

// The bound comes from prices by weak duality, so optimal means proved; units do not matter.
TEST(TrainingShares, ProvesRandomCasesInAnyUnit) {
  Prng prng(3);
  for (int round = 0; round < 40; ++round) {
    SCOPED_TRACE(round);
    TrainingCase given;
    given.objective = static_cast<TrainingObjective>(round % 4);
    for (int t = 0; t < 3; ++t) {
      given.count.push_back(static_cast<int>(1 + prng.below(20)));
      given.cost_per_hour.push_back(0.5 + prng.uniform());
    }
    for (int j = 0; j < 40; ++j)
      given.jobs.push_back(
          {.gang = 1 << prng.below(3),
           .total_steps = 1 + prng.uniform() * 1e6,
           .steps_per_s = {prng.uniform() * 40 + 0.1, prng.uniform() * 10, prng.uniform()}});
    const TrainingShares answer = shares_of(given);
    EXPECT_EQ(answer.status, Status::kOptimal);
    for (TrainingJob& job : given.jobs) {
      for (double& speed : job.steps_per_s)
        speed *= 1e-5;
      job.total_steps *= 1e-5;
    }
    const TrainingShares scaled = shares_of(given);
    const bool rate = given.objective == TrainingObjective::kThroughput ||
                      given.objective == TrainingObjective::kThroughputPerDollar;
    EXPECT_NEAR(scaled.objective / (rate ? 1e-5 : 1), answer.objective, 2e-6 * answer.objective);
  }
}

}  // namespace
}  // namespace medley::simulate
