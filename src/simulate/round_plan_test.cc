#include "simulate/round_plan.h"

#include <gtest/gtest.h>

#include <numeric>

namespace medley::simulate {
namespace {

TEST(RoundPlan, TakesAwayWhatAJobDoesNotNeed) {
  std::vector<int> rounds = {3, 4};
  trim_rounds({.steps = 25, .speed = {10, 2}}, rounds);
  EXPECT_EQ(rounds, (std::vector<int>{3, 0}));
  rounds = {2, 4};
  trim_rounds({.steps = 25, .speed = {10, 2}}, rounds);
  EXPECT_EQ(rounds, (std::vector<int>{2, 3}));
}

TEST(RoundPlan, EveryJobGetsItsSteps) {
  const std::vector<RoundJob> jobs = {{.gang = 2, .steps = 100, .speed = {10, 4}},
                                      {.gang = 1, .steps = 35, .speed = {7, 5}},
                                      {.gang = 1, .steps = 1, .speed = {0, 5}}};
  const auto solver = solve::make_integer_solver(solve::IntegerMethod::kCbc);
  const Result<RoundCounts> plan = plan_rounds(jobs, {2, 2}, *solver);
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  for (std::size_t j = 0; j < jobs.size(); ++j)
    EXPECT_GE((*plan)[j][0] * jobs[j].speed[0] + (*plan)[j][1] * jobs[j].speed[1], jobs[j].steps);
  EXPECT_EQ((*plan)[2][0], 0);
}

TEST(RoundPlan, ARoundHoldsWholeGangsAndWhoMustRunRuns) {
  // Two rounds left: the first job is in both, and the fast type must not idle.
  const std::vector<RoundJob> jobs = {{.gang = 2, .steps = 20, .speed = {10, 4}},
                                      {.gang = 2, .steps = 10, .speed = {0, 10}},
                                      {.gang = 4, .steps = 10, .speed = {10, 10}}};
  const auto solver = solve::make_integer_solver(solve::IntegerMethod::kBranchAndBound);
  const Result<std::vector<int>> chosen =
      next_round(jobs, {2, 2}, {{2, 0}, {0, 1}, {0, 0}}, 0, *solver);
  ASSERT_TRUE(chosen.ok()) << chosen.error().message;
  EXPECT_EQ((*chosen)[0], 0);
  EXPECT_EQ((*chosen)[1], 1);
  EXPECT_EQ((*chosen)[2], -1);  // larger than what is idle
}

TEST(RoundPlan, WhatIsIdleHelpsWhoHasNoRoundPlanned) {
  const std::vector<RoundJob> jobs = {{.gang = 1, .steps = 20, .speed = {10, 4}},
                                      {.gang = 1, .steps = 9, .speed = {3, 5}}};
  const auto solver = solve::make_integer_solver(solve::IntegerMethod::kBranchAndBound);
  const Result<std::vector<int>> chosen = next_round(jobs, {2, 1}, {{2, 0}, {0, 0}}, 0, *solver);
  ASSERT_TRUE(chosen.ok()) << chosen.error().message;
  EXPECT_EQ(*chosen, (std::vector<int>{0, 1}));
}

}  // namespace
}  // namespace medley::simulate
