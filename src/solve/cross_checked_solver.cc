#include "solve/cross_checked_solver.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "solve/integer_check.h"

namespace medley::solve {
namespace {

using Status = IntegerSolution::Status;

constexpr double kFirstShare = 0.6;      // of the time, where it proves nothing sooner
constexpr double kCheckShare = 0.5;      // of what the first took, where it proved its answer
constexpr double kShortestCheck = 0.02;  // seconds
constexpr double kDisagreement = 1e-6;   // relative: both round

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

Result<IntegerSolution> CrossCheckedSolver::solve(const IntegerProgram& program,
                                                  const IntegerOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  IntegerOptions asked = options;
  asked.time_limit_s = options.time_limit_s * kFirstShare;
  MEDLEY_TRY(IntegerSolution answer, first_->solve(program, asked));
  const double taken = seconds_since(start), left = options.time_limit_s - taken;
  const bool proved = answer.status == Status::kOptimal || answer.status == Status::kInfeasible;
  asked.time_limit_s =
      proved ? std::min(left, std::max(taken * kCheckShare, kShortestCheck)) : left;
  asked.x_start = answer.x;
  if (asked.time_limit_s <= 0)
    return answer;
  const Result<IntegerSolution> second = second_->solve(program, asked);
  if (!second.ok())  // one that broke a row, or is not on this machine: it confirms nothing
    return answer;

  const double slack = kDisagreement * std::abs(second->value);
  answer.claimed_bound = second->bound;
  const bool contradicted = second->value < answer.bound - slack;
  const bool better = second->value < answer.value;
  if (better) {
    answer.value = second->value;
    answer.x = second->x;
  }
  if (contradicted) {
    answer.bound = std::min(second->bound, answer.value);
    answer.status = Status::kFeasible;
    return answer;
  }
  answer.confirmed = proved && (second->status == answer.status);
  if (better) {
    const double gap = gap_allowed(program, options, answer.value) * (1 + 1e-6);
    answer.bound = std::min(answer.bound, answer.value);
    answer.status = answer.value - answer.bound <= gap ? Status::kOptimal : Status::kFeasible;
  }
  return answer;
}

}  // namespace medley::solve
