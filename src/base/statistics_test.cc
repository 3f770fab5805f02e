#include "base/statistics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/prng.h"

namespace medley {
namespace {

TEST(Percentile, InterpolatesBetweenOrderStatistics) {
  const std::vector<double> sorted = {1, 2, 3, 4, 5};
  EXPECT_EQ(percentile(sorted, 0), 1);
  EXPECT_EQ(percentile(sorted, 0.5), 3);
  EXPECT_EQ(percentile(sorted, 1), 5);
  EXPECT_DOUBLE_EQ(percentile(sorted, 0.9), 4.6);  // position 3.6
  EXPECT_DOUBLE_EQ(percentile(std::vector<double>{10, 20}, 0.25), 12.5);
  EXPECT_EQ(percentile(std::vector<double>{7}, 0.99), 7);
}

TEST(PercentileDeathTest, RefusesNothingAndSharesBeyondOne) {
  EXPECT_DEATH(percentile({}, 0.5), "broken invariant");
  EXPECT_DEATH(percentile(std::vector<double>{1}, 1.01), "broken invariant");
}

TEST(Summarise, SortsAndSumsUp) {
  std::vector<double> values;
  for (int i = 100; i >= 0; --i)
    values.push_back(i);
  const Summary summary = summarise(values);
  EXPECT_EQ(summary.count, 101u);
  EXPECT_EQ(summary.mean, 50);
  EXPECT_EQ(summary.p50, 50);
  EXPECT_EQ(summary.p90, 90);
  EXPECT_EQ(summary.p99, 99);
  EXPECT_EQ(summary.max, 100);
}

TEST(Summarise, SelectsTheSamePercentilesAsSortingWould) {
  Prng prng(9);
  for (std::size_t size = 1; size < 300; size += 1 + size / 9) {
    std::vector<double> values;
    for (std::size_t i = 0; i < size; ++i)
      values.push_back(static_cast<double>(prng.below(50)));  // with ties
    const Summary summary = summarise(values);
    std::sort(values.begin(), values.end());
    EXPECT_EQ(summary.p50, percentile(values, 0.5)) << size;
    EXPECT_EQ(summary.p90, percentile(values, 0.9)) << size;
    EXPECT_EQ(summary.p99, percentile(values, 0.99)) << size;
    EXPECT_EQ(summary.max, values.back()) << size;
  }
}

TEST(Summarise, OfNothingIsZero) {
  const Summary summary = summarise({});
  EXPECT_EQ(summary.count, 0u);
  EXPECT_EQ(summary.mean, 0);
  EXPECT_EQ(summary.max, 0);
}

TEST(Statistics, JainsIndexSaysHowEvenSharesAre) {
  EXPECT_DOUBLE_EQ(jain_index(std::vector<double>{3, 3, 3}), 1);
  EXPECT_DOUBLE_EQ(jain_index(std::vector<double>{5, 0, 0, 0}), 0.25);
  EXPECT_DOUBLE_EQ(jain_index(std::vector<double>{1, 3}), 0.8);
  EXPECT_DOUBLE_EQ(jain_index(std::vector<double>{}), 1);
  EXPECT_DOUBLE_EQ(jain_index(std::vector<double>{0, 0}), 1);
}

TEST(Statistics, EstimatesAMeanWithItsInterval) {
  const Estimate of_three = estimate(std::array{1.0, 2.0, 3.0});
  EXPECT_EQ(of_three.mean, 2);
  EXPECT_NEAR(of_three.margin.value(), 4.303 * 1 / std::sqrt(3), 1e-12);
  EXPECT_NEAR(of_three.low().value(), 2 - *of_three.margin, 1e-15);
  EXPECT_NEAR(of_three.high().value(), 2 + *of_three.margin, 1e-15);
  const Estimate of_one = estimate(std::array{7.0});
  EXPECT_EQ(of_one.mean, 7);
  EXPECT_FALSE(of_one.margin || of_one.low() || of_one.high()) << "one value says nothing of it";
  EXPECT_EQ(estimate(std::array{5.0, 5.0}).margin, 0);
}

TEST(Statistics, KnowsStudentsT) {
  EXPECT_EQ(student_t(1), 12.706);
  EXPECT_EQ(student_t(9), 2.262);
  EXPECT_EQ(student_t(30), 2.042);
  EXPECT_NEAR(student_t(31), 2.0395, 1e-3);
  EXPECT_NEAR(student_t(120), 1.9799, 1e-3);
  EXPECT_NEAR(student_t(1'000'000), 1.95997, 1e-3);
}

}  // namespace
}  // namespace medley
