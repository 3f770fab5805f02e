#include "plan/replan.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "data/fleet_file.h"
#include "data/yaml.h"
#include "plan/testing_requirements.h"

namespace medley::plan {
namespace {

constexpr char kFleet[] = R"(
site: {zone: here, tariff: {currency: USD, per_kwh: 0.2}, pue: 1.3}
pools:
  - {name: chat, device: h100_sxm, model: llama-3.1-8b, replicas: 4, slots: 24}
  - {name: large, device: h100_sxm, model: llama-3.1-70b, tensor_parallel: 4, replicas: 1}
  - {name: chip, device: groq_lpu_v1, model: llama-3.1-8b, precision: int8}
)";

Fleet fleet_of(const std::string& text) {
  const auto node = data::parse_yaml(text, "fleet.yaml");
  MEDLEY_CHECK(node.ok(), node.ok() ? "" : node.error().message);
  auto fleet = data::read_fleet(*node, test_catalog());
  MEDLEY_CHECK(fleet.ok(), fleet.ok() ? "" : fleet.error().message);
  return std::move(fleet).value();
}

// An hour of `rate` requests a second, evenly spaced, a share of them kept.
data::UsageSpan hour(long long day, int at, double rate, double kept = 0.99,
                     const std::string& model = "llama-3.1-8b") {
  data::UsageSpan span;
  span.from_unix_s = day * 86400 + at * 3600;
  span.hour = at;
  span.seconds = 3600;
  data::UsageKind kind;
  kind.service_class = "standard";
  kind.label = "internal";
  kind.model = model;
  kind.arrived = kind.completed = static_cast<long long>(rate * 3600);
  kind.kept = static_cast<long long>(static_cast<double>(kind.arrived) * kept);
  for (int i = 0; i < 100; ++i) {
    kind.prompt_tokens.add(300 + i);
    kind.output_tokens.add(100 + i);
  }
  kind.gaps = static_cast<double>(kind.arrived);
  kind.gap_sum_s = 3600;
  kind.gap_sum_s2 = 2 * 3600.0 * 3600 / std::max(1.0, kind.gaps);  // as of Poisson arrivals
  span.kinds.push_back(kind);
  return span;
}

UsageInput input(std::vector<data::UsageSpan> spans, const std::string& fleet = kFleet) {
  return {"usage.jsonl", "fleet.yaml", std::move(spans), fleet_of(fleet), {}};
}

std::vector<data::UsageSpan> a_day(double by_day, double by_night) {
  std::vector<data::UsageSpan> spans;
  for (int at = 0; at < 24; ++at)
    spans.push_back(hour(20'000, at, at >= 8 && at < 18 ? by_day : by_night));
  return spans;
}

bool says(const Usage& usage, std::string_view part) {
  return std::any_of(usage.notes.begin(), usage.notes.end(),
                     [&](const std::string& note) { return note.find(part) != std::string::npos; });
}

TEST(PlanFromUsage, DemandsAreWhatWasRecorded) {
  std::vector<data::UsageSpan> spans = a_day(2, 0.5);
  spans[9].pools.push_back({.name = "chat",
                            .device = "h100_sxm",
                            .model = "llama-3.1-8b",
                            .replicas = 4,
                            .up = 4,
                            .completed = 7,
                            .joules = 3.6e6,
                            .money = 0.2,
                            .ttft_ratio = 1.5,
                            .tpot_ratio = 1.25});
  const auto usage = requirements_of(input(spans), test_catalog());
  ASSERT_TRUE(usage.ok()) << usage.error().message;
  const data::Requirements& asked = usage->requirements;
  ASSERT_EQ(asked.demands.size(), 1u);
  EXPECT_DOUBLE_EQ(asked.demands[0].rate_per_s[12], 2);
  EXPECT_DOUBLE_EQ(asked.demands[0].rate_per_s[3], 0.5);
  EXPECT_NEAR(asked.demands[0].gap_cv, 1, 1e-6);
  EXPECT_NEAR(data::mean_of(asked.demands[0].prompt_tokens), 350, 12);
  EXPECT_DOUBLE_EQ(usage->hours, 24);
  EXPECT_DOUBLE_EQ(*usage->kwh, 1.3) << "at the meter";
  ASSERT_EQ(asked.standing.size(), 3u);
  EXPECT_DOUBLE_EQ(asked.standing[0].slower, 1.25);
  EXPECT_TRUE(says(*usage, "pool large: nothing was learned of its speed"));
  EXPECT_TRUE(says(*usage, "groq_lpu_v1: its price is unknown, so none is added"));
  ASSERT_EQ(asked.devices.size(), 2u);
  EXPECT_EQ(asked.devices[0].owned, 8) << "4 + 4, in nodes of 4";
  EXPECT_EQ(asked.devices[1].owned, devices_of(asked.standing[2].pool)) << "a replica's chips";
  EXPECT_GT(asked.devices[1].owned, 8);
}

TEST(PlanFromUsage, AnHourCountsAsOnItsBusiestDayAndAnUnknownOneAsTheBusiest) {
  const auto usage = requirements_of(
      input({hour(20'000, 9, 1), hour(20'001, 9, 3), hour(20'001, 10, 2)}), test_catalog());
  ASSERT_TRUE(usage.ok());
  const data::Demand& demand = usage->requirements.demands[0];
  EXPECT_DOUBLE_EQ(demand.rate_per_s[9], 3);
  EXPECT_DOUBLE_EQ(demand.rate_per_s[10], 2);
  EXPECT_DOUBLE_EQ(demand.rate_per_s[4], 3);
  EXPECT_TRUE(says(*usage, "22 of 24 hours of the day were not recorded"));
  EXPECT_TRUE(says(*usage, "saw 3 a second on one day and 2 on the mean"));
}

TEST(PlanFromUsage, WhatCannotBePlannedForIsSaidAndNothingElseIsAnError) {
  std::vector<data::UsageSpan> spans = {hour(20'000, 9, 1), hour(20'000, 10, 1, 0.9, "gone")};
  const auto usage = requirements_of(input(spans), test_catalog());
  ASSERT_TRUE(usage.ok());
  EXPECT_TRUE(says(*usage, "gone standard: 3600 requests are left out: the fleet file does not"));
  const auto none = requirements_of(input({spans[1]}), test_catalog());
  ASSERT_FALSE(none.ok());
  EXPECT_NE(none.error().message.find("usage.jsonl: nothing in it can be planned for"),
            std::string::npos);
  spans[0].kinds[0].label = "secret";
  const auto label = requirements_of(input(spans), test_catalog());
  ASSERT_FALSE(label.ok());
  EXPECT_NE(label.error().message.find("label 'secret' of llama-3.1-8b standard secret is not in"),
            std::string::npos);
}

TEST(PlanFromUsage, ARequirementsFileSaysWhatElseMayBeHad) {
  UsageInput with = input({hour(20'000, 9, 1)});
  auto asked = data::parse_requirements(
      "site: {zone: here, tariff: {currency: EUR, per_kwh: 0.3}}\n"
      "demands: [{name: a, model: llama-3.1-8b, attain: 0.9, rate_per_s: 9, prompt_tokens: 9, "
      "output_tokens: 9}]\n"
      "devices: [{device: h100_sxm, price: 30000, per_node: 8}, {device: l40s, price: 9000}]\n",
      "buy.yaml", test_catalog());
  ASSERT_TRUE(asked.ok()) << asked.error().message;
  with.asked = *std::move(asked);
  const auto usage = requirements_of(with, test_catalog());
  ASSERT_TRUE(usage.ok()) << usage.error().message;
  const data::Requirements& of = usage->requirements;
  EXPECT_DOUBLE_EQ(of.demands[0].rate_per_s[9], 1) << "recorded, not as the file says";
  EXPECT_DOUBLE_EQ(of.demands[0].attain, 0.9) << "as the file says of the same class and model";
  ASSERT_EQ(of.devices.size(), 3u);
  EXPECT_EQ(of.devices[0].owned, 8) << "4 and 4 devices stand in nodes of 8";
  EXPECT_EQ(of.devices[2].accelerator.id, "groq_lpu_v1");
}

TEST(PlanFromUsage, ObservedSpeedTimesAllOfItsModelOnItsDevice) {
  std::vector<data::UsageSpan> spans = {hour(20'000, 9, 1)};
  const auto times = [&](double ratio) {
    data::UsagePool pool;
    pool.name = "chat";
    pool.device = "h100_sxm";
    pool.model = "llama-3.1-8b";
    pool.tpot_ratio = ratio;
    spans[0].pools = {pool};
    const auto usage = requirements_of(input(spans), test_catalog());
    EXPECT_TRUE(usage.ok());
    const auto pools = pool_types(usage->requirements, test_catalog());
    EXPECT_TRUE(pools.ok()) << pools.error().message;
    std::map<std::string, double> fast;
    for (const PoolType& type : pools->types) {
      if (type.pool.model.id == "llama-3.1-8b")
        fast[type.pool.name] = fastest(type.model, usage->requirements.demands[0])->tokens_per_s;
    }
    return fast;
  };
  const auto plain = times(1), slow = times(2);
  EXPECT_GT(plain.size(), 1u);
  for (const auto& [name, tokens_per_s] : plain) {
    if (slow.contains(name)) {
      const bool other = name == "chip" || name.starts_with("groq_lpu_v1");
      EXPECT_NEAR(slow.at(name) * (other ? 1 : 2), tokens_per_s, tokens_per_s * 1e-9) << name;
    }
  }
}

TEST(PlanFromUsage, AFleetThatIsTooLargeIsSwitchedOffInPartAndStaysOnePool) {
  ProofOptions options;
  options.requests = 1500;
  options.seeds = {1};
  auto usage = requirements_of(input(a_day(30, 0.4), R"(
site: {zone: here, tariff: {currency: USD, per_kwh: 0.2}, pue: 1.3}
pools:
  - {name: chat, device: l40s, model: llama-3.1-8b, replicas: 24}
)"),
                               test_catalog());
  ASSERT_TRUE(usage.ok()) << usage.error().message;
  const auto made = replan(*std::move(usage), test_catalog(), options);
  ASSERT_TRUE(made.ok()) << made.error().message;
  ASSERT_EQ(made->planned.plan.outcome, Plan::Outcome::kFound);
  EXPECT_TRUE(made->planned.agreed);
  ASSERT_EQ(made->changes.size(), 1u);
  EXPECT_EQ(made->changes[0].now, 24);
  EXPECT_LT(made->changes[0].then, 24);
  EXPECT_EQ(made->changes[0].what, fmt::format("switch off {}", 24 - made->changes[0].then));
  EXPECT_LT(made->planned.plan.total(), made->standing.total());
  EXPECT_EQ(made->planned.plan.capital, 0) << "what stands is paid";
  ASSERT_TRUE(made->standing_proof);
  // By night a seventieth of the traffic needs no more than part of it.
  ASSERT_TRUE(made->quiet);
  EXPECT_EQ(made->quiet->from_hour, 18);
  EXPECT_EQ(made->quiet->hours, 14);
  EXPECT_GE(made->quiet->off[made->changes[0].type], 1);
  EXPECT_GE(made->quiet->kept[0].share(), made->usage.requirements.demands[0].attain);
}

TEST(PlanFromUsage, AFleetThatIsTooSmallIsAddedToAndWhatIsFreeIsMoved) {
  ProofOptions options;
  options.requests = 1500;
  options.seeds = {1};
  UsageInput with = input(a_day(40, 40), R"(
site: {zone: here, tariff: {currency: USD, per_kwh: 0.2}, pue: 1.3}
pools:
  - {name: chat, device: l40s, model: llama-3.1-8b, replicas: 2}
  - {name: old, device: l40s, model: llama-3.2-3b, replicas: 1}
)");
  auto asked = data::parse_requirements(
      "site: {zone: here, tariff: {currency: USD, per_kwh: 0.2}}\n"
      "devices: [{device: l40s, price: 8000}]\n",
      "buy.yaml", test_catalog(), data::Completeness::kWithoutDemands);
  ASSERT_TRUE(asked.ok()) << asked.error().message;
  with.asked = *std::move(asked);
  auto usage = requirements_of(with, test_catalog());
  ASSERT_TRUE(usage.ok()) << usage.error().message;
  const auto made = replan(*std::move(usage), test_catalog(), options);
  ASSERT_TRUE(made.ok()) << made.error().message;
  ASSERT_EQ(made->planned.plan.outcome, Plan::Outcome::kFound);
  ASSERT_EQ(made->changes.size(), 2u);
  EXPECT_EQ(made->changes[0].what.find("add "), 0u) << made->changes[0].what;
  EXPECT_EQ(made->changes[1].what, "move 1 device to chat");
  EXPECT_NEAR(made->planned.plan.capital, 8000 * (made->changes[0].then - 3), 1e-6);
  EXPECT_GT(made->changes[0].then, 3);
}

TEST(PlanFromUsage, WhatIsGoodIsLeftAlone) {
  ProofOptions options;
  options.requests = 1500;
  options.seeds = {1};
  auto usage = requirements_of(input(a_day(1, 1), R"(
site: {zone: here, tariff: {currency: USD, per_kwh: 0.2}, pue: 1.3}
pools:
  - {name: chat, device: h100_sxm, model: llama-3.1-8b}
)"),
                               test_catalog());
  ASSERT_TRUE(usage.ok()) << usage.error().message;
  const auto made = replan(*std::move(usage), test_catalog(), options);
  ASSERT_TRUE(made.ok()) << made.error().message;
  EXPECT_FALSE(made->worth_it);
  ASSERT_EQ(made->changes.size(), 1u);
  EXPECT_EQ(made->changes[0].what, "keep");
}

}  // namespace
}  // namespace medley::plan
