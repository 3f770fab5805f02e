// What is asked for is served: when it comes, or in the hours it may be moved to.
//
// Owns: who serves which demand in which period, by replicas and by the quotas of rented services.
// Requests a second in the units of `Terms`. Nothing here fails.
#pragma once

#include <vector>

#include "plan/program_draft.h"
#include "plan/program_terms.h"

namespace medley::plan {

// Rows of rented services; -1: none.
struct Quotas {
  std::vector<int> tokens;  // by type: of a minute, in the first period; those of the others follow
  std::vector<int> requests;  // by type: of a day
};
// Rows of what may be used: replicas by period (Draft::capacity), and quotas.
Quotas stand_for_use(const Terms& terms, Draft& draft);
void serve_demands(const Terms& terms, const Quotas& quotas, Draft& draft);

}  // namespace medley::plan
