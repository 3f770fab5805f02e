#include "plan/program.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "data/fleet_file.h"
#include "data/yaml.h"
#include "plan/testing_requirements.h"

namespace medley::plan {
namespace {

data::Requirements requirements(const std::string& text) {
  auto read = data::parse_requirements(text, "buy.yaml", test_catalog());
  EXPECT_TRUE(read.ok()) << (read.ok() ? "" : read.error().message);
  return std::move(read).value();
}

struct Answer {
  PoolTypes pools;
  Plan plan;
  int replicas(const std::string& name) const {
    for (std::size_t p = 0; p < pools.types.size(); ++p) {
      if (pools.types[p].pool.name == name)
        return plan.replicas[p];
    }
    return -1;
  }
};

Answer answer(const data::Requirements& requirements) {
  auto pools = pool_types(requirements, test_catalog());
  EXPECT_TRUE(pools.ok()) << (pools.ok() ? "" : pools.error().message);
  const auto solver = solve::make_integer_solver();
  auto plan = cheapest(requirements, pools->types, *solver);
  EXPECT_TRUE(plan.ok()) << (plan.ok() ? "" : plan.error().message);
  return {*std::move(pools), *std::move(plan)};
}

int most_lent(const Plan& plan, std::size_t type) {
  return *std::max_element(plan.lent[type].begin(), plan.lent[type].end());
}

constexpr char kDesk[] = R"(
site: {zone: here, tariff: {currency: EUR, per_kwh: 0.2}, pue: 1.3, carbon_g_per_kwh: 400}
demands:
  - {name: desk, model: llama-3.1-8b, rate_per_s: 8, prompt_tokens: 500, output_tokens: 200, tpot_s: 50ms}
devices:
  - {device: h100_sxm, price: 30000, per_node: 2}
)";

TEST(PlanProgram, BuysWholeNodesAndCountsWhatTheyCost) {
  const Answer found = answer(requirements(kDesk));
  ASSERT_EQ(found.plan.outcome, Plan::Outcome::kFound);
  EXPECT_EQ(found.replicas("h100_sxm-llama-3.1-8b"), 1);
  const int nodes = found.plan.nodes.at({0, "here"});
  EXPECT_EQ(nodes, 1);
  EXPECT_DOUBLE_EQ(found.plan.capital, 60000);
  EXPECT_NEAR(found.plan.costs.capital, 60000 * capital_recovery(0.08, 4), 1e-6);
  EXPECT_NEAR(found.plan.costs.maintenance, 3000, 1e-6);
  EXPECT_NEAR(found.plan.costs.energy, found.plan.kwh * 0.2, 1e-6);
  EXPECT_NEAR(found.plan.carbon_kg, found.plan.kwh * 0.4, 1e-6);
  EXPECT_LE(found.plan.gap, 1e-4);
}

TEST(PlanProgram, WhatIsThereAlreadyCostsNoCapital) {
  std::string text = kDesk;
  text.replace(text.find("per_node: 2"), 11, "per_node: 2, owned: 2");
  const Answer found = answer(requirements(text));
  EXPECT_EQ(found.plan.capital, 0);
  EXPECT_EQ(found.plan.costs.capital, 0);
  EXPECT_GT(found.plan.costs.maintenance, 0);
}

TEST(PlanProgram, WhatIsThereIsToldFromWhatIsBought) {
  std::string text = kDesk;
  text.replace(text.find("rate_per_s: 8"), 13, "rate_per_s: 60");
  text.replace(text.find("per_node: 2"), 11, "per_node: 2, owned: 2");
  const Answer found = answer(requirements(text));
  const int nodes = found.plan.nodes.at({0, "here"});
  EXPECT_GT(nodes, 1);
  EXPECT_EQ(found.plan.owned_of({0, "here"}), 1);
  EXPECT_DOUBLE_EQ(found.plan.capital, (nodes - 1) * 60000.0);
  EXPECT_EQ(answer(requirements(kDesk)).plan.owned_of({0, "here"}), 0);
}

TEST(PlanProgram, WhatIsBoughtIsPaidBackWithinTheHorizon) {
  const auto capital = [](const std::string& money) {
    return answer(requirements(std::string(kDesk) + "money: {useful_life_years: 5" + money + "}\n"))
        .plan.costs.capital;
  };
  EXPECT_NEAR(capital(", horizon_years: 2"), 60000 * capital_recovery(0.08, 2), 1e-6);
  EXPECT_NEAR(capital(", horizon_years: 9"), capital(""), 1e-6);
}

TEST(PlanProgram, WhatComesLateIsPaidBackInWhatIsLeftOfTheHorizon) {
  std::string text = kDesk;
  text.replace(text.find("per_node: 2"), 11, "per_node: 2, lead_weeks: 26");
  const Answer found = answer(requirements(text + "money: {horizon_years: 2}\n"));
  EXPECT_NEAR(found.plan.costs.capital, 60000 * capital_recovery(0.08, 2 - 26 * 7 / 365.0), 1e-6);
}

TEST(PlanProgram, ALostReplicaIsBoughtTwice) {
  const Answer found = answer(requirements(std::string(kDesk) + "redundancy: replica\n"));
  EXPECT_EQ(found.replicas("h100_sxm-llama-3.1-8b"), 2);
  EXPECT_EQ(found.plan.nodes.at({0, "here"}), 1);
  // A node holds both of them: it takes two.
  const Answer node = answer(requirements(std::string(kDesk) + "redundancy: node\n"));
  EXPECT_EQ(node.plan.nodes.at({0, "here"}), 2);
}

TEST(PlanProgram, AServiceThatOnlyAFailureNeedsIsInTheFleet) {
  const auto with = [](const std::string& redundancy) {
    return answer(requirements(R"(
site: {zone: hq, tariff: {currency: USD, per_kwh: 0.15}}
zones: {dc: {}}
labels: {internal: {zones: [hq, dc]}}
demands: [{name: chat, model: llama-3.1-8b, rate_per_s: 2, ttft_s: 2, tpot_s: 80ms, prompt_tokens: 500, output_tokens: 200}]
devices: [{device: l4, price: 1, widths: [1], zones: [hq]}]
services:
  - {name: api, model: llama-3.1-8b, zone: dc, metered: {per_million_prompt: 5, per_million_output: 8}}
redundancy: )" + redundancy));
  };
  const Answer lost = with("zone"), whole = with("none");
  ASSERT_EQ(lost.plan.outcome, Plan::Outcome::kFound);
  EXPECT_GT(lost.replicas("l4-llama-3.1-8b"), 0);
  EXPECT_EQ(lost.replicas("api"), 1);
  EXPECT_EQ(whole.replicas("api"), 0);
  for (std::size_t p = 0; p < lost.pools.types.size(); ++p)
    EXPECT_EQ(lost.plan.has_work(p), lost.pools.types[p].device.has_value());
}

// A model of four devices beside single ones, on nodes of six.
TEST(PlanProgram, AWidthThatNobodyUsesChangesNothing) {
  const auto with = [](const std::string& more) {
    return answer(requirements(R"(
demands:
  - {name: big, model: llama-3.1-70b, rate_per_s: 0.5, ttft_s: 5, tpot_s: 100ms, prompt_tokens: 500, output_tokens: 200}
  - {name: small, class: flex, model: llama-3.1-8b, rate_per_s: 3, ttft_s: 5, tpot_s: 100ms, prompt_tokens: 500, output_tokens: 200}
devices: [{device: l40s, price: 8000, per_node: 6, )" +
                               more + R"(}]
jobs: [{name: tune, device_hours: {l40s: 5}, between: [0, 5]}]
)"));
  };
  const Answer few = with("widths: [1, 4]");
  ASSERT_EQ(few.plan.outcome, Plan::Outcome::kFound);
  for (const char* widths :
       {"widths: [1, 3, 4, 5]", "widths: [1, 4, 5], stock: 6", "widths: [1, 2, 3, 4, 6]"}) {
    const Answer many = with(widths);
    ASSERT_EQ(many.plan.outcome, Plan::Outcome::kFound) << widths;
    EXPECT_LE(many.plan.total(), few.plan.total() * 1.0002) << widths;
    EXPECT_FALSE(many.plan.within_rule);
  }
}

TEST(PlanProgram, ANodeLessIsNeverDearerThanAZoneLess) {
  const auto with = [](const std::string& lost, const std::string& stock) {
    return answer(requirements(R"(
site: {zone: a}
zones: {b: {}}
labels: {internal: {zones: [a, b]}}
demands:
  - {name: chat, model: llama-3.1-8b, rate_per_s: 6, ttft_s: 2, tpot_s: 80ms, prompt_tokens: 500, output_tokens: 200}
  - {name: vip, class: guaranteed, model: llama-3.1-70b, rate_per_s: 1, ttft_s: 1, tpot_s: 50ms, prompt_tokens: 500, output_tokens: 200}
devices: [{device: h100_sxm, price: 30000, per_node: 8, host_w: 250)" +
                               stock + R"(}]
redundancy: )" + lost));
  };
  // One node in each zone, which holds several pools.
  const Answer node = with("node", ", stock: 16, zones: [a, b]");
  ASSERT_EQ(node.plan.outcome, Plan::Outcome::kFound);
  EXPECT_FALSE(node.plan.within_rule);
  EXPECT_LE(with("node", ", zones: [a, b]").plan.total(),
            with("zone", ", zones: [a, b]").plan.total() * 1.0002);
  // In one zone two mixed nodes do, which the plan says one by one.
  const Answer one_zone = with("node", ", stock: 16, zones: [a]");
  ASSERT_EQ(one_zone.plan.outcome, Plan::Outcome::kFound);
  EXPECT_FALSE(one_zone.plan.within_rule);
  ASSERT_EQ(one_zone.plan.mixed.size(), 2u);
  for (std::size_t p = 0; p < one_zone.pools.types.size(); ++p) {
    int standing = 0;
    for (const Plan::Node& of : one_zone.plan.mixed)
      standing += of.replicas.contains(p) ? of.replicas.at(p) : 0;
    EXPECT_EQ(standing, one_zone.plan.replicas[p]) << one_zone.pools.types[p].pool.name;
  }
  // And one node is not enough for any rule.
  const Answer none = with("node", ", stock: 8, zones: [a]");
  EXPECT_EQ(none.plan.outcome, Plan::Outcome::kInfeasible);
  EXPECT_FALSE(none.plan.within_rule);
}

TEST(PlanProgram, BatchMovesIntoTheHoursThatHaveRoom) {
  std::string day = "[", night = "[";
  for (int hour = 0; hour < 24; ++hour) {
    day += hour >= 8 && hour < 20 ? "20, " : "0, ";
    night += hour >= 8 && hour < 20 ? "4, " : "0, ";
  }
  const std::string text = R"(
demands:
  - {name: desk, model: llama-3.1-8b, prompt_tokens: 500, output_tokens: 200, rate_per_s: )" +
                           day + R"(]}
  - {name: letters, class: batch, model: llama-3.1-8b, prompt_tokens: 500, output_tokens: 200, rate_per_s: )" +
                           night + R"(]}
devices: [{device: h100_sxm, price: 30000}]
)";
  const auto asked = requirements(text);
  const Answer found = answer(asked);
  const auto periods = periods_of(asked);
  double at_day = 0, at_night = 0;
  for (std::size_t t = 0; t < periods.size(); ++t) {
    (periods[t].rate_per_s[0] > 0 ? at_day : at_night) +=
        found.plan.rate[1][0][t] * static_cast<double>(periods[t].hours.size());
  }
  EXPECT_NEAR(at_day + at_night, 48, 1e-6);
  std::string alone = text;
  alone.replace(alone.find("class: batch"), 12, "class: flex ");
  // As work that cannot wait it costs at least as much.
  EXPECT_LE(found.plan.total(), answer(requirements(alone)).plan.total() * 1.0001);
}

TEST(PlanProgram, HoweverLittleIsAskedThereIsAReplica) {
  for (const std::string rate : {"1e-4", "1e-8", "1e-12"}) {
    std::string text = kDesk;
    text.replace(text.find("rate_per_s: 8"), 13, "rate_per_s: " + rate);
    EXPECT_EQ(answer(requirements(text)).replicas("h100_sxm-llama-3.1-8b"), 1) << rate;
    text += "redundancy: replica\n";
    EXPECT_EQ(answer(requirements(text)).replicas("h100_sxm-llama-3.1-8b"), 2) << rate;
  }
}

// The desk on replicas of so many devices, on nodes of so many.
Answer on_nodes(int width, int per_node, const std::string& more = "") {
  std::string text = kDesk + more;
  text.replace(text.find("rate_per_s: 8"), 13, "rate_per_s: 150");
  text.replace(text.find("per_node: 2"), 11,
               fmt::format("per_node: {}, widths: [{}]", per_node, width));
  return answer(requirements(text));
}

TEST(PlanProgram, ReplicasStandOnWholeNodes) {
  const std::string name = "h100_sxm-llama-3.1-8b-x4";
  // Two devices of each node are of no use.
  const Answer six = on_nodes(4, 6);
  ASSERT_GE(six.replicas(name), 2);
  EXPECT_EQ(six.plan.nodes.at({0, "here"}), six.replicas(name));
  const Answer eight = on_nodes(4, 8);
  EXPECT_EQ(eight.plan.nodes.at({0, "here"}), (eight.replicas(name) + 1) / 2);
  // One that is wider than a node has its nodes for itself.
  const Answer three = on_nodes(4, 3);
  EXPECT_EQ(three.plan.nodes.at({0, "here"}), 2 * three.replicas(name));
}

TEST(PlanProgram, ALostNodeTakesTheReplicasThatStandOnIt) {
  const std::string name = "h100_sxm-llama-3.1-8b-x4", node = "redundancy: node\n";
  EXPECT_EQ(on_nodes(4, 6, node).replicas(name), on_nodes(4, 6).replicas(name) + 1);
  EXPECT_EQ(on_nodes(4, 8, node).replicas(name), on_nodes(4, 8).replicas(name) + 2);
  EXPECT_EQ(on_nodes(4, 3, node).replicas(name), on_nodes(4, 3).replicas(name) + 1);
}

TEST(PlanProgram, AZoneThatIsLostTakesItsServicesToo) {
  const std::string text = R"(
site: {zone: here}
zones: {cloud: {}}
labels: {public: {zones: any}}
redundancy: zone
demands:
  - {name: desk, label: public, model: llama-3.1-8b, rate_per_s: 1, prompt_tokens: 500, output_tokens: 200}
services:
  - {name: api, model: llama-3.1-8b, zone: cloud, metered: {per_million_prompt: 0.05, per_million_output: 0.08, ttft_s: {median: 300ms, sigma: 0.4}, tpot_s: 10ms}}
)";
  EXPECT_EQ(answer(requirements(text)).plan.outcome, Plan::Outcome::kInfeasible);
  const Answer both = answer(requirements(text + "devices: [{device: h100_sxm, price: 30000}]\n"));
  ASSERT_EQ(both.plan.outcome, Plan::Outcome::kFound);
  EXPECT_EQ(both.replicas("h100_sxm-llama-3.1-8b"), 1);
}

// A desk by day, and letters that come at noon only.
std::string noon_letters(const std::string& deadline) {
  std::string day = "[", noon = "[";
  for (int hour = 0; hour < 24; ++hour) {
    day += hour >= 8 && hour < 20 ? "20, " : "0, ";
    noon += hour == 12 ? "40, " : "0, ";
  }
  return R"(
demands:
  - {name: desk, model: llama-3.1-8b, prompt_tokens: 500, output_tokens: 200, rate_per_s: )" +
         day + R"(]}
  - {name: letters, class: batch, model: llama-3.1-8b, prompt_tokens: 500, output_tokens: 200, deadline_s: )" +
         deadline + ", rate_per_s: " + noon + R"(]}
devices: [{device: h100_sxm, price: 30000}]
)";
}

TEST(PlanProgram, BatchIsDoneByItsDeadline) {
  const auto last_hour = [](const std::string& deadline, int from) {
    const auto asked = requirements(noon_letters(deadline));
    const Answer found = answer(asked);
    const auto periods = periods_of(asked);
    double volume = 0;
    int last = 0;
    for (std::size_t t = 0; t < periods.size(); ++t) {
      if (found.plan.rate[1][0][t] <= 1e-9)
        continue;
      for (const int hour : periods[t].hours) {
        last = std::max(last, (hour - from + 24) % 24);
        volume += found.plan.rate[1][0][t];
      }
    }
    EXPECT_NEAR(volume, 40, 1e-6) << deadline;
    return std::pair(last, found.plan.total());
  };
  const auto [at_once, dearest] = last_hour("1800", 12);
  const auto [two, dear] = last_hour("10000", 12);
  const auto [ten, less] = last_hour("36000", 12);
  const auto [day, least] = last_hour("86400", 12);
  EXPECT_EQ(at_once, 0);
  EXPECT_LE(two, 1);  // 2.8 hours after 12:00 the hour from 14 is not over
  EXPECT_LE(ten, 9);
  EXPECT_GT(ten, 7);  // into the evening
  EXPECT_GT(dearest, dear);
  EXPECT_GT(dear, less);
  EXPECT_GE(less, least * 0.9999);
}

TEST(PlanProgram, BatchMayBeKeptInAFailureToo) {
  const auto replicas = [](const std::string& text) {
    return answer(requirements(text)).replicas("h100_sxm-llama-3.1-8b");
  };
  const std::string both = "redundancy: {lose: replica, classes: [standard, batch]}\n";
  // Also what moves, in the hours that it was planned for.
  for (const std::string deadline : {"1800", "10000", "86400"}) {
    const std::string text = noon_letters(deadline);
    EXPECT_EQ(replicas(text + both), replicas(text) + 1) << deadline;
  }
  // Letters alone leave the desk's replicas to them.
  const std::string text = noon_letters("1800");
  const std::string letters = "redundancy: {lose: replica, classes: [batch]}\n";
  EXPECT_EQ(replicas(text + letters), replicas(text));
}

TEST(PlanProgram, StaffDoesNotKeepOwnedDevicesFromTheCheapestHour) {
  std::string tariff = "[0.01";
  for (int hour = 1; hour < 24; ++hour)
    tariff += ", 10";
  const auto with = [&](const std::string& money) {
    return answer(requirements("site: {tariff: {currency: EUR, per_kwh: " + tariff + R"(]}}
jobs: [{name: tune, device_hours: {h100_sxm: 24}}]
devices: [{device: h100_sxm, price: 1000, per_node: 1, owned: 24}]
money: {maintenance: 0.05)" + money +
                               "}\n"));
  };
  const Answer free = with(""), staffed = with(", staff_per_year: 500");
  ASSERT_EQ(free.plan.outcome, Plan::Outcome::kFound);
  EXPECT_EQ(free.plan.nodes.at({0, "local"}), 24);
  EXPECT_EQ(staffed.plan.nodes, free.plan.nodes);
  EXPECT_NEAR(staffed.plan.total(), free.plan.total() + 500, 1);
}

TEST(PlanProgram, TrainingBorrowsReplicasAtNight) {
  std::string day = "[";
  for (int hour = 0; hour < 24; ++hour)
    day += hour >= 8 && hour < 20 ? "60, " : "0, ";
  const std::string serving = R"(
demands:
  - {name: desk, model: llama-3.1-8b, prompt_tokens: 500, output_tokens: 200, rate_per_s: )" +
                              day + "]}\ndevices: [{device: h100_sxm, price: 30000}]\n";
  const Answer without = answer(requirements(serving));
  const int replicas = without.replicas("h100_sxm-llama-3.1-8b");
  ASSERT_GE(replicas, 2);
  const auto asked = requirements(
      serving +
      fmt::format("jobs: [{{name: tune, device_hours: {{h100_sxm: {}}}, between: [21, 7]}}]\n",
                  replicas * 9));
  const Answer with = answer(asked);
  EXPECT_EQ(with.replicas("h100_sxm-llama-3.1-8b"), replicas);
  EXPECT_EQ(most_lent(with.plan, 0), replicas);
  EXPECT_DOUBLE_EQ(with.plan.capital, without.plan.capital);
  ASSERT_EQ(with.plan.training.size(), 1u);
  EXPECT_NEAR(with.plan.training[0].device_hours, replicas * 9, 1e-6);
  EXPECT_GT(with.plan.kwh, without.plan.kwh);
  // By day there is nothing to borrow.
  const Answer by_day = answer(requirements(
      serving +
      fmt::format("jobs: [{{name: tune, device_hours: {{h100_sxm: {}}}, between: [8, 18]}}]\n",
                  replicas * 9)));
  EXPECT_GT(by_day.plan.capital, without.plan.capital);
}

TEST(PlanProgram, ALabelKeepsWorkOutOfAZone) {
  const std::string text = R"(
site: {zone: here}
zones: {cloud: {}}
labels: {public: {zones: any}, internal: {zones: [here]}}
demands:
  - {name: desk, label: LABEL, model: llama-3.1-8b, rate_per_s: 1, prompt_tokens: 500, output_tokens: 200}
devices: [{device: h100_sxm, price: 30000}]
services:
  - {name: api, model: llama-3.1-8b, zone: cloud, metered: {per_million_prompt: 0.05, per_million_output: 0.08, ttft_s: {median: 300ms, sigma: 0.4}, tpot_s: 10ms}}
)";
  const auto with_label = [&](const char* label) {
    std::string changed = text;
    changed.replace(changed.find("LABEL"), 5, label);
    return answer(requirements(changed));
  };
  const Answer free = with_label("public"), bound = with_label("internal");
  EXPECT_EQ(free.replicas("api"), 1);
  EXPECT_EQ(free.plan.capital, 0);
  EXPECT_NEAR(free.plan.costs.metered, (500 * 0.05 + 200 * 0.08) / 1e6 * 365 * 86400, 1e-3);
  EXPECT_EQ(bound.replicas("api"), 0);
  EXPECT_EQ(bound.plan.costs.metered, 0);
  EXPECT_GT(bound.plan.capital, 0);
}

TEST(PlanProgram, AZoneHasItsOwnEnergy) {
  const auto made = [](const std::string& edge, const std::string& zones) {
    return answer(requirements(R"(
site: {zone: here, tariff: {currency: EUR, per_kwh: 0.2}, pue: 1.3, carbon_g_per_kwh: 400}
zones: {edge: {)" + edge + R"(}}
labels: {any: {zones: any}}
default_label: any
demands:
  - {name: desk, model: llama-3.1-8b, rate_per_s: 8, prompt_tokens: 500, output_tokens: 200, tpot_s: 50ms}
jobs: [{name: tune, device_hours: {h100_sxm: 8}, between: [22, 6]}]
devices:
  - {device: h100_sxm, price: 30000, per_node: 2, host_w: 100, zones: )" +
                               zones + "}\n"));
  };
  const Answer here = made("pue: 2", "[here]"), silent = made("", "[edge]");
  EXPECT_NEAR(silent.plan.total(), here.plan.total(), 1e-6);
  EXPECT_NEAR(silent.plan.carbon_kg, here.plan.carbon_kg, 1e-6);
  const Answer edge = made("pue: 1.1, tariff: 0.4, carbon_g_per_kwh: 50", "[edge]");
  EXPECT_NEAR(edge.plan.kwh, here.plan.kwh * 1.1 / 1.3, 1e-6 * here.plan.kwh);
  EXPECT_NEAR(edge.plan.costs.energy, edge.plan.kwh * 0.4, 1e-6 * edge.plan.kwh);
  EXPECT_NEAR(edge.plan.carbon_kg, edge.plan.kwh * 0.05, 1e-6 * edge.plan.kwh);
  EXPECT_NEAR(edge.plan.watts.at("edge"), here.plan.watts.at("here") * 1.1 / 1.3, 1e-6);
  EXPECT_NEAR(edge.plan.training[0].kwh, 8 * 0.7 * 1.1, 1e-6);
  // By hours of its own: training goes to the cheap ones.
  std::string tariff = "pue: 1.1, tariff: {per_kwh: [";
  for (int hour = 0; hour < 24; ++hour)
    tariff += hour == 3 ? "0.05, " : "0.4, ";
  const Answer cheap = made(tariff + "]}", "[edge]");
  EXPECT_LT(cheap.plan.total(), edge.plan.total());
  // The cheaper place is taken.
  EXPECT_EQ(made("tariff: 0.1", "[here, edge]").plan.nodes.begin()->first.second, "edge");
  EXPECT_EQ(made("pue: 1.4", "[here, edge]").plan.nodes.begin()->first.second, "here");
}

TEST(PlanProgram, WholeNodesStandInRacks) {
  const auto outcome = [](const std::string& devices, int racks) {
    return answer(requirements(fmt::format("site: {{zone: here}}\nzones: {{here: {{racks: {}}}}}\n"
                                           "jobs:\n"
                                           "  - {{name: a, device_hours: {{h100_sxm: 192}}}}\n"
                                           "  - {{name: b, device_hours: {{l40s: 96}}}}\n"
                                           "devices:\n{}",
                                           racks, devices)))
        .plan.outcome;
  };
  using Outcome = Plan::Outcome;
  // Eight h100_sxm in nodes of 3: three nodes, one to a rack of 5, though 9 devices are less than
  // two racks; the four l40s share the rack of the last one where they may.
  const std::string h100 = "  - {device: h100_sxm, price: 1, per_node: 3, per_rack: 5}\n";
  EXPECT_EQ(outcome(h100 + "  - {device: l40s, price: 1, per_node: 4, per_rack: 8}\n", 3),
            Outcome::kInfeasible);
  EXPECT_EQ(outcome(h100 + "  - {device: l40s, price: 1, per_node: 4, per_rack: 8}\n", 4),
            Outcome::kFound);
  const std::string halves = "  - {device: h100_sxm, price: 1, per_node: 3, per_rack: 7}\n";
  EXPECT_EQ(outcome(halves + "  - {device: l40s, price: 1, per_node: 2, per_rack: 8}\n", 2),
            Outcome::kFound)
      << "3/2 + 2/4 racks";
  // Two to a rack and three to a rack do not share.
  EXPECT_EQ(outcome(halves + "  - {device: l40s, price: 1, per_node: 4, per_rack: 12}\n", 2),
            Outcome::kInfeasible);
  EXPECT_EQ(outcome(halves + "  - {device: l40s, price: 1, per_node: 4, per_rack: 12}\n", 3),
            Outcome::kFound);
}

TEST(PlanProgram, CarbonIsKnownWhereEveryPlaceOfThePlanStatesIt) {
  auto asked = requirements(
      "zones: {edge: {carbon_g_per_kwh: 50}}\n"
      "jobs: [{name: tune, device_hours: {h100_sxm: 8}}]\n"
      "devices: [{device: h100_sxm, price: 1, zones: [local, edge]}]\n");
  Plan plan;
  plan.nodes[{0, "edge"}] = 1;
  EXPECT_TRUE(carbon_is_known(asked, plan));
  plan.nodes[{0, "local"}] = 1;
  EXPECT_FALSE(carbon_is_known(asked, plan));
}

TEST(PlanProgram, LimitsThatCannotBeMetHaveNoPlan) {
  std::string text = kDesk;
  text.replace(text.find("pue: 1.3"), 8, "pue: 1.3, power_limit_kw: 0.2");
  EXPECT_EQ(answer(requirements(text)).plan.outcome, Plan::Outcome::kInfeasible);
  text = kDesk;
  text.replace(text.find("per_node: 2"), 11, "per_node: 2, stock: 0");
  EXPECT_EQ(answer(requirements(text)).plan.outcome, Plan::Outcome::kInfeasible);
  EXPECT_EQ(answer(requirements(std::string(kDesk) + "money: {budget: 59999}\n")).plan.outcome,
            Plan::Outcome::kInfeasible);
}

TEST(PlanProgram, AQuotaOfRequestsHoldsWhenSomethingIsLostToo) {
  const auto with = [](int quota) {
    return answer(requirements(fmt::format(R"(
site: {{zone: here}}
zones: {{cloud: {{}}}}
labels: {{public: {{zones: any}}}}
demands:
  - {{name: desk, model: llama-3.1-8b, rate_per_s: 1, prompt_tokens: 500, output_tokens: 200, ttft_s: 3, tpot_s: 60ms}}
devices: [{{device: l40s, price: 8000}}]
services:
  - {{name: api, model: llama-3.1-8b, zone: cloud, metered: {{per_million_prompt: 1, per_million_output: 4,
     requests_per_day: {}, ttft_s: {{median: 500ms, sigma: 0.3}}, tpot_s: 12ms}}}}
redundancy: replica
)",
                                           quota)))
        .replicas("l40s-llama-3.1-8b");
  };
  EXPECT_EQ(with(86400), 1);  // the service takes all of it for that day
  EXPECT_EQ(with(86000), 2);
}

// Two jobs of eight devices each, at different hours or at the same.
std::string two_jobs(const std::string& second) {
  return "site: {zone: here, power_limit_kw: 6}\n"
         "jobs:\n  - {name: night, device_hours: {h100_sxm: 64}, between: [22, 6]}\n"
         "  - {name: other, device_hours: {h100_sxm: 64}, between: " +
         second + "}\ndevices: [{device: h100_sxm, price: 28000, per_node: 8}]\n";
}

TEST(PlanProgram, PowerIsOfTheHourThatTakesMost) {
  const Answer apart = answer(requirements(two_jobs("[8, 16]")));
  ASSERT_EQ(apart.plan.outcome, Plan::Outcome::kFound);
  EXPECT_EQ(apart.plan.nodes.at({0, "here"}), 1);
  EXPECT_NEAR(apart.plan.watts.at("here"), 8 * 700, 1e-6);
  // An hour in which both run takes more than there is.
  EXPECT_EQ(answer(requirements(two_jobs("[5, 13]"))).plan.outcome, Plan::Outcome::kInfeasible);
}

TEST(PlanProgram, AReplicaThatIsLentDrawsWhatTrainingDrawsAndNotItsIdleToo) {
  std::string rates;
  for (int hour = 0; hour < 24; ++hour)
    rates += hour >= 8 && hour < 20 ? "60, " : "1, ";
  std::string text = kDesk;
  text.replace(text.find("rate_per_s: 8"), 13, "rate_per_s: [" + rates + "]");
  const Answer without = answer(requirements(text));
  const Answer with = answer(
      requirements(text + "jobs: [{name: tune, device_hours: {h100_sxm: 8}, between: [22, 6]}]\n"));
  ASSERT_EQ(with.plan.replicas, without.plan.replicas);
  const auto used = std::max_element(with.plan.replicas.begin(), with.plan.replicas.end()) -
                    with.plan.replicas.begin();
  const PoolType& type = with.pools.types[static_cast<std::size_t>(used)];
  ASSERT_EQ(most_lent(with.plan, static_cast<std::size_t>(used)), 1);
  EXPECT_NEAR(with.plan.kwh - without.plan.kwh,
              8 * (700 - type.idle_w / type.devices) / 1000 * 365 * 1.3, 1);
  EXPECT_NEAR(with.plan.total() - without.plan.total(), 0.2 * (with.plan.kwh - without.plan.kwh),
              without.plan.total() * 2e-4);
}

// Devices that are bought for jobs alone.
int devices_for(const std::string& jobs, int per_node = 1) {
  const Answer found = answer(requirements(
      fmt::format("site: {{zone: here, tariff: {{currency: EUR, per_kwh: 0.2}}, pue: 1.3}}\n"
                  "jobs:\n{}devices: [{{device: h100_sxm, price: 28000, per_node: {}}}]\n",
                  jobs, per_node)));
  EXPECT_EQ(found.plan.outcome, Plan::Outcome::kFound);
  return found.plan.nodes.empty() ? 0 : found.plan.nodes.begin()->second * per_node;
}

TEST(PlanProgram, JobsShareDevicesByTheirDeadlines) {
  const std::string first = "  - {name: a, device_hours: {h100_sxm: 48}, deadline_days: 2}\n";
  const auto second = [](const std::string& days) {
    return "  - {name: b, device_hours: {h100_sxm: 48}, " + days + "}\n";
  };
  EXPECT_EQ(devices_for(first), 1);
  // The other one follows, or comes in between.
  EXPECT_EQ(devices_for(first + second("deadline_days: 4")), 1);
  EXPECT_EQ(devices_for(first + second("start_day: 2, deadline_days: 2")), 1);
  EXPECT_EQ(devices_for(first + second("start_day: 1, deadline_days: 2")), 2);
  EXPECT_EQ(devices_for(first + second("deadline_days: 3")), 2);
  EXPECT_EQ(devices_for(first + second("deadline_days: 2")), 2);
  // Beside what comes back a half of a device is left: enough in six days, not in four.
  const std::string daily = "  - {name: c, device_hours: {h100_sxm: 12}}\n";
  EXPECT_EQ(devices_for(daily + second("deadline_days: 4")), 1);
  EXPECT_EQ(devices_for(daily + second("deadline_days: 3")), 2);
}

TEST(PlanProgram, AGangIsWholeAndOthersTakeTurnsOnIt) {
  const auto gang = [](const std::string& name, int hours, int devices, const std::string& more) {
    return fmt::format("  - {{name: {}, device_hours: {{h100_sxm: {}}}, gang: {}{}}}\n", name,
                       hours, devices, more);
  };
  EXPECT_EQ(devices_for(gang("a", 48, 4, ", deadline_days: 2")), 4);
  EXPECT_EQ(devices_for(gang("a", 48, 4, ", deadline_days: 2"), 8), 8);
  // Twelve hours each of four devices: one after the other in a day, not in twelve hours.
  EXPECT_EQ(devices_for(gang("a", 48, 4, "") + gang("b", 48, 4, "")), 4);
  EXPECT_EQ(
      devices_for(gang("a", 48, 4, ", between: [0, 12]") + gang("b", 48, 4, ", between: [0, 12]")),
      8);
  // A smaller one takes its turn on the larger one's devices, and what is of no gang the rest.
  EXPECT_EQ(devices_for(gang("a", 48, 4, "") + gang("b", 36, 3, "")), 4);
  EXPECT_EQ(devices_for(gang("a", 48, 4, "") + gang("b", 36, 3, "") +
                        "  - {name: c, device_hours: {h100_sxm: 12}}\n"),
            4);
  EXPECT_EQ(devices_for(gang("a", 48, 4, "") + gang("b", 36, 3, "") +
                        "  - {name: c, device_hours: {h100_sxm: 13}}\n"),
            5);
}

TEST(PlanProgram, AGangIsNoFasterOnMoreDevices) {
  const auto outcome = [](const std::string& days) {
    return answer(requirements("jobs: [{name: tune, device_hours: {h100_sxm: 400}, gang: 8" + days +
                               "}]\ndevices: [{device: h100_sxm, price: 28000}]\n"))
        .plan.outcome;
  };
  EXPECT_EQ(outcome(", deadline_days: 3"), Plan::Outcome::kFound);
  EXPECT_EQ(outcome(", deadline_days: 2"), Plan::Outcome::kInfeasible);
}

TEST(PlanProgram, RunsOfAYearCountTheirEnergy) {
  const auto made = [](const std::string& days) {
    return answer(
        requirements("site: {zone: here, tariff: {currency: EUR, per_kwh: 0.2}, pue: 1.3}\n"
                     "jobs: [{name: tune, device_hours: {h100_sxm: 21}" +
                     days + "}]\ndevices: [{device: h100_sxm, price: 28000}]\n"));
  };
  const double a_run = 21 * 0.7 * 1.3;
  const Answer daily = made(""), weekly = made(", every_days: 7"),
               soon = made(", every_days: 7, deadline_days: 2"),
               once = made(", start_day: 3, deadline_days: 7");
  EXPECT_NEAR(daily.plan.kwh, a_run * 365, 1e-3);
  EXPECT_NEAR(weekly.plan.kwh, a_run * 365 / 7, 1e-3);
  EXPECT_NEAR(soon.plan.kwh, a_run * 365 / 7, 1e-3);
  EXPECT_NEAR(once.plan.kwh, a_run, 1e-3);
  for (const Answer* of : {&daily, &weekly, &soon, &once}) {
    ASSERT_EQ(of->plan.training.size(), 1u);
    EXPECT_NEAR(of->plan.training[0].kwh, a_run, 1e-3);
    EXPECT_NEAR(of->plan.training[0].device_hours, 21, 1e-6);
  }
  EXPECT_EQ(once.plan.training[0].done_day, 10);
  EXPECT_EQ(daily.plan.training[0].done_day, 0);
}

TEST(PlanPeriods, HoursThatAreAlikeAreOneAndPeaksCoverTheOthers) {
  const auto asked = requirements(R"(
demands:
  - {name: a, model: llama-3.1-8b, prompt_tokens: 5, output_tokens: 5, rate_per_s: [1,1,1,1,1,1,1,1,3,3,3,3,2,2,2,2,2,2,2,2,1,1,1,1]}
  - {name: b, model: llama-3.1-8b, prompt_tokens: 5, output_tokens: 5, rate_per_s: [2,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}
devices: [{device: h100_sxm, price: 30000}]
)");
  const auto periods = periods_of(asked);
  ASSERT_EQ(periods.size(), 4u);
  EXPECT_EQ(periods[1].hours.size(), 11u);
  EXPECT_EQ(peaks_of(periods, {true, true}), (std::vector<std::size_t>{0, 2}));
  EXPECT_EQ(peaks_of(periods, {true, false}), (std::vector<std::size_t>{2}));
}

TEST(PoolTypes, WhatIsWrittenIsReadByTheFleetReaderAsItWas) {
  const auto asked = requirements(kDesk);
  const Answer found = answer(asked);
  const std::string text = fleet_text(asked, found.pools.types, found.plan.replicas, "by a test");
  const auto node = data::parse_yaml(text, "fleet.yaml");
  ASSERT_TRUE(node.ok());
  const auto fleet = data::read_fleet(*node, test_catalog());
  ASSERT_TRUE(fleet.ok()) << fleet.error().message << "\n" << text;
  ASSERT_EQ(fleet->pools.size(), 1u);
  EXPECT_EQ(fleet->pools[0].replicas, 1);
  EXPECT_EQ(fleet->site.pue, 1.3);
  EXPECT_EQ(fleet->policy(ServiceClass::kStandard).targets,
            asked.frame.policy(ServiceClass::kStandard).targets);
}

TEST(PoolTypes, AZonesJurisdictionIsThatOfItsPools) {
  const auto asked = requirements(R"(
site: {zone: here, jurisdiction: {place: DE}}
zones: {edge: {jurisdiction: {place: AT, operator: US}}}
labels: {any: {zones: any}}
default_label: any
demands:
  - {name: desk, model: llama-3.1-8b, rate_per_s: 1, prompt_tokens: 500, output_tokens: 200}
devices: [{device: h100_sxm, price: 30000, zones: [here, edge]}]
services:
  - {name: api, model: llama-3.1-8b, zone: edge, metered: {per_million_prompt: 1, per_million_output: 2, ttft_s: {median: 1, sigma: 0}, tpot_s: 10ms}}
)");
  const auto pools = pool_types(asked, test_catalog());
  ASSERT_TRUE(pools.ok()) << pools.error().message;
  for (const PoolType& type : pools->types) {
    const bool edge = type.pool.zone == "edge";
    EXPECT_EQ(type.pool.jurisdiction.place, edge ? "AT" : "DE") << type.text;
    EXPECT_EQ(type.pool.jurisdiction.operated_by, edge ? "US" : "") << type.text;
  }
}

TEST(PoolTypes, AFleetIsHeldToTheLimitOfItsSiteAloneAndToWhatIsChangedOfIt) {
  auto asked = requirements(
      "site: {zone: here, power_limit_kw: 9}\nzones: {there: {}}\n"
      "labels: {any: {zones: any}}\ndefault_label: any\n"
      "demands: [{name: desk, model: llama-3.1-8b, rate_per_s: 1, prompt_tokens: 5, "
      "output_tokens: 5}]\n"
      "devices: [{device: h100_sxm, price: 30000, widths: [1], zones: [here, there]}]\n");
  const auto pools = pool_types(asked, test_catalog());
  ASSERT_TRUE(pools.ok());
  ASSERT_EQ(pools->types.size(), 2U);
  const auto text = [&](const std::string& zone) {
    std::vector<int> replicas;
    for (const PoolType& type : pools->types)
      replicas.push_back(zone == "both" || type.pool.zone == zone ? 1 : 0);
    return fleet_text(asked, pools->types, replicas, "");
  };
  EXPECT_NE(text("here").find("power_limit_kw: 9\n"), std::string::npos);
  // The scheduler would count what stands there against it.
  EXPECT_EQ(text("there").find("power_limit_kw"), std::string::npos);
  EXPECT_EQ(text("both").find("power_limit_kw"), std::string::npos);
  asked.zones["here"].power_limit_kw = 12;
  EXPECT_NE(text("here").find("power_limit_kw: 12\n"), std::string::npos);
  asked.zones["here"].power_limit_kw.reset();
  EXPECT_EQ(text("here").find("power_limit_kw"), std::string::npos);
}

TEST(Tco, PaysBackWithInterest) {
  EXPECT_NEAR(capital_recovery(0.1, 4), 0.31547,
              1e-5);  // hardware.md 7.2: 2.21 USD/h of 2 x 30,625
  EXPECT_NEAR(61250 * capital_recovery(0.1, 4) / 8760, 2.21, 0.005);
  EXPECT_DOUBLE_EQ(capital_recovery(0, 5), 0.2);
}

TEST(Tco, OwningPaysFromADutyOn) {
  data::DeviceOffer owned, rented;
  owned.price = {30625, 30625};
  owned.host_w = 250;
  rented.deal = data::DeviceOffer::Deal::kRent;
  rented.price = {2.95, 2.95};
  const data::MoneySpec money{.interest = 0.1, .useful_life_years = 4, .maintenance = 0.05};
  // hardware.md 7.2 has 52 %, all energy counted at full duty.
  const auto duty = break_even_duty(owned, rented, money, 0, 75, 600, 0.19 * 1.08 * 1.54);
  ASSERT_TRUE(duty.has_value());
  EXPECT_NEAR(*duty, 0.52, 0.03);
  EXPECT_GT(*break_even_duty(owned, rented, money, 2000, 75, 600, 0.19 * 1.08 * 1.54),
            *duty + 0.05);
  rented.price = {0.5, 0.5};
  EXPECT_FALSE(break_even_duty(owned, rented, money, 0, 75, 600, 0.3).has_value());
}

}  // namespace
}  // namespace medley::plan
