#include "base/quantity.h"

#include <gtest/gtest.h>

#include <type_traits>

namespace medley {
namespace {

TEST(Quantity, AddsAndScalesWithinOneDimension) {
  Seconds time(1.5);
  time += Seconds(0.5);
  time -= Seconds(1);
  EXPECT_EQ(time, Seconds(1));
  EXPECT_EQ(2 * time + time * 3 - time / 4, Seconds(4.75));
  EXPECT_EQ(-time, Seconds(-1));
  EXPECT_LT(-time, time);
  EXPECT_EQ(Seconds(), Seconds(0));
}

TEST(Quantity, CarriesDimensionsThroughProductsAndQuotients) {
  const auto moved = Bytes(8) / BytesPerSecond(2);
  static_assert(std::is_same_v<decltype(moved), const Seconds>);
  EXPECT_EQ(moved, Seconds(4));

  const auto used = Watts(100) * Seconds(3);
  static_assert(std::is_same_v<decltype(used), const Joules>);
  EXPECT_EQ(used, Joules(300));

  const auto paid = used * MoneyPerJoule(0.01);
  static_assert(std::is_same_v<decltype(paid), const Money>);
  EXPECT_DOUBLE_EQ(paid.value(), 3);
}

TEST(Quantity, TakesTheRatioOfLikeQuantitiesForAPlainNumber) {
  const auto share = Seconds(1) / Seconds(4);
  static_assert(std::is_same_v<decltype(share), const double>);
  EXPECT_EQ(share, 0.25);
}

TEST(Quantity, IsFreeAndConstant) {
  static_assert(sizeof(Joules) == sizeof(double));
  static_assert(Flops(6) / FlopsPerSecond(3) == Seconds(2));
}

TEST(Tokens, AreWholeAndOrdered) {
  Tokens tokens(5);
  tokens += Tokens(2);
  tokens -= Tokens(1);
  EXPECT_EQ(tokens.count(), 6);
  EXPECT_EQ(tokens + Tokens(1) - Tokens(7), Tokens());
  EXPECT_LT(Tokens(1), Tokens(2));
}

}  // namespace
}  // namespace medley
