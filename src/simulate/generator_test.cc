#include "simulate/generator.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <map>

#include "simulate/trace_stats.h"

namespace medley::simulate {
namespace {

data::WorkloadSpec workload(const std::string& text) {
  auto result = data::parse_workload(text, "w.yaml");
  EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
  return result.ok() ? std::move(result).value() : data::WorkloadSpec{{data::WorkloadStream{}}};
}

std::vector<GeneratedRequest> made(const data::WorkloadSpec& spec, std::uint64_t seed = 1) {
  WorkloadGenerator generator(spec, seed);
  std::vector<GeneratedRequest> requests;
  while (const auto request = generator.next())
    requests.push_back(*request);
  return requests;
}

double dispersion_at(const std::vector<GeneratedRequest>& requests, double to_s, double window_s) {
  std::vector<double> arrivals;
  for (const GeneratedRequest& request : requests)
    arrivals.push_back(request.arrived_s);
  return dispersion(arrivals, 0, to_s, window_s).index;
}

const std::string kLengths = "prompt_tokens: {median: 500, sigma: 1}\noutput_tokens: 10\n";

TEST(WorkloadGenerator, KeepsTheRateAndEndsInTime) {
  const auto requests = made(workload("for: 1000\nrate_per_s: 50\n" + kLengths));
  EXPECT_NEAR(static_cast<double>(requests.size()), 50'000, 4 * std::sqrt(50'000));
  EXPECT_LT(requests.back().arrived_s, 1000);
  EXPECT_NEAR(dispersion_at(requests, 1000, 1), 1, 0.2) << "Poisson";
}

TEST(WorkloadGenerator, AnotherLengthLawMovesNoArrivalAndALongerRunBeginsAlike) {
  const std::string head = "rate_per_s: 5\n";
  const auto first = made(workload("requests: 100\n" + head + kLengths));
  const auto other =
      made(workload("requests: 200\n" + head + "prompt_tokens: 7\noutput_tokens: 10\n"));
  ASSERT_EQ(other.size(), 200u);
  for (std::size_t i = 0; i < first.size(); ++i)
    EXPECT_EQ(first[i].arrived_s, other[i].arrived_s);
  const auto again = made(workload("requests: 300\n" + head + kLengths));
  for (std::size_t i = 0; i < first.size(); ++i)
    EXPECT_EQ(first[i].prompt_tokens, again[i].prompt_tokens);
  EXPECT_NE(made(workload("requests: 100\n" + head + kLengths), 2)[50].arrived_s,
            first[50].arrived_s);
}

TEST(WorkloadGenerator, GapsHaveTheVariationAskedFor) {
  for (const double cv : {0.0, 0.5, 2.0}) {
    const auto requests = made(workload(
        fmt::format("for: 20000\nrate_per_s: 5\narrivals: {{gap_cv: {}}}\n", cv) + kLengths));
    std::vector<double> arrivals;
    for (const GeneratedRequest& request : requests)
      arrivals.push_back(request.arrived_s);
    EXPECT_NEAR(gap_cv(arrivals), cv, 0.02 + 0.02 * cv);
    EXPECT_NEAR(static_cast<double>(requests.size()), 100'000, 4 * cv * std::sqrt(100'000) + 2);
  }
}

TEST(WorkloadGenerator, ARateThatWandersSpreadsTheCountsOfLongWindows) {
  const auto requests = made(workload(
      "for: 200000\nrate_per_s: 2\narrivals: {swings: [{every_s: 30, cv: 0.5}]}\n" + kLengths));
  EXPECT_NEAR(static_cast<double>(requests.size()), 400'000, 12'000) << "the mean rate stays";
  // variance / mean = 1 + rate × cv² × (T − T²/3w) for windows w ≥ T: 1 + 2 × 0.25 × 29 at 300 s.
  EXPECT_NEAR(dispersion_at(requests, 200'000, 300), 15.5, 3);
  EXPECT_NEAR(dispersion_at(requests, 200'000, 1), 1.5, 0.1);
}

TEST(WorkloadGenerator, TheShapeRepeats) {
  const auto requests = made(workload(
      "for: 4000\nrate_per_s: 10\narrivals: {shape: {every_s: 100, factors: [0, 1, 3]}}\n" +
      kLengths));
  std::array<double, 3> counts{};
  for (const GeneratedRequest& request : requests)
    ++counts[static_cast<std::size_t>(request.arrived_s / 100) % 3];
  EXPECT_EQ(counts[0], 0);
  EXPECT_NEAR(counts[2] / counts[1], 3, 0.2);
}

TEST(WorkloadGenerator, NotesArrivalsInTicks) {
  for (const GeneratedRequest& request :
       made(workload("requests: 50\nrate_per_s: 2\narrivals: {tick_s: 3}\n" + kLengths)))
    EXPECT_EQ(std::fmod(request.arrived_s, 3), 0);
}

TEST(WorkloadGenerator, DrawsLengthsByQuantilesAndAnswersByTheirPrompts) {
  const auto requests =
      made(workload("requests: 20000\nrate_per_s: 2\nprompt_tokens: {quantiles: [[0, 10], [0.5, "
                    "10], [1, 1000]]}\n"
                    "output_tokens: {by_prompt: [{up_to: 10, tokens: 3}, {tokens: 8}]}\n"));
  double shortest = 0, sum = 0;
  for (const GeneratedRequest& request : requests) {
    EXPECT_EQ(request.output_tokens, request.prompt_tokens <= 10 ? 3 : 8);
    shortest += request.prompt_tokens == 10;
    sum += static_cast<double>(request.prompt_tokens);
  }
  EXPECT_NEAR(shortest / 20000, 0.5, 0.02);
  EXPECT_NEAR(sum / 20000, 0.5 * 10 + 0.5 * 505, 8);
}

TEST(WorkloadGenerator, RepeatsTheBeginningsOfEarlierPrompts) {
  const auto requests = made(workload(
      "requests: 20000\nrate_per_s: 20\nprompt_tokens: {median: 1000, sigma: 1, max: 20000}\n"
      "output_tokens: 1\nprefix: {common_tokens: 40, turns: [{share: 0.3, part: [[0, 0.6], [1, "
      "0.6]]}], age_s: [[0, 20], [1, 40]]}\n"));
  double turns = 0;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const GeneratedRequest& request = requests[i];
    if (i == 0) {
      EXPECT_EQ(request.prefix_tokens, 0);
      continue;
    }
    ASSERT_LT(request.prefix_of, i);
    const GeneratedRequest& parent = requests[request.prefix_of];
    ASSERT_LE(request.prefix_tokens, std::min(request.prompt_tokens, parent.prompt_tokens));
    if (request.prefix_tokens <= 40)
      continue;
    turns += 1;
    if (i > 2000) {  // there are enough earlier ones
      const double age_s = request.arrived_s - parent.arrived_s;
      ASSERT_GT(age_s, 5) << "near the age drawn, which is 20 to 40 s";
      ASSERT_LT(age_s, 60);
    }
  }
  EXPECT_NEAR(turns / 20000, 0.3, 0.02);
}

TEST(WorkloadGenerator, MixesStreamsByTimeWithDrawsOfTheirOwn) {
  const std::string one =
      "{requests: 200, rate_per_s: 2, prompt_tokens: {median: 500, sigma: 1}, "
      "output_tokens: 10, prefix: {common_tokens: 5}}";
  const auto requests = made(workload("[" + one + ", " + one + "]"));
  ASSERT_EQ(requests.size(), 400u);
  std::map<double, int> times;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(++times[requests[i].arrived_s], 1) << "equal streams draw apart";
    if (i > 0) {
      EXPECT_GE(requests[i].arrived_s, requests[i - 1].arrived_s);
    }
    if (requests[i].prefix_tokens > 0) {
      EXPECT_EQ(requests[requests[i].prefix_of].stream, requests[i].stream);
    }
  }
  // The first stream is what it is alone.
  const auto alone = made(workload(one));
  std::size_t next = 0;
  for (const GeneratedRequest& request : requests) {
    if (request.stream == 0) {
      EXPECT_EQ(request.arrived_s, alone[next++].arrived_s);
    }
  }
}

}  // namespace
}  // namespace medley::simulate
