// Whole replicas on whole nodes, whole nodes in whole racks (decisions 0075, 0095).
//
// Owns: what a node and a rack hold. Counts are devices, replicas and nodes; nothing here fails,
// and what is left out of sight is said (`within_rule`).
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "plan/program_draft.h"
#include "plan/program_terms.h"

namespace medley::plan {

struct OnNodes {
  std::vector<std::vector<int>> single;  // rows: by place and shift: devices that train; -1: none
  bool within_rule = false;              // fleets are left out whose nodes hold what others' do not
};
OnNodes stand_on_nodes(const Terms& terms, Draft& draft);

// Offers that stand in racks of a zone, by who shares them: nodes to a rack that divide one
// another, so that whole nodes fit wherever their shares do. One that does not divide has racks of
// its own.
std::vector<std::vector<std::size_t>> rack_groups(const data::Requirements& requirements,
                                                  const std::string& zone);
void stand_in_racks(const Terms& terms, Draft& draft);

}  // namespace medley::plan
