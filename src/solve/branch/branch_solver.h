// medley's own branch and bound, over linear relaxations.
//
// Every bound it prunes by is recomputed from prices by weak duality, so that what it says of the
// best does not rest on the linear solver. No cuts: on programs whose relaxation is loose CBC is
// quicker.
#pragma once

#include "solve/integer_solver.h"

namespace medley::solve {

class BranchSolver final : public IntegerSolver {
 public:
  // As of every integer solver. Where a bound could not be proved, `bound` is what is left of it
  // and the status kFeasible or kUnknown.
  Result<IntegerSolution> solve(const IntegerProgram& program,
                                const IntegerOptions& options) override;
};

}  // namespace medley::solve
