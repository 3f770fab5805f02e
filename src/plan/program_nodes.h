// Whole replicas on whole nodes, whole nodes in whole racks (decisions 0075, 0095).
//
// Owns: what a node and a rack hold. Counts are devices, replicas and nodes; nothing here fails,
// and what is left out of sight is said (`within_rule`).
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "plan/program_draft.h"
#include "plan/program_terms.h"

namespace medley::plan {

struct OnNodes {
  std::vector<std::vector<int>> single;  // rows: by place and shift: devices that train; -1: none
  bool within_rule = false;              // fleets are left out whose nodes hold what others' do not
  // Where a node may be lost: columns of replicas on nodes that hold one pool, by type; all of
  // them where no node holds several. Else the same as Draft::replicas.
  std::vector<int> alone;
  // A node that may hold any replicas that fit it.
  struct Mixed {
    std::size_t place;
    int used;                      // column
    std::map<std::size_t, int> y;  // columns: replicas, by type
  };
  std::vector<Mixed> mixed;
};
// `mixed`: where a node may be lost, so many nodes by place that may hold several pools; empty:
// none. All others hold one.
OnNodes stand_on_nodes(const Terms& terms, const std::vector<int>& mixed, Draft& draft);

// By place, where a node may be lost: more nodes that hold several pools, or less of one than would
// fit, than any fleet has that costs no more than `most_cost` a year. 0 where no such node is of
// any use.
std::vector<int> most_mixed(const Terms& terms, double most_cost);

// Offers that stand in racks of a zone, by who shares them: nodes to a rack that divide one
// another, so that whole nodes fit wherever their shares do. One that does not divide has racks of
// its own.
std::vector<std::vector<std::size_t>> rack_groups(const data::Requirements& requirements,
                                                  const std::string& zone);
void stand_in_racks(const Terms& terms, Draft& draft);

}  // namespace medley::plan
