// COIN-OR CBC's branch and cut, by its C interface.
//
// The library is loaded when the first program comes, for the reason of solve/clp: it costs every
// command some milliseconds at its start otherwise.
#pragma once

#include "solve/integer_solver.h"

namespace medley::solve {

class CbcSolver final : public IntegerSolver {
 public:
  Result<IntegerSolution> solve(const IntegerProgram& program,
                                const IntegerOptions& options) override;
};

}  // namespace medley::solve
