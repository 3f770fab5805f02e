#include "simulate/trace_fit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "simulate/generator.h"
#include "simulate/trace_report.h"

namespace medley::simulate {
namespace {

std::vector<data::TraceRequest> requests_of(const std::string& workload, std::uint64_t seed = 3) {
  const auto spec = data::parse_workload(workload, "w.yaml");
  EXPECT_TRUE(spec.ok()) << (spec.ok() ? "" : spec.error().message);
  std::vector<data::TraceRequest> requests;
  WorkloadGenerator generator(*spec, seed);
  while (const auto made = generator.next()) {
    data::TraceRequest request;
    request.arrived_s = made->arrived_s;
    request.prompt = Tokens(made->prompt_tokens);
    request.output = Tokens(made->output_tokens);
    request.prefix_of = static_cast<std::uint32_t>(made->prefix_of);
    request.prefix = Tokens(made->prefix_tokens);
    requests.push_back(std::move(request));
  }
  return requests;
}

TraceFit fit_of(const std::vector<data::TraceRequest>& requests, bool prefixes = false) {
  auto fit = fit_trace(requests, trace_stats(requests, prefixes));
  EXPECT_TRUE(fit.ok()) << (fit.ok() ? "" : fit.error().message);
  return fit.ok() ? std::move(fit).value() : TraceFit{};
}

std::string chosen(const TraceFit& fit) {
  for (const ArrivalCandidate& candidate : fit.candidates) {
    if (candidate.chosen)
      return candidate.name;
  }
  return "";
}

const std::string kLengths =
    "prompt_tokens: {median: 500, sigma: 0.8}\noutput_tokens: {by_prompt: [{up_to: 400, tokens: "
    "20}, {tokens: {median: 100, sigma: 0.3}}]}\n";

TEST(TraceStats, TellsBurstsFromAMetronome) {
  std::vector<data::TraceRequest> even, bursts;
  for (int i = 0; i < 1000; ++i) {
    data::TraceRequest request;
    request.prompt = Tokens(10);
    request.output = Tokens(1);
    request.arrived_s = i;
    even.push_back(request);
    request.arrived_s = 10 * (i / 10);  // ten at a time
    bursts.push_back(request);
  }
  const TraceStats calm = trace_stats(even, false), wild = trace_stats(bursts, false);
  EXPECT_EQ(calm.gap_cv, 0);
  for (const Dispersion& window : calm.dispersion)
    EXPECT_LT(window.index, 0.7) << window.window_s;
  EXPECT_NEAR(wild.gap_cv, 3, 0.1);
  EXPECT_EQ(wild.tick_s, 10);
  EXPECT_NEAR(wild.dispersion.front().index, 9, 0.1) << "ten in every tenth window of a second";
  EXPECT_FALSE(wild.prefix.has_value());
}

TEST(TraceStats, CountsWhatCouldBeReused) {
  std::vector<data::TraceRequest> requests(3);
  for (std::size_t i = 0; i < 3; ++i) {
    requests[i].arrived_s = 100 * static_cast<double>(i);
    requests[i].prompt = Tokens(100);
    requests[i].output = Tokens(1);
  }
  requests[1].prefix = Tokens(60);
  requests[2].prefix = Tokens(90);
  requests[2].prefix_of = 1;
  const TraceStats stats = trace_stats(requests, true);
  EXPECT_DOUBLE_EQ(stats.prefix->tokens, 0.5);
  EXPECT_EQ(stats.prefix->tokens_in_minute, 0);
  EXPECT_DOUBLE_EQ(stats.prefix->tokens_in_ten_minutes, 0.5);
  EXPECT_EQ(stats.prefix->requests, 2);
}

TEST(TraceFit, APoissonTraceStaysPoisson) {
  const TraceFit fit = fit_of(requests_of("for: 1000\nrate_per_s: 5\n" + kLengths));
  EXPECT_EQ(chosen(fit), "poisson");
  EXPECT_TRUE(fit.workload.arrivals.shape.empty());
}

// Its dispersion is 0 over every window, which has no logarithm.
TEST(TraceFit, AMetronomeStaysOne) {
  for (const std::string rate : {"rate_per_s: 2\n", "rate_per_s: 0.33333333333\n"}) {
    const TraceFit fit =
        fit_of(requests_of("requests: 3600\narrivals: constant\n" + rate + kLengths));
    EXPECT_EQ(chosen(fit), "constant gaps");
    EXPECT_EQ(fit.workload.arrivals.gap_cv, 0);
    EXPECT_GT(fit.candidates.front().error, 1) << "Poisson";
  }
}

TEST(TraceFit, SaysWhereNothingCouldBeCompared) {
  std::vector<data::TraceRequest> requests(200);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    requests[i].prompt = requests[i].output = Tokens(1);
    requests[i].arrived_s = static_cast<double>(i / 4);  // all windows are of few ticks
  }
  const TraceFit fit = fit_of(requests);
  EXPECT_EQ(chosen(fit), "poisson");
  EXPECT_TRUE(std::isinf(fit.candidates.front().error));
  EXPECT_NE(to_json(fit).find(R"("dispersion_error":null)"), std::string::npos) << to_json(fit);
}

TEST(TraceFit, UnevenGapsAndAWanderingRateAreToldApart) {
  EXPECT_EQ(
      chosen(fit_of(requests_of("for: 1000\nrate_per_s: 5\narrivals: {gap_cv: 0.4}\n" + kLengths))),
      "gamma gaps");
  const TraceFit fit = fit_of(requests_of(
      "for: 8000\nrate_per_s: 5\narrivals: {swings: [{every_s: 20, cv: 0.6}]}\n" + kLengths));
  EXPECT_EQ(chosen(fit), "wandering rate");
  for (const FitFigure& figure : fit.figures) {
    if (figure.name.starts_with("dispersion") && figure.name != "dispersion, 300 s") {
      EXPECT_NEAR(figure.mean / figure.trace, 1, 0.25) << figure.name;
    }
  }
}

TEST(TraceFit, KeepsLengthsDependenceAndShape) {
  const TraceFit fit =
      fit_of(requests_of("for: 6000\nrate_per_s: 3\narrivals: {shape: {every_s: 1000, factors: [1, "
                         "4, 1, 2, 1, 6]}}\n" +
                         kLengths));
  EXPECT_FALSE(fit.workload.arrivals.shape.empty());
  for (const FitFigure& figure : fit.figures) {
    if (figure.name.find("tokens, p") != std::string::npos ||
        figure.name.find("mean") != std::string::npos) {
      EXPECT_NEAR(figure.mean / figure.trace, 1, 0.05) << figure.name;
    }
  }
}

// A day's shape in hours says nothing of arrivals that are months apart, and no file may say it.
TEST(TraceFit, WritesNoShapeFinerThanTheArrivals) {
  std::vector<data::TraceRequest> requests = requests_of("for: 150\nrate_per_s: 1\n" + kLengths);
  requests.back().arrived_s = 8e8;
  requests.back().arrived = Instant() + std::chrono::seconds(800'000'000);
  const TraceFit fit = fit_of(requests);
  EXPECT_TRUE(fit.workload.arrivals.shape.empty());
  const auto read = data::parse_workload(data::to_yaml(fit.workload), "w");
  EXPECT_TRUE(read.ok()) << read.error().message;
}

// Such bursts would want swings that no file may say.
TEST(TraceFit, WritesNoSwingsWilderThanAFileMaySay) {
  std::vector<data::TraceRequest> requests(5000);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    requests[i].prompt = requests[i].output = Tokens(1 + i % 9);
    requests[i].arrived_s =
        static_cast<double>(i * 7919 % 24) * 100 + static_cast<double>(i) * 1e-6;
  }
  std::sort(requests.begin(), requests.end(),
            [](const auto& a, const auto& b) { return a.arrived_s < b.arrived_s; });
  for (const ArrivalCandidate& candidate : fit_of(requests).candidates) {
    const Status said = data::within_bounds({.rate_per_s = 2, .arrivals = candidate.law});
    EXPECT_TRUE(said.ok()) << candidate.name << ": " << said.error().message;
  }
}

TEST(TraceFit, SaysWhenNoFileMaySayIt) {
  std::vector<data::TraceRequest> requests(200);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    requests[i].prompt = requests[i].output = Tokens(1);
    requests[i].arrived_s = 2e6 * static_cast<double>(i / 4);  // ticks of 23 days
  }
  const auto fit = fit_trace(requests, trace_stats(requests, false));
  ASSERT_FALSE(fit.ok());
  EXPECT_NE(fit.error().message.find("tick_s"), std::string::npos) << fit.error().message;
}

TEST(TraceFit, KeepsWhatPromptsHaveInCommon) {
  const TraceFit fit = fit_of(
      requests_of("for: 4000\nrate_per_s: 3\n" + kLengths +
                  "prefix: {common_tokens: 64, turns: [{up_to: 500, share: 0.1, part: [[0, 0.5], "
                  "[1, 0.7]]}, {share: 0.6, part: [[0, 0.4], [1, 0.95]]}], age_s: [[0, 20], [1, "
                  "300]]}\n"),
      true);
  ASSERT_TRUE(fit.workload.prefix.has_value());
  EXPECT_EQ(fit.workload.prefix->common_tokens, 64);
  for (const FitFigure& figure : fit.figures) {
    if (figure.name == "repeated share of prompt tokens") {
      EXPECT_NEAR(figure.mean / figure.trace, 1, 0.06);
    }
  }
}

TEST(TraceFit, WhatItWritesCanBeReadAndMakesTheSame) {
  const TraceFit fit = fit_of(requests_of("for: 2000\nrate_per_s: 5\n" + kLengths));
  const std::string text = data::to_yaml(fit.workload);
  const auto read = data::parse_workload(text, "w.yaml");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(data::to_yaml(read->streams.at(0)), text);
}

TEST(TraceFit, RefusesWhatTellsTooLittle) {
  std::vector<data::TraceRequest> requests(99);
  for (data::TraceRequest& request : requests)
    request.prompt = request.output = Tokens(1);
  const auto few = fit_trace(requests, trace_stats(requests, false));
  ASSERT_FALSE(few.ok());
  EXPECT_EQ(few.error().message,
            "99 requests are too few to fit a workload to; expected at least 100");
  requests.resize(100, requests.front());
  const auto instant = fit_trace(requests, trace_stats(requests, false));
  ASSERT_FALSE(instant.ok());
  EXPECT_EQ(instant.error().message, "all requests came at one instant: there is no rate to fit");
}

TEST(TraceReport, DrawsTheSameForTheSameTrace) {
  const auto requests = requests_of("requests: 300\nrate_per_s: 5\n" + kLengths);
  const TraceStats stats = trace_stats(requests, false);
  const std::string page =
      trace_page(stats, requests, data::TraceFormat::kMedley, "a<b", "medley trace info");
  EXPECT_EQ(page,
            trace_page(stats, requests, data::TraceFormat::kMedley, "a<b", "medley trace info"));
  EXPECT_NE(page.find("Trace a&lt;b"), std::string::npos);
  // One request alone has no span and no rate.
  const TraceStats alone = trace_stats(std::span(requests).first(1), false);
  EXPECT_EQ(alone.rate_per_s, 0);
  EXPECT_NE(trace_page(alone, std::span(requests).first(1), data::TraceFormat::kMedley, "a", "b"),
            "");
}

}  // namespace
}  // namespace medley::simulate
