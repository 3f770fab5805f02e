// Two solvers that do not believe each other.
#pragma once

#include "solve/integer_solver.h"

namespace medley::solve {

// Asks the first, then the second from the first's answer, with what is left of the time; where the
// first has proved its answer, for half as long as the first took (at least 20 ms). The better x is
// taken; `bound` is what the first proved. A second that finds something cheaper than that bound
// shows the first to be wrong: then its own bound counts, and the status says feasible, never
// optimal.
class CrossCheckedSolver final : public IntegerSolver {
 public:
  CrossCheckedSolver(std::unique_ptr<IntegerSolver> first, std::unique_ptr<IntegerSolver> second)
      : first_(std::move(first)), second_(std::move(second)) {}
  Result<IntegerSolution> solve(const IntegerProgram& program,
                                const IntegerOptions& options) override;

 private:
  std::unique_ptr<IntegerSolver> first_, second_;
};

}  // namespace medley::solve
