#include "data/points.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/testing_shared.h"

namespace medley::data {
namespace {

using testing::HasSubstr;

std::string of_group(const std::string& group, const std::string& point) {
  return "schema_version: 0\nas_of: 2026-11-24\nvalidation_points:\n  " + group + ":\n    - {" +
         point + "}\n";
}

std::string complaint(const std::string& text) {
  const auto points = parse_points(text, "points.yaml");
  return points.ok() ? "" : points.error().message;
}

TEST(Points, ReadAPointWithItsGroupPlaceAndLine) {
  const auto points = parse_points(
      of_group("splitwise",
               "model: llama2-70b, gpu: a100-80gb, tp: 2, prompt: 512, batch: 1, prompt_ms: 196.9, "
               "token_ms: 54.86"),
      "points.yaml");
  ASSERT_TRUE(points.ok()) << points.error().message;
  EXPECT_EQ(points->as_of, "2026-11-24");
  const Point& point = points->points.at(0);
  EXPECT_EQ(point.group, "splitwise");
  EXPECT_EQ(point.index, 0u);
  EXPECT_EQ(point.line, 5);
  EXPECT_EQ(point.text("model"), "llama2-70b");
  EXPECT_DOUBLE_EQ(point.number("token_ms"), 54.86);
  EXPECT_FALSE(point.maybe("itl_ms").has_value());
}

TEST(Points, RefuseTimesThatAreNotPositiveUnknownKeysAndGroupsAndMissingFields) {
  const std::string good =
      "model: m, gpu: g, tp: 2, prompt: 512, batch: 1, prompt_ms: 1, token_ms: ";
  EXPECT_THAT(complaint(of_group("splitwise", good + "0")), HasSubstr("points.yaml:5:"));
  EXPECT_THAT(complaint(of_group("splitwise", good + "0")), HasSubstr("token_ms"));
  EXPECT_THAT(complaint(of_group("splitwise", good + "-3")), HasSubstr("token_ms"));
  EXPECT_THAT(complaint(of_group("splitwise", good + "2, tokens_ms: 3")),
              HasSubstr("unknown key 'tokens_ms'"));
  EXPECT_THAT(complaint(of_group("splitwize", good + "2")),
              HasSubstr("points.yaml:4:3: validation_points.splitwize: no group of points"));
  EXPECT_THAT(complaint(of_group("splitwise", "model: m, gpu: g, tp: 2")), HasSubstr("prompt"));
  EXPECT_THAT(complaint("validation_points: {}\n"), HasSubstr("at least one point"));
  EXPECT_THAT(complaint("points: {}\n"), HasSubstr("unknown key 'points'"));
}

constexpr const char* kHeader =
    "id,backend,backend_version,model_path,system,precision,mode,isl,osl,batch_size,tp_size,"
    "silicon_ttft_ms,silicon_tpot_ms,concurrency,measured\n";

std::string row_complaint(const std::string& text) {
  const auto rows = parse_serving_rows(text, "rows.csv");
  return rows.ok() ? "" : rows.error().message;
}

TEST(Points, CountWholeDevicesAndAtLeastOneSequenceAndToken) {
  const auto with = [](const std::string& field) {
    std::map<std::string, std::string> fields = {
        {"n", "1"}, {"tp", "1"}, {"batch", "8"}, {"out_len", "300"}};
    fields[field.substr(0, field.find(':'))] = field.substr(field.find(':') + 1);
    std::string text =
        "validation_points:\n  ml_energy:\n    - {model: m, gpu: H100, prec: bf16, itl_ms: 8, tps: "
        "9, W_gpu: 5, J_tok: 1";
    for (const auto& [key, value] : fields)
      text += ", " + key + ": " + value;
    const auto read = parse_points(text + "}\n", "p.yaml");
    return read.ok() ? std::string() : read.error().message;
  };
  EXPECT_EQ(with("batch:8.5"), "");
  EXPECT_THAT(with("batch:0.5"), HasSubstr("p.yaml:3:"));
  EXPECT_THAT(with("tp:0.5"), HasSubstr("tp"));
  EXPECT_THAT(with("tp:1000000000000"), HasSubstr("tp"));
  EXPECT_THAT(with("out_len:0.3"), HasSubstr("out_len"));
  EXPECT_THAT(with("out_len:1e300"), HasSubstr("out_len"));
}

TEST(ServingRows, AreReadWithTheirLine) {
  const auto rows = parse_serving_rows(
      std::string(kHeader) + "a,vllm,0.12.0,m,h100_sxm,,agg,1024,128,8.0,2.0,126.1,11.76,8,\n",
      "rows.csv");
  ASSERT_TRUE(rows.ok()) << rows.error().message;
  const ServingRow& row = rows->at(0);
  EXPECT_EQ(row.line, 2);
  EXPECT_EQ(row.backend_version, "0.12.0");
  EXPECT_EQ(row.whole.tensor, 2);
  EXPECT_EQ(row.whole.pipeline, 0);
  EXPECT_DOUBLE_EQ(row.sessions, 8);
  EXPECT_DOUBLE_EQ(row.ttft_s, 0.1261);
  EXPECT_FALSE(row.disaggregated);
}

TEST(ServingRows, NameFileLineAndColumnOfWhatIsWrong) {
  const std::string header = kHeader;
  const auto with = [&](const std::string& row) { return row_complaint(header + row + "\n"); };
  EXPECT_EQ(with("a,vllm,,m,h100_sxm,,agg,1024,128,8,2,0,11.7,8,"),
            "rows.csv:2: silicon_ttft_ms: expected a positive number, got '0'");
  EXPECT_THAT(with("a,vllm,,m,h100_sxm,,agg,1024,128,8,2,10,-1,8,"), HasSubstr("silicon_tpot_ms"));
  EXPECT_EQ(with("a,vllm,,m,h100_sxm,,agg,1024,128,8,2,10,,8,"),
            "rows.csv:2: silicon_tpot_ms: is missing");
  EXPECT_EQ(with("a,vllm,,,h100_sxm,,agg,1024,128,8,2,10,1,8,"),
            "rows.csv:2: model_path: is missing");
  EXPECT_THAT(with("a,vllm,,m,h100_sxm,,both,1024,128,8,2,10,1,8,"), HasSubstr("agg or disagg"));
  EXPECT_THAT(with("a,vllm,,m,h100_sxm,,agg,1024,128,,2,10,1,,"), HasSubstr("concurrency"));
  EXPECT_THAT(with("a,vllm,,m,h100_sxm,,agg,1024,128,8,2.5,10,1,8,"), HasSubstr("whole number"));
  EXPECT_EQ(with("a,vllm,,m,h100_sxm,,agg,0.5,128,8,2,10,1,8,"),
            "rows.csv:2: isl: expected a whole number, got '0.5'");
  EXPECT_EQ(
      row_complaint("system,backend,model_path,mode,isl,osl,silicon_ttft_ms,silicon_tpot_m\n"),
      "rows.csv:1: unknown column 'silicon_tpot_m', did you mean 'silicon_tpot_ms'?");
  EXPECT_EQ(row_complaint("system,backend,model_path,mode,isl,osl,silicon_ttft_ms\n"),
            "rows.csv:1: the column 'silicon_tpot_ms' is missing");
}

TEST(Points, OfTheSharedShelfAreReadWhole) {
  const std::string shared = shared_folder();
  if (shared.empty())
    GTEST_SKIP() << "no shared data beside this checkout";
  const auto points = read_points(shared + "/reference/validation_points.yaml");
  ASSERT_TRUE(points.ok()) << points.error().message;
  EXPECT_EQ(points->points.size(), 92u);
  const auto rows = read_serving_rows(shared + "/traces/silicon/silicon_shared.csv");
  ASSERT_TRUE(rows.ok()) << rows.error().message;
  EXPECT_EQ(rows->size(), 3023u);
}

}  // namespace
}  // namespace medley::data
