#include "cli/plan_usage.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

#include "cli/plan_requirements.h"
#include "cli/table.h"
#include "data/fleet_file.h"
#include "data/json.h"
#include "lpu/chip/pool_schedule.h"
#include "plan/replan.h"
#include "plan/study_json.h"

namespace medley::cli {
namespace {

namespace json = boost::json;
using plan::Plan, plan::Replan;

int complain(const Error& error, std::FILE* err) {
  fmt::print(err, "medley plan: {}\n", printable(error.message));
  return error.code == ErrorCode::kUnavailable ? 1 : 2;
}

std::string percent(double share) { return fmt::format("{:.2f} %", share * 100); }

std::string money_text(double value) {
  if (std::abs(value) >= 1e6)
    return fmt::format("{:.3f}M", value / 1e6);
  return std::abs(value) >= 1e4 ? fmt::format("{:.1f}k", value / 1e3)
                                : fmt::format("{:.0f}", value);
}

std::optional<double> recorded_share(const data::UsageKind& kind) {
  return kind.judged() > 0
             ? std::optional(static_cast<double>(kind.kept) / static_cast<double>(kind.judged()))
             : std::nullopt;
}

double busiest(const data::Demand& demand) {
  return *std::max_element(demand.rate_per_s.begin(), demand.rate_per_s.end());
}

// "22 to 7 h".
std::string hours_text(const Replan::Quiet& quiet) {
  return fmt::format("{} to {} h", quiet.from_hour, (quiet.from_hour + quiet.hours) % 24);
}

void print_pools(const Replan& of, std::FILE* out) {
  Table table({{"pool"},
               {"device"},
               {"zone"},
               {"now", Align::kRight},
               {"planned", Align::kRight},
               {"observed / model", Align::kRight},
               {"do"}});
  for (const Replan::Change& change : of.changes) {
    const plan::PoolType& type = of.pools.types[change.type];
    std::string what = change.what;
    if (of.quiet && of.quiet->off[change.type] > 0)
      what += fmt::format("; {} off from {}", of.quiet->off[change.type], hours_text(*of.quiet));
    table.add_row(
        {printable(type.pool.name),
         type.service ? "rented service" : fmt::format("{} x {}", type.devices, type.pool.device),
         printable(type.pool.zone), std::to_string(change.now), std::to_string(change.then),
         type.standing
             ? fmt::format("x {:.2f}", of.usage.requirements.standing[*type.standing].slower)
             : "-",
         printable(what)});
  }
  fmt::print(out, "{}\n", table.text());
}

void print_demands(const Replan& of, std::FILE* out) {
  Table table({{"demand"},
               {"requests", Align::kRight},
               {"busiest/s", Align::kRight},
               {"prompt", Align::kRight},
               {"answer", Align::kRight},
               {"asked", Align::kRight},
               {"recorded", Align::kRight},
               {"as it stands", Align::kRight},
               {"planned", Align::kRight},
               {"worst failure", Align::kRight}});
  const data::Requirements& requirements = of.usage.requirements;
  for (std::size_t g = 0; g < requirements.demands.size(); ++g) {
    const data::Demand& demand = requirements.demands[g];
    const data::UsageKind& kind = of.usage.recorded[g];
    const auto recorded = recorded_share(kind);
    table.add_row(
        {printable(demand.name), std::to_string(kind.arrived),
         fmt::format("{:.3g}", busiest(demand)), fmt::format("{:.0f}", kind.prompt_tokens.mean()),
         fmt::format("{:.0f}", kind.output_tokens.mean()), percent(demand.attain),
         recorded ? percent(*recorded) : "unknown",
         of.standing_proof ? plan::kept_text(of.standing_proof->whole[g]) : "-",
         of.planned.proof.whole.empty() ? "-" : plan::kept_text(of.planned.proof.whole[g]),
         plan::worst_failure_text(requirements, of.planned.proof, g)});
  }
  fmt::print(out, "{}\n", table.text());
}

void print_costs(const Replan& of, std::FILE* out) {
  const data::Requirements& requirements = of.usage.requirements;
  const std::string& currency = requirements.frame.site.currency;
  Table table({{"a year"},
               {currency, Align::kRight},
               {"new capital", Align::kRight},
               {"upkeep", Align::kRight},
               {"rented", Align::kRight},
               {"energy", Align::kRight},
               {"MWh", Align::kRight},
               {"t CO2", Align::kRight}});
  const auto row = [&](const std::string& name, const Plan& plan) {
    if (plan.outcome != Plan::Outcome::kFound) {
      table.add_row({name, "-", "-", "-", "-", "-", "-", "-"});
      return;
    }
    const plan::Costs& costs = plan.costs;
    table.add_row(
        {name, money_text(plan.total()), money_text(plan.capital),
         money_text(costs.maintenance + costs.staff), money_text(costs.rent + costs.metered),
         money_text(costs.energy), fmt::format("{:.1f}", plan.kwh / 1000),
         carbon_is_known(requirements, plan) ? fmt::format("{:.1f}", plan.carbon_kg / 1000)
                                             : "unknown"});
  };
  row("as it stands", of.standing);
  row("planned", of.planned.plan);
  fmt::print(out, "{}", table.text());
  if (of.standing.outcome != Plan::Outcome::kFound) {
    fmt::print(out,
               "As it stands the fleet is not enough for the load recorded, or not within the "
               "limits, by the step models.\n");
  }
  if (of.quiet) {
    fmt::print(out,
               "Off from {}: {:.1f} MWh and {} {} a year less, not in the table; every promise is "
               "kept in simulation of these hours. Nothing switches by itself.\n",
               hours_text(*of.quiet), of.quiet->kwh / 1000, money_text(of.quiet->money), currency);
  }
  fmt::print(out, "Recorded: {} on {} day{}",
             of.usage.hours < 1 ? fmt::format("{:.0f} s", of.usage.hours * 3600)
                                : fmt::format("{:.1f} h", of.usage.hours),
             of.usage.days, of.usage.days == 1 ? "" : "s");
  if (of.usage.kwh)
    fmt::print(out, "; {:.3g} kWh of requests alone", *of.usage.kwh);
  if (of.usage.money)
    fmt::print(out, ", {:.3g} {}", *of.usage.money, currency);
  fmt::print(out, "\n");
}

json::value number_or_null(const std::optional<double>& value) {
  return value ? json::value(*value) : json::value();
}

json::value plan_json(const data::Requirements& requirements, const Plan& plan) {
  if (plan.outcome != Plan::Outcome::kFound)
    return nullptr;
  return json::object{
      {"a_year", plan.total()},
      {"capital", plan.capital},
      {"maintenance", plan.costs.maintenance},
      {"staff", plan.costs.staff},
      {"rent", plan.costs.rent},
      {"metered", plan.costs.metered},
      {"energy", plan.costs.energy},
      {"kwh", plan.kwh},
      {"carbon_kg",
       carbon_is_known(requirements, plan) ? json::value(plan.carbon_kg) : json::value()}};
}

std::string to_json(const Replan& of) {
  const data::Requirements& requirements = of.usage.requirements;
  json::array pools, demands, notes;
  for (const Replan::Change& change : of.changes) {
    const plan::PoolType& type = of.pools.types[change.type];
    pools.push_back(json::object{
        {"pool", type.pool.name},
        {"device", type.pool.device},
        {"devices", type.devices},
        {"model", type.pool.model.id},
        {"zone", type.pool.zone},
        {"now", change.now},
        {"planned", change.then},
        {"do", change.what},
        {"observed_by_model",
         type.standing ? json::value(requirements.standing[*type.standing].slower) : json::value()},
        {"off_in_quiet_hours", of.quiet ? of.quiet->off[change.type] : 0}});
  }
  for (std::size_t g = 0; g < requirements.demands.size(); ++g) {
    const data::Demand& demand = requirements.demands[g];
    const data::UsageKind& kind = of.usage.recorded[g];
    demands.push_back(json::object{
        {"demand", demand.name},
        {"class", kind.service_class},
        {"label", kind.label},
        {"model", kind.model},
        {"requests", kind.arrived},
        {"rate_per_s", json::array(demand.rate_per_s.begin(), demand.rate_per_s.end())},
        {"prompt_tokens_mean", kind.prompt_tokens.mean()},
        {"output_tokens_mean", kind.output_tokens.mean()},
        {"gap_cv", demand.gap_cv},
        {"asked", demand.attain},
        {"recorded", number_or_null(recorded_share(kind))},
        {"as_it_stands",
         of.standing_proof ? number_or_null(of.standing_proof->whole[g].share()) : json::value()},
        {"planned", of.planned.proof.whole.empty()
                        ? json::value()
                        : number_or_null(of.planned.proof.whole[g].share())}});
  }
  for (const std::string& note : of.usage.notes)
    notes.push_back(json::string(note));
  json::value quiet;
  if (of.quiet) {
    quiet = json::object{{"from_hour", of.quiet->from_hour},
                         {"hours", of.quiet->hours},
                         {"kwh_a_year", of.quiet->kwh},
                         {"money_a_year", of.quiet->money}};
  }
  return data::json_text(json::object{{"schema", 1},
                                      {"currency", requirements.frame.site.currency},
                                      {"hours_recorded", of.usage.hours},
                                      {"days_recorded", of.usage.days},
                                      {"kwh_recorded", number_or_null(of.usage.kwh)},
                                      {"money_recorded", number_or_null(of.usage.money)},
                                      {"worth_changing", of.worth_it},
                                      {"agreed", of.planned.agreed},
                                      {"pools", std::move(pools)},
                                      {"demands", std::move(demands)},
                                      {"as_it_stands", plan_json(requirements, of.standing)},
                                      {"planned", plan_json(requirements, of.planned.plan)},
                                      {"quiet_hours", std::move(quiet)},
                                      {"unknown", std::move(notes)}});
}

void print_notes(const plan::Usage& usage, std::FILE* out) {
  if (usage.notes.empty())
    return;
  fmt::print(out, "\nUnknown or assumed:\n");
  for (const std::string& note : usage.notes)
    fmt::print(out, "  {}\n", printable(note));
}

}  // namespace

int run_plan_usage(const PlanUsageOptions& options, std::FILE* out, std::FILE* err) {
  const Result<data::Catalog> catalog = data::read_catalog(
      options.catalog.empty() ? data::default_catalog_folder() : options.catalog);
  if (!catalog.ok())
    return complain(catalog.error(), err);
  plan::UsageInput input{options.usage, options.fleet, {}, {}, {}};
  auto fleet = data::read_fleet(options.fleet, *catalog, {.resolve_secrets = false});
  if (!fleet.ok())
    return complain(fleet.error(), err);
  if (const Status scheduled = lpu::chip::schedule_pools(*fleet, catalog->folder());
      !scheduled.ok())
    return complain(scheduled.error(), err);
  input.fleet = *std::move(fleet);
  if (!options.asked.empty()) {
    auto asked =
        data::read_requirements(options.asked, *catalog, data::Completeness::kWithoutDemands);
    if (!asked.ok())
      return complain(asked.error(), err);
    input.asked = *std::move(asked);
  }
  auto spans = data::read_usage(options.usage);
  if (!spans.ok())
    return complain(spans.error(), err);
  input.spans = *std::move(spans);
  auto usage = plan::requirements_of(input, *catalog);
  if (!usage.ok())
    return complain(usage.error(), err);
  const Result<Replan> made = plan::replan(*std::move(usage), *catalog, {});
  if (!made.ok())
    return complain(made.error(), err);
  const Plan& planned = made->planned.plan;
  if (planned.outcome == Plan::Outcome::kUnknown) {
    fmt::print(err, "medley plan: no fleet was found within the time given\n");
    return 1;
  }
  if (planned.outcome == Plan::Outcome::kInfeasible && planned.within_rule) {
    fmt::print(err, "medley plan: {}\n", plan::kNoneWithinRule);
    return 1;
  }
  if (planned.outcome == Plan::Outcome::kInfeasible) {
    const int status = tell_conflict(made->usage.requirements, &made->planned, *catalog,
                                     "serve what was recorded", options.json, out, err);
    if (!options.json && status == 3)
      print_notes(made->usage, out);
    return status;
  }
  if (options.json) {
    fmt::print(out, "{}\n", to_json(*made));
  } else {
    const std::string& currency = made->usage.requirements.frame.site.currency;
    if (!made->worth_it) {
      fmt::print(out,
                 "Keep what stands: it keeps what is asked, and nothing else is cheaper by 1 % "
                 "or more.\n\n");
    } else if (made->standing.outcome == Plan::Outcome::kFound) {
      const double saved = made->standing.total() - planned.total();
      fmt::print(out, "{} {} a year {}\n\n", money_text(std::abs(saved)), currency,
                 saved >= 0 ? "less than as it stands" : "more than as it stands");
    }
    print_pools(*made, out);
    print_demands(*made, out);
    print_costs(*made, out);
    print_notes(made->usage, out);
  }
  if (!made->planned.agreed) {
    fmt::print(
        err,
        "medley plan: simulation does not agree: some promises are kept less often than asked, "
        "and no larger fleet within the limits was found that keeps them\n");
    return 6;
  }
  return 0;
}

}  // namespace medley::cli
