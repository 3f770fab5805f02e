#include "plan/study.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "plan/study_html.h"
#include "plan/study_json.h"
#include "plan/testing_requirements.h"

namespace medley::plan {
namespace {

data::Requirements requirements(const std::string& text) {
  auto read = data::parse_requirements(text, "buy.yaml", test_catalog());
  EXPECT_TRUE(read.ok()) << (read.ok() ? "" : read.error().message);
  return std::move(read).value();
}

Study studied(const std::string& text, const StudyOptions& options = {.prove = false}) {
  const auto solver = solve::make_integer_solver();
  auto made = study(requirements(text), test_catalog(), *solver, options);
  EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().message);
  return std::move(made).value();
}

constexpr char kDesk[] = R"(
site: {zone: here, tariff: {currency: EUR, per_kwh: 0.2}, pue: 1.3, carbon_g_per_kwh: 400, power_limit_kw: 50}
demands:
  - {name: desk, model: llama-3.1-8b, rate_per_s: 8, prompt_tokens: 500, output_tokens: 200, tpot_s: 50ms}
devices:
  - {device: h100_sxm, price: 30000}
  - {device: l40s, price: 8000, rent_per_hour: 1.5}
)";
std::string desk() {
  std::string text = kDesk;
  text.replace(text.find("price: 8000, "), 13, "");
  return text;
}

constexpr char kService[] = R"(
services:
  - {name: api, model: llama-3.1-8b, zone: here, metered: {per_million_prompt: 0.01,
     per_million_output: 0.02, ttft_s: {median: 0.2, sigma: 0.3}, tpot_s: 10ms}}
)";

// Answers the choice truly, and all that comes after it as the test says.
class ThenOtherwise final : public solve::IntegerSolver {
 public:
  explicit ThenOtherwise(std::function<Result<IntegerSolution>()> then) : then_(std::move(then)) {}
  Result<IntegerSolution> solve(const IntegerProgram& program,
                                const IntegerOptions& options) override {
    return asked_++ == 0 ? true_->solve(program, options) : then_();
  }

 private:
  std::unique_ptr<solve::IntegerSolver> true_ = solve::make_integer_solver();
  std::function<Result<IntegerSolution>()> then_;
  int asked_ = 0;
};

Study with_comparisons(std::function<Result<IntegerSolution>()> answer) {
  ThenOtherwise solver(std::move(answer));
  auto made = study(requirements(desk()), test_catalog(), solver, {.prove = false});
  EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().message);
  return std::move(made).value();
}

TEST(PlanStudy, AnErrorInAComparisonIsALineAndNotTheEnd) {
  const Study made = with_comparisons([] {
    return Result<IntegerSolution>(Error{ErrorCode::kInternal, "CBC gave up", {}});
  });
  EXPECT_EQ(made.chosen.plan.outcome, Plan::Outcome::kFound);
  ASSERT_FALSE(made.sensitivity.empty());
  for (const Sensitivity& of : made.sensitivity)
    EXPECT_EQ(of.none, "could not be computed: CBC gave up");
  ASSERT_GE(made.candidates.size(), 2);
  EXPECT_EQ(made.candidates[1].why, "could not be computed: CBC gave up");
  ASSERT_EQ(made.why_not.size(), 1);
  EXPECT_EQ(made.why_not[0].second, "could not be computed: CBC gave up");
  ASSERT_EQ(made.bindings.size(), 1);  // the limit on power, which may bind or not
  EXPECT_EQ(made.bindings[0].none, "could not be computed: CBC gave up");
  EXPECT_NE(to_json(made).find("CBC gave up"), std::string::npos);
  EXPECT_NE(to_html(made, "").find("CBC gave up"), std::string::npos);
}

TEST(PlanStudy, AnAnswerThatDidNotComeInTimeIsNotThatNoneCanBe) {
  const Study made = with_comparisons([] { return Result<IntegerSolution>(IntegerSolution{}); });
  for (const Sensitivity& of : made.sensitivity)
    EXPECT_EQ(of.none, "no answer within the time given");
  const Study none = with_comparisons([] {
    return Result<IntegerSolution>(IntegerSolution{.status = IntegerSolution::Status::kInfeasible});
  });
  for (const Sensitivity& of : none.sensitivity)
    EXPECT_EQ(of.none, "none can be");
}

TEST(PlanStudy, TheFrontHoldsNothingThatAFasterFleetBeats) {
  const Study made = studied(desk());
  ASSERT_GE(made.front.size(), 2);
  std::size_t asked = 0;
  for (const FrontPoint& of : made.front) {
    if (of.factor == 1) {
      EXPECT_EQ(of.cost, made.chosen.plan.total());
      ++asked;
      continue;
    }
    for (const FrontPoint& other : made.front) {
      EXPECT_FALSE(of.cost && other.cost && other.tokens_per_s > of.tokens_per_s &&
                   *other.cost <= *of.cost * 1.001)
          << of.factor;
    }
  }
  EXPECT_EQ(asked, 1);
}

TEST(PlanStudy, WhatRentedServicesDrawIsUnknownAndNotNothing) {
  const Study all = studied(desk() + kService);
  ASSERT_EQ(all.fleet, "api");
  EXPECT_EQ(known_part(all.pools.types, all.chosen.plan, "1.0"), "unknown");
  const std::string json = to_json(all);
  EXPECT_NE(json.find(R"("kwh_a_year":null,"carbon_kg_a_year":null,"draw_unknown_of":["api"])"),
            std::string::npos);
  EXPECT_NE(to_html(all, "").find("unknown"), std::string::npos);

  // Beside devices of one's own there is a part that is known.
  std::string text = desk() + kService;
  text.insert(
      text.find("  - {name: desk"),
      "  - {name: own, label: house, model: llama-3.1-8b, rate_per_s: 1, prompt_tokens: 500, "
      "output_tokens: 200}\n");
  text.replace(text.find("zone: here, metered"), 10, "zone: cloud");
  text.replace(text.find("per_million_output: 0.02"), 24, "per_million_output: 0");  // below energy
  text.replace(text.find("per_million_prompt: 0.01"), 24, "per_million_prompt: 0");
  text.insert(0,
              "zones: {cloud: {}}\ndefault_label: public\n"
              "labels: {public: {zones: any}, house: {zones: [here]}}");
  const Study part = studied(text);
  EXPECT_EQ(services_in(part.pools.types, part.chosen.plan).size(), 1);
  EXPECT_EQ(known_part(part.pools.types, part.chosen.plan, "1.0"), "at least 1.0");
}

TEST(PlanStudy, JoulesOfLpusAndGpusAreToldForTheSameUse) {
  const Study made = studied(R"(
demands:
  - {name: steps, model: llama-3.1-8b, rate_per_s: 10, prompt_tokens: 500, output_tokens: 200, tpot_s: 2ms}
devices:
  - {device: groq_lpu_v1, price: 3000, precisions: [int8], per_node: 8}
  - {device: h100_sxm, price: 30000, per_node: 8}
)");
  ASSERT_EQ(made.truths.size(), 1);
  const Truth& truth = made.truths[0];
  EXPECT_TRUE(truth.needs_scheduled);
  ASSERT_TRUE(truth.batched && truth.scheduled);
  // The fastest of all GPUs, also of those that no plan would take.
  EXPECT_EQ(truth.batched->pool, "h100_sxm-llama-3.1-8b-x8");
  EXPECT_FALSE(truth.batched->reaches());
  ASSERT_TRUE(truth.scheduled->reaches());
  // One user alone pays for all slots; as planned they are neither empty nor full.
  double alone_w = 0, planned_w = 0;
  for (std::size_t p = 0; p < made.pools.types.size(); ++p) {
    const PoolType& type = made.pools.types[p];
    if (type.pool.name == truth.scheduled->pool)
      alone_w = type.idle_w;
    if (type.pool.device == "groq_lpu_v1")
      planned_w += type.idle_w * made.chosen.plan.replicas[p];
  }
  EXPECT_NEAR(truth.scheduled->joules_alone, alone_w / truth.scheduled->fastest, 1e-9);
  EXPECT_GT(truth.scheduled->joules_alone, 5 * *truth.scheduled->joules_full);
  ASSERT_TRUE(truth.scheduled->joules_planned.has_value());
  EXPECT_NEAR(*truth.scheduled->joules_planned, planned_w / (10 * 200), 1e-6);
}

TEST(PlanStudy, JobsAloneHaveNothingToSimulate) {
  const Study made = studied(
      "demands: []\njobs: [{name: tune, device_hours: {h100_sxm: 30}, between: [22, 6]}]\n"
      "devices: [{device: h100_sxm, price: 30000, per_node: 2}]\n",
      {});
  EXPECT_EQ(made.chosen.plan.outcome, Plan::Outcome::kFound);
  EXPECT_TRUE(made.chosen.agreed);
  ASSERT_EQ(made.chosen.plan.training.size(), 1);
  ASSERT_EQ(made.chosen.plan.trainers.size(), 1);
  EXPECT_EQ(made.chosen.plan.trainers.begin()->second, 4);
  EXPECT_FALSE(made.per_million_tokens(1).has_value());
  EXPECT_NE(to_json(made).find("\"devices\":4"), std::string::npos);
  EXPECT_NE(to_html(made, "").find("tune"), std::string::npos);
}

TEST(PlanStudy, FleetsThatCostNothingAreComparedWithoutNumbersThatAreNone) {
  std::string text = desk();
  for (const std::string what : {"30000", "1.5", "0.2"})
    text.replace(text.find(what), what.size(), "0");
  const Study made = studied(text);
  EXPECT_EQ(made.chosen.plan.total(), 0);
  const std::string page = to_html(made, "");
  for (const char* none : {"nan %", ">nan", "-nan", "inf %"})
    EXPECT_EQ(page.find(none), std::string::npos) << page.substr(page.find(none) - 200, 300);
  EXPECT_EQ(change_text(0, 0), "-");
  for (const Candidate& of : made.candidates)
    EXPECT_EQ(of.why.find("nan"), std::string::npos) << of.why;
}

TEST(PlanStudy, ADrawThatNobodyKnowsIsAskedFor) {
  // No limit could be kept with it, and its energy would count for nothing.
  auto asked = requirements(desk());
  asked.devices[0].accelerator.tdp_w.reset();
  asked.jobs.push_back({.name = "tune", .device_hours = {{"h100_sxm", 8}}});
  const auto solver = solve::make_integer_solver();
  const auto made = study(asked, test_catalog(), *solver, {.prove = false});
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().message,
            "buy.yaml: job 'tune' may run on h100_sxm, whose draw the catalogue does not know "
            "(power_w.tdp): leave it out of device_hours, or give a catalogue that knows it");

  const Study other = studied(desk() + "  - {device: tpu_v6e, rent_per_hour: 2}\n");
  ASSERT_FALSE(other.why_not.empty());
  EXPECT_NE(other.why_not.back().second.find("the draw of tpu_v6e is unknown to the catalogue"),
            std::string::npos)
      << other.why_not.back().second;
}

TEST(PlanStudy, PowerCountsEveryDeviceAtItsTdp) {
  const Study made = studied(desk());
  double devices = 0;
  for (std::size_t p = 0; p < made.pools.types.size(); ++p) {
    const PoolType& type = made.pools.types[p];
    EXPECT_EQ(type.most_w,
              type.devices * made.requirements.devices[*type.device].accelerator.tdp_w->high);
    devices += type.most_w * made.chosen.plan.replicas[p];
  }
  EXPECT_NEAR(made.chosen.plan.watts.at("here"), devices * 1.3, 1e-6);
}

constexpr char kTrain[] =
    "site: {zone: here, tariff: {currency: USD, per_kwh: 0.2}}\n"
    "jobs: [{name: tune, device_hours: {h100_sxm: 100, l40s: 300}}]\n"
    "devices:\n  - {device: h100_sxm, price: 28000}\n";

TEST(PlanStudy, ThePremiumOfOneKindOfDeviceIsNoneWhereTheChoiceIsOfOneKind) {
  const Study one = studied(desk());  // two kinds are offered
  ASSERT_EQ(one.chosen.plan.nodes.size(), 1);
  const auto same = single_kind(one);
  ASSERT_TRUE(same.has_value());
  EXPECT_TRUE(same->chosen);
  EXPECT_EQ(same->premium, 0);
  EXPECT_EQ(same->fleet, one.fleet);
  EXPECT_NE(in_words(one).find("The choice is of one kind of device."), std::string::npos);
  EXPECT_EQ(in_words(one).find("% more"), std::string::npos) << in_words(one);
  EXPECT_NE(to_json(one).find(R"("premium":0E0,"chosen":true)"), std::string::npos);

  const Study both = studied(std::string(kTrain) + "  - {device: l40s, price: 8000, stock: 12}\n");
  ASSERT_EQ(both.chosen.plan.nodes.size(), 2);
  const Study alone = studied(kTrain);
  const auto other = single_kind(both);
  ASSERT_TRUE(other.has_value());
  EXPECT_FALSE(other->chosen);
  EXPECT_NEAR(other->premium, alone.chosen.plan.total() / both.chosen.plan.total() - 1, 1e-9);
  EXPECT_GT(other->premium, 0.1);
  EXPECT_EQ(other->fleet, "5 x h100_sxm to train");
  EXPECT_FALSE(other->keeps_all.has_value());
  EXPECT_NE(single_kind_in_words(both).find("it was not simulated"), std::string::npos);
}

TEST(PlanStudy, ThePremiumSaysWhatSimulationSaysOfThatFleet) {
  Study made = studied(
      "demands: [{name: desk, model: llama-3.1-8b, rate_per_s: 1, prompt_tokens: 300, "
      "output_tokens: 50}]\ndevices: [{device: h100_sxm, price: 28000}]\n");
  Candidate other = made.candidates.front();
  other.name = "only l40s";
  other.plan.costs.maintenance += 1000;
  made.chosen.plan.nodes.clear();  // another kind than the choice
  made.candidates.push_back(other);
  const auto said = [&](long long kept) {
    made.candidates.back().proof = Proof{.whole = {{.requests = 100, .kept = kept}}};
    return single_kind_in_words(made);
  };
  EXPECT_NE(said(100).find("simulated, it keeps all that is asked"), std::string::npos);
  EXPECT_NE(said(10).find("simulated, it keeps too little"), std::string::npos);
}

TEST(PlanStudy, JobsAloneAreComparedByWhatIsOrdered) {
  const Study made = studied(std::string(kTrain) + "  - {device: l40s, price: 8000, stock: 12}\n");
  EXPECT_EQ(made.fleet, "1 x h100_sxm to train, 10 x l40s to train");
  for (const Sensitivity& of : made.sensitivity) {
    EXPECT_EQ(of.what.find("traffic"), std::string::npos) << "nobody asks for any";
    EXPECT_TRUE(!of.what.starts_with("training") || !of.same_fleet) << of.what;
  }

  EXPECT_EQ(kept_row(made.candidates[0])[3], "-") << "nothing to keep";
  EXPECT_EQ(to_html(made, "").find("million output tokens"), std::string::npos);

  // A dearer tariff buys other devices: l40s draw more for the same training.
  std::string text = kTrain;
  text.replace(text.find("h100_sxm: 100"), 13, "h100_sxm: 96");
  text.replace(text.find("l40s: 300"), 9, "l40s: 288");
  text.replace(text.find("per_kwh: 0.2"), 12, "per_kwh: 0.3");
  const Study tariff = studied(text + "  - {device: l40s, price: 8000}\n");
  EXPECT_EQ(tariff.fleet, "12 x l40s to train");
  ASSERT_EQ(tariff.why_not.size(), 1);
  EXPECT_EQ(tariff.why_not[0].second, "tune may run on it, and costs no less there");
  const auto doubled = std::find_if(tariff.sensitivity.begin(), tariff.sensitivity.end(),
                                    [](const auto& of) { return of.what == "tariff x 2"; });
  ASSERT_NE(doubled, tariff.sensitivity.end());
  EXPECT_FALSE(doubled->same_fleet);
}

TEST(PlanStudy, AnLpuThatALimitNeedsIsNotSaidToBeNeededForItsSpeed) {
  const auto with = [](const std::string& more) {
    return studied(R"(
site: {zone: here, tariff: {currency: USD, per_kwh: 0.2}}
demands:
  - {name: chat, model: llama-3.1-8b, rate_per_s: 4, prompt_tokens: 500, output_tokens: 200, ttft_s: 3, tpot_s: 20ms}
devices:
  - {device: groq_lpu_v1, price: 100, precisions: [int8], per_node: 8}
  - {device: h100_sxm, price: 40000)" +
                   more);
  };
  const Study none = with(", stock: 0}\n");
  ASSERT_EQ(none.truths.size(), 1);
  EXPECT_TRUE(none.truths[0].needs_scheduled);
  EXPECT_TRUE(none.truths[0].by_limits);
  EXPECT_NE(none.truths[0].verdict.find("a limit needs them here, and not physics"),
            std::string::npos)
      << none.truths[0].verdict;
  EXPECT_NE(in_words(none).find("GPUs would be fast enough"), std::string::npos);
  EXPECT_NE(to_json(none).find(R"("needs_lpu":true,"needs_lpu_for":"limits")"), std::string::npos);
  for (const Candidate& of : none.candidates) {
    if (of.name == "no LPU") {
      EXPECT_EQ(of.why, "not within the limits: stock of h100_sxm (0)");
    }
  }

  // Where LPUs are only cheaper, that is what is said, and by how much.
  const Study cheaper = with("}\nmoney: {maintenance: 0.9}\n");
  ASSERT_GT(cheaper.truths[0].scheduled_share, 0.5);
  EXPECT_FALSE(cheaper.truths[0].needs_scheduled);
  EXPECT_NE(cheaper.truths[0].verdict.find("could do without an LPU for "), std::string::npos)
      << cheaper.truths[0].verdict;
}

TEST(PlanStudy, OwningAgainstRentingAgreesWithWhatThePlanDoes) {
  const char* text = R"(
site: {zone: here, tariff: {currency: USD, per_kwh: 0.2}, pue: 1.5, carbon_g_per_kwh: 300}
zones: {cloud: {}}
labels: {public: {zones: any}, house: {zones: [here]}}
default_label: public
demands:
  - {name: chat, model: llama-3.1-8b, rate_per_s: 20, prompt_tokens: 500, output_tokens: 200, tpot_s: 50ms}
devices:
  - {device: l40s, price: 8000, per_node: 4}
  - {device: l40s, name: leased, rent_per_hour: 0.8, per_node: 4, zones: [cloud]}
money: {staff_per_year: 60000}
)";
  const Study made = studied(text);
  ASSERT_EQ(made.chosen.plan.capital, 0) << "it rents";
  ASSERT_EQ(made.duties.size(), 1);
  const Duty& duty = made.duties[0];
  EXPECT_EQ(duty.devices, made.chosen.plan.nodes.begin()->second * 4);
  EXPECT_NEAR(duty.leased, 0.8 * 8760, 1e-9);
  EXPECT_GT(duty.owned, duty.leased);
  EXPECT_GT(duty.owned, 8000 * (capital_recovery(0.08, 4) + 0.05) + 60000.0 / duty.devices);
  EXPECT_FALSE(duty.break_even.has_value()) << "staff alone is dearer than the rent";
  const std::string words = duty_in_words(made, duty);
  EXPECT_NE(words.find("for all 8760 hours, as the plan does"), std::string::npos) << words;
  EXPECT_NE(words.find("If rent were paid for hours of work alone"), std::string::npos) << words;
  EXPECT_EQ(words.find("Labels forbid"), std::string::npos) << words;
  // What stands in the cloud is told at the site's PUE and grid, which is said.
  const std::string zones = other_zones_in_words(made);
  EXPECT_NE(zones.find("cloud: told at here's PUE, tariff, grid, since nobody stated its own."),
            std::string::npos)
      << zones;
  EXPECT_NE(to_html(made, "").find("tariff, grid, since nobody stated"), std::string::npos);
  EXPECT_NE(to_json(made).find(R"("at_the_sites_pue_and_grid":["cloud"])"), std::string::npos);

  // Without staff the plan owns, and owning is the cheaper one here too.
  std::string free = text;
  free.erase(free.find("money:"));
  const Study owns = studied(free);
  ASSERT_GT(owns.chosen.plan.capital, 0);
  EXPECT_LT(owns.duties[0].owned, owns.duties[0].leased);
  EXPECT_TRUE(owns.duties[0].break_even.has_value());

  std::string bound = text;
  bound.replace(bound.find("default_label: public"), 21, "default_label: house");
  const Study at_home = studied(bound);
  EXPECT_EQ(at_home.duties[0].forbidden, std::vector<std::string>{"chat"});
  EXPECT_NE(duty_in_words(at_home, at_home.duties[0]).find("Labels forbid renting it for chat."),
            std::string::npos);
  EXPECT_EQ(other_zones_in_words(at_home), "");
}

TEST(PlanStudy, OwningForTrainingCountsItsHoursAndWhatItDraws) {
  const Study made = studied(R"(
site: {zone: here, tariff: {currency: USD, per_kwh: 0.2}}
jobs: [{name: tune, device_hours: {h100_sxm: 12}, between: [0, 12]}]
devices:
  - {device: h100_sxm, price: 30000}
  - {device: h100_sxm, name: leased, rent_per_hour: 30}
)");
  ASSERT_EQ(made.duties.size(), 1);
  const Duty& duty = made.duties[0];
  EXPECT_NEAR(duty.planned, 0.5, 1e-6);
  // Half a year at its TDP of 700 W.
  EXPECT_NEAR(duty.owned, 30000 * (capital_recovery(0.08, 4) + 0.05) + 0.7 * 8760 / 2 * 0.2, 1);
}

TEST(PlanStudy, CandidatesTellTheSameOfHeadroomLimitsAndWhatIsKeptEverywhere) {
  std::string text = desk();
  text.replace(text.find("price: 30000"), 12, "price: 3000, stock: 0");
  const Study made = studied(text, {});
  ASSERT_FALSE(made.candidates.empty());
  const Candidate& choice = made.candidates[0];
  ASSERT_EQ(choice.bindings.size(), 1);
  EXPECT_EQ(choice.bindings[0].limit, "stock of h100_sxm (0)");
  EXPECT_GT(choice.bindings[0].saving, 0);
  std::size_t pool = 0;
  while (choice.plan.replicas[pool] == 0)
    ++pool;
  const auto free = headroom(made.requirements, choice.types, choice.plan);
  ASSERT_TRUE(free.has_value());
  EXPECT_NEAR(*free, 1 - busy_at_peak(made.requirements, choice.types, choice.plan, pool), 1e-9);
  const std::vector<std::string> row = kept_row(choice);
  ASSERT_EQ(row.size(), 7);
  const std::string page = to_html(made, "");
  for (const std::string& cell : row)
    EXPECT_NE(page.find(cell), std::string::npos) << cell;
  EXPECT_NE(page.find(kKeptByClass), std::string::npos);
  EXPECT_NE(page.find(kKeptAtWorst), std::string::npos);
  for (const char* key : {R"("busy_at_peak":)", R"("headroom":)", R"("binding":[{"limit":"stock)"})
    EXPECT_NE(to_json(made).find(key), std::string::npos) << key;

  // Replicas that are lent have nothing free in their hours.
  Plan lent = choice.plan;
  lent.lent[pool].back() = lent.replicas[pool];
  EXPECT_EQ(headroom(made.requirements, choice.types, lent), 0);
}

TEST(PlanStudy, CandidatesNameTheOffersThatTheyAreOf) {
  const Study made = studied(desk(), {});
  const std::string json = to_json(made);
  int compared = 0;
  for (const std::string id : {"h100_sxm", "l40s"}) {
    const std::size_t at = json.find("\"name\":\"only " + id);
    if (at == std::string::npos)
      continue;  // the choice itself
    const std::size_t offer = json.find("\"offer\":\"", at);
    ASSERT_NE(offer, std::string::npos);
    EXPECT_EQ(json.substr(offer + 9, id.size()), id);
    ++compared;
  }
  EXPECT_GE(compared, 1);
}

TEST(PlanStudy, WhyNotAsksForOneReplicaAtLeast) {
  // Of a device that holds a third of what another does, one beside the others is an odd mixture.
  const Study made = studied(R"(
site: {zone: here, tariff: {currency: EUR, per_kwh: 0.2}}
demands:
  - {name: desk, model: llama-3.1-8b, rate_per_s: 6, prompt_tokens: 500, output_tokens: 200, tpot_s: 100ms}
devices:
  - {device: l4, price: 2000, per_node: 2}
  - {device: l40s, price: 8000, per_node: 2}
)");
  for (const auto& [name, why] : made.why_not) {
    for (const Candidate& of : made.candidates) {
      if (of.name != "only " + name || of.plan.outcome != Plan::Outcome::kFound)
        continue;
      const double more = of.plan.total() - made.chosen.plan.total();
      EXPECT_LE(std::stod(why.substr(why.find("plan ") + 5)), more * 1.001) << why;
      return;
    }
  }
  FAIL() << "nothing was compared";
}

TEST(PlanStudy, EnergyThatNobodyPricedIsToldToCostNothing) {
  std::string text = desk();
  EXPECT_EQ(no_tariff_in_words(requirements(text)), "");
  text.replace(text.find("tariff: {currency: EUR, per_kwh: 0.2}, "), 39, "");
  const Study made = studied(text);
  const std::string free = no_tariff_in_words(made.requirements);
  EXPECT_NE(free.find("No tariff"), std::string::npos);
  EXPECT_NE(to_html(made, "").find("No tariff is stated"), std::string::npos);
  EXPECT_NE(to_json(made).find("\"energy_is_priced\":false"), std::string::npos);
}

TEST(PlanStudy, OffersOfOneDeviceAreToldApart) {
  const auto asked = requirements(R"(
demands: [{name: desk, model: llama-3.1-8b, rate_per_s: 1, prompt_tokens: 500, output_tokens: 200}]
devices:
  - {device: l40s, price: 8000}
  - {name: used, device: l40s, price: 4000}
  - {device: l4, price: 2000}
)");
  EXPECT_EQ(apart(asked, asked.devices[1]), " (used)");
  EXPECT_EQ(apart(asked, asked.devices[2]), "");
}

TEST(PlanStudy, WhatNobodyAskedForIsNotKept) {
  EXPECT_FALSE(Kept{}.share().has_value());
  const auto asked = requirements(desk());
  const Proof proof{.whole = {Kept{}}, .failures = {}};
  EXPECT_FALSE(least_kept(asked, proof)[0].has_value());
  EXPECT_FALSE(falls_short(asked, proof)[0]);
}

TEST(PlanStudy, FreshSeedsBelowThePromiseAreTold) {
  const auto asked = requirements(desk());
  const double attain = asked.demands[0].attain;
  const auto kept = [](long long kept, long long requests) {
    return Proof{.whole = {Kept{requests, kept, {}}}, .failures = {}};
  };
  const Proof all = kept(100000, 100000);
  EXPECT_TRUE(below_promise(asked, all, kept(99100, 100000)).empty());
  const auto below = below_promise(asked, all, kept(98000, 100000));
  ASSERT_EQ(below.size(), 1U);
  EXPECT_EQ(below[0].promised, 1);
  EXPECT_EQ(below[0].kept, 0.98);
  EXPECT_FALSE(below[0].below_asked);
  const auto far = static_cast<long long>((attain - 0.02) * 100000);
  EXPECT_TRUE(below_promise(asked, all, kept(far, 100000)).at(0).below_asked);
  // Two points of fifty requests are chance.
  EXPECT_TRUE(below_promise(asked, kept(50, 50), kept(49, 50)).empty());
}

TEST(PlanStudy, EachStepIsToldBeforeItIsTaken) {
  std::vector<std::string> steps;
  StudyOptions options{.prove = false};
  options.proof.progress = [&](const std::string& what) { steps.push_back(what); };
  const Study made = studied(desk(), options);
  ASSERT_FALSE(steps.empty());
  EXPECT_EQ(steps.front(), "solving for the cheapest fleet");
  for (const Sensitivity& of : made.sensitivity)
    EXPECT_EQ(std::count(steps.begin(), steps.end(), "if " + of.what), 1) << of.what;
}

}  // namespace
}  // namespace medley::plan
