#include "sched/market.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "sched/test_fleet.h"

namespace medley::sched {
namespace {

Instant at(double seconds) { return Instant{} + round_to_duration(Seconds(seconds)); }

// Replica-hungry work at `rate_per_s` on one pool that may also go to a rented service, if public.
class MarketTest : public testing::Test {
 protected:
  static TestFleet fleet() {
    TestFleet made = make_test_fleet(
        {{.name = "a", .replicas = 2, .step_s = 0.001},
         {.name = "rented",
          .zone = "elsewhere",
          .kind = perf::ServingKind::kMetered,
          .metered = {.per_million_prompt = 1, .tokens_per_minute = 60'000, .tpot_s = 0.001}}});
    made.fleet.classes[index_of(ServiceClass::kStandard)] = {{.ttft = std::chrono::seconds(5)},
                                                             Money(0.005)};
    return made;
  }
  static Request request(std::uint64_t label, long long prompt = 1000) {
    Request made;
    made.service_class = ServiceClass::kStandard;
    made.label = LabelId(label);
    made.model = OfferId(0);
    made.prompt_tokens = Tokens(prompt);
    made.output_cap = Tokens(100);
    return made;
  }
  // Arrivals for ten seconds, half of them public; answers the program stated at their end.
  LinearProgram state(double rate_per_s) {
    market.due(at(0));
    for (int i = 0; i < 10 * rate_per_s; ++i)
      arrivals.arrived(at(i / rate_per_s), request(static_cast<std::uint64_t>(i % 2)));
    now = at(10);
    const std::optional<LinearProgram> program = market.due(now);
    EXPECT_TRUE(program);
    return program.value_or(LinearProgram{});
  }

  TestFleet made = fleet();
  Ledger ledger{made.fleet};
  Predictor predictor{made.fleet, made.perf, ledger};
  Arrivals arrivals{made.fleet, made.perf, ledger, predictor};
  Market market{made.fleet, made.perf, predictor, ledger, arrivals};
  Instant now{};
};

TEST_F(MarketTest, StatesGroupsAndCapacities) {
  const LinearProgram program = state(10);
  // Two replicas, the tokens of a minute; then a row for each of two groups.
  ASSERT_EQ(program.rows(), 4u);
  EXPECT_NEAR(program.limit[0], 0.8 * 2, 1e-9);
  EXPECT_NEAR(program.limit[1], 1000, 1e-9);
  EXPECT_NEAR(program.limit[2] + program.limit[3], 10, 1);
  // Internal work has one pool, public work two; what keeps its promise is worth its value, the
  // dearest of which is 1.
  EXPECT_EQ(program.columns(), 3u);
  for (const double gain : program.gain) {
    EXPECT_GT(gain, 0);
    EXPECT_LE(gain, 1);
  }
}

TEST_F(MarketTest, AsksEveryFewSecondsOnly) {
  state(10);
  EXPECT_FALSE(market.due(at(10.5)));
  EXPECT_FALSE(market.due(at(14.9)));
  EXPECT_TRUE(market.due(at(15)));
}

TEST_F(MarketTest, PricesWhatTheSolutionSaysAndForgetsOldPrices) {
  state(10);
  EXPECT_FALSE(market.has_prices(now));
  EXPECT_EQ(market.price(now, PoolId(0), request(1)), 0);
  const double scale = 0.02;  // the largest value of a class
  market.solved(now, {0.123456789, 0, 0, 0});
  EXPECT_TRUE(market.has_prices(now));
  // Rounded to three digits: money per replica-second, times the seconds it takes.
  EXPECT_NEAR(market.price(now, PoolId(0), request(1)),
              predictor.usage_s(PoolId(0), request(1)) * 0.123456789 * scale, 1e-3 * scale);
  EXPECT_GT(market.price(now, PoolId(0), request(1, 2000)),
            market.price(now, PoolId(0), request(1)));
  EXPECT_EQ(market.price(now, PoolId(1), request(0)), 0);
  EXPECT_NEAR(market.unit_price(now, PoolId(0)).value(), 0.123456789 * scale, 1e-3 * scale);
  EXPECT_EQ(market.unit_price(now, PoolId(1)), 0) << "nothing is scarce there";
  EXPECT_FALSE(market.unit_price(at(75), PoolId(0)));
  EXPECT_FALSE(market.has_prices(at(75)));
  EXPECT_EQ(market.price(at(75), PoolId(0), request(1)), 0);
  market.solved(at(76), {0.1, 0, 0, 0});
  EXPECT_TRUE(market.has_prices(at(76)));
  market.solved(at(77), {});  // could not be solved
  EXPECT_FALSE(market.has_prices(at(77)));
}

TEST_F(MarketTest, APriceThatDiffersInItsLastDigitsIsTheSame) {
  state(10);
  market.solved(now, {0.12345678, 0, 0, 0});
  const double one = market.price(now, PoolId(0), request(1));
  market.solved(now, {0.12345679, 0, 0, 0});
  EXPECT_EQ(market.price(now, PoolId(0), request(1)), one);
}

TEST_F(MarketTest, APowerLimitIsARowForAllPools) {
  made.fleet.site.power_limit_kw.emplace().fill(
      0.3);  // of two replicas that draw 100 W, 50 of them idle
  made.fleet.site.pue = 1.5;
  const LinearProgram program = state(10);
  ASSERT_EQ(program.rows(), 5u);
  EXPECT_NEAR(program.limit[2], 300 / 1.5 - 2 * 50, 1e-9);
  // What idle replicas draw is off the limit, so none of it is a request's: 50 W of 100.
  int pairs = 0;
  for (std::size_t e = 1; e < program.row.size(); ++e) {
    if (program.row[e] == 2 && program.row[e - 1] == 0 && program.amount[e] > 0) {
      EXPECT_NEAR(program.amount[e], 50 * program.amount[e - 1], 1e-9);
      ++pairs;
    }
  }
  EXPECT_EQ(pairs, 2) << "a column of the pool for each group";
  market.solved(now, {0, 0, 1, 0, 0});
  EXPECT_EQ(market.price(now, PoolId(0), request(1)), 0);
  EXPECT_GT(market.power_price(now, PoolId(0), request(1)), 0);
  EXPECT_EQ(market.power_price(now, PoolId(1), request(0)), 0) << "a rented service draws nothing";
}

}  // namespace
}  // namespace medley::sched
