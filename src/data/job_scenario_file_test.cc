#include "data/job_scenario_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "data/testing_shared.h"

namespace medley::data {
namespace {

using ::testing::HasSubstr;

class File {
 public:
  File(const std::string& name, std::string_view text) : path_(folder() + "/" + name) {
    std::ofstream(path_) << text;
  }
  ~File() { std::remove(path_.c_str()); }
  // One of this process: files name one another.
  static std::string folder() {
    std::string folder = own_temporary("job_scenario");
    std::filesystem::create_directories(folder);
    return folder;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

constexpr std::string_view kScenario = R"(name: two
cluster: {h100: 4, l4: 8}
round_s: 6m
move_s: 30s
jobs:
  - {name: a, gang: 2, total_steps: 100, arrived_s: 1h, steps_per_s: {h100: 3, l4: 1}}
  - {total_steps: 5, steps_per_s: {l4: 1}}
expected: {makespan_s: {at_most: 9}}
)";

TEST(JobScenarioFile, ReadsJobsThatStandThere) {
  const File file("job_scenario_test.yaml", kScenario);
  EXPECT_TRUE(is_job_scenario(file.path()));
  const Result<JobScenario> read = read_job_scenario(file.path(), "");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->types, (std::vector<std::string>{"h100", "l4"}));
  EXPECT_EQ(read->round_s, 360);
  EXPECT_EQ(read->move_s, 30);
  EXPECT_EQ(read->jobs[0].arrived_s, 3600);
  EXPECT_EQ(read->jobs[1].name, "job-1");
  EXPECT_EQ(read->jobs[1].gang, 1);
  EXPECT_EQ(read->jobs[1].steps_per_s, (std::vector<double>{0, 1}));
  EXPECT_EQ(read->expected.at("makespan_s").at_most, 9);
}

TEST(JobScenarioFile, OtherScenariosAreNone) {
  EXPECT_FALSE(is_job_scenario("scenarios/gpu_only.yaml"));
  EXPECT_FALSE(is_job_scenario("no such file"));
}

constexpr std::string_view kGavel = R"(cluster: {v100: 2, k80: 2}
jobs: {path: job_scenario_test.csv, format: gavel, speeds: job_scenario_test.json}
)";
constexpr std::string_view kRows =
    "job_type,scale_factor,total_steps,priority_weight,slo,arrival_s\nLM (batch size "
    "5),2,70,1,-1,0\n";
constexpr std::string_view kSpeeds =
    R"json({"v100": {"('LM (batch size 5)', 2)": {"null": 3.5, "other": [1, 2]}}, "k80": {}})json";

TEST(JobScenarioFile, ReadsGavelsJobsAndSpeeds) {
  const File scenario("job_scenario_test.yaml", kGavel), rows("job_scenario_test.csv", kRows),
      speeds("job_scenario_test.json", kSpeeds);
  for (const std::string& trace : {std::string(), rows.path()}) {
    const Result<JobScenario> read = read_job_scenario(scenario.path(), trace);
    ASSERT_TRUE(read.ok()) << read.error().message;
    EXPECT_EQ(read->jobs[0].name, "0 LM (batch size 5)");
    EXPECT_EQ(read->jobs[0].steps_per_s, (std::vector<double>{3.5, 0}));
  }
}

struct Mistake {
  std::string_view from, to, message;
};

TEST(JobScenarioFile, NamesEachMistake) {
  for (const Mistake& mistake : std::initializer_list<Mistake>{
           {"gang: 2", "gang: 0", ":6:21: jobs[0].gang"},
           {"gang: 2", "gangs: 2", "gangs"},
           {"gang: 2", "gang: 9", ":6: job 'a' takes 9 devices of one type at once"},
           {"{h100: 3, l4: 1}", "{h10: 3, l4: 1}", "the cluster has no 'h10', did you mean 'h100'"},
           {"{h100: 3, l4: 1}", "{h100: 0, l4: 0}", "job 'a' takes 2 devices"},
           {"{h100: 3, l4: 1}", "{h100: -3, l4: 1}", "steps_per_s.h100"},
           {"{h100: 3, l4: 1}", "{h100: .nan, l4: 1}", "steps_per_s.h100"},
           {"total_steps: 100", "total_steps: many", "jobs[0].total_steps"},
           {"l4: 8}", "l4: -8}", "cluster.l4"},
           {"round_s: 6m", "round_s: 0", "round_s"},
           {"move_s: 30s", "move_s: 6m", "move_s: expected less than round_s"}}) {
    SCOPED_TRACE(mistake.to);
    std::string text(kScenario);
    text.replace(text.find(mistake.from), mistake.from.size(), mistake.to);
    const File file("job_scenario_test.yaml", text);
    const Result<JobScenario> read = read_job_scenario(file.path(), "");
    ASSERT_FALSE(read.ok());
    EXPECT_EQ(read.error().code, ErrorCode::kInvalid);
    EXPECT_THAT(read.error().message, HasSubstr(mistake.message));
  }
}

TEST(JobScenarioFile, NamesEachMistakeInGavelsFiles) {
  const auto error_of = [](std::string_view rows_text, std::string_view speeds_text) {
    const File scenario("job_scenario_test.yaml", kGavel), rows("job_scenario_test.csv", rows_text),
        speeds("job_scenario_test.json", speeds_text);
    const Result<JobScenario> read = read_job_scenario(scenario.path(), "");
    return read.ok() ? "" : read.error().message;
  };
  EXPECT_THAT(error_of("job_type,scale_factor,total_steps,arrival_s\nLM,0,70,0\n", kSpeeds),
              HasSubstr("job_scenario_test.csv:2: scale_factor: expected a whole number from 1"));
  EXPECT_THAT(error_of("job_type,scale_factor,total_steps,arrival_s\nLM,1,-7,0\n", kSpeeds),
              HasSubstr(":2: total_steps: expected a number from 0, got -7"));
  EXPECT_THAT(error_of("job_type,scale_factor,total_steps,arrival_s\nLM,1,7,0\n", kSpeeds),
              HasSubstr(":2: job '0 LM' takes 1 devices of one type at once"));
  EXPECT_THAT(error_of(kRows, R"({"v100": {}})"), HasSubstr("missing key 'k80'"));
  EXPECT_THAT(error_of(kRows, "{"), HasSubstr("not JSON"));
}

}  // namespace
}  // namespace medley::data
