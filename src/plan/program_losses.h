// The promises kept with something lost: a replica, a node, a zone (decisions 0075, 0095).
//
// Owns: what may be lost and what then has to serve whom. Rates are in the units of `Terms`.
// Nothing here fails.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "plan/program_draft.h"
#include "plan/program_nodes.h"
#include "plan/program_terms.h"

namespace medley::plan {

// Answers the columns of services that serve in a failure, with their types.
std::vector<std::pair<std::size_t, int>> add_losses(const Terms& terms, const OnNodes& on_nodes,
                                                    Draft& draft);

}  // namespace medley::plan
