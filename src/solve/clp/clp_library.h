// COIN-OR CLP's C interface, found at run time: linking it would cost every command some
// milliseconds at its start (docs/decisions/0053-prices.md).
#pragma once

#include <coin/Clp_C_Interface.h>

namespace medley::solve {

struct ClpLibrary {
  decltype(&Clp_newModel) new_model = nullptr;
  decltype(&Clp_deleteModel) delete_model = nullptr;
  decltype(&Clp_loadProblem) load = nullptr;
  decltype(&Clp_setLogLevel) set_log_level = nullptr;
  decltype(&Clp_copyinStatus) copy_in_basis = nullptr;
  decltype(&Clp_statusArray) basis = nullptr;
  decltype(&Clp_dual) dual_simplex = nullptr;
  decltype(&Clp_status) status = nullptr;
  decltype(&Clp_setDualObjectiveLimit) set_cutoff = nullptr;
  decltype(&Clp_columnLower) least = nullptr;
  decltype(&Clp_columnUpper) most = nullptr;
  decltype(&Clp_primalColumnSolution) columns = nullptr;
  decltype(&Clp_dualRowSolution) duals = nullptr;
};

// Null where this machine has no CLP. Never unloaded.
const ClpLibrary* clp_library();

}  // namespace medley::solve
