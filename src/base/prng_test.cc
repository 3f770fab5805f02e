#include "base/prng.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "base/statistics.h"

namespace medley {
namespace {

// From a second implementation of xoshiro256** 1.0 and splitmix64 that gives the published
// sequences: 11520, 0, 1509978240, 1215971899390074240, … for the state 1, 2, 3, 4, and
// 6457827717110365317, 3203168211198807973, … for splitmix64 of 1234567.
TEST(Prng, GivesTheSequenceOfTheReferenceAlgorithm) {
  Prng zero(0);
  for (const std::uint64_t expected :
       {11091344671253066420U, 13793997310169335082U, 1900383378846508768U, 7684712102626143532U}) {
    EXPECT_EQ(zero.next(), expected);
  }
  Prng other(42);
  for (const std::uint64_t expected :
       {1546998764402558742U, 6990951692964543102U, 12544586762248559009U, 17057574109182124193U}) {
    EXPECT_EQ(other.next(), expected);
  }
}

TEST(Prng, RepeatsItselfAndLetsOtherStreamsAlone) {
  Prng a = Prng::stream(7, 1, 5), b = Prng::stream(7, 1, 5);
  Prng::stream(7, 1, 6).next();
  for (int i = 0; i < 100; ++i)
    EXPECT_EQ(a.next(), b.next());
}

TEST(Prng, GivesEverySeedPurposeAndIndexAStreamOfItsOwn) {
  std::vector<std::uint64_t> firsts;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    for (std::uint64_t purpose = 0; purpose < 10; ++purpose) {
      for (std::uint64_t index = 0; index < 10; ++index) {
        firsts.push_back(Prng::stream(seed, purpose, index).next());
      }
    }
  }
  std::sort(firsts.begin(), firsts.end());
  EXPECT_EQ(std::adjacent_find(firsts.begin(), firsts.end()), firsts.end());
}

TEST(Prng, DrawsUniformNumbersFromZeroToBelowOne) {
  Prng prng(1);
  double sum = 0;
  for (int i = 0; i < 10000; ++i) {
    const double drawn = prng.uniform();
    ASSERT_GE(drawn, 0);
    ASSERT_LT(drawn, 1);
    sum += drawn;
  }
  EXPECT_NEAR(sum / 10000, 0.5, 0.01);
}

TEST(Prng, DrawsEveryNumberBelowTheBoundEquallyOften) {
  Prng prng(2);
  std::array<int, 7> counts{};
  for (int i = 0; i < 70000; ++i)
    ++counts.at(prng.below(7));
  for (const int count : counts)
    EXPECT_NEAR(count, 10000, 400);  // four deviations
  EXPECT_EQ(prng.below(1), 0u);
  // Beyond half of the range an unbiased draw must throw many away.
  const std::uint64_t huge = (std::uint64_t{1} << 63) + 1;
  for (int i = 0; i < 100; ++i)
    EXPECT_LT(prng.below(huge), huge);
}

TEST(Prng, DrawsTheDistributionsItPromises) {
  Prng prng(3);
  constexpr int kDraws = 40000;
  double exponential = 0, normal = 0, squares = 0;
  std::vector<double> log_normals;
  for (int i = 0; i < kDraws; ++i) {
    const double waited = prng.exponential(3);
    ASSERT_GE(waited, 0);
    exponential += waited;
    const double z = prng.normal();
    ASSERT_TRUE(std::isfinite(z));
    normal += z;
    squares += z * z;
    log_normals.push_back(prng.log_normal(0.5, 0.8));
  }
  EXPECT_NEAR(exponential / kDraws, 3, 0.06);
  EXPECT_NEAR(normal / kDraws, 0, 0.02);
  EXPECT_NEAR(squares / kDraws, 1, 0.03);
  const Summary summary = summarise(log_normals);
  EXPECT_NEAR(summary.p50, 0.5, 0.02);
  EXPECT_NEAR(summary.mean, 0.5 * std::exp(0.8 * 0.8 / 2), 0.02);
}

TEST(Prng, PicksInProportionToTheWeightsAndNeverTheWorthless) {
  Prng prng(4);
  const std::array<double, 5> weights = {0, 1, 0, 3, 0};
  std::array<int, 5> counts{};
  for (int i = 0; i < 40000; ++i)
    ++counts.at(prng.pick(weights));
  EXPECT_EQ(counts[0] + counts[2] + counts[4], 0);
  EXPECT_NEAR(counts[1], 10000, 400);
  EXPECT_NEAR(counts[3], 30000, 400);
}

TEST(PrngDeathTest, RefusesAnEmptyRangeAndWeightsThatAreAllZero) {
  Prng prng(5);
  EXPECT_DEATH(prng.below(0), "broken invariant");
  const std::array<double, 2> nothing = {0, 0};
  EXPECT_DEATH(prng.pick(nothing), "broken invariant");
}

TEST(Prng, GammaHasTheMeanAndVarianceOfItsShape) {
  for (const double shape : {0.25, 1.0, 4.5}) {
    Prng prng(17);
    double sum = 0, squares = 0;
    constexpr int kDraws = 200'000;
    for (int i = 0; i < kDraws; ++i) {
      const double drawn = prng.gamma(shape);
      ASSERT_GE(drawn, 0);
      sum += drawn;
      squares += drawn * drawn;
    }
    const double mean = sum / kDraws;
    EXPECT_NEAR(mean, shape, 0.01 * shape);  // four deviations of the mean of 200,000
    EXPECT_NEAR(squares / kDraws - mean * mean, shape, 0.04 * shape);
  }
}

}  // namespace
}  // namespace medley
