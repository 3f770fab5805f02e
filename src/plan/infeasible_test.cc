#include "plan/infeasible.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "plan/testing_requirements.h"

namespace medley::plan {
namespace {

Conflict conflict(const std::string& text) {
  const auto asked = data::parse_requirements(text, "buy.yaml", test_catalog());
  EXPECT_TRUE(asked.ok()) << (asked.ok() ? "" : asked.error().message);
  auto found = conflict_in(*asked, test_catalog());
  EXPECT_TRUE(found.ok()) << (found.ok() ? "" : found.error().message);
  return *std::move(found);
}

constexpr char kTwo[] = R"(
site: {zone: here, pue: 1.2, power_limit_kw: 1.6}
demands:
  - {name: easy, model: llama-3.1-8b, rate_per_s: 1, prompt_tokens: 200, output_tokens: 100}
  - {name: desk, model: llama-3.1-8b, rate_per_s: 12, prompt_tokens: 800, output_tokens: 200, tpot_s: 20ms}
devices: [{device: h100_sxm, price: 30000, host_w: 200}]
redundancy: replica
)";

using Strings = std::vector<std::string>;

TEST(PlanConflict, PowerAgainstRedundancyIsNamedWithoutWhatHasNoPart) {
  const Conflict found = conflict(kTwo);
  EXPECT_NE(std::find(found.elements.begin(), found.elements.end(), "power in here (1.6 kW)"),
            found.elements.end());
  EXPECT_NE(
      std::find(found.elements.begin(), found.elements.end(), "redundancy (a replica may be lost)"),
      found.elements.end());
  for (const std::string& element : found.elements)
    EXPECT_EQ(element.find("easy"), std::string::npos) << element;
  ASSERT_FALSE(found.relaxations.empty());
  EXPECT_TRUE(found.relaxations.front().cost.has_value());
}

TEST(PlanConflict, ATargetFarBelowWhatIsReachedIsToldByWhatIsReached) {
  const Conflict found = conflict(
      "demands: [{name: desk, model: llama-3.1-8b, rate_per_s: 1, ttft_s: 2ms, prompt_tokens: 500, "
      "output_tokens: 100}]\ndevices: [{device: l40s, price: 8000, per_node: 4}]\n");
  double at_best = 0, told = 0;
  const std::size_t at = found.reason.find("TTFT ");
  ASSERT_NE(at, std::string::npos) << found.reason;
  ASSERT_EQ(std::sscanf(found.reason.c_str() + at, "TTFT %lf ms at best", &at_best), 1);
  for (const Relaxation& of : found.relaxations)
    std::sscanf(of.what.c_str(), "TTFT of %lf ms for desk", &told);
  EXPECT_GT(at_best, 40);  // more than 20 times what was asked
  EXPECT_GE(told, at_best * 0.99);
  EXPECT_LE(told, at_best * 1.5);
}

TEST(PlanConflict, ATargetAgainstPhysicsNamesTheNearestMissAndWhatWouldDo) {
  const Conflict found = conflict(
      "demands: [{name: desk, model: llama-3.1-70b, rate_per_s: 1, prompt_tokens: 300, "
      "output_tokens: 100, "
      "tpot_s: 2ms}]\ndevices: [{device: h100_sxm, price: 30000, per_node: 8}]\n");
  EXPECT_EQ(found.elements,
            (Strings{"demand desk (1 requests/s at its peak)", "TPOT of 2 ms for desk"}));
  EXPECT_NE(found.reason.find("at best, 2 ms asked"), std::string::npos) << found.reason;
  ASSERT_EQ(found.relaxations.size(), 2u);
  const auto tpot =
      std::find_if(found.relaxations.begin(), found.relaxations.end(),
                   [](const Relaxation& of) { return of.what.starts_with("TPOT of"); });
  ASSERT_NE(tpot, found.relaxations.end());
  EXPECT_TRUE(tpot->cost.has_value());
}

TEST(PlanConflict, OneOfTwoIsToldWithItsOwnReasonAndThatThereIsAnother) {
  const Conflict found = conflict(
      "demands:\n"
      "  - {name: first, model: llama-3.1-70b, rate_per_s: 1, prompt_tokens: 300, "
      "output_tokens: 100, tpot_s: 2ms}\n"
      "  - {name: second, model: llama-3.1-8b, rate_per_s: 1, prompt_tokens: 300, "
      "output_tokens: 100, ttft_s: 1ms}\n"
      "devices: [{device: h100_sxm, price: 30000, per_node: 8}]\n");
  ASSERT_EQ(found.elements.size(), 2u);
  EXPECT_TRUE(found.elements[0].starts_with("demand second"));
  EXPECT_TRUE(found.reason.starts_with("second: ")) << found.reason;
  EXPECT_NE(found.reason.find("there is another conflict"), std::string::npos) << found.reason;
}

TEST(PlanConflict, ALabelAgainstAZoneIsNamed) {
  const Conflict found = conflict(R"(
site: {zone: here}
zones: {cloud: {}}
labels: {secret: {zones: [here]}}
demands: [{name: desk, model: llama-3.1-8b, rate_per_s: 1, prompt_tokens: 300, output_tokens: 100}]
devices: [{device: h100_sxm, rent_per_hour: 3, zones: [cloud]}]
)");
  EXPECT_EQ(found.elements, (Strings{"demand desk (1 requests/s at its peak)",
                                     "label secret of desk (zones: here)"}));
  EXPECT_NE(found.reason.find("label 'secret' forbids zone 'cloud'"), std::string::npos);
  const auto label =
      std::find_if(found.relaxations.begin(), found.relaxations.end(),
                   [](const Relaxation& of) { return of.what.starts_with("label"); });
  ASSERT_NE(label, found.relaxations.end());
  EXPECT_GT(*label->cost, 0);
}

TEST(PlanConflict, AJobWhoseDeviceIsNotOfferedSaysSo) {
  const Conflict found = conflict(
      "jobs: [{name: tune, device_hours: {a100_80_sxm: 10}}]\n"
      "devices: [{device: h100_sxm, price: 30000}]\n");
  EXPECT_EQ(found.elements, Strings{"job tune"});
  EXPECT_EQ(found.reason, "tune: it can run on a100_80_sxm, and none of that is under devices");
}

TEST(PlanConflict, AJobThatCannotBeDoneInTimeSaysWhatWouldHelp) {
  const Conflict found = conflict(
      "jobs: [{name: tune, device_hours: {h100_sxm: 700}, gang: 8, deadline_days: 7, "
      "between: [22, 8]}]\n"
      "devices: [{device: h100_sxm, price: 30000, per_node: 8}]\n");
  EXPECT_EQ(found.elements, (Strings{"job tune", "deadline of 7 days for tune",
                                     "hours of tune (22 to 8)", "8 devices at once for tune"}));
  EXPECT_EQ(found.reason,
            "tune: on 8 h100_sxm at once it takes 87.5 h, and it has 70 h until its deadline");
  const auto helps = [&](const std::string& what) {
    return std::any_of(found.relaxations.begin(), found.relaxations.end(),
                       [&](const Relaxation& of) { return of.what == what && of.cost; });
  };
  for (const char* what : {"deadline of 9 days for tune", "tune at any hour",
                           "tune on any number of devices", "leave out job tune"})
    EXPECT_TRUE(helps(what)) << what;
}

TEST(PlanConflict, ADeadlineAndAStockThatCannotBeTogetherAreNamed) {
  const Conflict found = conflict(
      "jobs:\n"
      "  - {name: first, device_hours: {h100_sxm: 48}, deadline_days: 2}\n"
      "  - {name: second, device_hours: {h100_sxm: 48}, deadline_days: 3}\n"
      "devices: [{device: h100_sxm, price: 30000, stock: 1}]\n");
  EXPECT_EQ(found.elements,
            (Strings{"job first", "job second", "deadline of 2 days for first",
                     "deadline of 3 days for second", "stock of h100_sxm (1 devices)"}));
  for (const char* what : {"deadline of 5 days for second",
                           "stock of h100_sxm: 2 devices in place "
                           "of 1"}) {
    EXPECT_TRUE(std::any_of(found.relaxations.begin(), found.relaxations.end(),
                            [&](const Relaxation& of) { return of.what == what && of.cost; }))
        << what;
  }
}

// Seventeen replicas at least, on nodes of two.
Conflict many(const std::string& device, const std::string& more) {
  const auto asked = data::parse_requirements(
      "demands: [{name: desk, model: llama-3.1-8b, rate_per_s: 300, prompt_tokens: 500, "
      "output_tokens: 200, ttft_s: 3, tpot_s: 60ms}]\n"
      "devices: [{device: h100_sxm, price: 28000, widths: [1], per_node: 2" +
          device + "}]\n" + more,
      "buy.yaml", test_catalog());
  EXPECT_TRUE(asked.ok());
  return *conflict_in(*asked, test_catalog());
}
std::string what_helps(const Conflict& conflict, const std::string& element) {
  for (const Relaxation& of : conflict.relaxations) {
    if (of.what.starts_with(element) && of.cost)
      return of.what;
  }
  return "nothing";
}

TEST(PlanConflict, WhatWouldHelpIsWhatCanBeBought) {
  const std::string stock = what_helps(many(", stock: 7", ""), "stock");
  int devices = 0;
  ASSERT_EQ(std::sscanf(stock.c_str(), "stock of h100_sxm: %d devices in place of 7", &devices), 1)
      << stock;
  EXPECT_EQ(devices % 2, 0);
  EXPECT_EQ(what_helps(many("", "money: {budget: 200000}\n"), "budget"),
            fmt::format("budget: {} in place of 200000", devices * 28000));
}

TEST(PlanConflict, WhatIsNoMatterOfSizeIsToldApartFromWhatTheEstimateRefuses) {
  using Ground = Conflict::Ground;
  // Not even one replica.
  const Conflict hard = many("", "money: {budget: 50000}\n");
  EXPECT_EQ(hard.ground, Ground::kHard);
  EXPECT_EQ(hard.elements, (Strings{"demand desk (300 requests/s at its peak)", "budget (50000)"}));
  // What would help is of the size that was asked for.
  EXPECT_EQ(what_helps(hard, "budget"), "budget: 448000 in place of 50000");
  const Conflict small = many("", "money: {budget: 60000}\n");
  EXPECT_EQ(small.ground, Ground::kEstimated);
  EXPECT_FALSE(small.nearest.has_value());
  for (const Relaxation& of : small.relaxations)
    EXPECT_FALSE(of.simulated) << of.what;
}

TEST(PlanConflict, TimesAreSaidInTheirUnits) {
  const Conflict found = conflict(
      "demands: [{name: letters, class: batch, model: llama-3.1-70b, deadline_s: 5400, "
      "rate_per_s: 1, prompt_tokens: 300, output_tokens: 100}]\n"
      "devices: [{device: l4, price: 3000}]\n");
  for (const std::string& element : found.elements)
    EXPECT_EQ(element.find("e+"), std::string::npos) << element;
  for (const Relaxation& of : found.relaxations)
    EXPECT_EQ(of.what.find("e+"), std::string::npos) << of.what;
}

TEST(PlanConflict, OfRandomRequirementsNamesADemandThatLosesSomething) {
  int seen = 0;
  for (std::uint64_t seed = 3000; seen < 15 && seed < 3400; ++seed) {
    const RandomRequirements random(seed);
    const data::Requirements asked = random.read();
    const auto solver = solve::make_integer_solver();
    const auto plan = cheapest(asked, pool_types(asked, test_catalog())->types, *solver);
    ASSERT_TRUE(plan.ok());
    if (plan->outcome != Plan::Outcome::kInfeasible)
      continue;
    ++seen;
    const auto found = conflict_in(asked, test_catalog());
    ASSERT_TRUE(found.ok()) << random.text();
    EXPECT_FALSE(found->elements.empty()) << random.text();
    // A limit alone forbids nothing: where nothing is asked for there is always a fleet.
    EXPECT_TRUE(std::any_of(found->elements.begin(), found->elements.end(),
                            [](const std::string& name) {
                              return name.starts_with("demand ") || name.starts_with("job ");
                            }))
        << random.text();
  }
  EXPECT_EQ(seen, 15);
}

}  // namespace
}  // namespace medley::plan
