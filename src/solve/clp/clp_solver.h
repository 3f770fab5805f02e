// COIN-OR CLP's dual simplex, by its C interface.
#pragma once

#include <vector>

#include "solve/linear_solver.h"

namespace medley::solve {

class ClpSolver final : public LinearSolver {
 public:
  Result<LinearSolution> solve(const LinearProgram& program) override;

 private:
  // The basis of the last program: rows and columns it had, and CLP's status of each.
  std::size_t rows_ = 0, columns_ = 0;
  std::vector<unsigned char> basis_;
};

}  // namespace medley::solve
