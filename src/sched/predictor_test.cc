#include "sched/predictor.h"

#include <gtest/gtest.h>

#include "perf/linear.h"
#include "sched/test_core.h"

namespace medley::sched {
namespace {

using std::chrono::milliseconds, std::chrono::seconds;

// A replica that needs 10 ms a token, whose answers are of `lengths`, over and over.
double probability_of_end(const std::vector<long long>& lengths, Duration deadline,
                          std::optional<Tokens> cap = {}) {
  const TestFleet made = make_test_fleet({{.name = "a", .step_s = 0.01}});
  Ledger ledger(made.fleet);
  Predictor predictor(made.fleet, made.perf, ledger);
  Resident resident;
  resident.request = test_request(1, ServiceClass::kStandard, 10);
  resident.replica = ReplicaId(0);
  for (int i = 0; i < 300; ++i) {
    predictor.finished(resident, PoolId(0), Instant{},
                       Tokens(lengths[static_cast<std::size_t>(i) % lengths.size()]));
  }
  Request request = test_request(2, ServiceClass::kStandard, 10);
  request.targets.deadline = deadline;
  request.output_cap = cap;
  return predictor.probability(Instant{}, request, PoolId(0), {.ttft_s = 0.01, .tpot_s = 0.01});
}

TEST(Predictor, WhetherAnAnswerEndsInTimeDependsOnHowFarAnswersStray) {
  // Means of 200 tokens: two seconds, where three are left.
  EXPECT_GT(probability_of_end({200}, seconds(3)), 0.97);  // times err, too
  const double straying = probability_of_end({50, 50, 50, 100, 150, 200, 300, 700}, seconds(3));
  EXPECT_LT(straying, 0.95);
  EXPECT_GT(straying, 0.75);  // 7 of 8 end by then
  // Lengths that stray leave a chance where the mean is too long.
  EXPECT_LT(probability_of_end({200}, seconds(1)), 0.01);
  EXPECT_GT(probability_of_end({50, 50, 50, 100, 150, 200, 300, 700}, seconds(1)), 0.3);
}

TEST(Predictor, NoAnswerIsTakenToBeLongerThanItsCap) {
  EXPECT_GT(probability_of_end({50, 50, 50, 100, 150, 200, 300, 700}, seconds(3), Tokens(200)),
            0.97);
}

TEST(Predictor, AShortTimePerTokenTakesMoreOfAReplica) {
  // A step takes 10 ms and a tenth of one more by sequence.
  const TestFleet made = make_test_fleet({{.name = "a", .max_running = 64, .step_s = 0.01}});
  Ledger ledger(made.fleet);
  Predictor predictor(made.fleet, made.perf, ledger);
  const auto decode_s = [&](std::optional<Duration> tpot) {
    Request request = test_request(1, ServiceClass::kStandard, 1);
    request.output_known = Tokens(1000);
    request.targets.tpot = tpot;
    const double all = predictor.usage_s(PoolId(0), request);
    return all - 1 / predictor.prefill_tokens_per_s(PoolId(0));
  };
  EXPECT_NEAR(decode_s({}), 1000 * 0.0164 / 64, 1e-9);
  EXPECT_EQ(decode_s(milliseconds(100)), decode_s({}));
  // In .8 of 15 ms some twenty sequences find room: of the batches tried, the one below that.
  EXPECT_LT(decode_s(milliseconds(15)), 1000 * 0.012 / 15);
  EXPECT_GE(decode_s(milliseconds(15)), 1000 * 0.012 / 20);
  // What not even one alone keeps takes a whole replica.
  EXPECT_NEAR(decode_s(milliseconds(5)), 1000 * 0.0101, 1e-9);
}

// The ratio of observed to predicted after a hundred first tokens, each predicted for 60 ms after
// its dispatch and heard of after `heard`.
double ratio_learned(Duration heard, Duration heard_every) {
  const TestFleet made = make_test_fleet({{.name = "a"}});
  Ledger ledger(made.fleet);
  Predictor predictor(made.fleet, made.perf, ledger, {}, heard_every);
  Resident resident;
  resident.request = test_request(1, ServiceClass::kStandard, 10);
  resident.replica = ReplicaId(0);
  resident.ttft_from_dispatch_s = resident.model_ttft_s = 0.06;
  for (int i = 0; i < 100; ++i)
    predictor.first_token(resident, PoolId(0), Instant{} + heard);
  return predictor.ttft_correction(PoolId(0)).ratio();
}

TEST(Predictor, APromptInARotationTakesWhatTheStreamsThereLeave) {
  TestFleet made =
      make_test_fleet({{.name = "here", .max_running = 4, .kind = perf::ServingKind::kSlotted}});
  made.perf.pools[0].steps = std::make_shared<perf::RotationModel>(
      LinearConstants{.step_s = 0.060, .decode_s = 0.010, .prompt_token_s = 0.010}, PowerLaw{});
  const Ledger ledger(made.fleet);
  const Predictor predictor(made.fleet, made.perf, ledger);
  const Request request = test_request(1, ServiceClass::kStandard, 30);
  const auto ttft_s = [&](int decoding) {
    ReplicaAccount account{.pool = PoolId(0)};
    account.decoding = decoding;
    return predictor.forecast(Instant{}, request, PoolId(0), account).ttft_s;
  };
  // Its own time and a window to the first token; beside others a window before, too.
  EXPECT_DOUBLE_EQ(ttft_s(0), 0.300 + 0.060);
  EXPECT_DOUBLE_EQ(ttft_s(3), 0.060 + 0.600 + 0.060);
  EXPECT_DOUBLE_EQ(ttft_s(9), ttft_s(3)) << "with it there are no more than four";
}

TEST(Predictor, WhatIsHeardOfLateMayHaveComeWhenItWasPredicted) {
  EXPECT_GT(ratio_learned(milliseconds(700), {}), 3);
  EXPECT_DOUBLE_EQ(ratio_learned(milliseconds(700), seconds(1)), 1);
  EXPECT_LT(ratio_learned(milliseconds(40), seconds(1)), 1) << "it came before it is heard of";
  EXPECT_GT(ratio_learned(milliseconds(1700), seconds(1)), 3) << "the report before had nothing";
}

}  // namespace
}  // namespace medley::sched
