#include "sched/correction.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/prng.h"

namespace medley::sched {
namespace {

double corrected(const Correction& correction, double predicted) {
  const double with_ratio = predicted * correction.ratio();
  return with_ratio * correction.shrinking(with_ratio);
}

// Times about a second, log-normal by `spread`, predicted with a log-normal error of `noise`.
Correction taught(double spread, double noise, int count = 4000, double slower = 1) {
  Correction correction(0.03, 0);
  Prng prng(7);
  for (int i = 0; i < count; ++i) {
    const double truth = std::exp(spread * prng.normal());
    correction.observe(truth * std::exp(noise * prng.normal()), slower * truth);
  }
  return correction;
}

TEST(Correction, LeavesPredictionsAloneThatAreRight) {
  const Correction correction = taught(0.5, 0);
  for (const double predicted : {0.1, 1.0, 10.0})
    EXPECT_NEAR(corrected(correction, predicted), predicted, 1e-9 * predicted);
}

TEST(Correction, ABarFallsWithWhatIsObservedButNotBelowTheLeast) {
  const auto after = [](int count, double least) {
    Correction correction(0.4, least);
    Prng prng(7);
    for (int i = 0; i < count; ++i)
      correction.observe(1, std::exp(0.1 * prng.normal()));
    return correction.error();
  };
  EXPECT_EQ(after(0, 0.2), 0.4);
  // What was stated counts as ten observations of it.
  EXPECT_NEAR(after(10, 0.2), std::sqrt((0.4 * 0.4 + 0.1 * 0.1) / 2), 0.02);
  EXPECT_EQ(after(2000, 0.2), 0.2);
  EXPECT_NEAR(after(2000, 0), 0.1, 0.02);
  EXPECT_NEAR(after(2000, 0.9), 0.4, 1e-12);  // less was stated
}

TEST(Correction, LearnsWhatPredictionsAreOffByOnTheWhole) {
  const Correction correction = taught(0.5, 0, 200, 1.5);
  for (const double predicted : {0.1, 1.0, 10.0})
    EXPECT_NEAR(corrected(correction, predicted), 1.5 * predicted, 0.01 * predicted);
}

TEST(Correction, ShrinksNoiseTowardsTheMiddle) {
  // Half of the variance is noise: the best guess is half as far from the middle.
  const Correction correction = taught(0.3, 0.3);
  EXPECT_NEAR(std::log(corrected(correction, 2) / corrected(correction, 0.5)), std::log(4) / 2,
              0.15);
  EXPECT_NEAR(corrected(correction, 1), 1, 0.1);
  EXPECT_NEAR(correction.error(), 0.3 / std::sqrt(2), 0.05);
}

TEST(Correction, TakesTheMiddleWherePredictionsAreNothingButNoise) {
  const Correction correction = taught(0, 0.3);
  for (const double predicted : {0.3, 1.0, 3.0})
    EXPECT_NEAR(corrected(correction, predicted), 1, 0.05);
}

TEST(Correction, KeepsTheOrderOfPredictions) {
  const Correction correction = taught(0.2, 0.4);
  EXPECT_LT(corrected(correction, 0.5), corrected(correction, 0.6));
  EXPECT_LT(corrected(correction, 0.6), corrected(correction, 2));
}

TEST(Correction, TrustsPredictionsWithinTheErrorThatIsStated) {
  Correction sure(0.01, 0.01), unsure(0.2, 0.2);
  Prng prng(7);
  for (int i = 0; i < 4000; ++i) {
    const double predicted = std::exp(0.02 * prng.normal());
    sure.observe(predicted, 1);
    unsure.observe(predicted, 1);
  }
  EXPECT_NEAR(corrected(sure, 1.05), 1, 0.01);
  EXPECT_NEAR(corrected(unsure, 1.05), 1.05, 0.01);
}

TEST(Correction, IsNotUpsetByOneStall) {
  Correction correction = taught(0.5, 0);
  correction.observe(1, 1000);
  EXPECT_NEAR(corrected(correction, 1), 1, 0.2);
  EXPECT_LT(correction.error(), 0.2);
}

TEST(Correction, LeavesOutWhatIsNoTime) {
  Correction correction = taught(0.5, 0, 10);
  const double before = corrected(correction, 2);
  correction.observe(0, 1);
  correction.observe(1, 0);
  correction.observe(1, -1);
  EXPECT_EQ(corrected(correction, 2), before);
}

TEST(Correction, FollowsWhatIsFarFromWhatWasStated) {
  Correction correction(0.2, 0.2);
  for (int i = 0; i < 200; ++i)
    correction.observe(1, 8);
  EXPECT_NEAR(correction.ratio(), 8, 0.4);
}

TEST(Correction, WhatIsDoubtedIsHalfForgottenAndSoonLearnedAnew) {
  Correction correction(0.2, 0.2);
  for (int i = 0; i < 200; ++i)
    correction.observe(1, 4);
  ASSERT_NEAR(correction.ratio(), 4, 0.2);
  correction.doubt();
  EXPECT_NEAR(correction.ratio(), 2, 0.1);
  EXPECT_GE(correction.error(), 0.2);
  for (int i = 0; i < 3; ++i)
    correction.observe(1, 1);
  EXPECT_LT(correction.ratio(), 1.4);
}

}  // namespace
}  // namespace medley::sched
