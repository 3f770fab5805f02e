#include "solve/clp/clp_solver.h"
#include "solve/linear_solver.h"

namespace medley::solve {

std::unique_ptr<LinearSolver> make_linear_solver() { return std::make_unique<ClpSolver>(); }

}  // namespace medley::solve
