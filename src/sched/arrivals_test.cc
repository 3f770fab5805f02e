#include "sched/arrivals.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sched/test_fleet.h"

namespace medley::sched {
namespace {

Instant at(double seconds) { return Instant{} + round_to_duration(Seconds(seconds)); }

// One pool whose lane takes 20 us a prompt token; guaranteed work of 1,000 tokens comes to it.
class ArrivalsTest : public testing::Test {
 protected:
  static Request request(ServiceClass service_class, long long prompt) {
    Request made;
    made.service_class = service_class;
    made.label = LabelId(1);
    made.model = OfferId(0);
    made.prompt_tokens = Tokens(prompt);
    return made;
  }
  static TestFleet fleet() {
    TestFleet made =
        make_test_fleet({{.name = "a", .step_s = 0.001, .kind = perf::ServingKind::kSlotted},
                         {.name = "b", .step_s = 0.001}});
    made.fleet.classes[index_of(ServiceClass::kGuaranteed)] = {
        {.ttft = std::chrono::milliseconds(500)}, Money(0.02)};
    made.fleet.classes[index_of(ServiceClass::kStandard)] = {{.ttft = std::chrono::seconds(1)},
                                                             Money(0.005)};
    return made;
  }
  void arrive(double rate_per_s, double for_s,
              ServiceClass service_class = ServiceClass::kGuaranteed) {
    for (double t = 0; t < for_s; t += 1 / rate_per_s)
      arrivals.arrived(at(t), request(service_class, 1000));
    now = at(for_s);
    arrivals.refresh(now);
  }
  double harm(long long prompt, double wait_s, double worth = 0.005) const {
    Forecast forecast;
    forecast.wait_s = wait_s;
    forecast.work_s = static_cast<double>(prompt) * 2e-5;
    forecast.ttft_s = forecast.wait_s + forecast.work_s;
    return arrivals.harm(worth, PoolId(0), forecast);
  }

  TestFleet made = fleet();
  Ledger ledger{made.fleet};
  Predictor predictor{made.fleet, made.perf, ledger};
  Arrivals arrivals{made.fleet, made.perf, predictor};
  Instant now{};
};

TEST_F(ArrivalsTest, NothingIsLostWhereNothingDearerComes) {
  EXPECT_EQ(harm(1000, 0.4), 0);
  arrive(10, 60);
  EXPECT_GT(harm(1000, 0.4), 0);
  EXPECT_EQ(harm(1000, 0.4, 0.02), 0) << "as dear as they are";
}

TEST_F(ArrivalsTest, MoreIsLostBehindMoreBacklogAndToMoreWork) {
  arrive(10, 60);
  EXPECT_LT(harm(1000, 0), harm(1000, 0.2));
  EXPECT_LT(harm(1000, 0.2), harm(1000, 0.4));
  EXPECT_LT(harm(500, 0.2), harm(1000, 0.2));
}

TEST_F(ArrivalsTest, NoMoreIsLostThanIsDisplacedOrComes) {
  arrive(200, 60);  // four times what the lane can do
  EXPECT_LE(harm(1000, 0.5), 0.02 + 1e-9) << "a prompt of their mean length displaces one of them";
  EXPECT_LE(harm(100, 0.5), 0.002 + 1e-9);
}

TEST_F(ArrivalsTest, WhatStaysAwayIsExpectedLess) {
  arrive(10, 60);
  const auto rate_at = [&](double seconds) { return arrivals.groups(at(seconds)).at(0).rate; };
  EXPECT_NEAR(rate_at(60.3), 10, 0.3) << "four gaps are chance";
  EXPECT_NEAR(rate_at(62), 2, 0.2);
  EXPECT_NEAR(rate_at(100), 0.1, 0.01);
}

TEST_F(ArrivalsTest, OnABatchedReplicaPricesSayIt) {
  arrive(10, 60);
  Forecast forecast;
  forecast.wait_s = 0.4;
  forecast.work_s = forecast.ttft_s = 0.02;
  EXPECT_GT(arrivals.harm(0.005, PoolId(0), forecast), 0);
  EXPECT_EQ(arrivals.harm(0.005, PoolId(1), forecast), 0);
}

TEST_F(ArrivalsTest, StandsNearItsLimitsByTheTightestOfThoseThatCome) {
  arrive(10, 60);
  Forecast forecast;
  forecast.ttft_s = 0.25;
  const Arrivals::Standing below = arrivals.standing(PoolId(1), 0.005, forecast);
  EXPECT_NEAR(below.nearness, 0.5, 1e-9) << "of the 500 ms of guaranteed work";
  EXPECT_TRUE(below.below_dearer);
  EXPECT_FALSE(arrivals.standing(PoolId(1), 0.02, forecast).below_dearer);
}

// Guaranteed work of so many a second beside a hundred of batch work.
class ArrivalsBesideBatch : public ArrivalsTest {
 protected:
  double nearness(double guaranteed_per_s) {
    for (int i = 0; i < 6000; ++i) {
      arrivals.arrived(at(i / 100.0), request(ServiceClass::kBatch, 1000));
      if (std::fmod(i * guaranteed_per_s / 100, 1) < guaranteed_per_s / 100)
        arrivals.arrived(at(i / 100.0), request(ServiceClass::kGuaranteed, 1000));
    }
    Forecast forecast;
    forecast.ttft_s = 0.25;
    arrivals.refresh(at(60));
    return arrivals.standing(PoolId(1), 0.0008, forecast).nearness;
  }
};

TEST_F(ArrivalsBesideBatch, WhoHasLittleOfTheWorkSetsLimitsByMuchOfTheValue) {
  EXPECT_NEAR(nearness(1), 0.5, 1e-9) << "a hundredth of the work, a fifth of the value";
}
TEST_F(ArrivalsBesideBatch, WhoHasLittleOfBothSetsNone) {
  EXPECT_EQ(nearness(0.1), 0) << "a fortieth of the value";
}

TEST_F(ArrivalsTest, WhatCameLongAgoIsForgotten) {
  arrive(10, 60);
  const double then = harm(1000, 0.3);
  now = at(1000);
  arrivals.refresh(now);
  EXPECT_LT(harm(1000, 0.3), then / 100);
}

}  // namespace
}  // namespace medley::sched
