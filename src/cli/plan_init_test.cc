#include "cli/plan_init.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "cli/write_file.h"

namespace medley::cli {
namespace {

namespace fs = std::filesystem;
using testing::AllOf, testing::HasSubstr;

std::string text_of(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(PlanInit, AFileThatIsThereIsReplacedOnlyWithForce) {
  const fs::path folder = fs::path(testing::TempDir()) / "medley-plan-init";
  fs::create_directories(folder);
  const std::string out = (folder / "mine.yaml").string();
  const std::string said = (folder / "said").string();
  const std::string answers = (folder / "answers.yaml").string();
  ASSERT_TRUE(write_file(out, "precious").ok());
  ASSERT_TRUE(write_file(answers, "{name: new, per_usd: 0.9}").ok());
  const auto init = [&](bool force) {
    std::FILE* err = std::fopen(said.c_str(), "w");
    const int status = run_plan_init({.out = out, .answers = answers, .force = force}, stdin, err);
    std::fclose(err);
    return status;
  };
  EXPECT_EQ(init(false), 2);
  EXPECT_THAT(text_of(said), AllOf(HasSubstr("mine.yaml' is there already"), HasSubstr("--force")));
  EXPECT_EQ(text_of(out), "precious");
  EXPECT_EQ(init(true), 0) << text_of(said);
  EXPECT_THAT(text_of(out), HasSubstr("name: new\n"));
  fs::remove_all(folder);
}

}  // namespace
}  // namespace medley::cli
