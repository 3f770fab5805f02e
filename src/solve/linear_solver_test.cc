#include "solve/linear_solver.h"

#include <gtest/gtest.h>

#include "base/prng.h"

namespace medley::solve {
namespace {

// Two products, three machines: the textbook case whose optimum is 3600 at (2, 6) in hundreds.
LinearProgram two_products() {
  LinearProgram program;
  program.add_row(4);
  program.add_row(12);
  program.add_row(18);
  program.add_column(3);
  program.add_entry(0, 1);
  program.add_entry(2, 3);
  program.add_column(5);
  program.add_entry(1, 2);
  program.add_entry(2, 2);
  return program;
}

TEST(LinearSolver, FindsOptimumAndPrices) {
  const auto solver = make_linear_solver();
  for (int again = 0; again < 2; ++again) {  // the second time from the first one's basis
    const Result<LinearSolution> solution = solver->solve(two_products());
    ASSERT_TRUE(solution.ok()) << solution.error().message;
    EXPECT_NEAR(solution->value, 36, 1e-9);
    EXPECT_NEAR(solution->x[0], 2, 1e-9);
    EXPECT_NEAR(solution->x[1], 6, 1e-9);
    EXPECT_NEAR(solution->dual[0], 0, 1e-9);
    EXPECT_NEAR(solution->dual[1], 1.5, 1e-9);
    EXPECT_NEAR(solution->dual[2], 1, 1e-9);
  }
}

TEST(LinearSolver, RefusesAProgramWithoutBounds) {
  LinearProgram program;
  program.add_row(1);
  program.add_column(1);  // takes nothing, earns always
  const Result<LinearSolution> solution = make_linear_solver()->solve(program);
  ASSERT_FALSE(solution.ok());
  EXPECT_EQ(solution.error().code, ErrorCode::kInternal);
}

TEST(LinearSolver, ANothingEarnsNothing) {
  const Result<LinearSolution> nothing = make_linear_solver()->solve({});
  ASSERT_TRUE(nothing.ok());
  EXPECT_EQ(nothing->value, 0);
}

// Every answer is proved by its own duals; a warm start answers as a cold one does.
TEST(LinearSolver, SolvesRandomProgramsWarmAsCold) {
  Prng prng(1);
  const auto warm = make_linear_solver();
  for (int round = 0; round < 50; ++round) {
    LinearProgram program;
    for (int r = 0; r < 40; ++r)
      program.add_row(prng.uniform() * 10);
    for (int c = 0; c < 120; ++c) {
      program.add_column(prng.uniform() * 2 - 0.2);
      program.add_entry(c % 40, 0.1 + prng.uniform());
      program.add_entry(
          (c * 7 + 1 + c / 40) % 40 == c % 40 ? (c + 1) % 40 : (c * 7 + 1 + c / 40) % 40,
          prng.uniform());
    }
    const Result<LinearSolution> a = warm->solve(program);
    const Result<LinearSolution> b = make_linear_solver()->solve(program);
    ASSERT_TRUE(a.ok() && b.ok());
    EXPECT_NEAR(a->value, b->value, 1e-6 * b->value);
  }
}

}  // namespace
}  // namespace medley::solve
