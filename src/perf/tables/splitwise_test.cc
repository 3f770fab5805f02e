#include "perf/tables/splitwise.h"

#include <gtest/gtest.h>

#include <array>

namespace medley::perf {
namespace {

// Medians: 100 tokens 10 ms and 1 ms, 200 tokens (two ways) 30 ms and 2 ms.
const std::vector<SplitwiseRow> kRows = {
    {200, 1, 20, 2.5}, {100, 1, 11, 1}, {100, 1, 10, 1}, {100, 1, 2, 9}, {50, 4, 40, 1.5}};

double ms(const StepShape& shape) {
  return (*make_splitwise_model(kRows))->step(shape).time.value() * 1e3;
}

TEST(SplitwiseModel, DrawsLinesThroughTheMedianOfEachSize) {
  const std::array chunks = {PrefillChunk{.tokens = 100}, PrefillChunk{.tokens = 50}};
  EXPECT_NEAR(ms({.chunks = {chunks.data(), 1}}), 10, 1e-9);
  EXPECT_NEAR(ms({.chunks = chunks}), 20, 1e-9);
  EXPECT_NEAR(ms({.decodes = 150}), 1.5, 1e-9);
}

TEST(SplitwiseModel, ChargesATenthMoreForPromptsBesideDecodes) {
  const std::array chunk = {PrefillChunk{.tokens = 100}};
  EXPECT_NEAR(ms({.chunks = chunk, .decodes = 50}), 1.1 * 20, 1e-9);
}

TEST(SplitwiseModel, GoesOnAlongItsOuterSegmentsAndSaysSo) {
  const auto model = *make_splitwise_model(kRows);
  EXPECT_NEAR(ms({.decodes = 40}), 0.4, 1e-9);
  EXPECT_EQ(model->step({.decodes = 99}).extrapolated, 1);
  EXPECT_EQ(model->step({.decodes = 100}).extrapolated, 0);
  EXPECT_EQ(model->step({.decodes = 200}).extrapolated, 0);
  EXPECT_EQ(model->step({.decodes = 201}).extrapolated, 1);
  // The line through the prompts is below zero at 40 tokens; a step is not.
  const std::array chunk = {PrefillChunk{.tokens = 40}};
  EXPECT_EQ(ms({.chunks = chunk}), 0);
}

TEST(SplitwiseModel, RefusesWhatIsNoMeasurement) {
  EXPECT_EQ(make_splitwise_model({{100, 1, 0, 1}, {200, 1, 1, 1}}).error().message,
            "prompt_time 0, token_time 1: expected positive milliseconds");
  EXPECT_EQ(make_splitwise_model({{100, 0, 1, 1}}).error().message,
            "prompt_size 100, batch_size 0: expected 1 to 1000000000");
  EXPECT_FALSE(make_splitwise_model({{100, 1, 1, 1}, {50, 2, 1, 1}}).ok())
      << "one size makes no line";
}

}  // namespace
}  // namespace medley::perf
