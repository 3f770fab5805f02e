#include "domain/fleet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace medley {
namespace {

using std::chrono::hours;
using std::chrono::nanoseconds;
using testing::ElementsAre;

TEST(Label, AllowsItsZonesOnly) {
  const Label sealed{.name = "sealed", .zones = {"cellar", "lab"}};
  EXPECT_TRUE(sealed.allows("lab"));
  EXPECT_FALSE(sealed.allows("cloud"));
  EXPECT_FALSE((Label{.name = "nowhere"}.allows("lab")));
  EXPECT_TRUE((Label{.name = "open", .any_zone = true}.allows("cloud")));
}

TEST(Fleet, NumbersReplicasThroughAllPools) {
  Fleet fleet;
  fleet.pools.resize(3);
  fleet.pools[0].replicas = 2;
  fleet.pools[1].replicas = 0;
  fleet.pools[2].replicas = 1;
  EXPECT_EQ(fleet.replica_count(), 3u);
  EXPECT_THAT(fleet.pools_of_replicas(), ElementsAre(PoolId(0), PoolId(0), PoolId(2)));
}

TEST(Fleet, PricesEnergyByTheHourOfTheDayWithPue) {
  Fleet fleet;
  fleet.site.pue = 1.5;
  for (std::size_t hour = 0; hour < 24; ++hour) {
    fleet.site.tariff_per_kwh[hour] = static_cast<double>(hour);
  }
  const auto per_kwh = [&](Duration since_start) {
    return fleet.energy_price(Instant(since_start)).value() * 3.6e6;
  };
  EXPECT_DOUBLE_EQ(per_kwh(hours(0)), 0);
  EXPECT_DOUBLE_EQ(per_kwh(hours(7)), 7 * 1.5);
  EXPECT_DOUBLE_EQ(per_kwh(hours(8) - nanoseconds(1)), 7 * 1.5);
  EXPECT_DOUBLE_EQ(per_kwh(hours(24 + 3)), 3 * 1.5);
  EXPECT_DOUBLE_EQ(per_kwh(-hours(1)), 23 * 1.5);
}

TEST(Fleet, MayDrawWhatThePowerLimitOfTheHourLeavesItsDevices) {
  Fleet fleet;
  EXPECT_FALSE(fleet.power_limit(Instant(hours(1))).has_value());
  fleet.site.pue = 1.25;
  fleet.site.power_limit_kw.emplace().fill(100);
  (*fleet.site.power_limit_kw)[1] = 40;
  EXPECT_DOUBLE_EQ(fleet.power_limit(Instant(hours(0)))->value(), 80'000);
  EXPECT_DOUBLE_EQ(fleet.power_limit(Instant(hours(25)))->value(), 32'000);
}

TEST(Metered, PricesPromptAndOutputByTheMillion) {
  const Metered metered{.per_million_prompt = 3, .per_million_output = 15};
  EXPECT_DOUBLE_EQ(metered.price(Tokens(2'000'000), Tokens(0)), 6);
  EXPECT_DOUBLE_EQ(metered.price(Tokens(1000), Tokens(200)), 0.003 + 0.003);
}

TEST(Fleet, NamesItsEnums) {
  EXPECT_EQ(name_of(BatchingKind::kTokenBudget), "token_budget");
  EXPECT_EQ(name_of(EngineType::kLlamaEmbedded), "llama_embedded");
}

}  // namespace
}  // namespace medley
