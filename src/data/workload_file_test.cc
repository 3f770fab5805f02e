#include "data/workload_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "data/testing_shared.h"

namespace medley::data {
namespace {

WorkloadSpec workload(const std::string& text) {
  auto result = parse_workload(text, "day/w.yaml");
  EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
  return result.ok() ? std::move(result).value() : WorkloadSpec{{WorkloadStream{}}};
}

std::string error(const std::string& text) {
  const auto result = parse_workload(text, "w.yaml");
  return result.ok() ? "" : result.error().message;
}

constexpr char kPlain[] =
    "requests: 10\nrate_per_s: 2\nprompt_tokens: {median: 500, sigma: 1, max: 8000}\n"
    "output_tokens: 100\n";

constexpr char kFull[] = R"(for: 2m
start_s: 30
rate_per_s: 4
scale: 2
class: flex
label: internal
model: chat
arrivals:
  gap_cv: 1.5
  swings: [{every_s: 10, cv: 0.3}, {every_s: 1m, cv: 0.2}]
  shape: {every_s: 20, factors: [1, 3]}
  tick_s: 0.5
prompt_tokens: {quantiles: [[0, 10], [0.5, 100], [1, 1000]]}
output_tokens:
  by_prompt:
    - {up_to: 50, tokens: 7}
    - {tokens: {median: 100, sigma: 0.5}}
prefix:
  common_tokens: 64
  turns:
    - {up_to: 200, share: 0}
    - {share: 0.5, part: [[0, 0.1], [1, 0.9]]}
  age_s: [[0, 1], [1, 600]]
)";

TEST(Workload, ReadsThePlainKeys) {
  const WorkloadStream stream = workload(kPlain).streams.at(0);
  EXPECT_EQ(stream.requests, 10);
  EXPECT_FALSE(stream.for_s.has_value());
  EXPECT_EQ(stream.arrivals.gap_cv, 1) << "Poisson";
  EXPECT_EQ(stream.prompt_tokens.max, 8000);
  EXPECT_EQ(stream.output_tokens.at(0).tokens.median, 100);
  EXPECT_EQ(workload(std::string(kPlain) + "arrivals: constant\n").streams[0].arrivals.gap_cv, 0);
}

TEST(Workload, ReadsWhatAFitWrites) {
  const WorkloadStream stream = workload(kFull).streams.at(0);
  EXPECT_EQ(stream.for_s, 120);
  EXPECT_EQ(stream.rate_per_s, 8) << "scaled";
  EXPECT_EQ(stream.service_class, ServiceClass::kFlex);
  EXPECT_EQ(stream.label, "internal");
  EXPECT_EQ(stream.arrivals.swings.at(1).every_s, 60);
  EXPECT_EQ(stream.arrivals.shape, (std::vector<double>{0.5, 1.5})) << "of mean 1";
  EXPECT_EQ(stream.prompt_tokens.quantiles.at(0.25), 55);
  EXPECT_EQ(stream.output_tokens.at(0).up_to, 50);
  EXPECT_EQ(stream.output_tokens.at(0).tokens.median, 7);
  EXPECT_EQ(stream.prefix->turns.at(1).part.at(0.5), 0.5);
  // Written and read again it is the same, but for label and model, which name things of a fleet.
  WorkloadStream plain = stream;
  plain.label = plain.model = "";
  const std::string text = to_yaml(plain);
  EXPECT_EQ(to_yaml(workload(text).streams.at(0)), text);
}

TEST(Workload, TakesAFileAndChangesIt) {
  const std::string folder = own_temporary("workloads");
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/base.yaml") << kFull;
  std::ofstream(folder + "/mix.yaml") << "- base.yaml\n- {from: base.yaml, class: batch}\n";
  const auto read = [&](const std::string& text) {
    std::ofstream(folder + "/it.yaml") << text;
    return read_workload_file(folder + "/it.yaml");
  };
  const auto scaled = read("{from: base.yaml, scale: 3, requests: 50, output_tokens: 9}");
  ASSERT_TRUE(scaled.ok()) << scaled.error().message;
  const WorkloadStream& stream = scaled->streams.at(0);
  EXPECT_EQ(stream.rate_per_s, 24);
  EXPECT_EQ(stream.requests, 50);
  EXPECT_FALSE(stream.for_s.has_value()) << "a new limit takes the place of the old one";
  EXPECT_EQ(stream.output_tokens.size(), 1u);
  EXPECT_EQ(stream.prompt_tokens.quantiles.points.size(), 3u) << "the rest stays";

  const auto mixed = read("mix.yaml");
  ASSERT_TRUE(mixed.ok()) << mixed.error().message;
  EXPECT_EQ(mixed->streams.size(), 2u);
  EXPECT_EQ(mixed->streams[1].service_class, ServiceClass::kBatch);
  const auto from_mix = read("{from: mix.yaml}");
  ASSERT_FALSE(from_mix.ok());
  EXPECT_NE(from_mix.error().message.find("holds several workloads"), std::string::npos);
  const auto itself = read("it.yaml");
  ASSERT_FALSE(itself.ok());
  EXPECT_NE(itself.error().message.find("name one another"), std::string::npos);
  EXPECT_FALSE(read("{from: none.yaml}").ok());
  std::filesystem::remove_all(folder);
}

TEST(Workload, SaysWhatIsWrongAndWhere) {
  const std::string plain = "rate_per_s: 2\nprompt_tokens: 5\noutput_tokens: 5\n";
  EXPECT_NE(
      error(std::string(kPlain).replace(std::string(kPlain).find("max: 8000"), 9, "max: 80"))
          .find("prompt_tokens.max: half of all lengths are above the median of 500: expected "
                "a max of at least that"),
      std::string::npos);
  EXPECT_EQ(error(plain), "w.yaml:1:1: missing key 'requests' or 'for': how many, or for how long");
  const auto quantiles = [&](const std::string& points) {
    return error("for: 9\nrate_per_s: 2\noutput_tokens: 5\nprompt_tokens: {quantiles: " + points +
                 "}\n");
  };
  EXPECT_EQ(quantiles("[[0, 5], [0.5, 4], [1, 9]]"),
            "w.yaml:4:43: prompt_tokens.quantiles[1][1]: expected values that do not fall");
  EXPECT_EQ(quantiles("[[0, 5], [0, 6], [1, 9]]"),
            "w.yaml:4:38: prompt_tokens.quantiles[1][0]: expected ascending shares");
  EXPECT_EQ(quantiles("[[0, 5], [0.9, 9]]"),
            "w.yaml:4:28: prompt_tokens.quantiles: expected shares from 0 to 1");
  EXPECT_EQ(quantiles("[[0, 5, 6]]"),
            "w.yaml:4:29: prompt_tokens.quantiles[0]: expected a pair: "
            "the share of values at or below, the value");
  EXPECT_EQ(error("for: 9\nrate_per_s: 2\nprompt_tokens: 5\noutput_tokens: {by_prompt: [{up_to: "
                  "5, tokens: 1}]}\n"),
            "w.yaml:4:29: output_tokens.by_prompt[0]: the last range has no up_to: it holds for "
            "all longer prompts");
  EXPECT_EQ(error("for: 1000d\nrate_per_s: 10000\nprompt_tokens: 5\noutput_tokens: 5\n"),
            "w.yaml:1:6: for: some 8.64e+11 requests; expected at most 100000000");
  EXPECT_EQ(error("for: 9\n" + plain + "arrivals: {shape: {every_s: 1, factors: [0, 0]}}\n"),
            "w.yaml:5:41: arrivals.shape.factors: expected a factor above 0");
  EXPECT_EQ(error("for: 9\n" + plain + "arrivals: {swings: [{every_s: 0, cv: 1}]}\n").substr(0, 50),
            "w.yaml:5:31: arrivals.swings[0].every_s: expected ");
  EXPECT_EQ(error("requests: 9\nrate_per_s: 1e-5\nprompt_tokens: 5\noutput_tokens: 5\narrivals: "
                  "{swings: [{every_s: 1, cv: 1}]}\n"),
            "w.yaml:5:11: arrivals: swings: every_s is below a thousandth of the mean gap");
  EXPECT_EQ(error("for: 9\n" + plain +
                  "arrivals: {swings: [{every_s: 1, cv: 9}, {every_s: 2, cv: 2}]}\n"),
            "w.yaml:5:11: arrivals: swings: expected at most a cv of 10 of all together, got 20.2");
  EXPECT_EQ(error("for: 9\n" + plain + "arrivals: {shape: {every_s: 9e8, factors: [1, 2]}}\n"),
            "w.yaml:5:43: arrivals.shape.factors: the shape lasts 1.8e+09 s, expected at most "
            "1000000000");
  EXPECT_EQ(error("[]"), "w.yaml:1:1: expected 1 to 10000 items");
  EXPECT_NE(error("for: 9\n" + plain + "burst: 3\n").find("unknown key 'burst'"),
            std::string::npos);
}

}  // namespace
}  // namespace medley::data
