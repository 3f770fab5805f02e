#include "engine/probe.h"

#include <gtest/gtest.h>

#include "engine/manual_loop.h"
#include "perf/linear.h"

namespace medley::engine {
namespace {

using namespace std::chrono_literals;

class ProbeTest : public testing::Test {
 protected:
  ProbeTest() {
    pool_.batching.max_running = 4;
    model_.steps = std::make_shared<perf::LinearModel>(
        LinearConstants{.step_s = 0.004, .decode_s = 0.001, .prompt_token_s = 1e-4}, PowerLaw{});
    model_.max_running = 4;
    model_.kv_tokens = 1600;
    model_.max_context = 1500;
    model_.chunk_tokens = 384;
    engine_ = make_engine({loop_, pool_, model_, ReplicaId(0), 0, 1}).value();
  }

  Pool pool_;
  perf::PoolModel model_;
  ManualLoop loop_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(ProbeTest, SeesWhatTheStepModelSays) {
  Probe probe(loop_, *engine_, /*chat=*/false, 1);
  std::vector<ProbeAnswer> answers;
  int heard = 0;
  probe.run(
      {{.at = 1s, .prompt_words = 100, .max_tokens = 11}}, [&] { ++heard; },
      [&](std::vector<ProbeAnswer> all) { answers = std::move(all); });
  loop_.run_until_idle();
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(heard, 1);
  const perf::Observation& seen = answers[0].seen;
  EXPECT_EQ(seen.sent_s, 1);
  EXPECT_EQ(seen.prompt_tokens, 100);
  EXPECT_EQ(seen.output_tokens, 11);
  EXPECT_NEAR(seen.ttft_s(), 0.004 + 100 / 1e4, 1e-8);
  EXPECT_NEAR(seen.tpot_s(), 0.005, 1e-8);
}

TEST_F(ProbeTest, SendsOnTimeWhetherOrNotOthersWereAnswered) {
  Probe probe(loop_, *engine_, /*chat=*/true, 1);
  std::vector<ProbeAnswer> answers;
  std::vector<ProbeRequest> timetable;
  for (int i = 0; i < 12; ++i)
    timetable.push_back({.at = i * 1ms, .prompt_words = 20, .max_tokens = 50});
  probe.run(timetable, {}, [&](std::vector<ProbeAnswer> all) { answers = std::move(all); });
  loop_.run_until_idle();
  ASSERT_EQ(answers.size(), 12U);
  for (std::size_t i = 0; i < answers.size(); ++i)
    EXPECT_NEAR(answers[i].seen.sent_s, 0.001 * static_cast<double>(i), 1e-9);
  // Four at a time: the last ones waited, and that is seen.
  EXPECT_GT(answers[11].seen.ttft_s(), 2 * 50 * 0.008);
}

TEST_F(ProbeTest, RunsAgainAndNotesFailures) {
  Probe probe(loop_, *engine_, /*chat=*/false, 1);
  std::vector<ProbeAnswer> answers;
  probe.run({{.prompt_words = 5000, .max_tokens = 5}, {.prompt_words = 5, .max_tokens = 5}}, {},
            [&](std::vector<ProbeAnswer>) {
              probe.run({{.at = 1s, .prompt_words = 3000, .max_tokens = 2}}, {},
                        [&](std::vector<ProbeAnswer> all) { answers = std::move(all); });
            });
  loop_.run_until_idle();
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_TRUE(answers[0].error.has_value());
}

TEST(RandomWords, AreTheSameForASeedAndOthersForTheNext) {
  EXPECT_EQ(random_words(3, 1, 1), random_words(3, 1, 1));
  EXPECT_NE(random_words(8, 1, 1), random_words(8, 1, 2));
  EXPECT_EQ(random_words(1, 1, 1).find(' '), std::string::npos);
}

}  // namespace
}  // namespace medley::engine
