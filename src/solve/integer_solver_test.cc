#include "solve/integer_solver.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "base/prng.h"
#include "solve/integer_check.h"

namespace medley::solve {
namespace {

using Status = IntegerSolution::Status;

// Each of the two alone, and both.
enum class Which { kBranchAndBound, kCbc, kBoth };

class IntegerSolverTest : public ::testing::TestWithParam<Which> {
 protected:
  IntegerSolver& solver() { return *solver_; }

 private:
  const std::unique_ptr<IntegerSolver> solver_ =
      GetParam() == Which::kBoth  ? make_integer_solver()
      : GetParam() == Which::kCbc ? make_integer_solver(IntegerMethod::kCbc)
                                  : make_integer_solver(IntegerMethod::kBranchAndBound);
};

INSTANTIATE_TEST_SUITE_P(All, IntegerSolverTest,
                         ::testing::Values(Which::kBranchAndBound, Which::kCbc, Which::kBoth),
                         [](const auto& info) {
                           return info.param == Which::kBoth  ? "Both"
                                  : info.param == Which::kCbc ? "Cbc"
                                                              : "BranchAndBound";
                         });

// Covers of two demands by two machines: 4 x + 3 y with 3 x + y >= 7, x + 2 y >= 4.
IntegerProgram two_machines(bool whole) {
  IntegerProgram program;
  program.add_row(7, kUnlimited);
  program.add_row(4, kUnlimited);
  program.add_column({.cost = 4, .whole = whole});
  program.add_entry(0, 3);
  program.add_entry(1, 1);
  program.add_column({.cost = 3, .whole = whole});
  program.add_entry(0, 1);
  program.add_entry(1, 2);
  return program;
}

TEST_P(IntegerSolverTest, FindsTheBestWholeAnswer) {
  const auto solution = solver().solve(two_machines(true), {});
  ASSERT_TRUE(solution.ok()) << solution.error().message;
  EXPECT_EQ(solution->status, Status::kOptimal);
  EXPECT_EQ(solution->x, (std::vector<double>{2, 1}));
  EXPECT_EQ(solution->value, 11);
  EXPECT_NEAR(solution->bound, 11, 1e-8);
}

TEST_P(IntegerSolverTest, AColumnThatNeedNotBeWholeIsCut) {
  const auto solution = solver().solve(two_machines(false), {});
  ASSERT_TRUE(solution.ok()) << solution.error().message;
  EXPECT_EQ(solution->status, Status::kOptimal);
  EXPECT_NEAR(solution->value, 11, 1e-8);  // at (2, 1) too: both rows are tight there
  IntegerProgram program = two_machines(false);
  program.row_least[1] = 4.5;
  const auto cut = solver().solve(program, {});
  ASSERT_TRUE(cut.ok()) << cut.error().message;
  EXPECT_NEAR(cut->value, 4 * 1.9 + 3 * 1.3, 1e-8);
}

TEST_P(IntegerSolverTest, NoAnswerIsAnAnswer) {
  IntegerProgram program = two_machines(true);
  for (IntegerProgram::Column& column : program.column)
    column.most = 1;
  const auto solution = solver().solve(program, {});
  ASSERT_TRUE(solution.ok()) << solution.error().message;
  EXPECT_EQ(solution->status, Status::kInfeasible);
  EXPECT_TRUE(solution->x.empty());
}

TEST_P(IntegerSolverTest, NothingToDecideCostsNothing) {
  const auto nothing = solver().solve({}, {});
  ASSERT_TRUE(nothing.ok());
  EXPECT_EQ(nothing->status, Status::kOptimal);
  EXPECT_EQ(nothing->value, 0);
}

TEST_P(IntegerSolverTest, RefusesWhatIsNoNumber) {
  IntegerProgram program = two_machines(true);
  program.amount[1] = std::numeric_limits<double>::quiet_NaN();
  const auto amount = solver().solve(program, {});
  ASSERT_FALSE(amount.ok());
  EXPECT_EQ(amount.error().code, ErrorCode::kInvalid);
  program = two_machines(true);
  program.row_least[0] = std::numeric_limits<double>::quiet_NaN();
  const auto row = solver().solve(program, {});
  ASSERT_FALSE(row.ok());
  EXPECT_EQ(row.error().code, ErrorCode::kInvalid);
}

TEST_P(IntegerSolverTest, RefusesAProgramWithoutEnd) {
  IntegerProgram program;
  program.add_row(0, kUnlimited);
  program.add_column({.cost = -1, .whole = true});
  program.add_entry(0, 1);
  const auto solution = solver().solve(program, {});
  ASSERT_FALSE(solution.ok());
  EXPECT_EQ(solution.error().code, ErrorCode::kInternal);
}

IntegerProgram random_program(Prng& prng) {
  IntegerProgram program;
  const int columns = 1 + static_cast<int>(prng.below(4)),
            rows = 1 + static_cast<int>(prng.below(3));
  for (int r = 0; r < rows; ++r) {
    const double least = prng.uniform() * 12 - 2;
    program.add_row(prng.below(4) == 0 ? -kUnlimited : least,
                    prng.below(2) == 0 ? kUnlimited : least + prng.uniform() * 4);
  }
  for (int c = 0; c < columns; ++c) {
    const double least = static_cast<double>(prng.below(3)) - 1;
    program.add_column({.cost = prng.uniform() * 10 - 2,
                        .least = least,
                        .most = least + static_cast<double>(prng.below(5)),
                        .whole = true});
    for (int r = 0; r < rows; ++r) {
      if (prng.below(4) != 0)
        program.add_entry(r, prng.uniform() * 4 - 0.5);
    }
  }
  return program;
}

// By trying every x.
double best_of_all(const IntegerProgram& program) {
  double best = kUnlimited;
  std::vector<double> x(program.columns());
  const std::function<void(std::size_t)> try_column = [&](std::size_t c) {
    if (c == program.columns()) {
      if (broken_limit(program, x).empty())
        best = std::min(best, value_of(program, x));
      return;
    }
    for (x[c] = program.column[c].least; x[c] <= program.column[c].most; ++x[c])
      try_column(c + 1);
  };
  try_column(0);
  return best;
}

TEST_P(IntegerSolverTest, AgreesWithTryingEveryAnswer) {
  Prng prng(7);
  int infeasible = 0;
  for (int round = 0; round < 200; ++round) {
    SCOPED_TRACE(round);
    IntegerProgram program = random_program(prng);
    if (round % 2 == 0) {  // prices in whole twenty-fifths
      for (IntegerProgram::Column& column : program.column)
        column.cost = std::round(column.cost * 25) / 25;
    }
    const double best = best_of_all(program);
    const auto solution = solver().solve(program, {});
    ASSERT_TRUE(solution.ok()) << solution.error().message;
    if (best == kUnlimited) {
      ++infeasible;
      EXPECT_EQ(solution->status, Status::kInfeasible);
    } else {
      EXPECT_EQ(solution->status, Status::kOptimal);
      EXPECT_NEAR(solution->value, best, 1e-6 * std::max(1.0, std::abs(best)));
    }
  }
  EXPECT_GT(infeasible, 10);
  EXPECT_LT(infeasible, 150);
}

// Wherever time ends, in CBC's preparations too, which once ended with the process.
TEST_P(IntegerSolverTest, AnswersHoweverShortTheTime) {
  Prng prng(7);
  IntegerProgram program;
  constexpr int kRows = 60, kColumns = 120;
  for (int row = 0; row < kRows; ++row)
    program.add_row(20 + static_cast<double>(prng.below(50)), kUnlimited);
  for (int column = 0; column < kColumns; ++column) {
    program.add_column({.cost = 1 + static_cast<double>(prng.below(40)), .whole = column % 3 != 0});
    for (int row = 0; row < kRows; ++row) {
      if (prng.below(3) == 0)
        program.add_entry(row, 1 + static_cast<double>(prng.below(9)));
    }
  }
  for (int half_ms = 0; half_ms < 40; ++half_ms) {
    const auto solution = solver().solve(program, {.time_limit_s = half_ms * 0.5e-3});
    ASSERT_TRUE(solution.ok()) << half_ms << ": " << solution.error().message;
    EXPECT_NE(solution->status, Status::kInfeasible);
  }
}

TEST_P(IntegerSolverTest, BeginsFromWhatItIsGiven) {
  IntegerOptions options;
  options.x_start = {4, 4};
  const auto solution = solver().solve(two_machines(true), options);
  ASSERT_TRUE(solution.ok()) << solution.error().message;
  EXPECT_EQ(solution->value, 11);
  options.time_limit_s = 0;  // nothing but the beginning
  const auto beginning = solver().solve(two_machines(true), options);
  ASSERT_TRUE(beginning.ok()) << beginning.error().message;
  EXPECT_LE(beginning->value, 28);
  EXPECT_LE(beginning->bound, 11);
  EXPECT_FALSE(beginning->x.empty());
}

}  // namespace
}  // namespace medley::solve
