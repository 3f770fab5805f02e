#include "base/instant.h"

#include <gtest/gtest.h>

#include <limits>

namespace medley {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

TEST(RoundToDuration, TakesTheNearestNanosecondAndHalvesAwayFromZero) {
  EXPECT_EQ(round_to_duration(Seconds(1.5)), nanoseconds(1'500'000'000));
  EXPECT_EQ(round_to_duration(Seconds(1.4e-9)), nanoseconds(1));
  EXPECT_EQ(round_to_duration(Seconds(0.5e-9)), nanoseconds(1));
  EXPECT_EQ(round_to_duration(Seconds(-0.5e-9)), nanoseconds(-1));
  EXPECT_EQ(round_to_duration(Seconds(-2.4e-9)), nanoseconds(-2));
  EXPECT_EQ(round_to_duration(Seconds(0)), nanoseconds(0));
}

TEST(RoundToDuration, SaturatesInsteadOfOverflowing) {
  EXPECT_EQ(round_to_duration(Seconds(1e10)), Duration::max());
  EXPECT_EQ(round_to_duration(Seconds(-1e10)), Duration::min());
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(round_to_duration(Seconds(infinity)), Duration::max());
  EXPECT_EQ(round_to_duration(Seconds(-infinity)), Duration::min());
  EXPECT_GT(round_to_duration(Seconds(9e9)), seconds(8'999'999'999));
}

TEST(RoundToDurationDeathTest, RefusesWhatIsNoNumber) {
  EXPECT_DEATH(round_to_duration(Seconds(std::numeric_limits<double>::quiet_NaN())),
               "broken invariant");
}

TEST(Instant, CountsFromTheStartAndGoesThereAndBack) {
  const Instant instant = round_to_instant(Seconds(12.25));
  EXPECT_EQ(instant, Instant(std::chrono::milliseconds(12250)));
  EXPECT_EQ(to_seconds(instant), Seconds(12.25));
  EXPECT_EQ(to_seconds(seconds(3)), Seconds(3));
  // A day's nanoseconds fit a double exactly, so that rounding there and back changes nothing.
  for (long long ns = 86'399'999'999'000; ns < 86'399'999'999'100; ++ns) {
    EXPECT_EQ(round_to_duration(to_seconds(nanoseconds(ns))), nanoseconds(ns));
  }
}

}  // namespace
}  // namespace medley
