#include "replica/endpoint_fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace medley::replica {
namespace {

constexpr LinearConstants kTrue{.step_s = 6e-4,
                                .decode_s = 2e-4,
                                .chunk_s = 1e-3,
                                .prompt_token_s = 1.5e-4,
                                .context_token_s = 2e-7};
constexpr double kRequest = 5e-4;
constexpr EndpointLimits kLimits{.max_running = 8, .chunk_tokens = 384};

// Single prompts of several lengths, then bursts of short ones.
EndpointRun timetable() {
  EndpointRun run;
  double at_s = 0;
  int block = 0;
  const auto add = [&](int count, long long prompt, long long output) {
    for (int i = 0; i < count; ++i) {
      run.seen.push_back(
          {.sent_s = at_s, .prompt_tokens = prompt, .output_tokens = output - i % 3});
      run.block.push_back(block);
    }
    ++block;
    at_s += 2;
  };
  for (const long long prompt : {12, 100, 300, 600, 900})
    add(1, prompt, 16);
  for (const int count : {2, 4, 8, 12})
    add(count, 12, 64);
  add(6, 300, 64);
  return run;
}

TEST(EndpointFit, FindsTheConstantsThatMadeTheRun) {
  EndpointRun run = timetable();
  run.seen = replay_endpoint(run.seen, kTrue, kRequest, kLimits);
  const auto fit = fit_endpoint({run}, kLimits);
  ASSERT_TRUE(fit.ok()) << fit.error().message;
  EXPECT_LT(fit->rms, 1e-3);
  EXPECT_NEAR(fit->constants.step_s, kTrue.step_s, 0.03 * kTrue.step_s);
  EXPECT_NEAR(fit->constants.decode_s, kTrue.decode_s, 0.03 * kTrue.decode_s);
  EXPECT_NEAR(fit->constants.prompt_token_s, kTrue.prompt_token_s, 0.03 * kTrue.prompt_token_s);
  EXPECT_NEAR(fit->constants.context_token_s, kTrue.context_token_s, 0.1 * kTrue.context_token_s);
  // These two are told apart by bursts only, where prompts add up and requests do not.
  EXPECT_NEAR(fit->constants.chunk_s, kTrue.chunk_s, 0.1 * kTrue.chunk_s);
  EXPECT_NEAR(fit->request_s.value_or(0), kRequest, 0.2 * kRequest);
  EXPECT_THAT(fit->unidentified, testing::IsEmpty());
}

TEST(EndpointFit, TakesTheMedianRunOfEachBlock) {
  EndpointRun run = timetable();
  run.seen = replay_endpoint(run.seen, kTrue, kRequest, kLimits);
  EndpointRun disturbed = run;
  for (perf::Observation& of : disturbed.seen)
    of.finished_s += 0.5;
  const auto fit = fit_endpoint({run, disturbed, run}, kLimits);
  ASSERT_TRUE(fit.ok()) << fit.error().message;
  EXPECT_NEAR(fit->constants.decode_s, kTrue.decode_s, 0.03 * kTrue.decode_s);
}

// Answers that came at once have no TPOT; those of a replay have.
TEST(EndpointFit, KeepsBlocksApartThatShowNoTimePerToken) {
  EndpointRun run = timetable();
  run.seen = replay_endpoint(run.seen, kTrue, kRequest, kLimits);
  run.seen[0].finished_s = run.seen[0].first_token_s;
  const auto fit = fit_endpoint({run}, kLimits);
  ASSERT_TRUE(fit.ok()) << fit.error().message;
  EXPECT_LT(fit->rms, 1e-3);
}

TEST(EndpointFit, SaysWhenNoAnswerShowsATimePerToken) {
  EndpointRun run = timetable();
  run.seen = replay_endpoint(run.seen, kTrue, kRequest, kLimits);
  for (perf::Observation& of : run.seen)
    of.output_tokens = 1;
  const auto fit = fit_endpoint({run}, kLimits);
  ASSERT_FALSE(fit.ok());
  EXPECT_EQ(fit.error().code, ErrorCode::kGarbled);
  EXPECT_THAT(fit.error().message, testing::StartsWith("no answer had more than one token"));
}

TEST(EndpointFit, TakesTokensThatComeOnceAMinute) {
  EndpointRun run = timetable();
  LinearConstants slow = kTrue;
  for (double* constant :
       {&slow.step_s, &slow.decode_s, &slow.chunk_s, &slow.prompt_token_s, &slow.context_token_s})
    *constant *= 1e5;
  for (perf::Observation& of : run.seen)
    of.sent_s *= 1e5;
  run.seen = replay_endpoint(run.seen, slow, kRequest, kLimits);
  const auto fit = fit_endpoint({run}, kLimits);
  ASSERT_TRUE(fit.ok()) << fit.error().message;
  EXPECT_NEAR(fit->constants.step_s, slow.step_s, 0.03 * slow.step_s);
}

TEST(EndpointFit, AnErrorBarIsAroundWhatWasForetold) {
  EXPECT_EQ(error_bar({}), 0);
  EXPECT_NEAR(error_bar({0.5, 0.5, 0.5, 0.5}), 0.5, 1e-12) << "always too low";
  EXPECT_NEAR(error_bar({-0.1, 0.1, -0.1, 0.1, 0.1, -0.1, 9}), 0.1, 1e-12) << "one disturbed";
}

TEST(EndpointFit, RefusesTooLittle) {
  const EndpointRun run{{{.sent_s = 0, .first_token_s = 1, .finished_s = 2, .output_tokens = 5}},
                        {0}};
  EXPECT_FALSE(fit_endpoint({run}, kLimits).ok());
}

TEST(EndpointFit, CountsTheAnswersUnderWay) {
  EXPECT_EQ(most_decoding({{.first_token_s = 1, .finished_s = 3},
                           {.first_token_s = 2, .finished_s = 4},
                           {.first_token_s = 3, .finished_s = 5}}),
            2);
}

}  // namespace
}  // namespace medley::replica
