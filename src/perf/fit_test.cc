#include "perf/fit.h"

#include <gtest/gtest.h>

#include <cmath>

namespace medley::perf {
namespace {

// time = fixed + each·x, measured at x = 1 … 8.
struct Line {
  double fixed, each;
  std::vector<double> measured() const {
    std::vector<double> times;
    for (int x = 1; x <= 8; ++x)
      times.push_back(fixed + each * x);
    return times;
  }
};

Residuals of_line(std::vector<double> times) {
  return [times = std::move(times)](std::span<const double> v, std::span<double> r) {
    for (std::size_t i = 0; i < times.size(); ++i)
      r[i] = (v[0] + v[1] * static_cast<double>(i + 1)) / times[i] - 1;
  };
}

const std::vector<Unknown> kLine = {{"fixed", 1, 5, 0, 100}, {"each", 1, 5, 0, 100}};

TEST(Fit, FindsTheConstantsThatMadeTheTimes) {
  const Fit fitted = fit(kLine, 8, of_line(Line{3, 0.5}.measured()), {.noise = 0.001});
  EXPECT_TRUE(fitted.converged);
  EXPECT_NEAR(fitted.found[0].value, 3, 1e-3);
  EXPECT_NEAR(fitted.found[1].value, 0.5, 1e-3);
  EXPECT_TRUE(fitted.found[0].identified && fitted.found[1].identified);
}

TEST(Fit, OneOutlierHardlyMovesIt) {
  std::vector<double> times = Line{3, 0.5}.measured();
  times[4] *= 3;
  const Fit fitted = fit(kLine, 8, of_line(times), {.noise = 0.01});
  EXPECT_NEAR(fitted.found[0].value, 3, 0.1);
  EXPECT_NEAR(fitted.found[1].value, 0.5, 0.03);
}

TEST(Fit, KeepsToItsBoundsAndSaysWhichOneStopsIt) {
  std::vector<Unknown> unknowns = kLine;
  unknowns[1].high = 0.4;
  unknowns[1].start = 0.3;
  const Fit fitted = fit(unknowns, 8, of_line(Line{3, 0.5}.measured()), {.noise = 0.001});
  EXPECT_TRUE(fitted.converged);
  EXPECT_DOUBLE_EQ(fitted.found[1].value, 0.4);
  EXPECT_TRUE(fitted.found[1].at_bound);
  EXPECT_FALSE(fitted.found[0].at_bound);
}

TEST(Fit, NamesConstantsThatOnlyTheirSumIsKnownOf) {
  const Residuals sum_only = [](std::span<const double> v, std::span<double> r) {
    r[0] = (v[0] + v[1]) / 4 - 1;
    r[1] = (v[0] + v[1]) / 4 - 1;
  };
  const Fit fitted = fit(kLine, 2, sum_only, {.noise = 0.001});
  EXPECT_TRUE(fitted.converged);
  EXPECT_NEAR(fitted.found[0].value + fitted.found[1].value, 4, 1e-2);
  EXPECT_TRUE(fitted.found[0].felt && fitted.found[1].felt);
  EXPECT_FALSE(fitted.found[0].identified || fitted.found[1].identified);
}

TEST(Fit, LeavesWhatNothingDependsOnWhereItWas) {
  std::vector<Unknown> unknowns = kLine;
  unknowns.push_back({"unused", 7, 2, 0, 100});
  unknowns.push_back({"held", 9, 0, 0, 100});
  const Fit fitted = fit(unknowns, 8, of_line(Line{3, 0.5}.measured()));
  EXPECT_DOUBLE_EQ(fitted.found[2].value, 7);
  EXPECT_DOUBLE_EQ(fitted.found[2].spread, 2);
  EXPECT_FALSE(fitted.found[2].felt);
  EXPECT_DOUBLE_EQ(fitted.found[3].value, 9);
  EXPECT_TRUE(fitted.found[3].held);
}

TEST(Fit, FewMeasurementsMoveItLessThanMany) {
  const auto once = [](std::span<const double> v, std::span<double> r) { r[0] = v[0] / 4 - 1; };
  const auto often = [](std::span<const double> v, std::span<double> r) {
    for (double& one : r)
      one = v[0] / 4 - 1;
  };
  const std::vector<Unknown> one = {{"t", 2, 0.5, 0, 10}};
  const double after_one = fit(one, 1, once, {.noise = 0.2}).found[0].value;
  const double after_many = fit(one, 100, often, {.noise = 0.2}).found[0].value;
  EXPECT_GT(after_one, 2.2);
  EXPECT_LT(after_one, 3);
  EXPECT_NEAR(after_many, 4, 0.2);
}

TEST(Fit, SaysSoWhenItStopsBeforeTheEnd) {
  // A narrow bent valley (Rosenbrock's), two steps allowed.
  const Residuals valley = [](std::span<const double> v, std::span<double> r) {
    r[0] = 10 * (v[1] - v[0] * v[0]);
    r[1] = 1 - v[0];
  };
  const std::vector<Unknown> unknowns = {{"x", -1.2, 100, -5, 5}, {"y", 1, 100, -5, 5}};
  EXPECT_FALSE(fit(unknowns, 2, valley, {.max_iterations = 2}).converged);
  const Fit whole = fit(unknowns, 2, valley, {.max_iterations = 200});
  EXPECT_TRUE(whole.converged);
  EXPECT_NEAR(whole.found[0].value, 1, 1e-2);
  EXPECT_NEAR(whole.found[1].value, 1, 1e-2);
}

}  // namespace
}  // namespace medley::perf
