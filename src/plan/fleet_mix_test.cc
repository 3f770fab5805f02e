#include "plan/fleet_mix.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "base/prng.h"

namespace medley::plan {
namespace {

using Status = FleetMix::Status;

FleetMixTable two_types() {
  return {.types = {{"small", 1.0, {4, 1}}, {"large", 3.5, {10, 8}}},
          .share = {0.5, 0.5},
          .columns = 2};
}

FleetMix mix_of(const FleetMixTable& table, const FleetMixDemand& demand) {
  const Result<FleetMix> mix = cheapest_fleet_mix(table, demand, *solve::make_integer_solver(), 10);
  EXPECT_TRUE(mix.ok()) << (mix.ok() ? "" : mix.error().message);
  return mix.ok() ? *mix : FleetMix{};
}

TEST(FleetMix, MixesWhereOneTypeAloneIsDearer) {
  // Short requests on two small ones, long ones on a large one.
  const FleetMix mix = mix_of(two_types(), {.requests_per_s = 16, .slices = 1});
  EXPECT_EQ(mix.status, Status::kOptimal);
  EXPECT_EQ(mix.count, (std::vector<int>{2, 1}));
  EXPECT_DOUBLE_EQ(mix.cost_per_hour, 5.5);
  EXPECT_NEAR(mix.lower_bound, 5.5, 1e-5);
  EXPECT_DOUBLE_EQ(mix.single_type_cost[0].value(), 10);
  EXPECT_DOUBLE_EQ(mix.single_type_cost[1].value(), 7);
}

TEST(FleetMix, AFullInstanceIsNotOneTooMany) {
  FleetMixTable table = two_types();
  table.types.resize(1);
  table.share = {0.1, 0.2};
  table.types[0].throughput = {0.3, 0.6};
  // 3 x (0.1 / 0.3 + 0.2 / 0.6) is 2 and a rounding error.
  const FleetMix mix = mix_of(table, {.requests_per_s = 3, .slices = 3});
  EXPECT_EQ(mix.count[0], 2);
  EXPECT_DOUBLE_EQ(mix.single_type_cost[0].value(), 2);
}

TEST(FleetMix, NamesTheBucketsThatNoTypeServes) {
  FleetMixTable table = two_types();
  table.types[0].throughput = {0, 0};
  table.types[1].throughput = {0, 8};
  const FleetMix mix = mix_of(table, {.requests_per_s = 8, .slices = 2});
  EXPECT_EQ(mix.status, Status::kInfeasible);
  EXPECT_EQ(mix.infeasible_buckets, (std::vector<std::size_t>{0}));
  EXPECT_FALSE(mix.single_type_cost[0].has_value());
  EXPECT_TRUE(mix.assignment.empty());
}

TEST(FleetMix, ABucketWithoutAShareNeedsNobody) {
  FleetMixTable table = two_types();
  table.share = {1, 0};
  table.types[0].throughput = {4, 0};
  table.types[1].throughput = {10, 0};
  const FleetMix mix = mix_of(table, {.requests_per_s = 4, .slices = 2});
  EXPECT_EQ(mix.status, Status::kOptimal);
  EXPECT_EQ(mix.cost_per_hour, 1);
  EXPECT_TRUE(mix.single_type_cost[0].has_value());
}

FleetMixTable random_table(Prng& prng, std::size_t types, std::size_t buckets) {
  FleetMixTable table;
  table.columns = static_cast<int>(buckets);
  for (std::size_t b = 0; b < buckets; ++b)
    table.share.push_back(prng.below(8) == 0 ? 0 : prng.uniform() + 0.01);
  table.share[0] += 0.1;
  for (std::size_t t = 0; t < types; ++t) {
    table.types.push_back({"type" + std::to_string(t), 0.5 + prng.uniform() * 8, {}});
    for (std::size_t b = 0; b < buckets; ++b)
      table.types[t].throughput.push_back(prng.below(5) == 0 && t > 0 ? 0
                                                                      : prng.uniform() * 6 + 0.2);
  }
  return table;
}

// By every assignment of every slice.
double best_of_all(const FleetMixTable& table, const FleetMixDemand& demand) {
  double best = std::numeric_limits<double>::infinity();
  std::vector<double> load(table.types.size(), 0);
  const std::function<void(std::size_t, std::size_t, int)> place = [&](std::size_t bucket,
                                                                       std::size_t first,
                                                                       int left) {
    if (bucket == table.share.size()) {
      double cost = 0;
      for (std::size_t t = 0; t < load.size(); ++t)
        cost += std::ceil(load[t] - 1e-9 * std::max(1.0, load[t])) * table.types[t].cost_per_hour;
      best = std::min(best, cost);
      return;
    }
    if (left == 0 || table.share[bucket] <= 0)
      return place(bucket + 1, 0, demand.slices);
    for (std::size_t t = first; t < load.size(); ++t) {
      if (table.types[t].throughput[bucket] <= 0)
        continue;
      const double more = demand.requests_per_s * table.share[bucket] / demand.slices /
                          table.types[t].throughput[bucket];
      load[t] += more;
      place(bucket, t, left - 1);
      load[t] -= more;
    }
  };
  place(0, 0, demand.slices);
  return best;
}

TEST(FleetMix, EqualsEveryAssignmentTried) {
  Prng prng(11);
  for (int round = 0; round < 60; ++round) {
    SCOPED_TRACE(round);
    const FleetMixTable table = random_table(prng, 2 + prng.below(2), 1 + prng.below(4));
    const FleetMixDemand demand{.requests_per_s = 0.5 + prng.uniform() * 20,
                                .slices = 1 + static_cast<int>(prng.below(3))};
    const double best = best_of_all(table, demand);
    const FleetMix mix = mix_of(table, demand);
    EXPECT_EQ(mix.status, Status::kOptimal);
    EXPECT_NEAR(mix.cost_per_hour, best, 1e-6 * best);
    EXPECT_LE(mix.lower_bound, best * (1 + 1e-9));
    EXPECT_GE(mix.lower_bound, best * (1 - 1e-5));
  }
}

TEST(FleetMix, ATypeMoreNeverMakesItDearerNorLessWork) {
  Prng prng(12);
  for (int round = 0; round < 6; ++round) {
    SCOPED_TRACE(round);
    FleetMixTable table = random_table(prng, 4, 12);
    const FleetMixDemand demand{.requests_per_s = 5 + prng.uniform() * 40, .slices = 4};
    const double cost = mix_of(table, demand).cost_per_hour;
    FleetMixTable fewer = table;
    fewer.types.pop_back();
    const FleetMix without = mix_of(fewer, demand);
    EXPECT_LE(cost * (1 - 1e-5), without.cost_per_hour);
    table.share[1] = 0;
    EXPECT_LE(mix_of(table, demand).lower_bound, cost * (1 + 1e-9));
  }
}

TEST(FleetMix, ALimitOfTimeLeavesABound) {
  Prng prng(13);
  const FleetMixTable table = random_table(prng, 8, 200);
  const Result<FleetMix> mix = cheapest_fleet_mix(table, {.requests_per_s = 60, .slices = 3},
                                                  *solve::make_integer_solver(), 1e-3);
  if (!mix.ok()) {  // where the machine gave it no time at all
    EXPECT_EQ(mix.error().message, "no fleet mix was found within 0.001 s");
    return;
  }
  EXPECT_LE(mix->lower_bound, mix->cost_per_hour);
  EXPECT_GT(mix->cost_per_hour, 0);
}

}  // namespace
}  // namespace medley::plan
