// A plan held against the real scheduler: its fleet is simulated through the hours that press it
// most, whole and with each failure it is to survive, and what was kept is counted by demand.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "data/catalog.h"
#include "plan/program.h"

namespace medley::plan {

struct Kept {
  long long requests = 0, kept = 0;
  double share() const {
    return requests > 0 ? static_cast<double>(kept) / static_cast<double>(requests) : 1;
  }
};

// What a fleet kept, by demand: with everything running, and in each failure.
struct Proof {
  std::vector<Kept> whole;
  struct Failure {
    std::string what;  // "a replica of chat-h100"
    std::vector<Kept> demands;
  };
  std::vector<Failure> failures;
  double hours = 0, peak_kw = 0;  // simulated, all windows and seeds; at the meter
  long long requests = 0;
};

struct ProofOptions {
  std::vector<std::uint64_t> seeds = {1, 2};
  // Requests of one seed, about; the windows are as long as that, 10 minutes to 6 hours each.
  double requests = 24000;
  bool failures = true;
  bool neighbours = true;  // also take replicas away, and look at one less and one more
};

// Errors: a trace that cannot be read any more; a fleet that its reader refuses.
Result<Proof> prove(const data::Requirements& requirements, const data::Catalog& catalog,
                    const std::vector<PoolType>& types, const Plan& plan,
                    const ProofOptions& options);

// The demands that a proof shows to fall short of the share they ask for: in the whole fleet, or,
// of classes that redundancy protects, in a failure.
std::vector<bool> falls_short(const data::Requirements& requirements, const Proof& proof);

// What is kept of each demand at the least: by the whole fleet, and of classes that redundancy
// protects, in each failure.
std::vector<double> least_kept(const data::Requirements& requirements, const Proof& proof);

// Plans that are solved, proved, and solved again with larger demands until both agree; then
// replicas are taken away one by one as long as every promise is still kept, since the program
// estimates from means.
struct Proven {
  Plan plan;
  Proof proof;                 // on the seeds it was made with
  Proof fresh;                 // on seeds of its own
  std::vector<double> safety;  // by demand
  struct Round {
    std::vector<double> safety;
    double cost = 0;
    std::vector<double> kept;  // by demand: the least of the whole fleet and its failures
    bool agreed = false;
  };
  std::vector<Round> rounds;
  // Fleets with one replica less or more of something, and what simulation says of them.
  struct Neighbour {
    std::string what;            // "one chat-h100 less"
    std::optional<double> cost;  // a year; empty: it could not serve the mean load
    std::vector<double> kept;    // as in rounds
    bool keeps_all = false;
  };
  std::vector<Neighbour> neighbours;
  bool agreed = false;  // else the last plan, and the demands that fall short in its proof
};
Result<Proven> cheapest_proven(const data::Requirements& requirements, const data::Catalog& catalog,
                               const std::vector<PoolType>& types, solve::IntegerSolver& solver,
                               const PlanOptions& options, const ProofOptions& proof);

}  // namespace medley::plan
