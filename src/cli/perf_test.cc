#include "cli/perf.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "data/catalog.h"
#include "data/testing_shared.h"

namespace medley::cli {
namespace {

// Times of one stream that use half of an NPU's bandwidth: what its fit finds.
std::string own_points(const std::string& tokens_per_s) {
  const std::string path = data::own_temporary("points.yaml");
  std::ofstream(path)
      << "as_of: 2026-11-24\nvalidation_points:\n  npu_cpu:\n"
      << "    - {device: amd-xdna2, model: Llama-3.2-1B, prec: q4, ctx: 1024, tok_s: "
      << tokens_per_s << "}\n"
      << "    - {device: amd-xdna2, model: Llama-3.2-3B, prec: q4, ctx: 1024, tok_s: 14}\n";
  return path;
}

TEST(PerfFit, WritesAFileThatTheCatalogueThenPrefers) {
  const std::string folder = data::own_temporary("catalog");
  std::filesystem::copy("catalog", folder, std::filesystem::copy_options::recursive);
  std::filesystem::create_directory(folder + "/fits");
  std::FILE* nowhere = std::fopen("/dev/null", "w");
  PerfFitOptions options;
  options.points = own_points("36");
  options.out = folder + "/fits/own.yaml";
  EXPECT_EQ(run_perf_fit(options, nowhere, nowhere), 0);
  std::fclose(nowhere);
  const auto catalog = data::read_catalog(folder);
  ASSERT_TRUE(catalog.ok()) << catalog.error().message;
  const auto npu = catalog->accelerator("amd_xdna2");
  const StepConstants constants = catalog->constants_for(*npu, "", Precision::kInt4);
  EXPECT_EQ(constants.device, "amd_xdna2");
  EXPECT_FALSE(constants.class_default);
  EXPECT_NEAR(constants.roofline.e_mem, 0.5, 0.08);
  std::filesystem::remove_all(folder);
}

TEST(PerfCheck, RefusesTimesThatAreNotPositiveAndFilesThatAreNotThere) {
  std::FILE* nowhere = std::fopen("/dev/null", "w");
  PerfCheckOptions options;
  options.points = own_points("0");
  EXPECT_EQ(run_perf_check(options, nowhere, nowhere), 2);
  options.points = "no/such/points.csv";
  EXPECT_EQ(run_perf_check(options, nowhere, nowhere), 2);
  std::fclose(nowhere);
}

}  // namespace
}  // namespace medley::cli
