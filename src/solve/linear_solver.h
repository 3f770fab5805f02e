// Linear programs, behind one interface.
#pragma once

#include <memory>

#include "base/linear_program.h"
#include "base/result.h"

namespace medley::solve {

class LinearSolver {
 public:
  virtual ~LinearSolver() = default;
  // A program of the same shape as the last one starts from its solution. Every answer is checked
  // by duality, whatever the solver says of it: primal and dual are feasible and worth the same to
  // within 1e-6. Errors: kUnavailable without a solver on this machine, kInternal where the check
  // fails (an unbounded program among them). The duals of equal programs may differ in their last
  // digits from machine to machine.
  virtual Result<LinearSolution> solve(const LinearProgram& program) = 0;
};

std::unique_ptr<LinearSolver> make_linear_solver();

}  // namespace medley::solve
