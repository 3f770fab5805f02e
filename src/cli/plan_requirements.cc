#include "cli/plan_requirements.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/progress_line.h"
#include "cli/table.h"
#include "cli/write_file.h"
#include "plan/infeasible.h"
#include "plan/study.h"
#include "plan/study_html.h"
#include "plan/study_json.h"
#include "plan/training_rows.h"

namespace medley::cli {
namespace {

using plan::Plan, plan::Study;

constexpr double kNoticed = 0.05;  // of a year's cost

std::string percent(const std::optional<double>& share) {
  return share ? fmt::format("{:.2f} %", *share * 100) : "no requests";
}

std::string short_money(double value) {
  if (value >= 1e6)
    return fmt::format("{:.3f}M", value / 1e6);
  return value >= 1e4 ? fmt::format("{:.1f}k", value / 1e3) : fmt::format("{:.0f}", value);
}

int complain(const Error& error, std::FILE* err) {
  fmt::print(err, "medley plan: {}\n", printable(error.message));
  return error.code == ErrorCode::kUnavailable ? 1 : 2;
}

void print_fleet(const Study& study, std::FILE* out) {
  const Plan& plan = study.chosen.plan;
  const std::vector<plan::Period> periods = plan::periods_of(study.requirements);
  Table table({{"pool"},
               {"zone"},
               {"replicas", Align::kRight},
               {"devices", Align::kRight},
               {"kW at most", Align::kRight},
               {"busy at peak", Align::kRight},
               {"for"}});
  for (std::size_t p = 0; p < study.pools.types.size(); ++p) {
    if (plan.replicas[p] == 0)
      continue;
    const plan::PoolType& type = study.pools.types[p];
    std::string served;
    for (std::size_t g = 0; g < study.requirements.demands.size(); ++g) {
      const auto& rates = plan.rate[g][p];
      if (std::any_of(rates.begin(), rates.end(), [](double rate) { return rate > 1e-6; }))
        served += (served.empty() ? "" : ", ") + study.requirements.demands[g].name;
    }
    if (const std::string lent = plan::lent_in_words(periods, plan.lent[p]); !lent.empty())
      served += (served.empty() ? "" : ", ") + lent;
    const bool rented = type.service.has_value();
    if (rented && !plan.has_work(p))
      served = "failures alone";
    table.add_row({type.pool.name, type.pool.zone, std::to_string(plan.replicas[p]),
                   rented ? "-" : std::to_string(plan.replicas[p] * type.devices),
                   rented ? "-" : fmt::format("{:.1f}", type.most_w * plan.replicas[p] / 1000),
                   rented ? "-"
                          : fmt::format("{:.0f} %", plan::busy_at_peak(study.requirements,
                                                                       study.pools.types, plan, p) *
                                                        100),
                   served});
  }
  if (table.rows() > 0)
    fmt::print(out, "{}\n", table.text());
  for (std::size_t p = 0; p < study.pools.types.size(); ++p) {
    const Pool& pool = study.pools.types[p].pool;
    if (const std::string text = perf::schedule_text(pool); plan.replicas[p] > 0 && !text.empty()) {
      fmt::print(out, "{}: {}\n", pool.name, printable(text));
    }
  }
  for (const auto& [place, count] : plan.nodes) {
    const data::DeviceOffer& offer = study.requirements.devices[place.first];
    const int owned = plan.owned_of(place), more = count - owned;
    const auto print = [&, &zone = place.second](const char* what, int nodes,
                                                 const std::string& wait) {
      fmt::print(out, "{} {} node{} of {} {}{} in {}{}\n", what, nodes, nodes == 1 ? "" : "s",
                 offer.per_node, offer.accelerator.id,
                 printable(plan::apart(study.requirements, offer)), zone, wait);
    };
    if (owned > 0)
      print("keep", owned, ", there already");
    if (more > 0) {
      print(offer.deal == data::DeviceOffer::Deal::kRent ? "rent" : "buy", more,
            offer.lead_weeks > 0 ? fmt::format(", {:g} weeks to wait", offer.lead_weeks) : "");
    }
  }
  if (const std::string train = plan::trainers_in_words(study.requirements, plan); !train.empty())
    fmt::print(out, "{}\n", printable(train));
  std::vector<Column> columns;
  for (const std::string& title : plan::training_titles())
    columns.push_back({title});
  Table training(std::move(columns));
  for (std::vector<std::string>& row : plan::training_rows(study.requirements, plan))
    training.add_row(std::move(row));
  if (training.rows() > 0)
    fmt::print(out, "\n{}\n", training.text());
}

void print_candidates(const Study& study, std::FILE* out) {
  const std::string& currency = study.requirements.frame.site.currency;
  Table table({{"candidate"},
               {currency + "/h", Align::kRight},
               {currency + "/year", Align::kRight},
               {"owned", Align::kRight},
               {"rented", Align::kRight},
               {"energy", Align::kRight},
               {"capital", Align::kRight},
               {currency + "/M output tokens", Align::kRight},
               {"verdict"}});
  Table kept({{"candidate"},
              {"MWh/year", Align::kRight},
              {"t CO2/year", Align::kRight},
              {plan::kKeptByClass, Align::kRight},
              {plan::kKeptAtWorst, Align::kRight},
              {"headroom", Align::kRight},
              {"binding"}});
  for (const plan::Candidate& of : study.candidates) {
    if (of.plan.outcome != Plan::Outcome::kFound) {
      table.add_row({of.name, "-", "-", "-", "-", "-", "-", "-", of.why});
      continue;
    }
    const plan::Costs& costs = of.plan.costs;
    const auto price = study.per_million_tokens(of.plan.total());
    table.add_row({of.name, fmt::format("{:.2f}", of.plan.total() / plan::kHoursAYear),
                   short_money(of.plan.total()), short_money(costs.owned()),
                   short_money(costs.rented()), short_money(costs.energy),
                   short_money(of.plan.capital), price ? fmt::format("{:.3g}", *price) : "-",
                   of.why == "chosen" ? "CHOSEN: " + of.fleet : of.why + ": " + of.fleet});
    kept.add_row(plan::kept_row(of));
  }
  if (table.rows() == 0)
    return;
  fmt::print(out, "\n{}\n{}{}\n", table.text(), kept.text(), plan::kKeptNote);
  if (const std::string single = plan::single_kind_in_words(study); !single.empty())
    fmt::print(out, "{}\n", printable(single));
  fmt::print(out, "{}\n", plan::kProgramOnlyNote);
}

void print_proof(const Study& study, std::FILE* out) {
  Table table({{"demand"},
               {"class"},
               {"asked", Align::kRight},
               {"simulated", Align::kRight},
               {"worst failure", Align::kRight},
               {"fresh seeds", Align::kRight},
               {"counted", Align::kRight}});
  const plan::Proven& chosen = study.chosen;
  for (std::size_t g = 0; g < study.requirements.demands.size(); ++g) {
    const data::Demand& demand = study.requirements.demands[g];
    table.add_row({demand.name, std::string(name_of(demand.service_class)), percent(demand.attain),
                   plan::kept_text(chosen.proof.whole[g]),
                   plan::worst_failure_text(study.requirements, chosen.proof, g),
                   chosen.fresh.whole.empty() ? "-" : percent(chosen.fresh.whole[g].share()),
                   fmt::format("x {:.2f}", chosen.safety[g])});
  }
  fmt::print(out, "\n{}", table.text());
  for (std::size_t g = 0; g < chosen.fresh.whole.size(); ++g) {
    const data::Demand& demand = study.requirements.demands[g];
    const std::optional<double> share = chosen.fresh.whole[g].share();
    if (share && *share < demand.attain) {
      fmt::print(out, "On fresh seeds {} keeps less than is asked: {} of {}.\n",
                 printable(demand.name), percent(share), percent(demand.attain));
    }
  }
  for (const plan::BelowPromise& of :
       plan::below_promise(study.requirements, chosen.proof, chosen.fresh)) {
    fmt::print(out, "On fresh seeds {} keeps {}, {:.2f} points less than the plan promises: {}.\n",
               printable(study.requirements.demands[of.demand].name), percent(of.kept),
               (of.promised - of.kept) * 100, percent(of.promised));
  }
  fmt::print(
      out,
      "Simulated with the real scheduler: {} requests in {:.1f} h of the hours that press it "
      "most, {} round{}; the promise of the plan is what was simulated.\n",
      chosen.proof.requests, chosen.proof.hours, chosen.rounds.size(),
      chosen.rounds.size() == 1 ? "" : "s");
  const double simulated = plan::cost_as_simulated(chosen.plan, chosen.proof);
  if (std::abs(simulated - chosen.plan.total()) > kNoticed * chosen.plan.total()) {
    fmt::print(out,
               "In these hours services were paid {:.4g} where the plan pays {:.4g}: were it so in "
               "all, a year would cost {}, not {}. The scheduler rents where that keeps more "
               "promises, and knows no capital.\n",
               chosen.proof.services_paid, chosen.proof.services_planned, short_money(simulated),
               short_money(chosen.plan.total()));
  }
}

void print_neighbours(const Study& study, std::FILE* out) {
  if (study.chosen.neighbours.empty())
    return;
  Table table(
      {{"neighbour, simulated"}, {"a year", Align::kRight}, {"what it keeps at the least"}});
  for (const plan::Proven::Neighbour& of : study.chosen.neighbours) {
    table.add_row({of.what, of.cost ? short_money(*of.cost) : "-", plan::kept_by(study, of)});
  }
  fmt::print(out, "\n{}", table.text());
}

void print_rest(const Study& study, std::FILE* out) {
  for (const plan::Truth& truth : study.truths)
    fmt::print(out, "{}{}: {}\n", &truth == &study.truths.front() ? "\n" : "", truth.demand,
               truth.verdict);
  for (const auto& [name, why] : study.why_not)
    fmt::print(out, "{}why not {}: {}\n", name == study.why_not.front().first ? "\n" : "", name,
               why);
  if (!study.candidates.empty()) {
    if (study.bindings.empty())
      fmt::print(out, "\nNo limit binds: lifting any of them saves nothing.\n");
    for (const plan::Binding& binding : study.bindings) {
      fmt::print(out, "{}binding: {}; {}\n", &binding == &study.bindings.front() ? "\n" : "",
                 binding.limit,
                 binding.none.empty()
                     ? fmt::format("without it {} a year less", short_money(binding.saving))
                     : "without it " + printable(binding.none));
    }
  }
  if (!study.sensitivity.empty()) {
    Table table({{"if"}, {"a year", Align::kRight}, {"change", Align::kRight}, {"to order"}});
    for (const plan::Sensitivity& of : study.sensitivity) {
      table.add_row({of.what, of.cost ? short_money(*of.cost) : "-",
                     of.cost ? plan::change_text(*of.cost, study.chosen.plan.total()) : "-",
                     !of.cost        ? printable(of.none)
                     : of.same_fleet ? "the same"
                                     : "another"});
    }
    fmt::print(out, "\n{}", table.text());
  }
  for (const plan::Duty& duty : study.duties) {
    fmt::print(out, "\n{}\n", printable(plan::duty_in_words(study, duty)));
  }
  if (study.front.size() > 1) {
    Table table({{"tokens/s a user", Align::kRight},
                 {"TPOT targets", Align::kRight},
                 {"a year", Align::kRight},
                 {"LPU"}});
    for (const plan::FrontPoint& point : study.front) {
      table.add_row({fmt::format("{:.0f}", point.tokens_per_s), fmt::format("x {:g}", point.factor),
                     point.cost ? short_money(*point.cost) : printable(point.none),
                     point.cost && point.has_scheduled ? "yes" : ""});
    }
    fmt::print(out, "\n{}", table.text());
  }
}

// Empty where simulation agrees with the plan.
std::string disagreement_of(const Study& study) {
  if (study.chosen.agreed)
    return "";
  const std::vector<bool> shortfall = plan::falls_short(study.requirements, study.chosen.proof);
  if (std::find(shortfall.begin(), shortfall.end(), true) == shortfall.end()) {
    return "simulation does not agree: on fresh seeds some promises are kept less often than asked";
  }
  return "simulation does not agree: some promises are kept less often than asked, and no larger "
         "fleet within the limits was found that keeps them";
}

}  // namespace

int tell_conflict(const data::Requirements& requirements, const plan::Proven* proven,
                  const data::Catalog& catalog, std::string_view what, bool json, std::FILE* out,
                  std::FILE* err) {
  using Ground = plan::Conflict::Ground;
  const Result<plan::Conflict> conflict = plan::conflict_in(requirements, catalog, proven);
  if (!conflict.ok())
    return complain(conflict.error(), err);
  fmt::print(err, "medley plan: no fleet can {}{}\n", what,
             conflict->ground == Ground::kHard        ? ", however few requests there were"
             : conflict->ground == Ground::kSimulated ? ", and simulation agrees"
                                                      : " by the estimate; nothing was simulated");
  if (json) {
    fmt::print(out, "{}\n", plan::to_json(requirements, *conflict));
    return 3;
  }
  if (conflict->nearest) {
    Table kept({{"demand"}, {"asked", Align::kRight}, {"simulated", Align::kRight}});
    for (std::size_t g = 0; g < requirements.demands.size(); ++g) {
      const data::Demand& demand = requirements.demands[g];
      kept.add_row({demand.name, percent(demand.attain), percent(conflict->nearest->kept[g])});
    }
    fmt::print(out,
               "Of the fleets that the limits leave this one comes nearest: {}, {} {} a year.\n",
               conflict->nearest->fleet, short_money(conflict->nearest->cost),
               requirements.frame.site.currency);
    fmt::print(out, "What it keeps at the least:\n\n{}\n", kept.text());
  }
  fmt::print(out, "These cannot be together{}; without any one of them the rest can:\n",
             conflict->ground == Ground::kHard        ? ", however few requests there were"
             : conflict->ground == Ground::kSimulated ? ""
                                                      : " by the estimate");
  for (const std::string& element : conflict->elements)
    fmt::print(out, "  {}\n", printable(element));
  if (!conflict->reason.empty())
    fmt::print(out, "since {}\n", printable(conflict->reason));
  Table table({{"what would help, the cheapest first"},
               {requirements.frame.site.currency + " a year", Align::kRight},
               {"by"}});
  for (const plan::Relaxation& relaxation : conflict->relaxations) {
    table.add_row({relaxation.what,
                   relaxation.cost ? short_money(*relaxation.cost) : relaxation.none,
                   relaxation.simulated ? "simulation" : "estimate"});
  }
  fmt::print(out, "\n{}", table.text());
  return 3;
}

int run_plan_requirements(const PlanRequirementsOptions& options, std::FILE* out, std::FILE* err) {
  const Result<data::Catalog> catalog = data::read_catalog(
      options.catalog.empty() ? data::default_catalog_folder() : options.catalog);
  if (!catalog.ok())
    return complain(catalog.error(), err);
  const Result<data::Requirements> requirements = data::read_requirements(options.file, *catalog);
  if (!requirements.ok())
    return complain(requirements.error(), err);
  if (requirements->demands.empty() && !options.write_fleet.empty()) {
    fmt::print(err,
               "medley plan: {} asks for jobs alone, so there is no fleet that serves: leave "
               "--write-fleet out\n",
               options.file);
    return 2;
  }
  const auto solver = solve::make_integer_solver();
  ProgressLine line(err);
  int done = 0;  // how many there will be depends on what they find
  plan::StudyOptions study_options{
      .proof = {}, .prove = !options.no_proof, .compare = !options.no_compare};
  study_options.proof.progress = [&](const std::string& what) {
    constexpr std::size_t kWidth = 60;  // of one line
    line.show(fmt::format("[{} done] {}", done++, printable(what).substr(0, kWidth)));
  };
  const Result<Study> made = plan::study(*requirements, *catalog, *solver, study_options);
  line.clear();
  if (!made.ok())
    return complain(made.error(), err);
  const Study& study = *made;
  const Plan& plan = study.chosen.plan;
  if (plan.outcome == Plan::Outcome::kUnknown) {
    fmt::print(err, "medley plan: no fleet was found within the time given\n");
    return 1;
  }
  if (plan.outcome == Plan::Outcome::kInfeasible && plan.within_rule) {
    fmt::print(err, "medley plan: {}\n", plan::kNoneWithinRule);
    return 1;
  }
  if (plan.outcome == Plan::Outcome::kInfeasible) {
    return tell_conflict(study.requirements, options.no_proof ? nullptr : &study.chosen, *catalog,
                         "meet all of it", options.json, out, err);
  }
  const std::string disagreement = options.no_proof ? "" : disagreement_of(study);
  if (!options.write_fleet.empty()) {
    const std::string note =
        fmt::format("Written by `medley plan {}`: {}.\n{}", options.file, study.fleet,
                    options.no_proof ? "Not proved by simulation." : disagreement);
    const Status written =
        write_file(options.write_fleet,
                   plan::fleet_text(study.requirements, study.pools.types, plan.replicas, note));
    if (!written.ok())
      return complain(written.error(), err);
    if (!disagreement.empty()) {
      fmt::print(err, "medley plan: {} is written all the same\n", options.write_fleet);
    }
  }
  if (!options.report.empty()) {
    const Status written = write_file(
        options.report,
        plan::to_html(study, fmt::format("medley plan {}{}{} --report report.html", options.file,
                                         options.no_proof ? " --no-proof" : "",
                                         options.no_compare ? " --no-compare" : "")));
    if (!written.ok())
      return complain(written.error(), err);
  }
  if (options.json) {
    fmt::print(out, "{}\n", plan::to_json(study));
  } else {
    const std::string& currency = study.requirements.frame.site.currency;
    fmt::print(out, "{}: {} {} a year{}, {} of capital, at most {} % from the cheapest{}\n\n",
               printable(study.requirements.name), short_money(plan.total()), currency,
               study.price_range ? fmt::format(" ({} to {} by the ranges of prices)",
                                               short_money(study.price_range->low),
                                               short_money(study.price_range->high))
                                 : "",
               short_money(plan.capital), plan::gap_text(plan.gap),
               plan.within_rule ? plan::kWithinRule : "");
    if (!study.no_price_range.empty())
      fmt::print(out, "its cost at the ends of the ranges of prices: {}\n\n",
                 printable(study.no_price_range));
    print_fleet(study, out);
    if (const std::string free = plan::no_tariff_in_words(study.requirements); !free.empty())
      fmt::print(out, "{}\n", free);
    if (const std::string zones = plan::other_zones_in_words(study); !zones.empty())
      fmt::print(out, "{}\n", printable(zones));
    if (!study.chosen.rounds.empty() && !study.requirements.demands.empty())
      print_proof(study, out);
    print_neighbours(study, out);
    print_candidates(study, out);
    print_rest(study, out);
  }
  if (!disagreement.empty()) {
    fmt::print(err, "medley plan: {}\n", disagreement);
    return 6;
  }
  return 0;
}

}  // namespace medley::cli
