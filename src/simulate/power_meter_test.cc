#include "simulate/power_meter.h"

#include <gtest/gtest.h>

#include "sched/test_fleet.h"

namespace medley::simulate {
namespace {

replica::Usage usage(double busy_s, double joules) {
  replica::Usage usage;
  usage.busy_s = busy_s;
  usage.joules = joules;
  return usage;
}

constexpr double kHour = 3600;

// A pool of two replicas that draw 50 W while idle; 0.2 a kWh, doubled by the hour from hour 1 on.
sched::TestFleet two_replicas() {
  sched::TestFleet made = sched::make_test_fleet({{.name = "a", .replicas = 2}});
  made.fleet.site.tariff_per_kwh.fill(0.4);
  made.fleet.site.tariff_per_kwh[0] = 0.2;
  made.fleet.site.pue = 1.5;
  return made;
}

TEST(PowerMeter, PaysEnergyAtTheTariffOfItsHour) {
  const sched::TestFleet made = two_replicas();
  PowerMeter meter(made.fleet, made.perf);
  meter.worked(0, kHour, usage(kHour, 1050 * kHour));  // the whole first hour: 1 kW above idle
  meter.worked(0, 1.5 * kHour, usage(1.5 * kHour, 1575 * kHour));  // and half of the second
  meter.end(2 * kHour);
  // Idle: 0.1 kW. PUE 1.5.
  const double first = (1 + 0.1) * 0.2 * 1.5, second = (0.5 + 0.1) * 0.4 * 1.5;
  EXPECT_NEAR(meter.money(PoolId(0)).value(), first + second, 1e-9);
}

TEST(PowerMeter, HoldsTheDrawAgainstTheLimitOfItsHour) {
  sched::TestFleet made = two_replicas();
  made.fleet.site.power_limit_kw.emplace().fill(3);
  (*made.fleet.site.power_limit_kw)[1] = 1.5;
  PowerMeter meter(made.fleet, made.perf);
  meter.worked(0, kHour + 20, usage(30, 1450 * 30));  // 1.4 kW above idle, 10 s before the hour on
  meter.end(kHour + 100);
  const PowerFigures figures = meter.figures();
  EXPECT_NEAR(figures.peak_kw, 1.5 * 1.5, 1e-9) << "at the meter, PUE included";
  EXPECT_NEAR(*figures.peak_of_limit, 1.5, 1e-9) << "of the second hour's 1.5 kW";
  EXPECT_NEAR(figures.over_limit_s, 20, 1e-9) << "and not while the limit was 3";
}

TEST(PowerMeter, CountsNoIdleDrawOfALostReplicaAndKnowsNoLimitWithoutOne) {
  const sched::TestFleet made = two_replicas();
  PowerMeter meter(made.fleet, made.perf);
  meter.lost(0, 0, 100);
  meter.lost(1, 50, 100);
  meter.end(100);
  EXPECT_NEAR(meter.figures().peak_kw, 0.05 * 1.5, 1e-9);
  EXPECT_NEAR(meter.money(PoolId(0)).value(), 50.0 * 50 / 3.6e6 * 0.2 * 1.5, 1e-12);
  EXPECT_FALSE(meter.figures().peak_of_limit);
  EXPECT_EQ(meter.figures().over_limit_s, 0);
}

TEST(PowerMeter, JoinsItsSlicesWhereARunIsTooLong) {
  const sched::TestFleet made = two_replicas();
  PowerMeter meter(made.fleet, made.perf);
  meter.end(4e7);
  EXPECT_NEAR(meter.figures().peak_kw, 0.1 * 1.5, 1e-9);
}

}  // namespace
}  // namespace medley::simulate
