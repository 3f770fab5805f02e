#include "simulate/trace_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cmath>

#include "chart/page.h"
#include "data/json.h"

namespace medley::simulate {
namespace {

namespace json = boost::json;
using chart::Chart, chart::Colour, chart::Form, chart::Scale, chart::Series;

json::object to_object(const Summary& summary) {
  return {{"mean", summary.mean},
          {"p50", summary.p50},
          {"p90", summary.p90},
          {"p99", summary.p99},
          {"max", summary.max}};
}

json::array to_array(const std::vector<double>& values) {
  json::array array;
  for (const double value : values)
    array.push_back(json::value(value));
  return array;
}

// Buckets as steps over time since the first request, in the unit of the axis.
Series steps(const std::string& name, Colour colour, const std::vector<double>& values,
             double bucket_s, const chart::TimeUnit& unit) {
  Series series{.name = name, .colour = colour, .form = Form::kSteps};
  for (std::size_t i = 0; i < values.size(); ++i)
    series.points.emplace_back(static_cast<double>(i) * bucket_s / unit.seconds, values[i]);
  if (!values.empty()) {
    series.points.emplace_back(static_cast<double>(values.size()) * bucket_s / unit.seconds,
                               values.back());
  }
  return series;
}

std::string figure(double value) {
  return std::abs(value) >= 1000 ? fmt::format("{:.0f}", value) : fmt::format("{:.4g}", value);
}

std::vector<std::string> row_of(const std::string& name, const Summary& summary) {
  return {name,
          figure(summary.mean),
          figure(summary.p50),
          figure(summary.p90),
          figure(summary.p99),
          figure(summary.max)};
}

}  // namespace

std::string to_json(const TraceStats& stats, data::TraceFormat format) {
  json::object out{{"schema", 1},
                   {"format", data::name_of(format)},
                   {"requests", stats.requests},
                   {"first_s", stats.first_s},
                   {"last_s", stats.last_s},
                   {"rate_per_s", stats.rate_per_s},
                   {"gap_cv", stats.gap_cv},
                   {"share_at_one_instant", stats.at_one_instant},
                   {"tick_s", stats.tick_s}};
  json::array dispersion;
  for (const Dispersion& window : stats.dispersion) {
    dispersion.push_back(json::object{
        {"window_s", window.window_s}, {"windows", window.windows}, {"index", window.index}});
  }
  out["dispersion"] = std::move(dispersion);
  out["prompt_tokens"] = to_object(stats.prompt_tokens);
  out["output_tokens"] = to_object(stats.output_tokens);
  out["prompt_tokens_sum"] = stats.prompt_sum;
  out["output_tokens_sum"] = stats.output_sum;
  json::array outputs;
  for (const OutputsByPrompt& part : stats.outputs_by_prompt) {
    outputs.push_back(json::object{
        {"prompt_from", part.from}, {"prompt_to", part.to}, {"output", to_object(part.output)}});
  }
  out["outputs_by_prompt"] = std::move(outputs);
  out["prefix"] = nullptr;
  if (stats.prefix) {
    out["prefix"] = json::object{{"requests", stats.prefix->requests},
                                 {"share_of_prompt_tokens", stats.prefix->tokens},
                                 {"within_60_s", stats.prefix->tokens_in_minute},
                                 {"within_600_s", stats.prefix->tokens_in_ten_minutes},
                                 {"age_s", to_object(stats.prefix->age_s)}};
  }
  out["bucket_s"] = stats.bucket_s;
  out["rate_by_bucket_per_s"] = to_array(stats.rate_by_bucket);
  return data::json_text(out);
}

std::string to_json(const TraceFit& fit) {
  json::array candidates;
  for (const ArrivalCandidate& candidate : fit.candidates) {
    candidates.push_back(json::object{{"name", candidate.name},
                                      {"dispersion_error", candidate.error},
                                      {"chosen", candidate.chosen}});
  }
  json::array figures;
  for (const FitFigure& of : fit.figures) {
    figures.push_back(json::object{{"name", of.name},
                                   {"trace", of.trace},
                                   {"generated", of.mean},
                                   {"generated_min", of.least},
                                   {"generated_max", of.most}});
  }
  return data::json_text(json::object{{"schema", 1},
                                      {"arrivals", std::move(candidates)},
                                      {"generated_traces", fit.generated},
                                      {"figures", std::move(figures)}});
}

std::vector<Chart> trace_charts(const TraceStats& stats,
                                std::span<const data::TraceRequest> requests) {
  std::vector<Chart> charts;
  const chart::TimeUnit unit = chart::time_unit(stats.span_s());
  const std::string time = "time since the first request, " + unit.name;
  if (!stats.rate_by_bucket.empty()) {
    charts.push_back(
        {.id = "rate",
         .title = "Requests over time",
         .description = fmt::format("Requests a second in buckets of {:.3g} s; {:.4g} in the mean.",
                                    stats.bucket_s, stats.rate_per_s),
         .x = {.label = time},
         .y = {.label = "requests a second"},
         .series = {steps("requests", Colour::k0, stats.rate_by_bucket, stats.bucket_s, unit)}});
    charts.push_back(
        {.id = "tokens",
         .title = "Tokens over time",
         .description = "Tokens a second of the prompts and of the answers that arrive.",
         .x = {.label = time},
         .y = {.label = "tokens a second", .scale = Scale::kLog},
         .series = {steps("prompts", Colour::kPrefill, stats.prompt_tokens_by_bucket,
                          stats.bucket_s, unit),
                    steps("answers", Colour::kDecode, stats.output_tokens_by_bucket, stats.bucket_s,
                          unit)}});
  }
  if (!stats.dispersion.empty()) {
    Series found{.name = "trace", .colour = Colour::k0};
    Series poisson{.name = "1: Poisson", .colour = Colour::kMuted};
    for (const Dispersion& window : stats.dispersion) {
      found.points.emplace_back(window.window_s, window.index);
      poisson.points.emplace_back(window.window_s, 1);
    }
    charts.push_back({.id = "dispersion",
                      .title = "Burstiness by window length",
                      .description = "Variance over mean of the number of requests in a window, by "
                                     "the window's length. A Poisson process has 1 everywhere.",
                      .x = {.label = "window, s", .scale = Scale::kLog},
                      .y = {.label = "index of dispersion", .scale = Scale::kLog},
                      .series = {found, poisson}});
  }
  std::vector<double> prompts, outputs;
  for (const data::TraceRequest& request : requests) {
    prompts.push_back(static_cast<double>(request.prompt.count()));
    outputs.push_back(static_cast<double>(request.output.count()));
  }
  charts.push_back(
      {.id = "lengths",
       .title = "Lengths",
       .description = "Share of requests whose prompt or answer is at most so long.",
       .x = {.label = "tokens", .scale = Scale::kLog},
       .y = {.label = "share of requests", .min = 0, .max = 1, .percent = true},
       .series = {
           {.name = "prompts", .colour = Colour::kPrefill, .points = distribution(prompts)},
           {.name = "answers", .colour = Colour::kDecode, .points = distribution(outputs)}}});
  return charts;
}

std::string trace_page(const TraceStats& stats, std::span<const data::TraceRequest> requests,
                       data::TraceFormat format, const std::string& name,
                       const std::string& command) {
  chart::Page page("Trace " + name);
  page.paragraph(fmt::format("Format {}. Times are those of the file.", data::name_of(format)));
  page.code(command);
  page.facts({{"requests", fmt::format("{}", stats.requests)},
              {"over", fmt::format("{:.4g} s", stats.span_s())},
              {"a second", figure(stats.rate_per_s)},
              {"prompt tokens, mean", figure(stats.prompt_tokens.mean)},
              {"output tokens, mean", figure(stats.output_tokens.mean)},
              {"repeated prompt tokens",
               stats.prefix ? fmt::format("{:.1f} %", stats.prefix->tokens * 100) : "unknown"}});
  const std::vector<Chart> charts = trace_charts(stats, requests);
  for (const Chart& drawn : charts) {
    chart::HtmlTable figures;
    if (drawn.id == "dispersion") {
      figures.columns = {{"window, s", true}, {"windows", true}, {"index of dispersion", true}};
      for (const Dispersion& window : stats.dispersion) {
        figures.rows.push_back(
            {figure(window.window_s), fmt::format("{}", window.windows), figure(window.index)});
      }
    } else if (drawn.id == "lengths") {
      figures.columns = {{"tokens"},    {"mean", true}, {"p50", true},
                         {"p90", true}, {"p99", true},  {"max", true}};
      figures.rows = {row_of("prompts", stats.prompt_tokens),
                      row_of("answers", stats.output_tokens)};
    } else {
      figures.columns = {{"from, s", true},
                         {"requests/s", true},
                         {"prompt tokens/s", true},
                         {"output tokens/s", true}};
      for (std::size_t i = 0; i < stats.rate_by_bucket.size(); ++i) {
        figures.rows.push_back(
            {figure(static_cast<double>(i) * stats.bucket_s), figure(stats.rate_by_bucket[i]),
             figure(stats.prompt_tokens_by_bucket[i]), figure(stats.output_tokens_by_bucket[i])});
      }
    }
    page.figure(chart::svg(drawn, chart::Use::kPage), figures);
  }
  if (!stats.outputs_by_prompt.empty()) {
    page.heading("Answers by the length of their prompts");
    chart::HtmlTable table{.columns = {{"prompt tokens"},
                                       {"output mean", true},
                                       {"p50", true},
                                       {"p90", true},
                                       {"p99", true},
                                       {"max", true}}};
    for (const OutputsByPrompt& part : stats.outputs_by_prompt)
      table.rows.push_back(row_of(fmt::format("{} to {}", part.from, part.to), part.output));
    page.table(table);
  }
  page.heading("What prompts have in common");
  if (stats.prefix) {
    page.paragraph(fmt::format(
        "{} requests begin as an earlier one did; these beginnings are {:.1f} % of all prompt "
        "tokens ({:.1f} % begin as one at most a minute before, {:.1f} % as one at most ten "
        "minutes before). A cache that keeps everything could reuse them.",
        stats.prefix->requests, stats.prefix->tokens * 100, stats.prefix->tokens_in_minute * 100,
        stats.prefix->tokens_in_ten_minutes * 100));
  } else {
    page.paragraph("Unknown: this trace does not say.");
  }
  return page.html();
}

}  // namespace medley::simulate
