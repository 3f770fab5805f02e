// A plan held against the real scheduler: its fleet is simulated through the hours that press it
// most, whole and with each failure it is to survive, and what was kept is counted by demand.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "data/catalog.h"
#include "plan/program.h"

namespace medley::plan {

struct Kept {
  long long requests = 0, kept = 0;
  std::optional<int> from_hour;          // that were simulated; empty: no other hours were
  std::optional<double> share() const {  // empty: nobody asked, which proves nothing
    if (requests == 0)
      return std::nullopt;
    return static_cast<double>(kept) / static_cast<double>(requests);
  }
};

// What a fleet kept, by demand, in the hours in which it keeps least of it: with everything
// running, and in each failure. An easy hour would hide a hard one.
struct Proof {
  std::vector<Kept> whole;
  struct Failure {
    std::string what;  // "a replica of chat-h100"
    std::vector<Kept> demands;
  };
  std::vector<Failure> failures;
  double hours = 0, peak_kw = 0;  // simulated, all windows and seeds; at the meter
  long long requests = 0;
  // Paid to rented services in the hours simulated, with everything running: by the scheduler,
  // which knows no capital and may rent where the plan counts on hardware; and by the plan.
  double services_paid = 0, services_planned = 0;
};

// What the plan costs a year where services are paid as they were in simulation.
double cost_as_simulated(const Plan& plan, const Proof& proof);

struct ProofOptions {
  std::vector<std::uint64_t> seeds = {1, 2};
  // Requests of one seed, about; the windows are as long as that, 10 minutes to 6 hours each. One
  // in which a demand has too few to tell its share to within a point is repeated on other seeds.
  double requests = 24000;
  bool failures = true;
  // Also count demands for less, while that is cheaper and keeps all: all alike, or each, too.
  enum class Loosen { kNot, kAlike, kEach };
  Loosen loosen = Loosen::kEach;
  bool neighbours = true;  // also look at one replica less and one more
  bool fresh = true;       // also on fresh seeds
  // Told what is solved or simulated next; empty: nobody is.
  std::function<void(const std::string& what)> progress;
  void tell(const std::string& what) const {
    if (progress)
      progress(what);
  }
};

// Where nobody asks for anything (jobs alone) there is nothing to simulate and the proof is empty.
// Errors: a trace that cannot be read any more; a fleet that its reader refuses.
Result<Proof> prove(const data::Requirements& requirements, const data::Catalog& catalog,
                    const std::vector<PoolType>& types, const Plan& plan,
                    const ProofOptions& options);

// The demands that a proof shows to fall short of the share they ask for: in the whole fleet, or,
// of classes that redundancy protects, in a failure.
std::vector<bool> falls_short(const data::Requirements& requirements, const Proof& proof);

// What is kept of each demand at the least: by the whole fleet, and of classes that redundancy
// protects, in each failure. Empty where no request of it was simulated.
std::vector<std::optional<double>> least_kept(const data::Requirements& requirements,
                                              const Proof& proof);

// "96.10 % from 12 h"; and of the worst failure, "-" where there is none that it is to survive.
std::string kept_text(const Kept& kept);
std::string worst_failure_text(const data::Requirements& requirements, const Proof& proof,
                               std::size_t demand);

// How far a proof is from what another promised (as of least_kept()).
struct BelowPromise {
  std::size_t demand = 0;
  double promised = 0, kept = 0;
  bool below_asked = false;  // by so much, too
};
// The demands of which `fresh` keeps less than `promise` by more than a point, and by more than
// chance explains in so many requests.
std::vector<BelowPromise> below_promise(const data::Requirements& requirements,
                                        const Proof& promise, const Proof& fresh);

// Counted for so much less, a demand takes a replica and no more of any size.
inline constexpr double kNextToNothing = 1e-6;

// The cheapest plan, with fewer kinds of pools where that costs next to nothing (half a percent): a
// spare of another kind saves watts and makes work. Replicas that are held are left alone.
Result<Plan> cheapest_of_few_kinds(const data::Requirements& requirements,
                                   const std::vector<PoolType>& types, solve::IntegerSolver& solver,
                                   PlanOptions options);

// A plan and the program that it is the cheapest of, calibrated by simulation (decision 0072): each
// demand is counted for more, until what the program finds keeps every promise, and then for less,
// as long as what it finds is cheaper and still does. Where limits leave no fleet, demands are
// counted for just so much less that they leave one, and simulation decides of it (decision 0078).
// The factors are of demands, not of devices, so they say as much of fleets that were not
// simulated: comparisons are made by this program.
struct Proven {
  Plan plan;
  // Where no fleet can be and simulation said so: of the fleets that the limits leave the one that
  // comes nearest. Empty where they leave none, however few requests there were.
  struct Nearest {
    Plan plan;
    Proof proof;
    double misses_by = 0;  // of the demand that it keeps least of: what is asked less what is kept
  };
  std::optional<Nearest> nearest;
  Proof proof;                 // on the seeds it was made with
  Proof fresh;                 // on seeds of its own
  std::vector<double> safety;  // by demand: how much larger than it is the program takes it to be
  struct Round {
    std::vector<double> safety;
    double cost = 0;
    std::vector<std::optional<double>> kept;  // by demand, as of least_kept()
    bool agreed = false;
  };
  std::vector<Round> rounds;
  // Fleets with one replica less or more of something that do the same work in the same hours, and
  // what simulation says of them.
  struct Neighbour {
    std::string what;  // "one chat-h100 less"
    // A year; empty: not within the limits, or nothing is left that serves some demand, so that
    // there was nothing to simulate.
    std::optional<double> cost;
    std::vector<std::optional<double>> kept;  // as in rounds
    bool keeps_all = false;
  };
  std::vector<Neighbour> neighbours;
  // Else the last plan, and the demands that fall short in its proof; or one that keeps less than
  // is asked on fresh seeds, as of below_promise().
  bool agreed = false;
};
Result<Proven> cheapest_proven(const data::Requirements& requirements, const data::Catalog& catalog,
                               const std::vector<PoolType>& types, solve::IntegerSolver& solver,
                               const PlanOptions& options, const ProofOptions& proof);

}  // namespace medley::plan
