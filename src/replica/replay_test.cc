#include "replica/replay.h"

#include <gtest/gtest.h>

#include "perf/linear.h"

namespace medley::replica {
namespace {

TEST(Replay, AnswersWhatEachRequestWouldHaveSeen) {
  Pool pool;
  perf::PoolModel model;
  model.steps = std::make_shared<perf::LinearModel>(
      LinearConstants{.step_s = 0.01, .decode_s = 0.001, .prompt_token_s = 1e-4}, PowerLaw{});
  model.max_running = 1;
  model.kv_tokens = 1600;
  model.max_context = 1500;
  const auto one = make_replica(pool, model, {});
  const std::vector<perf::Observation> asked = {
      {.sent_s = 1, .prompt_tokens = 100, .output_tokens = 5},
      {.sent_s = 1, .prompt_tokens = 50, .output_tokens = 1}};
  const auto seen = replay(*one, asked);
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_NEAR(seen[0].ttft_s(), 0.02, 1e-9);
  EXPECT_NEAR(seen[0].tpot_s(), 0.011, 1e-9);
  // One at a time: the second waited for the first's end.
  EXPECT_NEAR(seen[1].first_token_s, seen[0].finished_s + 0.015, 1e-9);
  EXPECT_NEAR(seen[1].finished_s, seen[1].first_token_s, 1e-9);
}

}  // namespace
}  // namespace medley::replica
