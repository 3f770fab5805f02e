#include "solve/clp/clp_library.h"

#include <dlfcn.h>

#include <type_traits>

namespace medley::solve {

const ClpLibrary* clp_library() {
  static const ClpLibrary* const loaded = []() -> const ClpLibrary* {
    void* library = dlopen("libClp.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr)
      return nullptr;
    static ClpLibrary functions;
    bool all = true;
    const auto find = [&](auto& function, const char* name) {
      function =
          reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
      all = all && function != nullptr;
    };
    find(functions.new_model, "Clp_newModel");
    find(functions.delete_model, "Clp_deleteModel");
    find(functions.load, "Clp_loadProblem");
    find(functions.set_log_level, "Clp_setLogLevel");
    find(functions.copy_in_basis, "Clp_copyinStatus");
    find(functions.basis, "Clp_statusArray");
    find(functions.dual_simplex, "Clp_dual");
    find(functions.status, "Clp_status");
    find(functions.set_cutoff, "Clp_setDualObjectiveLimit");
    find(functions.least, "Clp_columnLower");
    find(functions.most, "Clp_columnUpper");
    find(functions.columns, "Clp_primalColumnSolution");
    find(functions.duals, "Clp_dualRowSolution");
    return all ? &functions : nullptr;
  }();
  return loaded;
}

}  // namespace medley::solve
