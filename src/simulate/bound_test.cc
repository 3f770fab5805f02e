#include "simulate/bound.h"

#include <gtest/gtest.h>

#include "sched/test_fleet.h"

namespace medley::simulate {
namespace {

using std::chrono::milliseconds, std::chrono::seconds;

constexpr double kJoulePrice = 0.2 / 3.6e6;  // of make_test_fleet

// Classes are worth 5, 3, 2 and 1; all have a second to the first token, and no other target.
sched::TestFleet fleet_of(const std::vector<sched::TestPool>& pools) {
  sched::TestFleet made = sched::make_test_fleet(pools);
  double value = 5;
  for (const ServiceClass service_class : kServiceClasses) {
    made.fleet.classes[index_of(service_class)] = {{.ttft = seconds(1)}, Money(value)};
    value = value == 5 ? 3 : value - 1;
  }
  return made;
}

sched::TestPool rented(std::optional<long long> tokens_per_minute, double per_million = 0) {
  return {.name = "rented",
          .kind = perf::ServingKind::kMetered,
          .metered = {.per_million_prompt = per_million,
                      .per_million_output = per_million,
                      .tokens_per_minute = tokens_per_minute,
                      .requests_per_day = {},
                      .tpot_s = 0.01}};
}

Arrival arrival(std::uint64_t id, Duration at, ServiceClass service_class, long long prompt_tokens,
                long long output_tokens) {
  Arrival made;
  made.request.id = RequestId(id);
  made.request.arrived_at = Instant(at);
  made.request.service_class = service_class;
  made.request.label = LabelId(1);
  made.request.prompt_tokens = Tokens(prompt_tokens);
  made.output_tokens = output_tokens;
  return made;
}

Bound bound_of(const sched::TestFleet& made, const std::vector<Arrival>& arrivals,
               const BoundOptions& options = {}) {
  return bound(made.fleet, made.perf, arrivals, options);
}

TEST(Bound, OfTwoRequestsThatShareAMinuteIsTheDearerAndAPartOfTheOther) {
  // 60 tokens each, 100 a minute: all of the one that is worth 5 and two thirds of the other's 2.
  const auto made = fleet_of({rented(100)});
  const Bound found = bound_of(made, {arrival(0, seconds(1), ServiceClass::kFlex, 50, 10),
                                      arrival(1, seconds(2), ServiceClass::kGuaranteed, 50, 10)});
  EXPECT_NEAR(found.value, 5 + 2 * 40.0 / 60, 0.01);
  EXPECT_GE(found.value, 5 + 2 * 40.0 / 60 - 1e-9);
  EXPECT_NEAR(found.reached, 5 + 2 * 40.0 / 60, 0.01);
  EXPECT_EQ(found.all_value, 7);
}

TEST(Bound, OfTwoPromptsThatShareAReplicaIsWhatItsSecondsHold) {
  // A step takes 10 ms and 20 us a prompt token, of which it holds 256: a prompt of 2,560 takes
  // 0.1512 s and 15.12 J of the slice that its target leaves, which is 0.2 s long.
  auto made = fleet_of({{.name = "a", .step_s = 0.01}});
  made.fleet.classes[0].targets.ttft = milliseconds(199);
  const Bound found = bound_of(made,
                               {arrival(0, seconds(0), ServiceClass::kGuaranteed, 2560, 1),
                                arrival(1, seconds(0), ServiceClass::kGuaranteed, 2560, 1)},
                               {.slice_s = 0.2});
  const double served = 0.2 / (2560 * (2e-5 + 0.01 / 256));
  EXPECT_NEAR(found.value, served * (5 - 15.12 * kJoulePrice), 0.01);
}

TEST(Bound, OfALaneIsAsManyPromptsAsFitBeforeTheDeadline) {
  // The lane takes 10 ms and 20 us a token: 0.05 s a prompt of 2,000. Forty come at once, each with
  // a second less the token: 19 or 20 fit, in the simulation too.
  const auto made =
      fleet_of({{.name = "lane", .step_s = 0.01, .kind = perf::ServingKind::kSlotted}});
  std::vector<Arrival> arrivals;
  for (std::uint64_t i = 0; i < 40; ++i)
    arrivals.push_back(arrival(i, seconds(0), ServiceClass::kBatch, 2000, 1));
  const Bound found = bound_of(made, arrivals);
  EXPECT_GE(found.value, 19.5);
  EXPECT_LE(found.value, 20.3);
}

TEST(Bound, WithRoomForAllIsTheSumOfTheBestPoolsGains) {
  const auto made = fleet_of({rented({}, 20000), rented(1'000'000, 10000), rented({}, 50000)});
  std::vector<Arrival> arrivals;
  double expected = 0, all = 0;
  for (std::uint64_t i = 0; i < 40; ++i) {
    const ServiceClass service_class = kServiceClasses[i % kServiceClassCount];
    const auto prompt = static_cast<long long>(10 + 7 * i);
    arrivals.push_back(arrival(i, seconds(i), service_class, prompt, 5));
    const double value = made.fleet.policy(service_class).value.value();
    expected += std::max(0.0, value - static_cast<double>(prompt + 5) * 0.01);
    all += value;
  }
  const Bound found = bound_of(made, arrivals);
  EXPECT_NEAR(found.value, expected, 1e-9);
  EXPECT_NEAR(found.reached, expected, 1e-9);
  EXPECT_NEAR(bound_of(made, arrivals, {.count_costs = false}).value, all, 1e-9);
}

TEST(Bound, OfWhatNoPoolMayServeOrCouldIsNothing) {
  auto made = fleet_of({{.name = "slow", .zone = "edge", .step_s = 0.1}});
  const auto is_nothing = [&](const Arrival& only) {
    const Bound found = bound_of(made, {only});
    return found.value == 0 && found.share() == 0 && found.all_value > 0;
  };
  Arrival lawless = arrival(0, seconds(0), ServiceClass::kFlex, 100, 10);
  EXPECT_FALSE(is_nothing(lawless));
  lawless.request.label = LabelId(2);  // "restricted" may not leave "here"
  EXPECT_TRUE(is_nothing(lawless));
  EXPECT_TRUE(is_nothing(arrival(0, seconds(0), ServiceClass::kFlex, 100, 9000)));  // context
  EXPECT_TRUE(is_nothing(arrival(0, seconds(0), ServiceClass::kFlex, 4000, 10)));   // 16 steps
  Arrival hurried = arrival(0, seconds(0), ServiceClass::kFlex, 100, 10);
  hurried.request.targets.tpot = milliseconds(50);  // a step takes 100
  EXPECT_TRUE(is_nothing(hurried));
  hurried.request.targets = {.deadline = milliseconds(900)};
  EXPECT_TRUE(is_nothing(hurried));
  EXPECT_EQ(bound_of(made, {}).value, 0);
  const auto no_quota = fleet_of({rented(0)});
  EXPECT_EQ(bound_of(no_quota, {arrival(0, seconds(0), ServiceClass::kFlex, 100, 10)}).value, 0);
}

TEST(Bound, OfAStaticScheduleCountsThePowerOfWhoMustBeRunning) {
  // 100 W. The answers of 100 and of 300 tokens take 1 and 3 s; both are running from 0.99 s, when
  // the lane must have begun, until 1.01 s, and the second alone until 3.01 s.
  auto made = fleet_of({{.name = "lane", .step_s = 0.01, .kind = perf::ServingKind::kSlotted}});
  for (ClassPolicy& policy : made.fleet.classes)
    policy.targets.ttft = seconds(1);
  made.fleet.site.tariff_per_kwh.fill(3.6e4);  // 0.01 a joule
  const double token_s = 0.0101, lane_s = 0.01 + 50 * 2e-5, begins_s = 1 - token_s - lane_s;
  const Bound found = bound_of(made, {arrival(0, seconds(0), ServiceClass::kGuaranteed, 50, 100),
                                      arrival(1, seconds(0), ServiceClass::kGuaranteed, 50, 300)});
  EXPECT_NEAR(found.value, 10 - (lane_s + 300 * token_s - begins_s), 1e-9);
}

std::vector<Arrival> crowd(double per_s) {
  std::vector<Arrival> arrivals;
  for (std::uint64_t i = 0; i < 600; ++i) {
    arrivals.push_back(arrival(i, round_to_duration(Seconds(static_cast<double>(i) / per_s)),
                               kServiceClasses[i % kServiceClassCount],
                               50 + static_cast<long long>(i % 7) * 100,
                               1 + static_cast<long long>(i % 40)));
  }
  return arrivals;
}

TEST(Bound, IsNeverRaisedByMoreIterationsAndAlwaysTheSame) {
  const auto made =
      fleet_of({{.name = "a", .replicas = 2}, rented(20000, 500), {.name = "b", .step_s = 0.02}});
  const std::vector<Arrival> arrivals = crowd(1000);
  double last = std::numeric_limits<double>::infinity();
  for (const int iterations : {1, 10, 30, 100, 300, 1000}) {
    const Bound found = bound_of(made, arrivals, {.iterations = iterations});
    EXPECT_EQ(found.value, bound_of(made, arrivals, {.iterations = iterations}).value);
    EXPECT_LE(found.value, last);
    EXPECT_LE(found.reached, found.value * (1 + 1e-9));
    EXPECT_EQ(found.iterations, iterations);
    last = found.value;
  }
  const Bound found = bound_of(made, arrivals);
  EXPECT_LT(found.value, 0.9 * found.all_value);
  EXPECT_LT(found.gap(), 0.04);
  EXPECT_LT(found.lowered, 0.005 * found.value);
}

TEST(LoadOne, IsWhereTheQuotaIsJustEnough) {
  // 60 tokens each; 6,000 a minute are 100 requests a minute.
  const auto made = fleet_of({rented(6000)});
  const auto at = [](double per_minute) {
    std::vector<Arrival> arrivals;
    for (std::uint64_t i = 0; i < 1000; ++i) {
      arrivals.push_back(
          arrival(i, round_to_duration(Seconds(static_cast<double>(i) * 60 / per_minute)),
                  ServiceClass::kStandard, 50, 10));
    }
    return arrivals;
  };
  const LoadOne found = load_one(made.fleet, made.perf, at, 10, 1000);
  EXPECT_NEAR(found.load, 101, 2);
  EXPECT_GE(found.bound.share(), kLoadOneShare);
  EXPECT_EQ(load_one(made.fleet, made.perf, at, 10, 50).load, 50);
  EXPECT_EQ(load_one(made.fleet, made.perf, at, 500, 1000).load, 500);
}

TEST(Bound, LetsWhatAnotherOneHasComputedBeForNothing) {
  // A prompt of 2,560 tokens takes 0.1512 s alone and no second one fits into 0.2 s, unless it has
  // nearly all of the first.
  auto made = fleet_of({{.name = "a", .step_s = 0.01}});
  made.fleet.classes[0].targets.ttft = milliseconds(199);
  std::vector<Arrival> arrivals = {arrival(0, seconds(0), ServiceClass::kGuaranteed, 2560, 1),
                                   arrival(1, seconds(0), ServiceClass::kGuaranteed, 2560, 1)};
  const auto found = [&] { return bound_of(made, arrivals, {.slice_s = 0.2}).value; };
  const double apart = found();
  for (Arrival& arrival : arrivals)
    arrival.request.prefix = std::make_shared<PrefixChain>(PrefixChain{1280, {1, 2}});
  EXPECT_EQ(found(), apart) << "the pool caches nothing";
  made.fleet.pools[0].batching.prefix_caching = true;
  EXPECT_NEAR(found(), 10, 0.1);
  // What comes after the first token is due is of no use to it.
  arrivals[1].request.arrived_at = Instant(milliseconds(199) + milliseconds(1));
  arrivals.push_back(arrival(2, seconds(0), ServiceClass::kGuaranteed, 2560, 1));
  std::swap(arrivals[1], arrivals[2]);
  EXPECT_LT(found(), 14);
}

TEST(Bound, IsNotExceededByARunThatFindsPrefixes) {
  auto made = fleet_of({{.name = "a", .replicas = 2, .step_s = 0.01}});
  made.fleet.pools[0].batching.prefix_caching = true;
  std::vector<Arrival> arrivals;
  for (std::uint64_t i = 0; i < 400; ++i) {
    arrivals.push_back(arrival(i, i * milliseconds(50), kServiceClasses[i % 4], 2000 + i % 7, 20));
    PrefixChain chain{64, {}};
    for (std::uint64_t block = 0; block < 30; ++block)
      chain.blocks.push_back(1'000'000 * (i % 11) + block + (block > 20 ? 1'000 * i : 0));
    arrivals.back().request.prefix = std::make_shared<PrefixChain>(chain);
  }
  const SimulationResult run = simulate(made.fleet, made.perf, arrivals, {}, {});
  double earned = 0;
  for (const RequestRecord& record : run.requests) {
    if (record.kept)
      earned += made.fleet.policy(record.request.service_class).value.value();
    earned -= record.money;
  }
  EXPECT_GT(run.replicas[0].usage.reused_tokens, 0);
  EXPECT_GT(earned, 100);
  EXPECT_LE(earned, bound_of(made, arrivals).value);
}

}  // namespace
}  // namespace medley::simulate
