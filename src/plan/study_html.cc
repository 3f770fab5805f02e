#include "plan/study_html.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "chart/chart.h"
#include "chart/page.h"
#include "plan/training_rows.h"

namespace medley::plan {
namespace {

using chart::Chart, chart::Colour, chart::Form, chart::HtmlTable, chart::Series;

constexpr double kLittle = 1e-6;

// 1234567 -> "1,234,567".
std::string grouped(double value) {
  std::string digits = fmt::format("{:.0f}", std::abs(value));
  for (int at = static_cast<int>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<std::size_t>(at), ",");
  return (value <= -0.5 ? "-" : "") + digits;
}
std::string percent(double share) { return fmt::format("{:.2f} %", share * 100); }
std::string percent(const std::optional<double>& share) {
  return share ? percent(*share) : "no requests";
}
// Two digits, but never a power of ten.
std::string two_digits(double value) {
  return value >= 99.5 ? grouped(value) : fmt::format("{:.2g}", value);
}
Colour colour(std::size_t i) { return static_cast<Colour>(i % 8); }

double kw_of(const Plan& plan) {
  double watts = 0;
  for (const auto& [zone, drawn] : plan.watts)
    watts += drawn;
  return watts / 1000;
}

class Report {
 public:
  Report(const Study& study, const std::string& command)
      : study_(study),
        requirements_(study.requirements),
        plan_(study.chosen.plan),
        currency_(study.requirements.frame.site.currency),
        periods_(periods_of(study.requirements)),
        page_("Plan: " + study.requirements.name),
        command_(command) {}

  std::string html() {
    head();
    fleet();
    proof();
    day();
    lpus();
    candidates();
    front();
    what_moves_it();
    assumptions();
    return page_.html();
  }

 private:
  std::string money(double value) const { return grouped(value) + " " + currency_; }

  std::string per_million(const Plan& plan) const {
    const auto price = study_.per_million_tokens(plan.total());
    return price ? fmt::format("{:.3g}", *price) : "-";
  }
  std::string known(const Plan& plan, std::string figure) const {
    return known_part(study_.pools.types, plan, std::move(figure));
  }

  void head() {
    page_.paragraph(in_words(study_));
    if (!study_.chosen.rounds.empty() && !study_.chosen.agreed) {
      page_.note(
          "Simulation does not agree with this plan: some promises are kept less often than asked, "
          "see below.");
    }
    std::vector<chart::Page::Fact> facts = {
        {"a year", money(plan_.total())},
        {"capital", money(plan_.capital)},
        {"draw at most", plan_.nodes.empty() ? "-" : fmt::format("{:.1f} kW", kw_of(plan_))},
        {"energy a year", known(plan_, fmt::format("{:.0f} MWh", plan_.kwh / 1000))}};
    if (study_.tokens_a_year > 0)
      facts.insert(facts.begin() + 2,
                   {"per million output tokens", per_million(plan_) + " " + currency_});
    if (carbon_is_known(requirements_, plan_))
      facts.push_back(
          {"carbon a year", known(plan_, fmt::format("{:.0f} t", plan_.carbon_kg / 1000))});
    page_.facts(facts);
    if (study_.price_range) {
      page_.note(fmt::format(
          "Some prices are known as ranges only: this fleet costs {} to {} a year by them. The "
          "choice was made at their middles.",
          grouped(study_.price_range->low), money(study_.price_range->high)));
    }
    if (const std::string free = no_tariff_in_words(requirements_); !free.empty())
      page_.paragraph(free);
    if (const std::string zones = other_zones_in_words(study_); !zones.empty())
      page_.note(zones);
    if (!study_.no_price_range.empty()) {
      page_.note("Some prices are known as ranges only; what this fleet costs at their ends: " +
                 study_.no_price_range + ".");
    }
  }

  void fleet() {
    page_.heading("The fleet");
    HtmlTable table{.columns = {{"pool"},
                                {"zone"},
                                {"replicas", true},
                                {"devices", true},
                                {"kW at most", true},
                                {"busy at peak", true},
                                {.title = "serves", .wraps = true}}};
    for (std::size_t p = 0; p < study_.pools.types.size(); ++p) {
      if (plan_.replicas[p] == 0)
        continue;
      const PoolType& type = study_.pools.types[p];
      std::string served;
      for (std::size_t g = 0; g < requirements_.demands.size(); ++g) {
        const auto& rates = plan_.rate[g][p];
        if (std::any_of(rates.begin(), rates.end(), [](double rate) { return rate > kLittle; }))
          served += (served.empty() ? "" : ", ") + requirements_.demands[g].name;
      }
      if (const std::string lent = lent_in_words(periods_, plan_.lent[p]); !lent.empty())
        served += (served.empty() ? "" : ", ") + lent;
      const bool rented = type.service.has_value();
      if (rented && !plan_.has_work(p))
        served = "failures alone";
      table.rows.push_back(
          {type.pool.name, type.pool.zone, std::to_string(plan_.replicas[p]),
           rented ? "-" : std::to_string(plan_.replicas[p] * type.devices),
           rented ? "-" : fmt::format("{:.1f}", type.most_w * plan_.replicas[p] / 1000),
           rented ? "-"
                  : fmt::format("{:.0f} %",
                                busy_at_peak(requirements_, study_.pools.types, plan_, p) * 100),
           served});
    }
    if (!table.rows.empty())
      page_.table(table);
    HtmlTable training;
    for (const std::string& title : training_titles())
      training.columns.push_back({title});
    training.rows = training_rows(requirements_, plan_);
    if (!training.rows.empty())
      page_.table(training);
    if (const std::string train = trainers_in_words(requirements_, plan_); !train.empty())
      page_.paragraph(train);
    HtmlTable order{
        .columns = {
            {"to order"}, {"zone"}, {"nodes", true}, {"devices", true}, {"each"}, {"wait"}}};
    for (const auto& [place, count] : plan_.nodes) {
      const data::DeviceOffer& offer = requirements_.devices[place.first];
      const bool rent = offer.deal == data::DeviceOffer::Deal::kRent;
      const auto add = [&, &zone = place.second](const char* what, int nodes, std::string each,
                                                 std::string wait) {
        if (nodes > 0) {
          order.rows.push_back({fmt::format("{} {}", what, offer.accelerator.name), zone,
                                std::to_string(nodes), std::to_string(nodes * offer.per_node),
                                std::move(each), std::move(wait)});
        }
      };
      const int owned = plan_.owned_of(place);
      add("keep", owned, "there already", "-");
      add(rent ? "rent" : "buy", count - owned,
          (offer.price.low < offer.price.high
               ? fmt::format("{:.4g} to {:.4g} {}", offer.price.low, offer.price.high, currency_)
               : fmt::format("{:.6g} {}", offer.price.middle(), currency_)) +
              (rent ? " an hour" : ""),
          offer.lead_weeks > 0 ? fmt::format("{:g} weeks", offer.lead_weeks) : "-");
    }
    if (!order.rows.empty())
      page_.table(order);
    const Costs& costs = plan_.costs;
    HtmlTable parts{.columns = {{"cost a year"}, {currency_, true}, {"share", true}}};
    for (const auto& [name, value] : {std::pair{"capital, paid back with interest", costs.capital},
                                      {"maintenance", costs.maintenance},
                                      {"staff", costs.staff},
                                      {"rent", costs.rent},
                                      {"rented services", costs.metered},
                                      {"energy", costs.energy}}) {
      if (value > 0) {
        parts.rows.push_back(
            {name, grouped(value), fmt::format("{:.0f} %", value / costs.total() * 100)});
      }
    }
    page_.table(parts);
  }

  void proof() {
    if (study_.chosen.rounds.empty() || requirements_.demands.empty())
      return;
    page_.heading("What was promised and what simulation kept");
    HtmlTable table{.columns = {{"demand"},
                                {"class"},
                                {"asked", true},
                                {"simulated", true},
                                {"in the worst failure", true},
                                {"on fresh seeds", true},
                                {"counted", true}}};
    const Proven& chosen = study_.chosen;
    for (std::size_t g = 0; g < requirements_.demands.size(); ++g) {
      const data::Demand& demand = requirements_.demands[g];
      table.rows.push_back(
          {demand.name, std::string(name_of(demand.service_class)), percent(demand.attain),
           kept_text(chosen.proof.whole[g]), worst_failure_text(requirements_, chosen.proof, g),
           chosen.fresh.whole.empty() ? "-" : percent(chosen.fresh.whole[g].share()),
           fmt::format("x {:.2f}", chosen.safety[g])});
    }
    page_.table(table);
    for (const BelowPromise& of : below_promise(requirements_, chosen.proof, chosen.fresh)) {
      page_.paragraph(fmt::format("On fresh seeds {} keeps {}, less than the plan promises: {}.",
                                  requirements_.demands[of.demand].name, percent(of.kept),
                                  percent(of.promised)));
    }
    page_.paragraph(fmt::format(
        "The fleet was run by the scheduler that serves, in virtual time, through the hours that "
        "press it most: {} requests, {} solved and simulated. What was simulated is the "
        "promise; fresh seeds had no part in the choice. Counted: how large the program takes a "
        "demand to be, calibrated until what it finds keeps every promise and no cheaper fleet "
        "that "
        "it found with smaller ones does; all comparisons below are by that program. Failures: {}.",
        chosen.proof.requests,
        chosen.rounds.size() == 1 ? "once" : fmt::format("{} times", chosen.rounds.size()),
        failures()));
    HtmlTable around{.columns = {{"neighbour"},
                                 {currency_ + " a year", true},
                                 {.title = "keeps", .wraps = true}}};
    for (const Proven::Neighbour& of : chosen.neighbours) {
      around.rows.push_back({of.what, of.cost ? grouped(*of.cost) : "-", kept_by(study_, of)});
    }
    if (!around.rows.empty())
      page_.table(around);
  }

  std::string failures() const {
    std::string out;
    for (const Proof::Failure& failure : study_.chosen.proof.failures)
      out += (out.empty() ? "" : ", ") + failure.what;
    return out.empty() ? "none asked for" : out;
  }

  // A value by hour of day, as steps.
  template <typename Value>
  Series by_hour(const std::string& name, Colour in, const Value& value) const {
    Series series{.name = name, .colour = in, .form = Form::kSteps};
    for (int hour = 0; hour < 24; ++hour) {
      for (std::size_t t = 0; t < periods_.size(); ++t) {
        const auto& hours = periods_[t].hours;
        if (std::find(hours.begin(), hours.end(), hour) != hours.end())
          series.points.emplace_back(hour, value(t));
      }
    }
    series.points.emplace_back(24, series.points.back().second);
    return series;
  }

  static HtmlTable hourly(const std::vector<Series>& series) {
    HtmlTable table{.columns = {{"hour", true}}};
    for (const Series& of : series)
      table.columns.push_back({of.name, true});
    for (std::size_t hour = 0; hour < 24; ++hour) {
      std::vector<std::string> row = {std::to_string(hour)};
      for (const Series& of : series)
        row.push_back(fmt::format("{:.3g}", of.points[hour].second));
      table.rows.push_back(std::move(row));
    }
    return table;
  }

  void day() {
    if (requirements_.demands.empty())
      return;
    page_.heading("A day");
    Chart asked{.id = "asked",
                .title = "Requests a second, where the plan serves them",
                .description = "Requests a second by demand over the hours of the day, stacked.",
                .x = {.label = "hour of day", .min = 0, .max = 24},
                .y = {.label = "requests a second"},
                .stacked = true};
    for (std::size_t g = 0; g < requirements_.demands.size(); ++g) {
      asked.series.push_back(by_hour(requirements_.demands[g].name, colour(g), [&](std::size_t t) {
        double rate = 0;
        for (const auto& by_period : plan_.rate[g])
          rate += by_period[t];
        return rate;
      }));
    }
    page_.figure(chart::svg(asked, chart::Use::kPage), hourly(asked.series));
    chart::Strips strips{.id = "busy",
                         .title = "What the replicas of each pool do",
                         .description =
                             "Shares of each pool's replicas by hour: each demand, lent to "
                             "training, free.",
                         .x = {.label = "hour of day", .min = 0, .max = 24},
                         .row_height = 34};
    HtmlTable table{.columns = {{"pool"}, {"busy at peak", true}, {"lent", true}}};
    for (std::size_t p = 0; p < study_.pools.types.size(); ++p) {
      const PoolType& type = study_.pools.types[p];
      if (!type.device || plan_.replicas[p] == 0)
        continue;
      chart::Strips::Row row{type.pool.name, {}};
      const double replicas = plan_.replicas[p];
      for (std::size_t g = 0; g < requirements_.demands.size(); ++g) {
        if (!type.uses[g].ok())
          continue;
        row.parts.push_back(by_hour(requirements_.demands[g].name, colour(g), [&](std::size_t t) {
          return plan_.rate[g][p][t] / type.uses[g].operation.requests_per_s / replicas;
        }));
      }
      row.parts.push_back(by_hour("lent to training", Colour::kLost,
                                  [&](std::size_t t) { return plan_.lent[p][t] / replicas; }));
      strips.rows.push_back(std::move(row));
      table.rows.push_back(
          {type.pool.name, percent(busy_at_peak(requirements_, study_.pools.types, plan_, p)),
           std::to_string(*std::max_element(plan_.lent[p].begin(), plan_.lent[p].end()))});
    }
    if (!strips.rows.empty())
      page_.figure(chart::svg(strips, chart::Use::kPage), table);
  }

  void lpus() {
    if (study_.truths.empty())
      return;
    page_.heading("Which demand needs which device");
    HtmlTable table{.columns = {{"demand"},
                                {"tokens/s asked", true},
                                {"on"},
                                {"tokens/s at best", true},
                                {"J alone", true},
                                {"J full", true},
                                {"J planned", true},
                                {"share", true}}};
    const auto add = [&](const Truth& truth, const std::optional<Truth::Reach>& of, double share) {
      if (!of)
        return;
      table.rows.push_back(
          {truth.demand,
           truth.tokens_per_s_asked > 0 ? fmt::format("{:.0f}", truth.tokens_per_s_asked) : "any",
           of->pool, fmt::format("{:.0f}", of->fastest), two_digits(of->joules_alone),
           of->joules_full ? two_digits(*of->joules_full) : "too slow",
           of->joules_planned ? two_digits(*of->joules_planned) : "-",
           fmt::format("{:.0f} %", share * 100)});
    };
    for (const Truth& truth : study_.truths) {
      add(truth, truth.batched, truth.device_share - truth.scheduled_share);
      add(truth, truth.scheduled, truth.scheduled_share);
    }
    if (table.rows.empty()) {
      page_.paragraph("No device of one's own may serve any of them.");
    } else {
      page_.table(table);
      page_.paragraph(
          "Of GPUs and of LPUs the pool that serves the demand in this plan, else the best there "
          "is for it. J are joules an output token: one user alone on a replica (his prompt not "
          "counted); full, as many at once as the targets allow; planned, all that the pool draws "
          "in a year by the tokens it makes for everybody. Share: of the demand's requests.");
    }
    for (const Truth& truth : study_.truths)
      page_.paragraph(truth.demand + ": " + truth.verdict + ".");
  }

  void candidates() {
    if (study_.candidates.empty())
      return;
    page_.heading("The other fleets, and why not");
    HtmlTable table{.columns = {{"candidate"},
                                {.title = "verdict", .wraps = true},
                                {currency_ + " a year", true},
                                {"an hour", true},
                                {"owned", true},
                                {"rented", true},
                                {"energy", true},
                                {"capital", true},
                                {"per M tokens", true}}};
    HtmlTable kept{.columns = {{"candidate"},
                               {"MWh a year", true},
                               {"t CO2 a year", true},
                               {std::string(kKeptByClass), true},
                               {std::string(kKeptAtWorst), true},
                               {"headroom", true},
                               {.title = "binding", .wraps = true}}};
    for (const Candidate& of : study_.candidates) {
      if (of.plan.outcome != Plan::Outcome::kFound) {
        table.rows.push_back({of.name, of.why, "-", "-", "-", "-", "-", "-", "-"});
        continue;
      }
      const Costs& costs = of.plan.costs;
      table.rows.push_back({of.name, of.fleet + ": " + of.why, grouped(of.plan.total()),
                            fmt::format("{:.2f}", of.plan.total() / kHoursAYear),
                            grouped(costs.owned()), grouped(costs.rented()), grouped(costs.energy),
                            grouped(of.plan.capital), per_million(of.plan)});
      kept.rows.push_back(kept_row(of));
    }
    page_.table(table);
    page_.table(kept);
    page_.paragraph(kKeptNote);
    page_.paragraph(kProgramOnlyNote);
    HtmlTable why{.columns = {{"not in it"}, {.title = "why not", .wraps = true}}};
    for (const auto& [name, reason] : study_.why_not)
      why.rows.push_back({name, reason});
    if (!why.rows.empty())
      page_.table(why);
  }

  void front() {
    if (study_.front.size() < 2)
      return;
    page_.heading("Cost against interactivity");
    Chart drawn{.id = "front",
                .title = "What faster tokens cost",
                .description =
                    "The cheapest fleet's cost a year against the tokens a second that the "
                    "tightest demand asks for; fleets with LPUs apart.",
                .x = {.label = "tokens a second of one user", .scale = chart::Scale::kLog},
                .y = {.label = currency_ + " a year"}};
    Series without{.name = "without LPUs", .colour = Colour::k0, .form = Form::kDots};
    Series with{.name = "with LPUs", .colour = Colour::k1, .form = Form::kDots};
    Series line{.name = "cheapest", .colour = Colour::kMuted, .form = Form::kLine};
    Series here{.name = "as asked", .colour = Colour::k3, .form = Form::kDots};
    HtmlTable table{
        .columns = {{"tokens/s", true}, {"TPOT targets"}, {currency_ + " a year", true}, {"LPUs"}}};
    for (const FrontPoint& point : study_.front) {
      table.rows.push_back({fmt::format("{:.0f}", point.tokens_per_s),
                            fmt::format("x {:g}", point.factor),
                            point.cost ? grouped(*point.cost) : point.none,
                            point.cost && point.has_scheduled ? "yes" : "no"});
      if (!point.cost)
        continue;
      const std::pair<double, double> at{point.tokens_per_s, *point.cost};
      line.points.push_back(at);
      (point.factor == 1 ? here : point.has_scheduled ? with : without).points.push_back(at);
    }
    drawn.series.push_back(std::move(line));
    for (Series* series : {&without, &with, &here}) {
      if (!series->points.empty())
        drawn.series.push_back(std::move(*series));
    }
    page_.figure(chart::svg(drawn, chart::Use::kPage), table);
    page_.paragraph(
        "Fleets that are dearer than a faster one are left out, but for the one that was asked "
        "for.");
  }

  void what_moves_it() {
    if (study_.sensitivity.empty())
      return;
    page_.heading("What moves the answer");
    HtmlTable table{
        .columns = {{"if"}, {currency_ + " a year", true}, {"change", true}, {"to order"}}};
    for (const Sensitivity& of : study_.sensitivity) {
      table.rows.push_back({of.what, of.cost ? grouped(*of.cost) : "-",
                            of.cost ? change_text(*of.cost, plan_.total()) : "-",
                            !of.cost        ? of.none
                            : of.same_fleet ? "the same"
                                            : "another"});
    }
    page_.table(table);
    HtmlTable binding{.columns = {{"limit that binds"}, {"without it, a year less", true}}};
    for (const Binding& of : study_.bindings)
      binding.rows.push_back({of.limit, of.none.empty() ? money(of.saving) : of.none});
    if (binding.rows.empty()) {
      page_.paragraph("No limit binds: lifting any one of them saves nothing.");
    } else {
      page_.table(binding);
    }
    for (const Duty& duty : study_.duties) {
      page_.paragraph(duty_in_words(study_, duty));
    }
  }

  void assumptions() {
    page_.heading("What this rests on");
    const data::MoneySpec& of = requirements_.money;
    page_.paragraph(fmt::format(
        "Interest {:g} %, paid back in {:g} years, maintenance {:g} % of the price a year; PUE "
        "{:g} at the site; {}. The plan is at most {} % from the cheapest that the program knows. "
        "Speeds, "
        "joules and watts come from step models of the catalogue, none of which was measured by "
        "this project (docs/step-models.md); power counts every device in use at its TDP, energy "
        "what it "
        "draws on average. Energy of rented devices is in their rent, that of rented services is "
        "unknown. Simulated devices are as fast as their models: the models' own error is not in "
        "the figures.",
        of.interest * 100, of.years_paid_back(), of.maintenance * 100, requirements_.frame.site.pue,
        requirements_.growth_per_year == 0
            ? "the load as it is now"
            : fmt::format("the load of {:g} years from now at {:+g} % a year",
                          requirements_.growth_years, requirements_.growth_per_year * 100),
        gap_text(plan_.gap)));
    std::set<std::string> said;
    for (std::size_t p = 0; p < study_.pools.types.size(); ++p) {
      const PoolType& type = study_.pools.types[p];
      if (plan_.replicas[p] > 0 && type.device && type.pool.constants.class_default &&
          said.insert(type.pool.device).second) {
        page_.note(
            fmt::format("{} was never measured: its constants are the default of its kind, good "
                        "to ±{:.0f} %.",
                        type.pool.device, type.pool.constants.error_bar * 100));
      }
    }
    page_.code(command_);
  }

  const Study& study_;
  const data::Requirements& requirements_;
  const Plan& plan_;
  const std::string currency_;
  const std::vector<Period> periods_;
  chart::Page page_;
  const std::string command_;
};

}  // namespace

std::string in_words(const Study& study) {
  const Plan& plan = study.chosen.plan;
  const data::Requirements& asked = study.requirements;
  const std::string& currency = asked.frame.site.currency;
  std::string orders;
  for (const auto& [place, count] : plan.nodes) {
    const data::DeviceOffer& offer = asked.devices[place.first];
    const int owned = plan.owned_of(place), more = count - owned;
    const auto add = [&, &zone = place.second](const char* what, int nodes, const char* there) {
      if (nodes > 0) {
        orders += fmt::format("{}{} {} {}{} in {}{}", orders.empty() ? "" : ", ", what,
                              nodes * offer.per_node, offer.accelerator.name, apart(asked, offer),
                              zone, there);
      }
    };
    add("keep", owned, " that are there");
    add(offer.deal == data::DeviceOffer::Deal::kRent ? "rent" : "buy", more, "");
  }
  for (std::size_t p = 0; p < study.pools.types.size(); ++p) {
    if (study.pools.types[p].service && plan.replicas[p] > 0)
      orders += fmt::format("{}use the service {}", orders.empty() ? "" : ", ",
                            study.pools.types[p].pool.name);
  }
  if (!orders.empty())
    orders[0] = static_cast<char>(orders[0] - 'a' + 'A');
  std::string out =
      fmt::format("{}. That costs {} {} a year", orders.empty() ? "Buy nothing" : orders,
                  grouped(plan.total()), currency);
  if (plan.capital > 0)
    out += fmt::format(", with {} of capital spent at the start", grouped(plan.capital));
  out += plan.nodes.empty() ? "." : fmt::format(", and draws at most {:.1f} kW.", kw_of(plan));
  if (!study.chosen.rounds.empty() && !asked.demands.empty()) {
    out += " Simulated, it keeps";
    for (std::size_t g = 0; g < asked.demands.size(); ++g) {
      out += fmt::format("{} {} of the promises to {}", g == 0 ? "" : ",",
                         percent(least_kept(asked, study.chosen.proof)[g]), asked.demands[g].name);
    }
    if (asked.redundancy != data::Redundancy::kNone)
      out += fmt::format(", with a {} lost where that is asked for", name_of(asked.redundancy));
    out += ".";
  }
  if (const std::string single = single_kind_in_words(study); !single.empty())
    out += " " + single;
  if (asked.demands.empty())
    return out;
  std::string fast, scarce;
  for (const Truth& truth : study.truths) {
    std::string& of = truth.by_limits ? scarce : fast;
    if (truth.needs_scheduled)
      of += (of.empty() ? "" : ", ") + truth.demand;
  }
  if (fast.empty() && scarce.empty())
    out += " No demand needs an LPU.";
  if (!fast.empty())
    out += fmt::format(" Only LPUs reach the token rate of {}.", fast);
  if (!scarce.empty()) {
    out += fmt::format(
        " Without LPUs {} cannot be served within the limits, though GPUs would be fast enough.",
        scarce);
  }
  return out;
}

std::string to_html(const Study& study, const std::string& command) {
  return Report(study, command).html();
}

}  // namespace medley::plan
