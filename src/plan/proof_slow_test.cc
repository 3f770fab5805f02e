#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "data/testing_shared.h"
#include "plan/infeasible.h"
#include "plan/proof.h"
#include "plan/study.h"
#include "plan/testing_requirements.h"

namespace medley::plan {
namespace {

constexpr char kDesk[] = R"(
demands:
  - {name: desk, model: llama-3.1-8b, rate_per_s: 25, prompt_tokens: {median: 500, sigma: 0.8, max: 6000},
     output_tokens: {median: 200, sigma: 0.6, max: 1500}, tpot_s: 30ms, ttft_s: 1}
devices: [{device: h100_sxm, price: 30000}]
)";

struct Made {
  data::Requirements requirements;
  std::vector<PoolType> types;
  Proven proven;
};

Made made(const std::string& text, const ProofOptions& options = {}) {
  Made made{*data::parse_requirements(text, "buy.yaml", test_catalog()), {}, {}};
  made.types = pool_types(made.requirements, test_catalog())->types;
  const auto solver = solve::make_integer_solver();
  auto proven =
      cheapest_proven(made.requirements, test_catalog(), made.types, *solver, {}, options);
  EXPECT_TRUE(proven.ok()) << (proven.ok() ? "" : proven.error().message);
  made.proven = *std::move(proven);
  return made;
}

TEST(PlanProof, WhatIsPromisedIsKeptOnSeedsThatDidNotMakeIt) {
  const Made plan = made(kDesk);
  ASSERT_TRUE(plan.proven.agreed);
  EXPECT_GE(plan.proven.proof.whole[0].share().value_or(0), 0.97);
  EXPECT_GT(plan.proven.proof.whole[0].requests, 10000);
  EXPECT_NEAR(*plan.proven.fresh.whole[0].share(), *plan.proven.proof.whole[0].share(), 0.01);
}

TEST(PlanProof, AFleetWhoseWorkServicesDoIsNotCheap) {
  // Counted for .7 of what it is, one L40S would do, and in simulation does nothing: the scheduler
  // rents, since the service is surer and capital is nobody's.
  const Made plan = made(R"(
demands:
  - {name: chat, model: llama-3.1-8b, rate_per_s: [1,1,1,1,1,1,1,5,5,5,5,5,5,5,5,5,5,5,5,5,1,1,1,1], ttft_s: 1, tpot_s: 40ms,
     prompt_tokens: {median: 400, sigma: 0.5, max: 2000}, output_tokens: {median: 150, sigma: 0.5, max: 600}}
devices: [{device: l40s, price: 9000, per_node: 1, host_w: 100}]
services:
  - {name: api, model: llama-3.1-8b, zone: local, metered: {per_million_prompt: 0.2, per_million_output: 0.6,
     tokens_per_minute: 60000000, ttft_s: {median: 0.3, sigma: 0.4}, tpot_s: 0.015}}
)");
  ASSERT_TRUE(plan.proven.agreed);
  EXPECT_EQ(plan.proven.plan.costs.metered, 0);
  EXPECT_EQ(plan.proven.proof.services_paid, 0);
}

TEST(PlanProof, ServicesCostWhatTheyWerePaidInSimulation) {
  Plan plan;
  plan.costs.capital = 900;
  plan.costs.metered = 100;
  EXPECT_EQ(cost_as_simulated(plan, {.hours = 2, .services_paid = 3, .services_planned = 1}), 1200);
  plan.costs.metered = 0;
  EXPECT_EQ(cost_as_simulated(plan, {.hours = 2, .services_paid = 3}), 900 + 1.5 * 8760);
}

TEST(PlanProof, ARareDemandIsSimulatedUntilItsShareIsKnownToAPoint) {
  // Most of the requests are of another one.
  const auto asked = *data::parse_requirements(R"(
demands:
  - {name: many, model: llama-3.1-8b, rate_per_s: 20, prompt_tokens: 200, output_tokens: 20}
  - {name: few, model: llama-3.1-8b, rate_per_s: 0.2, prompt_tokens: {median: 500, sigma: 0.8, max: 6000}, output_tokens: 100, ttft_s: 200ms, attain: 0.5}
devices: [{device: h100_sxm, price: 30000}]
)",
                                               "buy.yaml", test_catalog());
  const auto types = pool_types(asked, test_catalog())->types;
  const auto solver = solve::make_integer_solver();
  const auto plan = cheapest(asked, types, *solver);
  ASSERT_TRUE(plan.ok());
  const ProofOptions options{.requests = 6000};
  const auto proof = prove(asked, test_catalog(), types, *plan, options);
  ASSERT_TRUE(proof.ok());
  const Kept& few = proof->whole[1];
  ASSERT_GT(few.share().value_or(0), 0.5);
  const double of = static_cast<double>(few.requests),
               share = (static_cast<double>(few.kept) + 1) / (of + 2);
  EXPECT_LE(3 * std::sqrt(2 * share * (1 - share) / of), 0.01) << few.kept << " of " << of;
}

TEST(PlanProof, WhatComesWhereADemandIsServedWhenSomethingIsLostCountsForMoreToo) {
  // At the edge there is room for ward; without an L40S web goes there as well.
  const Made plan = made(R"(
site: {zone: hq, pue: 1.4}
zones: {edge: {power_limit_kw: 2}}
labels: {public: {zones: any}, patient: {zones: [edge]}}
default_label: public
demands:
  - {name: ward, label: patient, model: llama-3.1-8b, rate_per_s: 0.5, ttft_s: 2, tpot_s: 80ms, prompt_tokens: {median: 500, sigma: 0.5, max: 2000}, output_tokens: {median: 100, sigma: 0.5, max: 400}}
  - {name: web, label: public, model: llama-3.1-8b, rate_per_s: 4, ttft_s: 2, tpot_s: 80ms, prompt_tokens: {median: 500, sigma: 0.5, max: 2000}, output_tokens: {median: 100, sigma: 0.5, max: 400}}
devices:
  - {device: l4, price: 2500, per_node: 2, host_w: 40, zones: [edge]}
  - {device: l40s, price: 8000, per_node: 1, host_w: 100, zones: [hq]}
redundancy: replica
)",
                         {.neighbours = false});
  ASSERT_EQ(plan.proven.plan.outcome, Plan::Outcome::kFound);
  EXPECT_TRUE(plan.proven.agreed);
}

// Requirements with a limit that the fleet they lead to just meets.
TEST(PlanProof, TheFleetsOwnStockPowerAndCapitalAsLimitsChangeNothing) {
  const std::string desk = R"(
site: {zone: here, pue: 1LIMIT}
demands:
  - {name: desk, model: llama-3.1-8b, rate_per_s: 60, prompt_tokens: {median: 500, sigma: 0.5, max: 4000},
     output_tokens: {median: 200, sigma: 0.5, max: 1000}, tpot_s: 60ms, ttft_s: 3, attain: 0.9}
devices: [{device: h100_sxm, price: 28000, widths: [1]STOCK}]
)";
  const auto with = [&](const std::string& limit, const std::string& stock,
                        const std::string& more) {
    std::string text = desk;
    text.replace(text.find("LIMIT"), 5, limit);
    text.replace(text.find("STOCK"), 5, stock);
    return made(text + more, {.neighbours = false});
  };
  const Made free = with("", "", "");
  ASSERT_TRUE(free.proven.agreed);
  // The estimate alone would not have it.
  ASSERT_LT(free.proven.safety[0], 0.9);
  const int replicas = free.proven.plan.replicas[0];
  for (const Made& limited :
       {with("", fmt::format(", stock: {}", replicas), ""),
        with(fmt::format(", power_limit_kw: {:.3g}", 0.7 * replicas), "", ""),
        with("", "", fmt::format("money: {{budget: {}}}\n", 28000 * replicas))}) {
    EXPECT_TRUE(limited.proven.agreed);
    EXPECT_EQ(limited.proven.plan.replicas, free.proven.plan.replicas);
  }
  const Made less = with("", fmt::format(", stock: {}", replicas - 1), "");
  EXPECT_EQ(less.proven.plan.outcome, Plan::Outcome::kInfeasible);
  // All that the limit leaves was simulated.
  ASSERT_TRUE(less.proven.nearest.has_value());
  EXPECT_EQ(less.proven.nearest->plan.replicas[0], replicas - 1);
  const auto conflict = conflict_in(less.requirements, test_catalog(), &less.proven);
  ASSERT_TRUE(conflict.ok());
  EXPECT_EQ(conflict->ground, Conflict::Ground::kSimulated);
  EXPECT_LT(conflict->nearest->kept[0].value_or(1), 0.9);
  bool told = false;
  for (const Relaxation& of : conflict->relaxations) {
    EXPECT_TRUE(of.simulated) << of.what;
    told = told || of.what == fmt::format("stock of h100_sxm: {} devices in place of {}", replicas,
                                          replicas - 1);
  }
  EXPECT_TRUE(told);
}

TEST(PlanProof, WhereFewPromisesAreAskedForAFleetMayBeFarSmallerThanItsEstimate) {
  const auto with = [](const std::string& attain, int stock) {
    return made(
        "demands: [{name: desk, model: llama-3.1-8b, rate_per_s: 300, prompt_tokens: 500, "
        "output_tokens: 200, ttft_s: 3, tpot_s: 60ms, attain: " +
            attain + "}]\ndevices: [{device: h100_sxm, price: 28000, widths: [1], stock: " +
            std::to_string(stock) + "}]\n",
        {.neighbours = false});
  };
  const Made few = with("0.1", 3);
  ASSERT_EQ(few.proven.plan.outcome, Plan::Outcome::kFound);
  EXPECT_TRUE(few.proven.agreed);
  EXPECT_LT(few.proven.safety[0], 0.4);
  EXPECT_LE(few.proven.plan.replicas[0], 3);
  // And of all of them no such fleet keeps enough, which is simulated and not believed.
  const Made most = with("0.9", 3);
  ASSERT_EQ(most.proven.plan.outcome, Plan::Outcome::kInfeasible);
  ASSERT_TRUE(most.proven.nearest.has_value());
  EXPECT_EQ(most.proven.nearest->plan.replicas[0], 3);
  EXPECT_LT(most.proven.nearest->proof.whole[0].share().value_or(1), 0.9);
}

TEST(PlanProof, ADemandThatHasRoomIsNotCountedForLessBesideOneThatHasNone) {
  // Only the one in the small room is in its limit's way.
  const Made plan = made(R"(
site: {zone: here}
zones: {room: {power_limit_kw: 1.6}}
labels: {free: {zones: [here]}, held: {zones: [room]}}
default_label: free
demands:
  - {name: wide, label: free, model: llama-3.1-8b, rate_per_s: 60, prompt_tokens: 500, output_tokens: 200, ttft_s: 3, tpot_s: 60ms}
  - {name: tight, label: held, model: llama-3.1-8b, rate_per_s: 100, prompt_tokens: 500, output_tokens: 200, ttft_s: 3, tpot_s: 60ms}
devices: [{device: h100_sxm, price: 28000, widths: [1], zones: [here, room]}]
)",
                         {.neighbours = false});
  ASSERT_EQ(plan.proven.plan.outcome, Plan::Outcome::kInfeasible);
  ASSERT_TRUE(plan.proven.nearest.has_value());
  EXPECT_GE(plan.proven.nearest->proof.whole[0].share().value_or(0), 0.97);
  EXPECT_LT(plan.proven.nearest->proof.whole[1].share().value_or(1), 0.97);
}

TEST(PlanProof, WhatIsSaidToHelpDoes) {
  const std::string desk =
      "site: {zone: here, power_limit_kw: POWER}\n"
      "demands: [{name: desk, model: llama-3.1-8b, rate_per_s: 60, attain: 0.95, ttft_s: 3, "
      "tpot_s: 60ms, prompt_tokens: {median: 500, sigma: 0.5, max: 4000}, "
      "output_tokens: {median: 200, sigma: 0.5, max: 1000}}]\n"
      "devices: [{device: h100_sxm, price: 28000, widths: [1]}]\n"
      "money: {budget: 1000000}\nredundancy: replica\n";
  const auto with = [&](const std::string& power) {
    std::string text = desk;
    text.replace(text.find("POWER"), 5, power);
    return made(text, {.neighbours = false});
  };
  const Made none = with("1.5");
  ASSERT_EQ(none.proven.plan.outcome, Plan::Outcome::kInfeasible);
  const auto conflict = conflict_in(none.requirements, test_catalog(), &none.proven);
  ASSERT_TRUE(conflict.ok());
  double power = 0;
  for (const Relaxation& of : conflict->relaxations) {
    EXPECT_TRUE(of.simulated) << of.what;
    if (of.cost)
      std::sscanf(of.what.c_str(), "power in here: %lf kW", &power);
  }
  ASSERT_GT(power, 1.5);
  const Made enough = with(fmt::format("{}", power));
  EXPECT_EQ(enough.proven.plan.outcome, Plan::Outcome::kFound);
  EXPECT_TRUE(enough.proven.agreed);
}

TEST(PlanProof, NoReplicaCouldBeSpared) {
  const Made plan = made(kDesk);
  bool less = false;
  for (const Proven::Neighbour& neighbour : plan.proven.neighbours) {
    EXPECT_TRUE(neighbour.cost && neighbour.kept[0]) << neighbour.what << " was not simulated";
    if (neighbour.what.ends_with("less")) {
      less = true;
      EXPECT_FALSE(neighbour.keeps_all) << neighbour.what;
    } else {
      EXPECT_TRUE(neighbour.keeps_all) << neighbour.what;
    }
  }
  EXPECT_TRUE(less);
}

TEST(PlanProof, NeighboursDoTheSameWorkInTheSameHours) {
  // A fleet that is fuller than its means allow: few promises are asked for. And batch, which the
  // program would otherwise share out anew for each neighbour.
  const Made plan = made(R"(
demands:
  - {name: desk, model: llama-3.1-8b, rate_per_s: 80, attain: 0.9, ttft_s: 3, tpot_s: 60ms,
     prompt_tokens: {median: 500, sigma: 0.5, max: 4000}, output_tokens: {median: 200, sigma: 0.5, max: 1000}}
  - {name: letters, class: batch, model: llama-3.1-8b, rate_per_s: 4, attain: 0.9, prompt_tokens: 500, output_tokens: 200}
devices: [{device: h100_sxm, price: 28000, widths: [1]}]
)");
  ASSERT_TRUE(plan.proven.agreed);
  ASSERT_EQ(plan.proven.neighbours.size(), 2U);
  const Proven::Neighbour &less = plan.proven.neighbours[0], &more = plan.proven.neighbours[1];
  ASSERT_TRUE(less.cost && more.cost);
  EXPECT_LT(*less.cost, plan.proven.plan.total());
  EXPECT_GT(*more.cost, plan.proven.plan.total());
  EXPECT_FALSE(less.keeps_all);
  EXPECT_TRUE(more.keeps_all);
  const auto kept = least_kept(plan.requirements, plan.proven.proof);
  for (std::size_t g = 0; g < kept.size(); ++g) {
    ASSERT_TRUE(kept[g] && more.kept[g]) << g;
    EXPECT_GE(*more.kept[g], *kept[g] - 0.01) << g;
  }
}

TEST(PlanProof, WhatIsLostIsLostInTheFullestHoursToo) {
  // The chat that is protected peaks from 8 to 12; from 12 on others fill the fleet beside it.
  const Made plan{*data::parse_requirements(R"(
demands:
  - {name: chat, model: llama-3.1-8b, ttft_s: 1, tpot_s: 40ms,
     rate_per_s: [5,5,5,5,5,5,5,5,16,16,16,16,15,15,15,15,15,15,15,15,5,5,5,5],
     prompt_tokens: {median: 500, sigma: 0.5, max: 4000}, output_tokens: {median: 200, sigma: 0.5, max: 1000}}
  - {name: bulk, class: flex, model: llama-3.1-8b, ttft_s: 60, tpot_s: 500ms,
     rate_per_s: [0,0,0,0,0,0,0,0,0,0,0,0,14,14,14,14,14,14,14,14,0,0,0,0],
     prompt_tokens: {median: 2000, sigma: 0.5, max: 8000}, output_tokens: {median: 200, sigma: 0.5, max: 1000}}
devices: [{device: l40s, price: 8000, per_node: 4, widths: [2]}]
redundancy: node
)",
                                            "buy.yaml", test_catalog()),
                  {},
                  {}};
  const auto types = pool_types(plan.requirements, test_catalog())->types;
  const auto solver = solve::make_integer_solver();
  const auto cheap = cheapest(plan.requirements, types, *solver, {});
  ASSERT_TRUE(cheap.ok());
  const auto proof = prove(plan.requirements, test_catalog(), types, *cheap, {});
  ASSERT_TRUE(proof.ok());
  ASSERT_EQ(proof->failures.size(), 1U);
  const Kept& chat = proof->failures[0].demands[0];
  EXPECT_EQ(chat.from_hour, 12);
  EXPECT_LE(*chat.share(), *proof->whole[0].share());
}

TEST(PlanProof, TheFleetIsTheCheapestOfTheProgramThatItIsComparedBy) {
  // Planned with far too much room at first: simulation takes it away, in the program and not only
  // in the fleet.
  const Made plan = made("utilisation: 0.3\n" + std::string(kDesk));
  ASSERT_TRUE(plan.proven.agreed);
  EXPECT_LT(plan.proven.safety[0], 0.7);
  EXPECT_LT(plan.proven.plan.total(), plan.proven.rounds.front().cost);
  const auto solver = solve::make_integer_solver();
  const auto again =
      cheapest(plan.requirements, plan.types, *solver, {.safety = plan.proven.safety});
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->replicas, plan.proven.plan.replicas);
  EXPECT_NEAR(again->total(), plan.proven.plan.total(), plan.proven.plan.total() * 1e-3);
  // The same as where too little was planned at first.
  const Made other = made("utilisation: 1\n" + std::string(kDesk));
  EXPECT_EQ(other.proven.plan.replicas, plan.proven.plan.replicas);
}

TEST(PlanProof, ComparisonsOfAShrunkFleetAreOfThatFleet) {
  std::string text = "utilisation: 0.3\n" + std::string(kDesk);
  text.replace(text.find("price: 30000"), 12, "price: [20000, 40000]");
  const auto asked = data::parse_requirements(text, "buy.yaml", test_catalog());
  ASSERT_TRUE(asked.ok());
  const auto solver = solve::make_integer_solver();
  const auto made = study(*asked, test_catalog(), *solver, {.proof = {.neighbours = false}});
  ASSERT_TRUE(made.ok());
  const double cost = made->chosen.plan.total();
  ASSERT_LT(made->chosen.safety[0], 1);
  ASSERT_TRUE(made->price_range.has_value());
  EXPECT_LT(made->price_range->low, cost);
  EXPECT_GT(made->price_range->high, cost);
  EXPECT_NEAR((made->price_range->low + made->price_range->high) / 2, cost, cost * 2e-3);
  for (const Sensitivity& of : made->sensitivity) {
    if (of.what == "tariff x 2") {
      EXPECT_TRUE(of.same_fleet);
      EXPECT_NEAR(*of.cost, cost + made->chosen.plan.costs.energy, cost * 2e-3);
    }
  }
}

TEST(PlanProof, AFleetThatIsTooSmallIsSeenAndMadeLarger) {
  // Planned to the brim: the mean fits, bursts do not.
  const Made plan = made("utilisation: 1\n" + std::string(kDesk));
  ASSERT_TRUE(plan.proven.agreed);
  Plan small = plan.proven.plan;
  const auto used = std::max_element(small.replicas.begin(), small.replicas.end());
  ASSERT_GT(*used, 1);
  --*used;
  const auto proof = prove(plan.requirements, test_catalog(), plan.types, small, {});
  ASSERT_TRUE(proof.ok());
  EXPECT_TRUE(falls_short(plan.requirements, *proof)[0]);
}

TEST(PlanProof, BatchIsGivenOtherHoursBeforeMoreIsBought) {
  std::string batch, desk;
  for (int hour = 0; hour < 24; ++hour) {
    batch += hour >= 8 && hour < 18 ? "6.066, " : "2.529, ";
    desk += hour >= 8 && hour < 18 ? "7.92, " : "0.08, ";
  }
  const Made plan = made(R"(
demands:
  - {name: letters, class: batch, model: llama-3.1-8b, prompt_tokens: {median: 938, sigma: 0.7, max: 8000}, output_tokens: 152,
     rate_per_s: [)" + batch +
                         R"(]}
  - {name: desk, model: llama-3.1-8b, ttft_s: 5, tpot_s: 50ms, prompt_tokens: {median: 390, sigma: 0.7, max: 8000},
     output_tokens: 178, rate_per_s: [)" +
                         desk + R"(]}
devices: [{device: l40s, price: 22752, per_node: 2}]
)");
  ASSERT_TRUE(plan.proven.agreed);
  for (const Proven::Neighbour& neighbour : plan.proven.neighbours) {
    EXPECT_FALSE(neighbour.keeps_all && *neighbour.cost < plan.proven.plan.total() * 0.999)
        << neighbour.what;
  }
}

TEST(PlanProof, WhereNoSizeHelpsTheSearchEnds) {
  // Short answers: now and then another's long prompt beside one of them is too long a wait.
  const Made plan = made(R"(
demands:
  - {name: brief, model: llama-3.1-70b, ttft_s: 5, attain: 0.9999, tpot_s: 25ms, rate_per_s: 1.43, prompt_tokens: {median: 1399, sigma: 0.7, max: 8000},
     output_tokens: 41}
devices: [{device: h200_sxm, price: 3491, per_node: 4, host_w: 100}]
)");
  EXPECT_EQ(plan.proven.plan.outcome, Plan::Outcome::kFound);
  EXPECT_FALSE(plan.proven.agreed);
  EXPECT_LT(plan.proven.proof.whole[0].share().value_or(1), 0.9999);
}

TEST(PlanProof, AFailureIsSimulatedAndSurvived) {
  const Made plan = made("redundancy: replica\n" + std::string(kDesk));
  ASSERT_TRUE(plan.proven.agreed);
  ASSERT_FALSE(plan.proven.proof.failures.empty());
  for (const Proof::Failure& failure : plan.proven.proof.failures)
    EXPECT_GE(failure.demands[0].share().value_or(0), 0.97) << failure.what;
  // A replica more than the plan that loses nothing.
  const Made without = made(kDesk);
  EXPECT_GT(plan.proven.plan.total(), without.proven.plan.total());
}

TEST(PlanProof, LentReplicasAreMissingWhileTheyAreLent) {
  std::string day = "[";
  for (int hour = 0; hour < 24; ++hour)
    day += hour >= 8 && hour < 20 ? "60, " : "6, ";
  std::string text = kDesk;
  text.replace(text.find("rate_per_s: 25"), 14, "rate_per_s: " + day + "]");
  const Made plan =
      made(text + "jobs: [{name: tune, device_hours: {h100_sxm: 8}, between: [22, 6]}]\n");
  ASSERT_TRUE(plan.proven.agreed);
  int lent = 0;
  for (const auto& by_period : plan.proven.plan.lent)
    lent += *std::max_element(by_period.begin(), by_period.end());
  EXPECT_GE(lent, 1);
  EXPECT_GE(plan.proven.proof.whole[0].share().value_or(0), 0.97);
  // Were more lent than can be spared, the proof would say so.
  Plan greedy = plan.proven.plan;
  for (std::size_t p = 0; p < greedy.lent.size(); ++p) {
    for (int& by_period : greedy.lent[p])
      by_period = by_period > 0 ? greedy.replicas[p] : 0;
  }
  const auto proof = prove(plan.requirements, test_catalog(), plan.types, greedy, {});
  ASSERT_TRUE(proof.ok());
  EXPECT_TRUE(falls_short(plan.requirements, *proof)[0]);
}

TEST(PlanProof, BatchThatDoesNotKeepPaceIsSeen) {
  const Made plan = made(
      "demands: [{name: letters, class: batch, model: llama-3.1-8b, rate_per_s: 80, "
      "prompt_tokens: 500, output_tokens: 200}]\n"
      "devices: [{device: h100_sxm, price: 30000}]\n");
  ASSERT_TRUE(plan.proven.agreed);
  EXPECT_GE(plan.proven.proof.whole[0].share(), 0.95);
  EXPECT_GT(plan.proven.proof.whole[0].requests, 10000);
  // Its deadline is a day away, but the next hour's work comes in an hour.
  Plan small = plan.proven.plan;
  ASSERT_GE(small.replicas[0], 3);
  small.replicas[0] = small.replicas[0] * 2 / 3;
  const auto proof = prove(plan.requirements, test_catalog(), plan.types, small, {});
  ASSERT_TRUE(proof.ok());
  EXPECT_LT(proof->whole[0].share(), 0.85);
}

TEST(PlanProof, ATraceOfDaysIsSimulatedAtTheRateOfTheHour) {
  const std::string path = data::own_temporary("plan_proof_two_days.csv");
  std::string trace = "arrived_s,prompt_tokens,output_tokens\n";
  for (int at = 0; at <= 2 * 86400; at += at / 3600 % 24 >= 8 && at / 3600 % 24 < 18 ? 1 : 60)
    trace += fmt::format("{},300,50\n", at);
  std::ofstream(path) << trace;
  const Made plan = made("demands: [{name: desk, model: llama-3.1-8b, trace: {path: " + path +
                         "}, ttft_s: 2, tpot_s: 50ms}]\n"
                         "devices: [{device: h100_sxm, price: 30000}]\n");
  ASSERT_TRUE(plan.proven.agreed);
  const Proof& proof = plan.proven.proof;
  EXPECT_NEAR(static_cast<double>(proof.requests) / (proof.hours * 3600), 1, 0.01);
}

TEST(PlanProof, TheSameSeedsGiveTheSameProof) {
  const Made plan = made(kDesk);
  const auto again = prove(plan.requirements, test_catalog(), plan.types, plan.proven.plan, {});
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->whole[0].kept, plan.proven.proof.whole[0].kept);
}

}  // namespace
}  // namespace medley::plan
