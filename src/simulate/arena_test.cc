#include "simulate/arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <mutex>
#include <set>

#include "simulate/bound.h"
#include "simulate/workload.h"

namespace medley::simulate {
namespace {

const data::Catalog& catalog() {
  static const auto read = data::read_catalog("catalog");
  EXPECT_TRUE(read.ok()) << read.error().message;
  return *read;
}

// Enough for one replica at load 1, too much at load 4.
data::Scenario scenario(const std::string& workload = "requests: 300, rate_per_s: 4") {
  auto read = data::parse_scenario(
      "name: two <cards>\npools:\n"
      "  - {name: a, device: h100_sxm, model: llama-3.1-8b}\n"
      "  - {name: b, device: l4, model: llama-3.1-8b, precision: fp8}\n"
      "site: {tariff: {currency: USD, per_kwh: 0.2}}\n"
      "workload: {" +
          workload +
          ", prompt_tokens: {median: 800, sigma: 1, max: 8000}, output_tokens: 150}\n"
          "mix: {classes: {standard: 0.7, flex: 0.3}}\n",
      "run.yaml", catalog());
  EXPECT_TRUE(read.ok()) << (read.ok() ? "" : read.error().message);
  return read.ok() ? std::move(read).value() : data::Scenario{};
}

Arena arena_of(const data::Scenario& of, const ArenaOptions& options) {
  auto made = run_arena(of, options);
  EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().message);
  return made.ok() ? std::move(made).value() : Arena{};
}

const ArenaOptions kOptions{
    .policies = {PlacementKind::kLeastOutstanding, PlacementKind::kRoundRobin},
    .loads = {4, 1},
    .seeds = {11, 12, 13}};

TEST(Arena, PutsAnErrorUponForecastsAndSaysSo) {
  ArenaOptions options = kOptions;
  options.policies = {PlacementKind::kMedley, PlacementKind::kRoundRobin};
  const Arena exact = arena_of(scenario(), options);
  options.prediction_error = 0.5;
  const Arena wrong = arena_of(scenario(), options);
  EXPECT_NE(exact.run(0, 0, 0).net_value, wrong.run(0, 0, 0).net_value);
  EXPECT_EQ(exact.run(1, 0, 0).net_value, wrong.run(1, 0, 0).net_value);  // predicts nothing
  const boost::json::value told = boost::json::parse(to_json(wrong));
  EXPECT_EQ(told.at(0).at("prediction_error").as_double(), 0.5);
  EXPECT_NE(to_html(wrong, "medley").find("error of 50.0 %"), std::string::npos);
  EXPECT_EQ(to_html(exact, "medley").find("error of"), std::string::npos);
}

TEST(Arena, TellsTrueLengthsToAPolicyThatIsToKnowThem) {
  ArenaOptions options = kOptions;
  PlacementPolicy told;
  told.knows_lengths = true;
  options.policies = {PlacementKind::kMedley, told};
  const Arena arena = arena_of(scenario("requests: 600, rate_per_s: 30"), options);
  EXPECT_NE(arena.run(0, 0, 0).joules, arena.run(1, 0, 0).joules);
}

TEST(Arena, LosesNothingWhereTheCoreHearsLate) {
  ArenaOptions options = kOptions;
  options.policies = {PlacementKind::kMedley, PlacementKind::kRoundRobin};
  const Arena live = arena_of(scenario(), options);
  options.heard_every = std::chrono::seconds(1);
  const Arena late = arena_of(scenario(), options);
  EXPECT_NE(live.run(0, 0, 0).net_value, late.run(0, 0, 0).net_value);
  EXPECT_EQ(late.run(0, 0, 0).requests, 300);
  // Round robin asks nobody how they are.
  EXPECT_EQ(live.run(1, 0, 0).net_value, late.run(1, 0, 0).net_value);
  EXPECT_EQ(boost::json::parse(to_json(late)).at(0).at("heard_every_s").to_number<double>(), 1);
}

TEST(Arena, ComesOutTheSameWhateverTheNumberOfThreads) {
  ArenaOptions options = kOptions;
  options.threads = 1;
  const Arena one = arena_of(scenario(), options);
  options.threads = 5;
  const Arena five = arena_of(scenario(), options);
  EXPECT_EQ(to_json(one), to_json(five));
  EXPECT_EQ(to_html(one, "medley"), to_html(five, "medley"));
  ASSERT_EQ(one.runs.size(), 12u);
  for (std::size_t i = 0; i < one.runs.size(); ++i) {
    EXPECT_EQ(one.runs[i].value_kept, five.runs[i].value_kept);
    EXPECT_EQ(one.runs[i].joules, five.runs[i].joules);
  }
}

TEST(Arena, RunsWhatSimulateRuns) {
  const Arena arena = arena_of(scenario(), kOptions);
  data::Scenario alone = scenario("requests: 300, rate_per_s: 16");
  alone.seed = 12;
  alone.fleet.placement = PlacementKind::kRoundRobin;
  const auto models = make_models(alone.fleet);
  const SimulationResult result =
      simulate(alone.fleet, *models, *make_arrivals(alone), {}, {.seed = 12});
  const Report report = make_report("", alone.fleet, result);
  const ArenaFigures& run = arena.run(1, 0, 1);
  EXPECT_EQ(run.requests, 300);
  EXPECT_EQ(run.kept, report.kept);
  EXPECT_EQ(run.net_value, report.net_value());
  EXPECT_EQ(run.money, report.money);
  EXPECT_EQ(run.value_goodput(), report.value_goodput().value());
}

TEST(Arena, PutsPoliciesSideBySide) {
  const Arena arena = arena_of(scenario(), kOptions);
  const std::vector<Standing> all = standings(arena);
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[1].policy, 1u);
  EXPECT_EQ(all[1].load, 0u);
  double sum = 0, squares = 0, kept = 0, money = 0;
  std::vector<double> differences;
  for (std::size_t seed = 0; seed < 3; ++seed) {
    const ArenaFigures& run = arena.run(1, 0, seed);
    sum += run.value_goodput();
    kept += static_cast<double>(run.kept);
    money += run.money;
    differences.push_back(run.value_goodput() - arena.run(0, 0, seed).value_goodput());
  }
  for (std::size_t seed = 0; seed < 3; ++seed)
    squares += std::pow(arena.run(1, 0, seed).value_goodput() - sum / 3, 2);
  EXPECT_NEAR(all[1].value_goodput.mean, sum / 3, 1e-12);
  EXPECT_NEAR(all[1].value_goodput.margin.value(), 4.303 * std::sqrt(squares / 2 / 3), 1e-12);
  EXPECT_NEAR(all[1].money_per_good.value(), money / kept, 1e-12);
  EXPECT_EQ(all[1].ahead_of_first->mean, estimate(differences).mean);
  EXPECT_EQ(all[1].ahead_of_first->margin, estimate(differences).margin);
  EXPECT_FALSE(all[0].ahead_of_first.has_value());
  EXPECT_GT(all[2].value_goodput.mean, all[0].value_goodput.mean) << "load 4 is heavier than 1";
  EXPECT_FALSE(all[0].attainment[index_of(ServiceClass::kBatch)].has_value());
  EXPECT_GT(all[0].attainment[index_of(ServiceClass::kFlex)].value(), 0);
  EXPECT_FALSE(all[0].share_of_bound || all[0].bound_gap);
}

TEST(Arena, HoldsRunsAgainstABound) {
  ArenaOptions options = kOptions;
  std::mutex lock;
  std::vector<double> rates;
  options.bound = [&](const Fleet&, const perf::PerfModel&, const std::vector<Arrival>& arrivals) {
    const std::lock_guard guard(lock);
    rates.push_back(300 / to_seconds(arrivals.back().request.arrived_at).value());
    return NetValueBound{.net_value = 2, .gap = 0.01};
  };
  std::size_t last = 0;
  options.progress = [&](std::size_t done, std::size_t all) {
    EXPECT_EQ(done, last + 1);
    EXPECT_EQ(all, 18u);
    last = done;
  };
  const Arena arena = arena_of(scenario(), options);
  EXPECT_EQ(last, 18u);
  EXPECT_EQ(rates.size(), 6u) << "once a load and seed, not for every policy";
  EXPECT_EQ(std::count_if(rates.begin(), rates.end(), [](double rate) { return rate > 8; }), 3);
  const Standing standing = standings(arena)[3];
  double sum = 0;
  for (std::size_t seed = 0; seed < 3; ++seed)
    sum += arena.run(1, 1, seed).net_value / 2;
  EXPECT_NEAR(standing.share_of_bound.value(), sum / 3, 1e-12);
  EXPECT_NEAR(standing.bound_gap.value(), 0.01, 1e-12);
  std::vector<double> differences;
  for (std::size_t seed = 0; seed < 3; ++seed)
    differences.push_back((arena.run(1, 1, seed).net_value - arena.run(0, 1, seed).net_value) / 2);
  EXPECT_NEAR(standing.share_ahead_of_first->mean, estimate(differences).mean, 1e-12);
  EXPECT_NEAR(*standing.share_ahead_of_first->margin, *estimate(differences).margin, 1e-12);
  EXPECT_FALSE(standings(arena)[2].share_ahead_of_first)
      << "the first policy's difference to itself";
  EXPECT_NE(to_html(arena, "medley").find("Share of the bound"), std::string::npos);
}

TEST(Arena, SaysHowFarTheBoundMayComeDown) {
  ArenaOptions options = kOptions;
  options.bound = [](const Fleet&, const perf::PerfModel&, const std::vector<Arrival>&) {
    return NetValueBound{.net_value = 2, .gap = 0.0123};
  };
  EXPECT_NE(
      to_html(arena_of(scenario(), options), "medley").find("1.2 % at load 4, 1.2 % at load 1"),
      std::string::npos);
}

TEST(Arena, FindsTheLoadAtWhichTheBoundKeepsNearlyAll) {
  const auto found = find_load_one(scenario(), 11);
  ASSERT_TRUE(found.ok());
  EXPECT_GT(*found, 1);
  const auto kept_at = [](double load) {
    const auto at_load = scenario_at(scenario(), load, 11);
    const auto models = make_models(at_load->fleet);
    return bound(at_load->fleet, *models, *make_arrivals(*at_load), {.count_costs = false}).share();
  };
  EXPECT_GE(kept_at(*found), kLoadOneShare);
  EXPECT_LT(kept_at(*found * 1.02), kLoadOneShare);
  // Its own factor goes by how dense the scenario is.
  const auto denser = find_load_one(scenario("requests: 300, rate_per_s: 8"), 11);
  EXPECT_NEAR(*denser, *found / 2, 0.02 * *found);

  ArenaOptions options = kOptions;
  options.load_one = *found;
  const Arena arena = arena_of(scenario(), options);
  EXPECT_EQ(boost::json::parse(to_json(arena)).at(0).at("load_one").to_number<double>(), *found);
  EXPECT_NE(to_html(arena, "medley").find("Load one"), std::string::npos);
}

TEST(Arena, SetsWhatStandsAtOneLoadBesideOneAnother) {
  ArenaOptions options = kOptions;
  options.loads = {1};
  const std::string html = to_html(arena_of(scenario(), options), "medley");
  std::set<std::string> places;  // of the dots of the first picture
  const std::string picture =
      html.substr(html.find("<svg"), html.find("</svg>") - html.find("<svg"));
  const std::string start = " cx=\"";
  for (std::size_t at = picture.find(start); at != std::string::npos;
       at = picture.find(start, at + 1))
    places.insert(picture.substr(at, picture.find('"', at + start.size()) - at));
  EXPECT_EQ(places.size(), 2u);
}

TEST(Arena, AnswersAnArrayOfJson) {
  ArenaOptions options = kOptions;
  options.seeds = {11};
  const boost::json::value all = boost::json::parse(to_json(arena_of(scenario(), options)));
  ASSERT_EQ(all.as_array().size(), 4u);
  const boost::json::object& first = all.as_array()[0].as_object();
  EXPECT_EQ(first.at("policy"), "least_outstanding");
  EXPECT_EQ(first.at("load").to_number<double>(), 4);
  EXPECT_EQ(first.at("seeds"), boost::json::array{11});
  EXPECT_TRUE(first.at("value_goodput").at("mean").is_number());
  EXPECT_TRUE(first.at("value_goodput").at("low").is_null()) << "one seed tells no interval";
  EXPECT_EQ(first.at("attainment").as_object().size(), 2u);
  EXPECT_EQ(first.at("token_windows").at("admitted"), 0) << "no device is scheduled";
  for (const char* key : {"dollars_per_good", "joules_per_good"})
    EXPECT_TRUE(first.at(key).is_number()) << key;
  for (const char* key : {"share_of_bound", "bound_gap", "ahead_of_first", "share_ahead_of_first"})
    EXPECT_TRUE(first.at(key).is_null()) << key;
  const boost::json::object& second = all.as_array()[1].as_object();
  EXPECT_TRUE(second.at("ahead_of_first").at("mean").is_number());
  EXPECT_TRUE(second.at("share_ahead_of_first").is_null()) << "no bound is known";
}

TEST(Arena, DrawsAPageWithoutScripts) {
  const std::string html = to_html(arena_of(scenario(), kOptions), "medley simulate x <y>");
  for (const char* part :
       {"Policies compared: two &lt;cards&gt;", "medley simulate x &lt;y&gt;",
        "Value goodput against load", "Against least_outstanding", ">flex</text>",
        "USD per good request", "Joules per good request", "class=\"whisker", "11 to 13"})
    EXPECT_NE(html.find(part), std::string::npos) << part;
  EXPECT_EQ(html.find("<script"), std::string::npos);
  EXPECT_EQ(html.find("http"), std::string::npos);
  EXPECT_EQ(html.find("Share of the bound"), std::string::npos) << "none is known";
}

TEST(Arena, SaysWhatALoadMakesImpossible) {
  ArenaOptions options = kOptions;
  options.loads = {1, 1e3};
  const auto made = run_arena(scenario("requests: 10, rate_per_s: 2000"), options);
  ASSERT_FALSE(made.ok());
  EXPECT_NE(made.error().message.find("run.yaml at load"), std::string::npos)
      << made.error().message;
}

}  // namespace
}  // namespace medley::simulate
