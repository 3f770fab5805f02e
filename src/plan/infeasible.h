// Where no fleet can be: which demands and limits together leave none, and what would help.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "data/catalog.h"
#include "plan/program.h"

namespace medley::plan {

struct Relaxation {
  std::string what;            // "power in fra-1: 368 kW in place of 260"; rounded so that it does
  std::optional<double> cost;  // a year of the plan that there is then; empty: not enough alone
};

struct Conflict {
  // Irreducible: with any one of them taken away there is a fleet for the rest of them.
  std::vector<std::string> elements;
  // Where a demand of the conflict has no pool to go to: the nearest miss; where a job has no
  // device: which it could use. Says, too, if the rest has a conflict of its own.
  std::string reason;
  std::vector<Relaxation> relaxations;  // the cheapest first; those that help not at the end
};

// A deletion filter (Chinneck, Feasibility and Infeasibility in Optimization, 2008, 6.1) over the
// demands, then their targets and labels, then the limits. `safety`: how much larger each demand
// counts (PlanOptions). Precondition: with it there is no plan.
Result<Conflict> conflict_in(const data::Requirements& requirements, const data::Catalog& catalog,
                             const std::vector<double>& safety = {});

}  // namespace medley::plan
