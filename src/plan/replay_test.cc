#include "plan/replay.h"

#include <gtest/gtest.h>

#include <numeric>

namespace medley::plan {
namespace {

// Two days and a piece: a request a second with short prompts from 8 to 18, one a minute with long
// ones in the other hours.
std::vector<data::TraceRequest> two_days() {
  std::vector<data::TraceRequest> rows;
  for (double at = 0; at < 2.2 * 86400;) {
    const int hour = static_cast<int>(at / 3600) % 24;
    const bool day = hour >= 8 && hour < 18;
    data::TraceRequest row;
    row.arrived_s = at;
    row.prompt = Tokens{day ? 100LL : 9000LL};
    row.output = Tokens{10};
    rows.push_back(row);
    at += day ? 1 : 60;
  }
  return rows;
}

double long_prompts(const std::vector<ReplayedRow>& rows) {
  double count = 0;
  for (const ReplayedRow& row : rows)
    count += row.prompt == 9000 ? 1 : 0;
  return count;
}

TEST(PlanReplay, ThePeakComesAtItsOwnRateWithItsOwnMix) {
  const auto rows = two_days();
  std::vector<int> day(10);
  std::iota(day.begin(), day.end(), 8);
  for (const std::uint64_t seed : {1, 2, 3, 4, 5}) {
    const auto drawn = replay(rows, day, 1, 3000, Prng(seed));
    EXPECT_NEAR(static_cast<double>(drawn.size()), 3000, 2) << seed;
    EXPECT_EQ(long_prompts(drawn), 0);
    const auto night = replay(rows, {0, 1, 2, 3}, 1.0 / 60, 36000, Prng(seed));
    EXPECT_NEAR(static_cast<double>(night.size()), 600, 2);
    EXPECT_EQ(long_prompts(night), static_cast<double>(night.size()));
  }
}

TEST(PlanReplay, MoreAreTheSameRowsCloserTogetherAndGoAroundTheEnd) {
  const auto rows = two_days();
  // Hour 9 has 3600 rows of each of two whole days: three times as many are asked for.
  const auto drawn = replay(rows, {9}, 3, 7200, Prng(7));
  EXPECT_NEAR(static_cast<double>(drawn.size()), 3 * 7200, 3);
  for (std::size_t i = 1; i < drawn.size(); ++i)
    EXPECT_GE(drawn[i].at_s, drawn[i - 1].at_s);
  EXPECT_GE(drawn.front().at_s, 0);
  EXPECT_LT(drawn.back().at_s, 7200);
}

TEST(PlanReplay, AShortTraceIsUsedWhole) {
  std::vector<data::TraceRequest> rows(3);
  rows[1].arrived_s = 10;
  rows[2].arrived_s = 20;
  for (std::size_t i = 0; i < rows.size(); ++i)
    rows[i].prompt = Tokens{static_cast<long long>(i) + 1};
  const auto drawn = replay(rows, {5}, 0.1, 3000, Prng(1));
  EXPECT_NEAR(static_cast<double>(drawn.size()), 300, 1);
  for (std::size_t i = 1; i < drawn.size(); ++i) {
    EXPECT_NEAR(drawn[i].at_s - drawn[i - 1].at_s, 10, 1e-9);
    EXPECT_EQ(drawn[i].prompt % 3, (drawn[i - 1].prompt + 1) % 3);
  }
}

}  // namespace
}  // namespace medley::plan
