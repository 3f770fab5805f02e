// Where no fleet can be: which demands and limits together leave none, and what would help.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "data/catalog.h"
#include "plan/proof.h"

namespace medley::plan {

struct Relaxation {
  std::string what;            // "power in fra-1: 368 kW in place of 260"; rounded so that it does
  std::optional<double> cost;  // a year of the plan that there is then; empty: `none` says why
  bool simulated = false;      // simulation agrees with that plan, or with none that was tried
  std::string none;            // "not enough alone", "no fleet was found that keeps enough"
};

struct Conflict {
  // How it is known that no fleet can be.
  enum class Ground {
    kHard,       // there is none for however few requests: it is no matter of size or estimate
    kSimulated,  // the most that the limits leave was simulated and keeps too little
    kEstimated,  // by the program alone: nothing was simulated
  };
  Ground ground = Ground::kEstimated;
  // Where it was simulated: that fleet, its cost a year and what it keeps of each demand.
  struct Nearest {
    std::string fleet;
    double cost = 0;
    std::vector<std::optional<double>> kept;
  };
  std::optional<Nearest> nearest;
  // Irreducible: with any one of them taken away there is a fleet for the rest of them.
  std::vector<std::string> elements;
  // Where a demand of the conflict has no pool to go to: the nearest miss; where a job has no
  // device: which it could use. Says, too, if the rest has a conflict of its own.
  std::string reason;
  std::vector<Relaxation> relaxations;  // the cheapest first; those that help not at the end
};
std::string_view name_of(Conflict::Ground ground);  // "hard", "simulated", "estimated"

// A deletion filter (Chinneck, Feasibility and Infeasibility in Optimization, 2008, 6.1) over the
// demands, then their targets and labels, then the limits; what each of what is left would take
// then. `proven`: where cheapest_proven() came to no fleet with `proof`; without, the program
// decides alone. Precondition: there is no plan.
Result<Conflict> conflict_in(const data::Requirements& requirements, const data::Catalog& catalog,
                             const Proven* proven = nullptr, const ProofOptions& proof = {});

}  // namespace medley::plan
