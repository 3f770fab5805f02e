#include "lpu/cpu/costs.h"

#include <gtest/gtest.h>

namespace medley::lpu::cpu {
namespace {

std::vector<TimedWork> timed_by(const Cost& cost) {
  std::vector<TimedWork> timed;
  for (const double numbers : {4.0, 64.0}) {
    for (const double width : {100.0, 3000.0})
      timed.push_back({numbers, numbers * width, cost.seconds(numbers, numbers * width)});
  }
  return timed;
}

TEST(Costs, AreFoundAgainInTimesThatFollowThem) {
  const Cost cost{.fixed_s = 2e-7, .number_s = 3e-9, .byte_s = 4e-11};
  const Cost found = fit(timed_by(cost));
  EXPECT_NEAR(found.fixed_s, cost.fixed_s, 1e-12);
  EXPECT_NEAR(found.number_s, cost.number_s, 1e-14);
  EXPECT_NEAR(found.byte_s, cost.byte_s, 1e-16);
}

TEST(Costs, AreNeverNegative) {
  // Larger work that takes less time than smaller has no time for a number.
  const Cost found = fit({{.numbers = 10, .seconds = 5e-7}, {.numbers = 1000, .seconds = 4e-7}});
  EXPECT_EQ(found.number_s, 0);
  EXPECT_GT(found.fixed_s, 4e-7);
  EXPECT_LT(found.fixed_s, 5e-7);
}

TEST(Costs, TakeAllTimesAsFixedWhereThereIsOneSize) {
  const Cost found = fit({{.numbers = 16, .seconds = 3e-7}});
  EXPECT_NEAR(found.seconds(16, 0), 3e-7, 1e-12);
}

}  // namespace
}  // namespace medley::lpu::cpu
