#include "lpu/chip/from_graph.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace medley::lpu::chip
