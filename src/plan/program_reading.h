// A solution read back as a plan: what stands where, who serves whom, what it costs and draws.
//
// Owns: every figure of a Plan. Money a year, kWh and kg a year at the meter, watts at the meter;
// recounted from whole numbers and rates, so that no figure is the solver's. Nothing here fails.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "base/integer_program.h"
#include "plan/program_draft.h"
#include "plan/program_nodes.h"
#include "plan/program_terms.h"
#include "plan/program_training.h"

namespace medley::plan {

// Precondition: the solution has an x. `spares`: columns of services in failures, by type.
Plan plan_of(const Terms& terms, const Draft& draft, const OnNodes& on_nodes,
             const Training& training, const std::vector<std::pair<std::size_t, int>>& spares,
             const IntegerSolution& solution);

}  // namespace medley::plan
