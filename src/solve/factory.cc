#include "solve/cbc/cbc_solver.h"
#include "solve/clp/clp_solver.h"
#include "solve/integer_solver.h"
#include "solve/linear_solver.h"

namespace medley::solve {

std::unique_ptr<LinearSolver> make_linear_solver() { return std::make_unique<ClpSolver>(); }
std::unique_ptr<IntegerSolver> make_integer_solver() { return std::make_unique<CbcSolver>(); }

}  // namespace medley::solve
