// Errors put upon forecasts on purpose, and lengths that a study tells.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "sched/test_core.h"

namespace medley::sched {
namespace {

using std::chrono::seconds;

class Forecasts : public testing::Test {
 protected:
  Forecast at(const ForecastError& error, std::uint64_t request, std::uint64_t replica,
              double now_s = 1) const {
    const Predictor predictor(made_.fleet, made_.perf, ledger_, error);
    return predictor.forecast(Instant{} + round_to_duration(Seconds(now_s)),
                              test_request(request, ServiceClass::kStandard, 100), PoolId(0),
                              ledger_.replica(ReplicaId(replica)));
  }
  TestFleet made_ = make_test_fleet({{.name = "a", .replicas = 3}});
  Ledger ledger_{made_.fleet};
};

TEST_F(Forecasts, ErrAnewAtEveryRequestAndReplicaAndAlikeAtEveryInstant) {
  const ForecastError error = {.share = 0.3, .seed = 7};
  const Forecast once = at(error, 1, 0);
  EXPECT_EQ(once.ttft_s, at(error, 1, 0).ttft_s);
  EXPECT_EQ(once.tpot_s, at(error, 1, 0).tpot_s);
  EXPECT_EQ(once.ttft_s, at(error, 1, 0, 1.25).ttft_s);
  EXPECT_NE(once.ttft_s, at(error, 1, 1).ttft_s);
  EXPECT_NE(once.ttft_s, at(error, 2, 0).ttft_s);
  EXPECT_NE(once.ttft_s, at({.share = 0.3, .seed = 8}, 1, 0).ttft_s);
  const Forecast none = at({}, 1, 0);
  EXPECT_NE(once.ttft_s / none.ttft_s, once.tpot_s / none.tpot_s);
  EXPECT_DOUBLE_EQ(once.work_s / none.work_s, once.ttft_s / none.ttft_s);
  EXPECT_EQ(once.money, none.money);
}

TEST_F(Forecasts, HaveErrorsOfTheSpreadAskedFor) {
  const double none = at({}, 0, 0).ttft_s;
  constexpr int kDraws = 4000;
  double sum = 0, squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double log =
        std::log(at({.share = 0.3, .seed = 1}, static_cast<std::uint64_t>(i), 0).ttft_s / none);
    sum += log;
    squares += log * log;
  }
  EXPECT_NEAR(sum / kDraws, 0, 0.02);
  EXPECT_NEAR(std::sqrt(squares / kDraws), 0.3, 0.015);
}

TEST_F(Forecasts, ExpectTheLengthThatAStudyTells) {
  const Predictor predictor(made_.fleet, made_.perf, ledger_);
  Request request = test_request(1, ServiceClass::kStandard, 100);
  EXPECT_EQ(predictor.output_tokens(request), 200);
  request.output_known = Tokens(17);
  EXPECT_EQ(predictor.output_tokens(request), 17);
}

TEST_F(Forecasts, WithoutErrorDecideAsBefore) {
  const auto digest = [&](const SchedulerOptions& options) {
    TestCore core(made_, PlacementKind::kMedley, options);
    for (std::uint64_t i = 0; i < 200; ++i) {
      core.arrive(std::chrono::milliseconds(5 * i),
                  test_request(i, kServiceClasses[i % 4], 100 + 10 * static_cast<long long>(i)));
    }
    return core.scheduler().digest().hex();
  };
  EXPECT_EQ(digest({}), digest({.forecast_error = {.share = 0, .seed = 3}}));
  EXPECT_NE(digest({}), digest({.forecast_error = {.share = 1, .seed = 3}}));
}

}  // namespace
}  // namespace medley::sched
