#include "plan/cases_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "data/testing_shared.h"

namespace medley::plan {
namespace {

using ::testing::HasSubstr;

class File {
 public:
  explicit File(std::string_view text) : path_(data::own_temporary("cases_file_test.json")) {
    std::ofstream(path_) << text;
  }
  ~File() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

constexpr std::string_view kMixes = R"({
  "tables": {"a": {"gpu_info": {"l4": {"cost": 0.7, "tputs": [[2, 1]], "note": "ignored"},
                                "h100": {"cost": 2.5, "tputs": [[9, 0]]}},
                   "workload_distribution": [[0.25, 0.75]]}},
  "cases": [{"id": "one", "table": "a", "total_request_rate": 4, "slice_factor": 2, "expected": {}}]})";

constexpr std::string_view kTraining = R"({
  "tables": {"a": {"jobs": [{"gang": 2, "total_steps": 100, "steps_per_s": {"v100": 3, "k80": 1}}]}},
  "cases": [{"id": "one", "table": "a", "cluster": {"v100": 2, "k80": 4},
             "objective": "throughput_per_dollar", "cost_per_hour": {"v100": 2, "k80": 0.5}}]})";

std::string with(std::string_view text, std::string_view from, std::string_view to) {
  std::string changed(text);
  const std::size_t at = changed.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return changed.replace(at, from.size(), to);
}

TEST(CasesFile, ReadsFleetMixes) {
  const File file(kMixes);
  const Result<FleetMixCases> read = read_fleet_mix_cases(file.path());
  ASSERT_TRUE(read.ok()) << read.error().message;
  ASSERT_EQ(read->tables.size(), 1u);
  EXPECT_EQ(read->tables[0].types[0].name, "l4");
  EXPECT_EQ(read->tables[0].types[1].throughput, (std::vector<double>{9, 0}));
  EXPECT_EQ(read->tables[0].columns, 2);
  EXPECT_EQ(read->cases[0].demand.slices, 2);
  EXPECT_TRUE(read->warnings.empty());
}

TEST(CasesFile, ReadsTraining) {
  const File file(kTraining);
  const Result<TrainingCases> read = read_training_cases(file.path());
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->cases[0].types, (std::vector<std::string>{"v100", "k80"}));
  EXPECT_EQ(read->cases[0].given.jobs[0].steps_per_s, (std::vector<double>{3, 1}));
  EXPECT_EQ(read->cases[0].given.objective, simulate::TrainingObjective::kThroughputPerDollar);
}

TEST(CasesFile, WarnsOfSharesThatAreNotAWhole) {
  const File file(with(kMixes, "0.75", "0.5"));
  const Result<FleetMixCases> read = read_fleet_mix_cases(file.path());
  ASSERT_TRUE(read.ok());
  ASSERT_EQ(read->warnings.size(), 1u);
  EXPECT_THAT(read->warnings[0], HasSubstr("add up to 0.75"));
}

struct Mistake {
  std::string_view from, to, message;
};

TEST(CasesFile, NamesEachMistakeInFleetMixes) {
  for (const Mistake& mistake : std::initializer_list<Mistake>{
           {R"("cost": 0.7)", R"("cost": -1)",
            "tables.a.gpu_info.l4.cost: expected a number from 0"},
           {R"("cost": 0.7)", R"("price": 1)", "tables.a.gpu_info.l4: missing key 'cost'"},
           {"[[2, 1]]", "[[2]]", "tables.a.gpu_info.l4.tputs[0]: expected 2 columns"},
           {"[[2, 1]]", "[[2, 1], [1, 1]]", "tables.a.gpu_info.l4.tputs: expected 1 rows"},
           {"[[2, 1]]", "[[2, null]]", "tputs[0][1]: expected a number from 0 to 1e+12, got null"},
           {"[[2, 1]]", "[[2, 1e999]]", "tputs[0][1]: expected a number"},
           {"[[2, 1]]", "[[2, 1e-12]]", "bucket [0, 1] alone would take more than 1e+09 instances"},
           {"[[2, 1]]", "[[2, NaN]]", "cases_file_test.json:2:"},
           {"[[0.25, 0.75]]", "[[0, 0]]", "no bucket has a share"},
           {"[[0.25, 0.75]]", "[]", "expected at least one row"},
           {R"("table": "a")", R"("table": "aa")", "no table 'aa'"},
           {R"("total_request_rate": 4)", R"("total_request_rate": 0)",
            "total_request_rate: expected a number from 1e-06 to 1e+12, got 0"},
           {R"("slice_factor": 2)", R"("slice_factor": 1.5)",
            "slice_factor: expected a whole number"},
           {R"("slice_factor": 2)", R"("slice_factor": 0)",
            "slice_factor: expected a whole number"},
           {R"("id": "one")", R"("id": 1)", "cases[0].id: expected text, got 1"}}) {
    SCOPED_TRACE(mistake.to);
    const File file(with(kMixes, mistake.from, mistake.to));
    const Result<FleetMixCases> read = read_fleet_mix_cases(file.path());
    ASSERT_FALSE(read.ok());
    EXPECT_EQ(read.error().code, ErrorCode::kInvalid);
    EXPECT_THAT(read.error().message, HasSubstr(mistake.message));
  }
}

TEST(CasesFile, NamesEachMistakeInTraining) {
  for (const Mistake& mistake : std::initializer_list<Mistake>{
           {R"("gang": 2)", R"("gang": 0)", "jobs[0].gang: expected a whole number"},
           {R"("total_steps": 100)", R"("total_steps": -3)",
            "total_steps: expected a number from 0"},
           {R"("v100": 3)", R"("v10": 3)", "'v100' has no steps_per_s at"},
           {R"("v100": 3)", R"("v100": "3")", "steps_per_s.v100: expected a number"},
           {R"("v100": 2, "k80": 4)", R"("v100": 2.5, "k80": 4)", "cluster.v100: expected a whole"},
           {R"("v100": 2, "k80": 0.5)", R"("v100": 2)", "cost_per_hour: missing key 'k80'"},
           {R"("v100": 2, "k80": 0.5)", R"("v100": 0, "k80": 1)", "expected a number above 0"},
           {"throughput_per_dollar", "throughput_per_doller",
            "did you mean 'throughput_per_dollar'"},
           {R"("table": "a")", R"("table": "b")", "no table 'b'"}}) {
    SCOPED_TRACE(mistake.to);
    const File file(with(kTraining, mistake.from, mistake.to));
    const Result<TrainingCases> read = read_training_cases(file.path());
    ASSERT_FALSE(read.ok());
    EXPECT_EQ(read.error().code, ErrorCode::kInvalid);
    EXPECT_THAT(read.error().message, HasSubstr(mistake.message));
  }
}

}  // namespace
}  // namespace medley::plan
