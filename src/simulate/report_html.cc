#include "simulate/report_html.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "chart/chart.h"
#include "chart/page.h"

namespace medley::simulate {
namespace {

using chart::Chart, chart::Colour, chart::Form, chart::HtmlTable, chart::Scale, chart::Series;

constexpr Colour kClassColours[kServiceClassCount] = {Colour::k0, Colour::k1, Colour::k2,
                                                      Colour::k3};
constexpr std::size_t kMostGroups = 8;  // of pools, by colour
constexpr std::size_t kMostRows = 64;   // of a table beside a picture

std::string figure(double value) {
  return std::abs(value) >= 1000 ? fmt::format("{:.0f}", value) : fmt::format("{:.4g}", value);
}
std::string percent(double share) { return fmt::format("{:.1f} %", share * 100); }
std::string seconds(double value) {
  return value < 1 ? fmt::format("{:.4g} ms", value * 1000) : fmt::format("{:.4g} s", value);
}
// Of no samples there is no figure.
std::string seconds(const Summary& of, double Summary::*figure) {
  return of.count > 0 ? seconds(of.*figure) : "-";
}
std::string energy(double joules) {
  if (joules >= 3.6e5)
    return fmt::format("{:.4g} kWh", joules / 3.6e6);
  return joules >= 1000 ? fmt::format("{:.4g} kJ", joules / 1000) : fmt::format("{:.4g} J", joules);
}

// Pools that are drawn as one: each alone where there are few, else the smaller ones together.
struct Group {
  std::string name;
  std::vector<PoolId> pools;
};

std::vector<Group> groups_of(const Report& report, const Fleet& fleet) {
  std::vector<std::size_t> order(fleet.pools.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (order.size() > kMostGroups) {
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return report.pools[a].requests > report.pools[b].requests;
    });
    std::sort(order.begin(), order.begin() + kMostGroups - 1);
  }
  std::vector<Group> groups;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (order.size() > kMostGroups && i >= kMostGroups - 1) {
      if (groups.size() < kMostGroups)
        groups.push_back({fmt::format("the other {} pools", order.size() - i), {}});
      groups.back().pools.push_back(PoolId(order[i]));
    } else {
      groups.push_back({fleet.pools[order[i]].name, {PoolId(order[i])}});
    }
  }
  return groups;
}

// What the pictures over time share: the buckets, their lengths (the last one may be shorter) and
// the axis.
class OverTime {
 public:
  OverTime(const Timeline& timeline)
      : unit_(chart::time_unit(timeline.end_s())),
        width_s_(timeline.bucket_s()),
        end_s_(timeline.end_s()),
        buckets_(timeline.buckets()) {}

  chart::Axis axis() const {
    return {.label = "simulated time, " + unit_.name,
            .min = 0,
            .max = std::max(end_s_, 1e-9) / unit_.seconds};
  }
  std::size_t buckets() const { return buckets_; }
  double bucket_s() const { return width_s_; }
  // Of one bucket, in seconds; never 0.
  double length_s(std::size_t bucket) const {
    const double begin_s = static_cast<double>(bucket) * width_s_;
    return std::max(std::min(width_s_, end_s_ - begin_s), 1e-9);
  }
  // `value(bucket)` as steps.
  template <typename Value>
  Series steps(const std::string& name, Colour colour, const Value& value) const {
    Series series{.name = name, .colour = colour, .form = Form::kSteps};
    for (std::size_t i = 0; i < buckets_; ++i)
      series.points.emplace_back(static_cast<double>(i) * width_s_ / unit_.seconds, value(i));
    if (buckets_ > 0) {
      series.points.emplace_back(std::max(end_s_, 1e-9) / unit_.seconds,
                                 series.points.back().second);
    }
    return series;
  }
  // A row for each bucket, or for several in a row by their mean.
  HtmlTable table(const std::vector<Series>& series) const {
    HtmlTable table{.columns = {{"from, s", true}}};
    for (const Series& of : series)
      table.columns.push_back({of.name, true});
    const std::size_t joined = (buckets_ + kMostRows - 1) / kMostRows;
    for (std::size_t begin = 0; begin < buckets_; begin += joined) {
      const std::size_t end = std::min(buckets_, begin + joined);
      std::vector<std::string> row = {figure(static_cast<double>(begin) * width_s_)};
      for (const Series& of : series) {
        double sum = 0;
        for (std::size_t i = begin; i < end; ++i)
          sum += of.points[i].second;
        row.push_back(figure(sum / static_cast<double>(end - begin)));
      }
      table.rows.push_back(std::move(row));
    }
    return table;
  }

 private:
  const chart::TimeUnit unit_;
  const double width_s_, end_s_;
  const std::size_t buckets_;
};

Colour colour_of(std::size_t group) { return static_cast<Colour>(group % 8); }

void add_latencies(chart::Page& page, const Report& report) {
  struct Kind {
    const char *id, *title, *description;
    std::vector<std::pair<double, double>> LatencyCurves::*curve;
    Summary Latencies::*summary;
  };
  page.heading("Latency");
  page.paragraph(
      "Of completed requests: the share that was at most so slow. TTFT: time to first token, from "
      "arrival. TPOT: mean time per output token after the first.");
  page.begin_row();
  for (const Kind& kind :
       {Kind{"ttft", "TTFT", "Cumulative distribution of the time to first token, by class.",
             &LatencyCurves::ttft_s, &Latencies::ttft_s},
        Kind{"tpot", "TPOT", "Cumulative distribution of the time per output token, by class.",
             &LatencyCurves::tpot_s, &Latencies::tpot_s},
        Kind{"e2e", "End to end", "Cumulative distribution of the whole time, by class.",
             &LatencyCurves::e2e_s, &Latencies::e2e_s}}) {
    Chart drawn{.id = kind.id,
                .title = kind.title,
                .description = kind.description,
                .x = {.label = "seconds", .scale = Scale::kLog},
                .y = {.min = 0, .max = 1, .percent = true},
                .width = 300,
                .height = 290};
    HtmlTable table{.columns = {{"class"},
                                {"requests", true},
                                {"mean", true},
                                {"p50", true},
                                {"p90", true},
                                {"p99", true},
                                {"max", true}}};
    for (const ClassReport& of_class : report.classes) {
      const Summary& summary = of_class.latencies.*kind.summary;
      const std::string name(name_of(of_class.service_class));
      table.rows.push_back({name, std::to_string(summary.count), seconds(summary, &Summary::mean),
                            seconds(summary, &Summary::p50), seconds(summary, &Summary::p90),
                            seconds(summary, &Summary::p99), seconds(summary, &Summary::max)});
      if (summary.count > 0) {
        drawn.series.push_back({.name = name,
                                .colour = kClassColours[index_of(of_class.service_class)],
                                .points = of_class.curves.*kind.curve});
      }
    }
    page.figure(chart::svg(drawn, chart::Use::kPage), table);
  }
  page.end_row();
}

void add_outcomes(chart::Page& page, const Report& report, const Fleet& fleet) {
  page.heading("What became of the requests");
  const std::string& currency = fleet.site.currency;
  HtmlTable table{.columns = {{"class"},
                              {"requests", true},
                              {"kept", true},
                              {"attained", true},
                              {"late", true},
                              {"refused", true},
                              {"failed", true},
                              {"unfinished", true},
                              {"kept a second", true},
                              {"energy", true},
                              {currency, true}}};
  const auto row = [&](std::string name, const auto& of) {
    table.rows.push_back({std::move(name), std::to_string(of.requests), std::to_string(of.kept),
                          percent(of.attainment), std::to_string(of.completed - of.kept),
                          std::to_string(of.rejected), std::to_string(of.failed),
                          std::to_string(of.unfinished), fmt::format("{:.2f}", of.goodput_per_s)});
  };
  const auto amounts = [&](double joules, double money) {
    table.rows.back().push_back(joules > 0 ? energy(joules) : "unknown");
    table.rows.back().push_back(figure(money));
  };
  for (const ClassReport& of_class : report.classes) {
    row(std::string(name_of(of_class.service_class)), of_class);
    amounts(of_class.joules, of_class.money);
  }
  row("all", report);
  amounts(report.request_joules, report.request_money);
  page.table(table);
  page.paragraph(
      "Kept: every target of the request was met by a whole answer. A request that was refused "
      "missed its promise. Energy and money are what the requests account for.");
  for (const ClassReport& of_class : report.classes) {
    if (const std::string windows = windows_text(of_class); !windows.empty())
      page.paragraph("Token windows, " + windows + ".");
  }
  if (!report.refused_for.empty()) {
    HtmlTable reasons{.columns = {{"refused because"}, {"requests", true}}};
    for (const auto& [reason, requests] : report.refused_for)
      reasons.rows.push_back({reason, std::to_string(requests)});
    page.table(reasons);
  }
}

void add_arrivals(chart::Page& page, const Timeline& timeline, const OverTime& over) {
  const std::vector<Timeline::Arrivals>& buckets = timeline.arrivals();
  const auto rate = [&](long long Timeline::Arrivals::*count) {
    return [&, count](std::size_t i) {
      return static_cast<double>(buckets[i].*count) / over.length_s(i);
    };
  };
  Chart drawn{.id = "arrivals",
              .title = "Requests by what became of them",
              .description =
                  "Requests a second by the time they arrived: kept, late, refused, "
                  "failed; stacked.",
              .x = over.axis(),
              .y = {.label = "requests a second"},
              .stacked = true};
  drawn.series = {
      over.steps("kept", Colour::k2, rate(&Timeline::Arrivals::kept)),
      over.steps("late", Colour::kPrefill, rate(&Timeline::Arrivals::late)),
      over.steps("refused", Colour::kLost, rate(&Timeline::Arrivals::refused)),
      over.steps("failed or unfinished", Colour::kMuted, rate(&Timeline::Arrivals::failed))};
  page.figure(chart::svg(drawn, chart::Use::kPage), over.table(drawn.series));
}

// Shares of a bucket's replica time.
std::vector<Series> shares(const OverTime& over, const std::vector<Timeline::Work>& work,
                           double replicas) {
  const auto share = [&](auto amount) {
    return [&, amount](std::size_t i) {
      return std::clamp(amount(work[i]) / (over.length_s(i) * replicas), 0.0, 1.0);
    };
  };
  using Work = Timeline::Work;
  return {over.steps("steps with prompts", Colour::kPrefill,
                     share([](const Work& of) { return of.prefill_s; })),
          over.steps("decode alone", Colour::kDecode,
                     share([](const Work& of) { return of.busy_s - of.prefill_s; })),
          over.steps("lost", Colour::kLost, share([](const Work& of) { return of.lost_s; })),
          over.steps("idle", Colour::kIdle, [&](std::size_t i) {
            const double all = over.length_s(i) * replicas;
            return std::clamp(1 - (work[i].busy_s + work[i].lost_s) / all, 0.0, 1.0);
          })};
}

void add_fleet(chart::Page& page, const Report& report, const Fleet& fleet,
               const Timeline& timeline, const OverTime& over) {
  page.heading("The fleet over time");
  std::string metered;
  chart::Strips pools{.id = "pools",
                      .title = "Time of each pool's replicas",
                      .description =
                          "Shares of the replicas' time over the run: steps with "
                          "prompts, decode alone, lost, idle.",
                      .x = over.axis(),
                      .row_height = 30};
  HtmlTable table{.columns = {{"pool"},
                              {"replicas", true},
                              {"steps with prompts", true},
                              {"decode alone", true},
                              {"lost", true},
                              {"idle", true}}};
  constexpr std::size_t kMostPools = 40;
  std::size_t left_out = 0;
  for (std::size_t i = 0; i < fleet.pools.size(); ++i) {
    const Pool& pool = fleet.pools[i];
    if (pool.metered) {
      metered += (metered.empty() ? "" : ", ") + pool.name;
      continue;
    }
    const std::vector<Timeline::Work>& work = timeline.pool(PoolId(i));
    if (pools.rows.size() < kMostPools) {
      pools.rows.push_back({pool.name, shares(over, work, pool.replicas)});
    } else {
      ++left_out;
    }
    Timeline::Work sum;
    for (std::size_t at = 0; at < over.buckets(); ++at) {
      sum.busy_s += work[at].busy_s;
      sum.prefill_s += work[at].prefill_s;
      sum.lost_s += work[at].lost_s;
    }
    const double all = std::max(report.simulated_s * pool.replicas, 1e-9);
    table.rows.push_back({pool.name, std::to_string(pool.replicas), percent(sum.prefill_s / all),
                          percent((sum.busy_s - sum.prefill_s) / all), percent(sum.lost_s / all),
                          percent(std::max(0.0, 1 - (sum.busy_s + sum.lost_s) / all))});
  }
  if (!pools.rows.empty())
    page.figure(chart::svg(pools, chart::Use::kPage), table);
  if (left_out > 0)
    page.paragraph(fmt::format("{} more pools are in the table only.", left_out));
  if (!metered.empty())
    page.paragraph(fmt::format("Rented services have no time of their own here: {}.", metered));
  const std::vector<PoolId> owners = fleet.pools_of_replicas();
  if (timeline.has_replicas() && owners.size() > fleet.pools.size()) {
    chart::Strips replicas{.id = "replicas",
                           .title = "Each replica",
                           .description = "The same for every replica alone.",
                           .x = over.axis()};
    std::size_t number = 0;  // within the pool
    for (std::size_t i = 0; i < owners.size(); ++i) {
      number = i > 0 && owners[i] == owners[i - 1] ? number + 1 : 0;
      const Pool& pool = fleet.pool(owners[i]);
      if (!pool.metered) {
        replicas.rows.push_back(
            {fmt::format("{}/{}", pool.name, number), shares(over, timeline.replica(i), 1)});
      }
    }
    if (!replicas.rows.empty())
      page.figure(chart::svg(replicas, chart::Use::kPage), {});
  } else if (!timeline.has_replicas()) {
    page.paragraph(fmt::format("{} replicas are too many for a row each.", owners.size()));
  }
}

void add_load(chart::Page& page, const std::vector<Group>& groups, const Timeline& timeline,
              const OverTime& over) {
  page.heading("Queue and memory");
  const auto mean = [&](const Group& group, double Timeline::Work::*amount) {
    return [&, amount](std::size_t i) {
      double sum = 0;
      for (const PoolId pool : group.pools)
        sum += timeline.pool(pool)[i].*amount;
      return sum / over.length_s(i);
    };
  };
  Chart waiting{.id = "waiting",
                .title = "Requests that wait",
                .description =
                    "Requests that wait in a replica's queue, by pool, and those that "
                    "the scheduler holds back before it dispatches them.",
                .x = over.axis(),
                .y = {.label = "requests, mean"}};
  Chart running{.id = "running",
                .title = "Requests that run",
                .description = "Requests in the batches or slots of each pool.",
                .x = over.axis(),
                .y = {.label = "requests, mean"}};
  Chart kv{.id = "kv",
           .title = "KV cache in use",
           .description = "Share of each pool's KV cache that sequences hold.",
           .x = over.axis(),
           .y = {.percent = true}};
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const Group& group = groups[g];
    waiting.series.push_back(
        over.steps(group.name, colour_of(g), mean(group, &Timeline::Work::waiting_s)));
    running.series.push_back(
        over.steps(group.name, colour_of(g), mean(group, &Timeline::Work::running_s)));
    double capacity = 0;
    for (const PoolId pool : group.pools)
      capacity += static_cast<double>(timeline.kv_tokens(pool));
    if (capacity > 0) {
      const auto tokens = mean(group, &Timeline::Work::kv_token_s);
      kv.series.push_back(over.steps(group.name, colour_of(g),
                                     [&](std::size_t i) { return tokens(i) / capacity; }));
    }
  }
  waiting.series.push_back(over.steps(
      "held back by the scheduler", Colour::kMuted,
      [&](std::size_t i) { return timeline.arrivals()[i].in_core_s / over.length_s(i); }));
  for (Chart* drawn : {&waiting, &running, &kv}) {
    if (!drawn->series.empty())
      page.figure(chart::svg(*drawn, chart::Use::kPage), over.table(drawn->series));
  }
  page.paragraph(
      "Held back by the scheduler counts requests that were dispatched in the end; how long a "
      "refused one waited is not recorded.");
}

void add_energy(chart::Page& page, const Report& report, const Fleet& fleet,
                const std::vector<Group>& groups, const Timeline& timeline,
                const SimulationResult& result, const OverTime& over) {
  page.heading("Energy and money");
  // What a pool draws between steps, mean over its replicas.
  std::vector<double> idle_watts(fleet.pools.size(), 0);
  for (std::size_t i = 0; i < fleet.pools.size(); ++i) {
    double joules = 0, idle_s = 0;
    for (const ReplicaRecord& replica : result.replicas) {
      if (replica.pool != PoolId(i) || !replica.idle_joules)
        continue;
      joules += *replica.idle_joules;
      idle_s += std::max(0.0, report.simulated_s - replica.usage.busy_s - replica.lost_s);
    }
    if (idle_s > 0)
      idle_watts[i] = joules / idle_s;
  }
  Chart power{.id = "power",
              .title = "Power",
              .description = "Mean power of each pool, steps and where known idle time; stacked.",
              .x = over.axis(),
              .y = {.label = "kW"},
              .stacked = true};
  for (std::size_t g = 0; g < groups.size(); ++g) {
    bool known = false;
    for (const PoolId pool : groups[g].pools)
      known = known || report.pools[pool.number()].joules > 0;
    if (!known)
      continue;
    power.series.push_back(over.steps(groups[g].name, colour_of(g), [&](std::size_t i) {
      double joules = 0;
      for (const PoolId pool : groups[g].pools) {
        const Timeline::Work& work = timeline.pool(pool)[i];
        const double idle_s =
            over.length_s(i) * fleet.pool(pool).replicas - work.busy_s - work.lost_s;
        joules += work.joules + idle_watts[pool.number()] * std::max(0.0, idle_s);
      }
      return joules / over.length_s(i) / 1000;
    }));
  }
  if (power.series.empty()) {
    page.paragraph("The energy of every pool is unknown.");
  } else {
    page.figure(chart::svg(power, chart::Use::kPage), over.table(power.series));
  }
  const std::string& currency = fleet.site.currency;
  HtmlTable table{.columns = {{"pool"},
                              {"device"},
                              {"model"},
                              {"zone"},
                              {"replicas", true},
                              {"timed by"},
                              {"requests", true},
                              {"output tokens", true},
                              {"use", true},
                              {"energy", true},
                              {"of it idle", true},
                              {currency, true},
                              {"J / 1k tokens", true}}};
  std::string extrapolated;
  for (const PoolReport& pool : report.pools) {
    const Pool& facts = fleet.pool(pool.pool);
    const bool known = pool.joules > 0;
    if (pool.extrapolated_steps > 0) {
      extrapolated += fmt::format("{}{} ({} of {} steps)", extrapolated.empty() ? "" : ", ",
                                  facts.name, pool.extrapolated_steps, pool.steps);
    }
    table.rows.push_back(
        {facts.name, facts.device.empty() ? "table" : facts.device, facts.model.id, facts.zone,
         std::to_string(facts.replicas),
         facts.metered ? "a latency law"
         : facts.table ? "measured table, " + facts.table->format
                       : "a step model",
         std::to_string(pool.requests), std::to_string(pool.output_tokens),
         facts.metered ? "-" : percent(pool.use), known ? energy(pool.joules) : "unknown",
         pool.idle_joules ? energy(*pool.idle_joules) : "unknown", figure(pool.money),
         known && pool.output_tokens > 0
             ? figure(pool.joules * 1000 / static_cast<double>(pool.output_tokens))
             : "unknown"});
  }
  page.table(table);
  page.paragraph(fmt::format(
      "The fleet: {}, {} {}. Owned hardware with its idle time at the tariff of the hour where its "
      "power is known, rented services by price; no capital.",
      report.joules > 0 ? energy(report.joules) : "energy unknown", figure(report.money),
      currency));
  if (const std::string power = power_text(report.power); !power.empty())
    page.paragraph("P" + power.substr(1) + ".");
  if (const std::string unknown = unknown_energy(report, fleet); !unknown.empty())
    page.note("Not in these sums, here and above, since unknown: " + unknown + ".");
  if (!extrapolated.empty())
    page.note("Timed outside the range of a measured table: " + extrapolated + ".");
}

}  // namespace

std::string to_html(const Report& report, const Fleet& fleet, const Timeline& timeline,
                    const SimulationResult& result, const std::string& command) {
  chart::Page page(report.name);
  page.note(
      "Every device in this report is simulated. Its times and joules come from step models, "
      "measured tables or latency laws, as the table of pools says, and not from this hardware at "
      "work.");
  page.code(command);
  page.facts({{"requests", std::to_string(report.requests)},
              {"kept", percent(report.attainment)},
              {"kept a second", fmt::format("{:.2f}", report.goodput_per_s)},
              {"simulated", fmt::format("{:.4g} s", report.simulated_s)},
              {"TTFT p99", seconds(report.latencies.ttft_s, &Summary::p99)},
              {"TPOT p99", seconds(report.latencies.tpot_s, &Summary::p99)},
              {"energy", report.joules > 0 ? energy(report.joules) : "unknown"},
              {fleet.site.currency, figure(report.money)},
              {"placement", std::string(name_of(fleet.placement))}});
  if (const std::string bound = bound_text(report); !bound.empty()) {
    page.paragraph("Value less what requests cost: " + bound + ".");
  }
  if (report.prediction_error > 0) {
    page.paragraph(fmt::format("Forecasts have an error of {} put upon them.",
                               percent(report.prediction_error)));
  }
  if (report.prefill_error > 0) {
    page.paragraph(
        fmt::format("Prompts on statically scheduled devices have an error of {} put upon "
                    "their times, unknown to the scheduler.",
                    percent(report.prefill_error)));
  }
  const OverTime over(timeline);
  const std::vector<Group> groups = groups_of(report, fleet);
  add_outcomes(page, report, fleet);
  add_arrivals(page, timeline, over);
  add_latencies(page, report);
  add_fleet(page, report, fleet, timeline, over);
  add_load(page, groups, timeline, over);
  add_energy(page, report, fleet, groups, timeline, result, over);
  page.paragraph(fmt::format(
      "Pictures over time have {} buckets of {:.4g} s. {} evictions, {} preemptions, {} steps, {} "
      "answers cut where "
      "a context was full. Decision digest {}.",
      over.buckets(), over.bucket_s(), report.evictions, report.preemptions, report.steps,
      report.truncated, report.decision_digest));
  return page.html();
}

}  // namespace medley::simulate
