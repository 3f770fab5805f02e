#include "engine/static_schedule/draw.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

namespace medley::engine::static_schedule {
namespace {

std::array<int, 4> counts(double temperature, double top_p) {
  const std::array<float, 4> logits = {0, 1, 2, -1};
  Prng prng(9);
  std::vector<std::pair<float, int>> room;
  std::array<int, 4> seen{};
  for (int i = 0; i < 20000; ++i)
    ++seen[static_cast<std::size_t>(draw(logits, temperature, top_p, prng, room))];
  return seen;
}

TEST(Draw, FollowsTheProbabilities) {
  const std::array<int, 4> seen = counts(0.5, 1);
  const double sum = 1 + std::exp(2) + std::exp(4) + std::exp(-2);
  EXPECT_NEAR(seen[0] / 20000.0, 1 / sum, 0.01);
  EXPECT_NEAR(seen[1] / 20000.0, std::exp(2) / sum, 0.01);
  EXPECT_NEAR(seen[2] / 20000.0, std::exp(4) / sum, 0.01);
}

TEST(Draw, WhatIsNoNumberIsDrawnOnlyWhereNothingElseIs) {
  const float nan = std::nanf("");
  Prng prng(9);
  std::vector<std::pair<float, int>> room;
  const std::array<float, 4> some = {1, nan, 2, nan};
  for (int i = 0; i < 1000; ++i)
    EXPECT_EQ(draw(some, 1, 0.9, prng, room) % 2, 0);
  const std::array<float, 4> none = {nan, nan, nan, nan};
  EXPECT_LT(draw(none, 1, 0.9, prng, room), 4);
}

TEST(Draw, KeepsTheLikeliestThatTogetherHaveTopP) {
  // At temperature 1: 64, 24, 9 and 3 %.
  const std::array<int, 4> two = counts(1, 0.7);
  EXPECT_EQ(two[0] + two[3], 0);
  EXPECT_NEAR(two[2] / 20000.0, std::exp(1) / (1 + std::exp(1)), 0.01);
  EXPECT_EQ(counts(1, 0.1)[2], 20000);
  EXPECT_GT(counts(1e6, 1)[3], 4500);
}

}  // namespace
}  // namespace medley::engine::static_schedule
