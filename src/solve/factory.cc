#include "solve/branch/branch_solver.h"
#include "solve/cbc/cbc_solver.h"
#include "solve/clp/clp_relaxation.h"
#include "solve/clp/clp_solver.h"
#include "solve/cross_checked_solver.h"
#include "solve/integer_solver.h"
#include "solve/linear_solver.h"
#include "solve/relaxation.h"

namespace medley::solve {

std::unique_ptr<LinearSolver> make_linear_solver() { return std::make_unique<ClpSolver>(); }

// Our own first: what it proves rests on nobody's word.
std::unique_ptr<IntegerSolver> make_integer_solver() {
  return std::make_unique<CrossCheckedSolver>(make_integer_solver(IntegerMethod::kBranchAndBound),
                                              make_integer_solver(IntegerMethod::kCbc));
}

std::unique_ptr<IntegerSolver> make_integer_solver(IntegerMethod method) {
  switch (method) {
    case IntegerMethod::kBranchAndBound:
      return std::make_unique<BranchSolver>();
    case IntegerMethod::kCbc:
      return std::make_unique<CbcSolver>();
  }
  MEDLEY_CHECK(false, "no such method");
}

Result<std::unique_ptr<Relaxation>> make_relaxation(const IntegerProgram& program) {
  const ClpLibrary* const clp = clp_library();
  if (clp == nullptr)
    return Error{ErrorCode::kUnavailable, "CLP (libClp.so.1) is not on this machine", {}};
  return std::unique_ptr<Relaxation>(std::make_unique<ClpRelaxation>(*clp, program));
}

}  // namespace medley::solve
