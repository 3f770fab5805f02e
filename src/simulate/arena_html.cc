#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "chart/chart.h"
#include "chart/page.h"
#include "simulate/arena.h"

namespace medley::simulate {
namespace {

using chart::Chart, chart::Colour, chart::HtmlTable, chart::Scale, chart::Series;

constexpr std::size_t kMostLines = 8;  // as many as colours tell apart

std::string percent(double share) { return fmt::format("{:.1f} %", share * 100); }
std::string points(double share) { return fmt::format("{:+.1f}", share * 100); }

// All policies where colours tell them apart, else those that keep most, in the order given.
std::vector<std::size_t> drawn_policies(const Arena& arena, const std::vector<Standing>& all) {
  std::vector<double> kept(arena.policies.size(), 0);
  for (const Standing& standing : all)
    kept[standing.policy] += standing.value_goodput.mean;
  std::vector<std::size_t> drawn(arena.policies.size());
  std::iota(drawn.begin(), drawn.end(), std::size_t{0});
  std::stable_sort(drawn.begin(), drawn.end(),
                   [&](std::size_t a, std::size_t b) { return kept[a] > kept[b]; });
  drawn.resize(std::min(drawn.size(), kMostLines));
  std::sort(drawn.begin(), drawn.end());
  return drawn;
}

// A figure against load: a line a policy in the picture, a row a load and policy in the table.
class AgainstLoad {
 public:
  AgainstLoad(const Arena& arena, std::vector<Standing> all)
      : arena_(arena), all_(std::move(all)), drawn_(drawn_policies(arena, all_)) {
    by_load_.resize(arena.loads.size());
    std::iota(by_load_.begin(), by_load_.end(), std::size_t{0});
    std::stable_sort(by_load_.begin(), by_load_.end(),
                     [&](std::size_t a, std::size_t b) { return arena.loads[a] < arena.loads[b]; });
  }

  const std::vector<Standing>& all() const { return all_; }
  std::size_t drawn() const { return drawn_.size(); }

  // `of` answers an Estimate or nothing.
  template <typename Of>
  void draw(chart::Page& page, Chart picture, const Of& of, bool percents) const {
    picture.x = {.label = "load",
                 .min = 0,
                 .max = (arena_.loads.size() > 1 ? 1.05 : 2) *
                        *std::max_element(arena_.loads.begin(), arena_.loads.end())};
    HtmlTable table{.columns = {{"load", true}, {"policy"}, {"mean", true}, {"95 %, ±", true}}};
    for (std::size_t i = 0; i < drawn_.size(); ++i) {
      Series series{.name = std::string(name_of(arena_.policies[drawn_[i]])),
                    .colour = static_cast<Colour>(i),
                    .shift = shift_of(i, picture.width)};
      for (const std::size_t load : by_load_) {
        if (const std::optional<Estimate> estimate = of(at(drawn_[i], load))) {
          series.points.emplace_back(arena_.loads[load], estimate->mean);
          series.margins.push_back(estimate->margin.value_or(0));
        }
      }
      picture.series.push_back(std::move(series));
    }
    for (const Standing& standing : all_) {
      const std::optional<Estimate> estimate = of(standing);
      const auto text = [&](const std::optional<double>& figure) {
        return !figure ? "-" : percents ? percent(*figure) : fmt::format("{:.4g}", *figure);
      };
      table.rows.push_back({fmt::format("{:.4g}", arena_.loads[standing.load]),
                            std::string(name_of(arena_.policies[standing.policy])),
                            text(estimate ? std::optional(estimate->mean) : std::nullopt),
                            text(estimate ? estimate->margin : std::nullopt)});
    }
    if (picture.y.scale == Scale::kLog)
      leave_room(picture);
    page.figure(chart::svg(picture, chart::Use::kPage), table);
  }

 private:
  // Pixels. At a single load, in the middle of the picture, all policies would stand upon one
  // another: they stand side by side.
  double shift_of(std::size_t drawn, int width) const {
    const double middle = (static_cast<double>(drawn_.size()) - 1) / 2;
    return by_load_.size() == 1 ? (static_cast<double>(drawn) - middle) * width / 18 : 0;
  }
  // Points of a logarithmic axis keep off its ends, and ticks find room beyond them.
  static void leave_room(Chart& picture) {
    for (const Series& series : picture.series) {
      for (const auto& [load, value] : series.points) {
        picture.y.min = std::min(picture.y.min.value_or(value / 2), value / 2);
        picture.y.max = std::max(picture.y.max.value_or(value * 2), value * 2);
      }
    }
  }
  const Standing& at(std::size_t policy, std::size_t load) const {
    return all_.at(load * arena_.policies.size() + policy);
  }

  const Arena& arena_;
  const std::vector<Standing> all_;
  const std::vector<std::size_t> drawn_;
  std::vector<std::size_t> by_load_;  // places, the loads ascending
};

// "0.6 % at load 1, 1.2 % at load 2": of the bound, which is the same for all policies.
std::string gaps_text(const Arena& arena, const std::vector<Standing>& all) {
  std::string text;
  for (const Standing& standing : all) {
    if (standing.policy == 0 && standing.bound_gap) {
      text += fmt::format("{}{} at load {:.4g}", text.empty() ? "" : ", ",
                          percent(*standing.bound_gap), arena.loads[standing.load]);
    }
  }
  return text;
}

std::optional<Estimate> without_interval(const std::optional<double>& figure) {
  return figure ? std::optional(Estimate{.mean = *figure, .margin = {}}) : std::nullopt;
}

std::string list_of_seeds(const Arena& arena) {
  std::string text;
  for (std::size_t i = 0; i < arena.seeds.size();) {
    std::size_t end = i + 1;
    while (end < arena.seeds.size() && arena.seeds[end] == arena.seeds[end - 1] + 1)
      ++end;
    text += fmt::format("{}{}", text.empty() ? "" : ", ", arena.seeds[i]);
    if (end - i > 1)
      text += fmt::format(" to {}", arena.seeds[end - 1]);
    i = end;
  }
  return text;
}

void add_attainment(chart::Page& page, const AgainstLoad& against) {
  page.heading("Attainment by class");
  page.paragraph(
      "The share of each class's requests that kept every target, over all seeds. A request that "
      "was turned away missed its promise.");
  int drawn = 0;  // two side by side
  for (const ServiceClass service_class : kServiceClasses) {
    const auto of = [&](const Standing& standing) {
      return without_interval(standing.attainment[index_of(service_class)]);
    };
    if (std::none_of(against.all().begin(), against.all().end(),
                     [&](const Standing& standing) { return of(standing).has_value(); }))
      continue;
    const std::string name(name_of(service_class));
    if (drawn % 2 == 0)
      page.begin_row();
    against.draw(page,
                 {.id = "attainment-" + name,
                  .title = name,
                  .description = "Share of kept requests of class " + name + " against load.",
                  .y = {.min = 0, .max = 1, .percent = true},
                  .width = 480,
                  .height = 300},
                 of, true);
    if (++drawn % 2 == 0)
      page.end_row();
  }
  if (drawn % 2 == 1)
    page.end_row();
}

void add_differences(chart::Page& page, const Arena& arena, const AgainstLoad& against) {
  if (arena.policies.size() < 2)
    return;
  const std::string first(name_of(arena.policies.front()));
  page.heading("Against " + first);
  page.paragraph(fmt::format(
      "Value goodput of each policy, and its share of the bound, less those of {} on the same "
      "requests, in points: the mean of the differences by seed, and its 95 % interval. An "
      "interval that does not hold 0 tells them apart.",
      first));
  HtmlTable table{.columns = {{"load", true},
                              {"policy"},
                              {"value goodput", true},
                              {"from", true},
                              {"to", true},
                              {"share of the bound", true},
                              {"from", true},
                              {"to", true}}};
  const auto or_dash = [](const std::optional<double>& difference) {
    return difference ? points(*difference) : std::string("-");
  };
  for (const Standing& standing : against.all()) {
    if (!standing.ahead_of_first)
      continue;
    std::vector<std::string> row = {fmt::format("{:.4g}", arena.loads[standing.load]),
                                    std::string(name_of(arena.policies[standing.policy]))};
    for (const auto& ahead : {standing.ahead_of_first, standing.share_ahead_of_first}) {
      row.push_back(or_dash(ahead ? std::optional(ahead->mean) : std::nullopt));
      row.push_back(or_dash(ahead ? ahead->low() : std::nullopt));
      row.push_back(or_dash(ahead ? ahead->high() : std::nullopt));
    }
    table.rows.push_back(std::move(row));
  }
  page.table(table);
}

}  // namespace

std::string to_html(const Arena& arena, const std::string& command) {
  const AgainstLoad against(arena, standings(arena));
  chart::Page page("Policies compared: " + arena.name);
  page.note(
      "Every device in this report is simulated. Its times and joules come from step models, "
      "measured tables or latency laws, and not from hardware at work.");
  page.code(command);
  const auto [fewest, most] =
      std::minmax_element(arena.runs.begin(), arena.runs.end(),
                          [](const auto& a, const auto& b) { return a.requests < b.requests; });
  page.facts({{"policies", std::to_string(arena.policies.size())},
              {"runs", std::to_string(arena.runs.size())},
              {"requests a run", fewest->requests == most->requests
                                     ? std::to_string(most->requests)
                                     : fmt::format("{} to {}", fewest->requests, most->requests)},
              {"seeds", list_of_seeds(arena)}});
  if (arena.load_one) {
    page.paragraph(fmt::format(
        "Load one, the largest at which the bound keeps 99.7 % of all value, is {:.4g} times the "
        "scenario as it is written, on the requests of the first seed. Loads below are factors on "
        "the latter.",
        *arena.load_one));
  }
  if (arena.prediction_error > 0) {
    page.paragraph(fmt::format("Forecasts have an error of {} put upon them.",
                               percent(arena.prediction_error)));
  }
  if (arena.prefill_error > 0) {
    page.paragraph(
        fmt::format("Prompts on statically scheduled devices have an error of {} put upon "
                    "their times, unknown to the scheduler.",
                    percent(arena.prefill_error)));
  }
  if (arena.heard_every > Duration(0)) {
    page.paragraph(fmt::format("The scheduler hears of first tokens and ends every {} s only.",
                               to_seconds(arena.heard_every).value()));
  }

  page.heading("Value goodput");
  page.paragraph(
      "The value of the requests that kept every target, as a share of the value of all. Load is a "
      "factor on the rate of arrivals. Whiskers are 95 % intervals of the mean over the seeds "
      "(Student's t).");
  if (arena.loads.size() == 1)
    page.paragraph("There is one load: in the pictures the policies stand side by side at it.");
  if (against.drawn() < arena.policies.size()) {
    page.paragraph(
        fmt::format("The pictures show the {} policies that keep most over all loads, the tables "
                    "behind them all {}.",
                    against.drawn(), arena.policies.size()));
  }
  against.draw(
      page,
      {.id = "goodput",
       .title = "Value goodput against load",
       .description = "Share of all value that each policy kept, against load.",
       .y = {.min = 0, .max = 1, .percent = true},
       .height = 360},
      [](const Standing& standing) { return std::optional(standing.value_goodput); }, true);
  const auto share_of_bound = [](const Standing& standing) {
    return without_interval(standing.share_of_bound);
  };
  if (std::any_of(against.all().begin(), against.all().end(),
                  [](const Standing& standing) { return standing.share_of_bound.has_value(); })) {
    against.draw(page,
                 {.id = "bound",
                  .title = "Share of the bound",
                  .description = "Value less cost as a share of its upper bound, against load.",
                  .y = {.min = 0, .max = 1, .percent = true},
                  .height = 320},
                 share_of_bound, true);
    page.paragraph(fmt::format(
        "The bound knows the whole workload beforehand, true lengths included, and no policy could "
        "exceed it. Its gap, how far it may still come down as a share of it: {}.",
        gaps_text(arena, against.all())));
  }
  add_differences(page, arena, against);
  add_attainment(page, against);

  page.heading("Cost of a kept request");
  page.paragraph(fmt::format(
      "Money and energy of the whole fleet, idle hardware included, by requests that kept every "
      "target. Money is energy at the tariff and the prices of rented services in {}; no capital.",
      arena.currency));
  page.begin_row();
  against.draw(
      page,
      {.id = "money",
       .title = arena.currency + " per good request",
       .description = "Money of the fleet by kept requests, against load.",
       .y = {.scale = Scale::kLog},
       .width = 480,
       .height = 320},
      [](const Standing& s) { return without_interval(s.money_per_good); }, false);
  against.draw(
      page,
      {.id = "joules",
       .title = "Joules per good request",
       .description = "Energy of the fleet by kept requests, against load.",
       .y = {.scale = Scale::kLog},
       .width = 480,
       .height = 320},
      [](const Standing& s) { return without_interval(s.joules_per_good); }, false);
  page.end_row();
  return page.html();
}

}  // namespace medley::simulate
