#include "cli/perf.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "cli/perf_figures.h"
#include "data/catalog.h"
#include "data/file.h"
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

TEST(PerfFit, LeavesAFileAloneWhenNothingIsWritten) {
  const std::string path = data::own_temporary("fit.yaml");
  std::ofstream(path) << "good\n";
  std::FILE* nowhere = std::fopen("/dev/null", "w");
  PerfFitOptions options;
  options.points = data::own_temporary("points.yaml");
  std::ofstream(options.points)
      << "as_of: 2026-11-24\nvalidation_points:\n  ml_energy:\n"
      << "    - {model: Llama-3.1-8B, gpu: H100, n: 1, tp: 1, prec: bf16, batch: 8, out_len: 300, "
         "itl_ms: 8, tps: 990, W_gpu: 500, J_tok: 0.5}\n";
  options.out = path;
  EXPECT_EQ(run_perf_fit(options, nowhere, nowhere), 1);
  EXPECT_EQ(*data::read_file(path), "good\n");
  options.date = "2026-13-01";
  EXPECT_EQ(run_perf_fit(options, nowhere, nowhere), 2);
  options.date = "aaaa-bb-cc";
  EXPECT_EQ(run_perf_fit(options, nowhere, nowhere), 2);

  // One point that leaves constants open promises no more than a device that was never measured.
  options.date = "2026-11-24";
  options.keep_unidentified = true;
  EXPECT_EQ(run_perf_fit(options, nowhere, nowhere), 0);
  const std::string text = *data::read_file(path);
  const std::string bar = text.substr(text.find("error_bar: ") + 11);
  EXPECT_GE(std::stod(bar), 0.3) << text;
  std::fclose(nowhere);
}

// So that schedules are believed as well when a fit of one's own goes before the catalogue's.
TEST(PerfFit, WritesWhatALayerTakesBeyondItsSchedule) {
  std::FILE* nowhere = std::fopen("/dev/null", "w");
  PerfFitOptions options;
  options.points = data::own_temporary("points.yaml");
  std::ofstream(options.points) << "as_of: 2026-11-24\nvalidation_points:\n  lpu_v1:\n"
                                   "    - {model: Llama-2-7B 2k, active_params: 6.74e9, layers: "
                                   "32, published_tok_s_user: 750}\n"
                                   "    - {model: Llama-3.1-8B, active_params: 8.03e9, layers: 32, "
                                   "published_tok_s_user: 750.5}\n"
                                   "    - {model: Llama-3.1-70B, active_params: 70.6e9, layers: "
                                   "80, published_tok_s_user: 250}\n";
  options.out = data::own_temporary("fit.yaml");
  options.keep_unidentified = true;
  EXPECT_EQ(run_perf_fit(options, nowhere, nowhere), 0);
  std::fclose(nowhere);
  const std::string text = *data::read_file(options.out);
  const std::string key = "beyond_schedule_layer_us: ";
  ASSERT_NE(text.find(key), std::string::npos) << text;
  EXPECT_NEAR(std::stod(text.substr(text.find(key) + key.size())), 34, 2);
}

TEST(PerfFit, TakesATableOfServingRuns) {
  std::FILE* nowhere = std::fopen("/dev/null", "w");
  PerfFitOptions options;
  options.points = data::own_temporary("rows.csv");
  {
    std::ofstream rows(options.points);
    rows << "system,backend,model_path,mode,isl,osl,tp_size,silicon_ttft_ms,silicon_tpot_ms,"
            "concurrency,precision\n";
    for (const int sessions : {8, 64})
      rows << "h100_sxm,trtllm,llama-3.1-8b,agg,1024,128,1,190," << 7 + sessions / 5.0 << ","
           << sessions << ",fp8\n";
  }
  EXPECT_EQ(run_perf_fit(options, nowhere, nowhere), 2) << "no date";
  options.date = "2026-11-24";
  options.keep_unidentified = true;
  options.out = data::own_temporary("fit.yaml");
  EXPECT_EQ(run_perf_fit(options, nowhere, nowhere), 0);
  const std::string text = *data::read_file(options.out);
  EXPECT_NE(text.find("engine: \"tensorrt_llm\""), std::string::npos) << text;
  EXPECT_NE(text.find("precision: \"fp8\""), std::string::npos);
  EXPECT_NE(text.find("kv_bytes_per_element: 1"), std::string::npos);
  EXPECT_NE(text.find("Lines used: 2-3."), std::string::npos);
  std::fclose(nowhere);
}

TEST(PerfShow, NamesASourceForEveryFigureOrSaysUnknown) {
  const auto catalog = data::read_catalog("catalog");
  ASSERT_TRUE(catalog.ok());
  const auto model = catalog->model("llama-3.1-8b");
  const auto format = catalog->number_format("bf16");
  for (const Accelerator& device : catalog->accelerators()) {
    const StepConstants constants = catalog->constants_for(device, "", Precision::kBf16);
    if (constants.law == StepLaw::kNone)
      continue;
    for (const Figure& figure : figures_behind(*catalog, device, *model, *format, constants)) {
      EXPECT_EQ(figure.from.empty(), figure.value == "unknown") << device.id << " " << figure.name;
      for (const std::string& key : figure.from)
        EXPECT_EQ(sources_of_group(*catalog, figure.group).count(key), 1u) << key;
    }
  }
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
