#include "lpu/chip/from_graph.h"

#include <gtest/gtest.h>

#include <fstream>

#include "data/gguf.h"
#include "data/testing_shared.h"
#include "lpu/chip/compile.h"
#include "lpu/reference.h"
#include "lpu/testing_models.h"
#include "lpu/verify/verify.h"

namespace medley::lpu::chip {
namespace {

// Greedy tokens of the emulated schedule against those of the reference.
void expect_reference_tokens(const Graph& graph, const CompileOptions& options, int tokens) {
  const auto target = find_target("example_chip", "catalog");
  ASSERT_TRUE(target.ok());
  const Shape shape = shape_of(graph);
  const auto compiled = compile(shape, *target, options);
  ASSERT_TRUE(compiled.ok()) << compiled.error().message;
  const auto certificate = verify::verify(compiled->schedule, *target, shape);
  ASSERT_TRUE(certificate.valid()) << certificate.findings.front();
  auto emulator = Emulator::make(compiled->schedule, *target, shape, numbers_of(graph));
  ASSERT_TRUE(emulator.ok()) << emulator.error().message;
  Reference reference(graph, static_cast<int>(options.context));
  int token = 1;
  for (int i = 0; i < tokens; ++i) {
    const std::vector<float>& logits = reference.step(token);
    const auto best = std::max_element(logits.begin(), logits.end());
    token = emulator->step(token);
    ASSERT_EQ(token, best - logits.begin()) << "position " << i;
    ASSERT_NEAR(emulator->largest_logit(), *best, 1e-4) << "position " << i;
  }
}

TEST(FromGraph, StoriesAreToldByChipsAsByTheReference) {
  const std::string shared = data::shared_folder();
  if (shared.empty())
    GTEST_SKIP() << "no shared models";
  const auto file = ModelFile::open(shared + "/models/stories260K.gguf");
  ASSERT_TRUE(file.ok()) << file.error().message;
  const auto graph = build_graph(*file);
  ASSERT_TRUE(graph.ok()) << graph.error().message;
  expect_reference_tokens(*graph, {.context = 256, .group = 4}, 200);
  expect_reference_tokens(*graph, {.context = 128, .chips = 12, .group = 2}, 60);
}

TEST(FromGraph, ChipsTakeTheExpertsThatTheReferenceTakes) {
  for (const auto* family : {"llama", "qwen3moe"}) {
    const auto model = test_model({.family = family, .experts = 5, .experts_per_token = 2});
    expect_reference_tokens(model->graph, {.context = 32, .group = 1}, 24);
    expect_reference_tokens(model->graph, {.context = 32, .group = 2}, 24);
  }
}

// The message for a file of a mixture in which a text was replaced by another of the same length.
std::string refused(const std::string& from, const std::string& to) {
  std::string bytes = *synthesise({.family = "qwen3moe", .experts = 4});
  for (std::size_t at = 0; (at = bytes.find(from, at)) != std::string::npos; at += to.size())
    bytes.replace(at, from.size(), to);
  const std::string path = data::own_temporary("mixture.gguf");
  std::ofstream(path, std::ios::binary) << bytes;
  const auto facts = data::read_gguf(path);
  if (!facts.ok())
    return facts.error().message;
  const auto model = data::gguf_model(*facts, path);
  if (!model.ok())
    return model.error().message;
  const auto shape = shape_for(*model, path);
  return shape.ok() ? "" : shape.error().message;
}

TEST(FromGraph, TheTensorsOfAMixtureAreThoseOfItsArchitecture) {
  EXPECT_EQ(refused("qwen3moe", "qwen3moe"), "");
  EXPECT_NE(refused("qwen3moe", "jambamoe").find("architecture 'jambamoe' is not supported"),
            std::string::npos);
  EXPECT_NE(refused("ffn_gate_exps", "ffn_gabe_exps")
                .find("tensor 'blk.0.ffn_gate_exps.weight' is missing"),
            std::string::npos);
  EXPECT_NE(refused("blk.1.attn_output", "blk.7.attn_output")
                .find("tensor 'blk.1.attn_output.weight' is missing"),
            std::string::npos);
}

}  // namespace
}  // namespace medley::lpu::chip
