#include "perf/tables/piecewise.h"

#include <gtest/gtest.h>

namespace medley::perf {
namespace {

TEST(Piecewise, IsLinearBetweenPointsAndOnTheLastSegmentBeyond) {
  const Piecewise table{{10, 20, 40}, {1, 3, 4}};
  EXPECT_DOUBLE_EQ(table.at(10, BelowFirst::kFlat), 1);
  EXPECT_DOUBLE_EQ(table.at(15, BelowFirst::kFlat), 2);
  EXPECT_DOUBLE_EQ(table.at(20, BelowFirst::kFlat), 3);
  EXPECT_DOUBLE_EQ(table.at(40, BelowFirst::kFlat), 4);
  EXPECT_DOUBLE_EQ(table.at(80, BelowFirst::kFlat), 6);
}

TEST(Piecewise, BelowTheFirstPointIsFlatOrOnTheFirstSegment) {
  const Piecewise table{{10, 20, 40}, {1, 3, 4}};
  EXPECT_DOUBLE_EQ(table.at(5, BelowFirst::kFlat), 1);
  EXPECT_DOUBLE_EQ(table.at(5, BelowFirst::kFirstSegment), 0);
}

TEST(Piecewise, OfOnePointIsConstant) {
  const Piecewise table{{10}, {7}};
  EXPECT_DOUBLE_EQ(table.at(3, BelowFirst::kFirstSegment), 7);
  EXPECT_DOUBLE_EQ(table.at(30, BelowFirst::kFlat), 7);
}

}  // namespace
}  // namespace medley::perf
