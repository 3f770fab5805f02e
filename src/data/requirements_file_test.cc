#include "data/requirements_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "data/testing_shared.h"

namespace medley::data {
namespace {

const Catalog& catalog() {
  static const auto read = read_catalog("catalog");
  EXPECT_TRUE(read.ok()) << read.error().message;
  return *read;
}

constexpr char kFile[] =
    R"(site: {zone: fra-1, tariff: {currency: EUR, per_kwh: 0.2}, pue: 1.3, power_limit_kw: 40, carbon_g_per_kwh: 350}
zones: {cloud-eu: {}, fra-1: {racks: 2}}
labels: {public: {zones: any}, internal: {zones: [fra-1]}}
accept:
  chat: {standard: [llama-3.1-70b], batch: [llama-3.1-8b]}
demands:
  - {name: desk, class: standard, model: chat, rate_per_s: 4, prompt_tokens: {median: 600, sigma: 1},
     output_tokens: 200, tpot_s: 40ms}
  - {name: nightly, class: batch, label: public, model: chat, prompt_tokens: 900, output_tokens: 90,
     rate_per_s: [1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]}
jobs:
  - {name: tune, device_hours: {h100_sxm: 40}, between: [22, 6]}
devices:
  - {device: h100_sxm, price: 30000, per_node: 8, stock: 16, per_rack: 32}
  - {device: h100_sxm, rent_per_hour: 2.9, zones: [cloud-eu]}
  - {device: groq_lpu_v1, price: [15000, 25000], precisions: [int8], per_rack: 72}
money: {interest: 0.06, useful_life_years: 5, budget: 2000000}
redundancy: node
growth: {per_year: 0.2, years: 2}
)";

std::string error(std::string text, const std::string& what = {}, const std::string& by = {}) {
  if (!what.empty()) {
    const std::size_t at = text.find(what);
    EXPECT_NE(at, std::string::npos) << what;
    text.replace(at, what.size(), by);
  }
  const auto result = parse_requirements(text, "buy.yaml", catalog());
  return result.ok() ? "" : result.error().message;
}

TEST(RequirementsFile, SaysWhatIsToBeServedAndWhatMayBeHad) {
  const auto read = parse_requirements(kFile, "buy.yaml", catalog());
  ASSERT_TRUE(read.ok()) << read.error().message;
  ASSERT_EQ(read->demands.size(), 2u);
  const Demand& desk = read->demands[0];
  EXPECT_EQ(desk.models, std::vector<std::string>{"llama-3.1-70b"});
  EXPECT_EQ(desk.targets.tpot, round_to_duration(Seconds(0.04)));
  EXPECT_EQ(desk.targets.ttft, round_to_duration(Seconds(1)));  // the class's
  EXPECT_DOUBLE_EQ(desk.attain, 0.97);
  EXPECT_DOUBLE_EQ(read->demands[1].rate_per_s[23], 1);
  EXPECT_DOUBLE_EQ(read->demands[1].rate_per_s[12], 0);
  ASSERT_EQ(read->devices.size(), 3u);
  EXPECT_EQ(read->devices[1].name, "h100_sxm-rented");
  EXPECT_EQ(read->devices[1].deal, DeviceOffer::Deal::kRent);
  EXPECT_DOUBLE_EQ(read->devices[2].price.high, 25000);
  EXPECT_EQ(read->zones.at("fra-1").racks, 2);
  EXPECT_EQ(read->zones.at("fra-1").power_limit_kw, 40);
  EXPECT_EQ(read->jobs[0].from_hour, 22);
  EXPECT_EQ(read->jobs[0].hours, 8);
  EXPECT_EQ(read->redundancy, Redundancy::kNode);
  EXPECT_NEAR(read->growth(), 1.44, 1e-12);
}

TEST(RequirementsFile, WhatCannotBeIsNamedWithItsPlace) {
  EXPECT_EQ(
      error(kFile, "rate_per_s: 4", "rate_per_s: 0"),
      "buy.yaml:7:5: demands[0]: 'desk' has no traffic in any hour: give rate_per_s above 0, or "
      "leave the demand out");
  EXPECT_EQ(
      error(kFile, "zones: [cloud-eu]}", "zones: [cloud]}"),
      "buy.yaml:15:52: devices[1].zones[0]: zone 'cloud', which is neither the site's nor under "
      "`zones`; known: cloud-eu, fra-1");
  EXPECT_NE(error(kFile, "internal: {zones: [fra-1]}", "internal: {zones: [fra-2]}")
                .find("label 'internal' allows zone 'fra-2', which is neither the site's nor under "
                      "`zones`, did you mean 'fra-1'?"),
            std::string::npos);
  EXPECT_NE(error(kFile, ", price: [15000, 25000]", "")
                .find("the price of groq_lpu_v1 is unknown to the catalogue: give `price`"),
            std::string::npos);
  EXPECT_NE(error(kFile, "price: 30000, ", "").find("is in USD: give money.per_usd"),
            std::string::npos);
  EXPECT_NE(error(kFile, "model: chat, rate", "model: chatt, rate").find("did you mean 'chat'?"),
            std::string::npos);
  EXPECT_NE(error(kFile, "class: standard", "class: flex")
                .find("accept.chat offers nothing to class flex"),
            std::string::npos);
  EXPECT_NE(error(kFile, "useful_life_years: 5", "horizon_years: 0")
                .find("money.horizon_years: expected a number from 0.1 to 50, got '0'"),
            std::string::npos);
  EXPECT_NE(error(kFile, "stock: 16", "owned: 10")
                .find("owned: 10 devices are no whole number of nodes of 8 (per_node)"),
            std::string::npos);
  EXPECT_NE(error(kFile, "stock: 16", "stock: 7")
                .find("devices[0].stock: whole nodes are bought, of 8 devices (per_node): expected "
                      "at least 8, or 0 for none"),
            std::string::npos);
  EXPECT_EQ(error(kFile, "stock: 16", "stock: 0"), "");
  EXPECT_NE(error(kFile, "redundancy: node", "redundancy: {lose: node, classes: []}")
                .find("redundancy.classes: expected at least one class"),
            std::string::npos);
  for (const char* no_currency : {"euros", "XYZQ", "eur", "'$'", "''"}) {
    EXPECT_NE(error(kFile, "currency: EUR", std::string("currency: ") + no_currency)
                  .find("site.tariff.currency: expected the three capitals of a currency, as EUR"),
              std::string::npos)
        << no_currency;
  }
  EXPECT_NE(error(kFile, "tpot_s: 40ms", "tpot_s: 40 tokens").find("expected a duration"),
            std::string::npos);
  EXPECT_NE(error(kFile, "device: groq_lpu_v1", "device: tpu_v6e").find("can only be rented"),
            std::string::npos);
  EXPECT_NE(error(kFile, "stock: 16", "stok: 16").find("did you mean 'stock'?"), std::string::npos);
  EXPECT_NE(error(kFile, "price: [15000, 25000]", "price: [25000, 15000]")
                .find("devices[2].price: a range begins with its low end: write [15000, 25000]"),
            std::string::npos);
  EXPECT_EQ(error("site: {zone: a}\n"),
            "buy.yaml:1:1: missing key 'demands': who asks, how often, for what");
}

TEST(RequirementsFile, ZonesAreThoseOfTheFileAndRacksCountEveryDevice) {
  const std::string demand =
      "demands: [{name: a, model: llama-3.1-8b, rate_per_s: 1, prompt_tokens: 5, output_tokens: "
      "5}]\n"
      "devices: [{device: h100_sxm, price: 30000}]\n";
  // Without `zones` there is the site's.
  EXPECT_NE(error("site: {zone: here}\nlabels: {own: {zones: [hree]}}\n" + demand)
                .find("label 'own' allows zone 'hree'"),
            std::string::npos);
  EXPECT_NE(error("site: {zone: here}\nzones: {here: {racks: 0}}\n" + demand)
                .find("give h100_sxm per_rack"),
            std::string::npos);
}

TEST(RequirementsFile, WhatNoProgramCanCarryIsRefusedWhereItStands) {
  const std::vector<std::array<std::string, 3>> cases = {
      {"price: 30000", "price: 1e308",
       "devices[0].price: expected a number from 0 to 1000000000000, got '1e308'"},
      {"budget: 2000000", "budget: 1e300",
       "money.budget: expected a number from 0 to 1000000000000"},
      {"useful_life_years: 5", "useful_life_years: 1e-300",
       "money.useful_life_years: expected a number from 0.1 to 50, got '1e-300'"},
      {"tpot_s: 40ms", "tpot_s: 1e-12", "demands[0].tpot_s: expected a duration from 1e-06"},
      {"tpot_s: 40ms", "tpot_s: 1e308", "demands[0].tpot_s: expected a duration from 1e-06"},
      {"rate_per_s: 4", "rate_per_s: 1e-300",
       "'desk' asks 1e-300 times a second in its busiest hour: expected 1e-15 to 1e+06"},
      {"rate_per_s: 4", "rate_per_s: 1000000, scale: 2", "'desk' asks 2e+06 times a second"},
      {"per_node: 8", "per_node: 8, widths: [1, 2, 2]",
       "devices[0].widths[2]: '2' stands in the list already"},
      {"per_node: 8", "per_node: 8, widths: []", "devices[0].widths: expected at least one width"},
      {"precisions: [int8]", "precisions: [int8, int8]", "'int8' stands in the list already"},
      {"zones: [cloud-eu]}", "zones: [cloud-eu, cloud-eu]}",
       "'cloud-eu' stands in the list already"},
      {"per_rack: 32", "per_rack: 4",
       "devices[0].per_rack: a node of 8 devices (per_node) does not fit a rack of 4"},
      {"price: 30000", "price: unknown",
       "devices[0].price: expected a price as 30000, or the range"},
      {"price: 30000", "price: [1, 2, 3]", "expected a price as 30000, or the range it lies in"},
      {"power_limit_kw: 40", "power_limit_kw: 40 kW",
       "site.power_limit_kw: expected a number above 0, got '40 kW': write the number alone"},
      {"price: 30000", "price: 30k", "got '30k': write the number alone, its unit is the key's"}};
  for (const auto& [what, by, message] : cases)
    EXPECT_NE(error(kFile, what, by).find(message), std::string::npos)
        << by << ": " << error(kFile, what, by);
  // Without `zones`, too, a label names places that there are.
  EXPECT_NE(error("labels: {secret: {zones: [mars]}}\ndefault_label: secret\n")
                .find("label 'secret' allows zone 'mars', which is neither the site's nor under "),
            std::string::npos);
  EXPECT_EQ(error(kFile, "interest: 0.06", "interest: 1e-17"), "");
}

TEST(RequirementsFile, WhatComesAfterTheHorizonIsRefused) {
  const std::string file =
      "money: {horizon_years: 0.5}\ndemands: [{name: desk, model: llama-3.1-8b, rate_per_s: 1, "
      "prompt_tokens: 10, output_tokens: 10}]\n"
      "devices:\n  - {device: h100_sxm, price: 1, lead_weeks: 26}\n";
  EXPECT_TRUE(parse_requirements(file, "buy.yaml", catalog()).ok());
  const std::string said = error(file, "lead_weeks: 26", "lead_weeks: 60");
  EXPECT_NE(said.find("devices[0].lead_weeks: what comes in 60 weeks is of no use, since the "
                      "horizon ends after 26.07 (money.horizon_years: 0.5)"),
            std::string::npos)
      << said;
}

TEST(RequirementsFile, ARecordMayTakeThePlaceOfDemands) {
  EXPECT_TRUE(parse_requirements("money: {per_usd: 0.9}\n", "buy.yaml", catalog(),
                                 Completeness::kWithoutDemands)
                  .ok());
  EXPECT_FALSE(parse_requirements("money: {per_usd: 0}\n", "buy.yaml", catalog(),
                                  Completeness::kWithoutDemands)
                   .ok());
}

TEST(RequirementsFile, AZoneStatesItsOwnEnergyOrHasTheSites) {
  const std::string file =
      "site: {zone: here, tariff: {currency: EUR, per_kwh: 0.2}, pue: 1.3, carbon_g_per_kwh: 300}\n"
      "zones: {edge: {pue: 1.1, tariff: {per_kwh: 0.1}, carbon_g_per_kwh: 50, jurisdiction: "
      "{place: AT}}, bare: {}}\n"
      "jobs: [{name: tune, device_hours: {h100_sxm: 40}}]\n"
      "devices: [{device: h100_sxm, price: 1}]\n";
  const auto read = parse_requirements(file, "buy.yaml", catalog());
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->pue("edge"), 1.1);
  EXPECT_EQ(read->tariff_per_kwh("edge")[7], 0.1);
  EXPECT_EQ((*read->carbon_g_per_kwh("edge"))[7], 50);
  EXPECT_EQ(read->zones.at("edge").jurisdiction->place, "AT");
  for (const char* zone : {"here", "bare"}) {
    EXPECT_EQ(read->pue(zone), 1.3);
    EXPECT_EQ(read->tariff_per_kwh(zone)[7], 0.2);
    EXPECT_EQ((*read->carbon_g_per_kwh(zone))[7], 300);
  }
  const std::tuple<std::string, std::string, std::string> cases[] = {
      {"bare: {}", "here: {pue: 1.2}", "zones.here.pue: the site states its own, under `site`"},
      {"pue: 1.1", "pue: 0.9", "zones.edge.pue: expected a number from 1"},
      {"{per_kwh: 0.1}", "{currency: USD, per_kwh: 0.1}",
       "zones.edge.tariff.currency: money is counted in the site's: leave it out"},
      {"{per_kwh: 0.1}", "[0.1, 0.2]", "expected one number, or 24 for the hours of the day"}};
  for (const auto& [what, by, message] : cases) {
    const std::string said = error(file, what, by);
    EXPECT_NE(said.find(message), std::string::npos) << by << ": " << said;
  }
}

TEST(RequirementsFile, AJobIsDoneOnceOrComesBack) {
  const auto job = [](const std::string& days) {
    const auto read = parse_requirements("jobs:\n  - {name: tune, device_hours: {h100_sxm: 40}" +
                                             days + "}\ndevices: [{device: h100_sxm, price: 1}]\n",
                                         "buy.yaml", catalog());
    EXPECT_TRUE(read.ok()) << (read.ok() ? "" : read.error().message);
    return read->jobs[0];
  };
  EXPECT_EQ(job("").every_days, 1);
  EXPECT_EQ(job("").deadline_days, 1);
  EXPECT_EQ(job("").gang, 0);
  const TrainingJob once = job(", deadline_days: 14, start_day: 3, gang: 8, between: [22, 6]");
  EXPECT_TRUE(once.once());
  EXPECT_EQ(once.start_day, 3);
  EXPECT_EQ(once.gang, 8);
  EXPECT_EQ(once.hours_to_deadline(), 14 * 8);
  EXPECT_EQ(once.runs_a_year(), 1);
  EXPECT_EQ(job(", every_days: 5").deadline_days, 5);
  EXPECT_EQ(job(", every_days: 5, deadline_days: 2").runs_a_year(), 73);

  const std::string file =
      "jobs:\n  - {name: tune, device_hours: {h100_sxm: 40}, every_days: 5}\n"
      "devices: [{device: h100_sxm, price: 1}]\n";
  const std::tuple<std::string, std::string> cases[] = {
      {"every_days: 5, deadline_days: 6",
       "jobs[0].deadline_days: a run that may take 6 days is not done when the next one comes, "
       "every 5 days: write 5 at most"},
      {"every_days: 5, start_day: 2",
       "jobs[0].start_day: is of a job that is done once: give deadline_days and no every_days"},
      {"start_day: 2", "is of a job that is done once"},
      {"deadline_days: 300, start_day: 100",
       "jobs[0].deadline_days: a plan is of 365 days: day 100 and 300 more are beyond them"},
      {"deadline_days: 1.5", "jobs[0].deadline_days: expected a whole number"},
      {"gang: 0", "jobs[0].gang: "},
      {"every_days: 0", "jobs[0].every_days: "}};
  for (const auto& [by, message] : cases) {
    const std::string said = error(file, "every_days: 5", by);
    EXPECT_NE(said.find(message), std::string::npos) << by << ": " << said;
  }
}

TEST(RequirementsFile, ATraceGivesRatesAndLengths) {
  const std::string folder = own_temporary("requirements");
  std::filesystem::create_directories(folder);
  {
    std::ofstream out(folder + "/day.csv");
    out << "arrived_s,prompt_tokens,output_tokens\n";
    for (int i = 0; i <= 100; ++i)
      out << i << "," << 100 + i << ",50\n";
  }
  const auto read = parse_requirements(
      "demands:\n  - {name: a, model: llama-3.1-8b, trace: {path: " + folder +
          "/day.csv}, scale: 2}\ndevices:\n  - {device: h100_sxm, price: 30000}\n",
      "buy.yaml", catalog());
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_NEAR(read->demands[0].rate_per_s[7], 2.02, 1e-9);
  EXPECT_NEAR(mean_of(read->demands[0].prompt_tokens), 150, 2);
  EXPECT_EQ(mean_of(read->demands[0], true), 50);
}

TEST(RequirementsFile, MeansAreThoseOfTheLawsThatAreDrawnFrom) {
  EXPECT_NEAR(mean_of(LengthLaw{.median = 100, .sigma = 1}), 100 * std::exp(0.5), 0.5);
  // Cut at its maximum: half of the numbers are 100.
  EXPECT_LT(mean_of(LengthLaw{.median = 100, .sigma = 1, .max = 100}), 80);
  Demand demand;
  demand.prompt_tokens = {.median = 100, .sigma = 1};
  demand.output_tokens = {{100, {.median = 10}}, {0, {.median = 30}}};
  EXPECT_NEAR(mean_of(demand, true), 20, 0.2);
}

}  // namespace
}  // namespace medley::data
