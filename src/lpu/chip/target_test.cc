#include "lpu/chip/target.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

namespace medley::lpu::chip {
namespace {

std::string text_of(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

// The example with one piece of its text in place of another.
std::string error_of(const std::string& from, const std::string& to) {
  std::string text = text_of("catalog/targets/example_chip.yaml");
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  text.replace(at, from.size(), to);
  const auto target = parse_target(text, "chip.yaml");
  return target.ok() ? "" : target.error().message;
}

TEST(Target, ReadsWhatTheCatalogueHolds) {
  const std::vector<std::string> ids = target_ids("catalog");
  EXPECT_EQ(ids, (std::vector<std::string>{"example_chip", "groqchip1", "lp30"}));
  for (const std::string& id : ids) {
    const auto target = find_target(id, "catalog");
    ASSERT_TRUE(target.ok()) << target.error().message;
    EXPECT_EQ(target->id, id);
  }
}

TEST(Target, GroqChipIsAsPublished) {
  const auto target = find_target("groqchip1", "catalog");
  ASSERT_TRUE(target.ok()) << target.error().message;
  EXPECT_EQ(target->sram_bytes(), 220LL << 20);
  // 64 streams of 320 bytes feed the planes: 18.4 TB/s.
  EXPECT_EQ(target->hemispheres * target->planes * target->install_streams * target->lanes, 20480);
  EXPECT_EQ(target->link_cycles(320), 21);  // 14 GB/s at 0.9 GHz
  EXPECT_EQ(target->link_latency, 450);
}

TEST(Target, EveryFigureSaysWhereItComesFrom) {
  for (const std::string& id : target_ids("catalog")) {
    const auto target = find_target(id, "catalog");
    ASSERT_TRUE(target.ok());
    EXPECT_GT(target->figures.size(), 20U);
    for (const Figure& figure : target->figures)
      EXPECT_NE(figure.sources.empty(), figure.assumed.empty()) << id << " " << figure.name;
  }
}

TEST(Target, RefusesWhatContradictsItselfWithFileLineAndField) {
  EXPECT_EQ(error_of("capacity_gb: {value: 0.00367,", "capacity_gb: {value: 0.004,"),
            "chip.yaml:14:16: sram.capacity_gb: 2 hemispheres x 28 slices x 2 banks x 512 rows of "
            "64 bytes are 0.00367 GB, not 0.004");
  EXPECT_EQ(error_of("install_streams: {value: 16,", "install_streams: {value: 40,"),
            "chip.yaml:20:20: matrix.install_streams: 1 planes that take weights from 40 streams "
            "each need 40, and a direction has 32");
  EXPECT_EQ(error_of("slices_per_hemisphere: {value: 28,", "slices_per_hemisphere: {value: 20,"),
            "chip.yaml:14:16: sram.capacity_gb: 2 hemispheres x 20 slices x 2 banks x 512 rows of "
            "64 bytes are 0.002621 GB, not 0.00367");
  EXPECT_NE(error_of("banks_per_slice: {value: 2,", "banks_per_slice: {value: 1,"), "");
  EXPECT_EQ(
      error_of("columns: {value: 64,", "columns: {value: 65,"),
      "chip.yaml:19:12: matrix.columns: expected as many as lanes, 64: results are vectors of "
      "the next product");
  EXPECT_EQ(error_of("cycles_per_vector: {value: 1, assumed: example}",
                     "cycles_per_vector: {value: 1, assumed: example}\n"
                     "    peak_tops: {value: 17, assumed: example}"),
            "chip.yaml:44:16: formats[0].peak_tops: 2 planes of 64 x 64 at 1 GHz, 1 together and 1 "
            "cycles a vector, do 16 TOP/s, not 17");
  EXPECT_EQ(error_of("bytes: {value: 2,", "bytes: {value: 1,"),
            "chip.yaml:45:12: formats[1].bytes: a number of fp16 has 2 bytes, not 1");
  EXPECT_EQ(error_of("activation_bytes: {value: 2,", "activation_bytes: {value: 3,"),
            "chip.yaml:47:23: formats[1].activation_bytes: no number has 3 bytes; expected 1, 2 or "
            "4");
  EXPECT_NE(error_of("chip_w: {value: 1,", "chip_w: {value: 1e300,").find("chip.yaml:37:"),
            std::string::npos);
  EXPECT_EQ(error_of("precision: fp16", "precision: fp32"),
            "chip.yaml:44:16: formats[1].precision: format fp32 stands here twice");
}

TEST(Target, RefusesFiguresWithoutOriginAndKeysItDoesNotKnow) {
  EXPECT_EQ(error_of("lanes: {value: 64, assumed: example}", "lanes: 64"),
            "chip.yaml:8:8: lanes: expected {value: …, sources: [KEY, …]} or {value: …, assumed: "
            "why}: every figure says where it comes from");
  EXPECT_EQ(error_of("lanes: {value: 64, assumed: example}", "lanes: {value: 64}"),
            "chip.yaml:8:8: lanes: expected either sources or assumed, and not both");
  EXPECT_NE(error_of("lanes: {value: 64, assumed: example}", "lanes: {value: 64, sources: [X]}")
                .find("unknown source 'X'"),
            std::string::npos);
  EXPECT_NE(error_of("hop_ns:", "hop_us:").find("hop_us"), std::string::npos);
  EXPECT_NE(error_of("lanes: {value: 64, assumed: example}", ""), "");
  EXPECT_NE(error_of("lanes: {value: 64,", "lanes: {value: 0,"), "");
}

TEST(Target, IsTheAcceleratorThatItNames) {
  const auto catalog = data::read_catalog("catalog");
  ASSERT_TRUE(catalog.ok()) << catalog.error().message;
  const auto error_as = [&](const std::string& from, const std::string& to) {
    std::string text = text_of("catalog/targets/groqchip1.yaml");
    text.replace(text.find(from), from.size(), to);
    const auto target = parse_target(text, "chip.yaml");
    EXPECT_TRUE(target.ok()) << target.error().message;
    const Status status = check_accelerator(*target, *catalog);
    return status.ok() ? "" : status.error().message;
  };
  for (const std::string& id : target_ids("catalog")) {
    const auto target = find_target(id, "catalog");
    ASSERT_TRUE(target.ok());
    EXPECT_TRUE(check_accelerator(*target, *catalog).ok()) << id;
  }
  EXPECT_NE(error_as("groq_lpu_v1", "groq_lpu_v11").find("chip.yaml:5:14: accelerator: "),
            std::string::npos);
  EXPECT_NE(error_as("groq_lpu_v1", "groq_lpu_v11").find("did you mean 'groq_lpu_v1'"),
            std::string::npos);
  EXPECT_EQ(error_as("groq_lpu_v1", "h100_sxm"),
            "chip.yaml:5:14: accelerator: here 0.2307 GB of SRAM, and 'h100_sxm' of the catalogue "
            "has 85.9");
  EXPECT_EQ(error_as("chip_w: {value: 240,", "chip_w: {value: 2400,"),
            "chip.yaml:5:14: accelerator: here a chip of 2400 W, and 'groq_lpu_v1' of the "
            "catalogue draws 185 to 375");
  EXPECT_EQ(error_as("cycles_per_vector: {value: 1, assumed: \"follows from the peak\"}\n"
                     "    peak_tops: {value: 750, sources: [ALCF]}",
                     "cycles_per_vector: {value: 2, assumed: a guess}"),
            "chip.yaml:5:14: accelerator: here 368.6 TOP/s in int8, and 'groq_lpu_v1' of the "
            "catalogue has 750");
}

TEST(Target, NamesWhatIsThereWhenOneIsNot) {
  const auto target = find_target("groqchip", "catalog");
  ASSERT_FALSE(target.ok());
  EXPECT_EQ(target.error().code, ErrorCode::kNotFound);
  EXPECT_NE(target.error().message.find("did you mean 'groqchip1'?"), std::string::npos);
}

}  // namespace
}  // namespace medley::lpu::chip
