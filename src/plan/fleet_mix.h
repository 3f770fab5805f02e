// Which instances of which device types carry a load for the fewest dollars.
//
// Each bucket of requests (by prompt and output length, say) is cut into `slices` equal parts; a
// part goes whole to one type; a type's load is the sum of rate / throughput over its parts; whole
// instances are bought for every load. The problem is that of Griggs et al., Mélange (arXiv
// 2404.14527), stated here in counts of equal slices and not with a yes or no for each.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "solve/integer_solver.h"

namespace medley::plan {

struct FleetMixTable {
  struct Type {
    std::string name;
    double cost_per_hour = 0;        // of one instance
    std::vector<double> throughput;  // requests/s of one instance, by bucket; 0: cannot serve it
  };
  std::vector<Type> types;
  std::vector<double> share;  // of all requests, by bucket: row after row
  int columns = 0;            // buckets of a row
};

struct FleetMixDemand {
  double requests_per_s = 0;
  int slices = 1;
};

struct FleetMix {
  enum class Status { kOptimal, kFeasible, kInfeasible };
  struct Part {
    std::size_t bucket, type;
    int slices;
  };
  Status status = Status::kInfeasible;
  double cost_per_hour = 0, lower_bound = 0;  // of no meaning where infeasible
  std::vector<int> count;                     // by type
  std::vector<Part> assignment;
  // Whole instances of one type alone; empty where it cannot serve a bucket.
  std::vector<std::optional<double>> single_type_cost;  // by type
  std::vector<std::size_t> infeasible_buckets;          // those with a share that no type serves
  bool confirmed = false;  // by a second method, which came to the same end
  double solve_seconds = 0;
};

inline constexpr double kFleetMixGap = 1e-6;  // relative: below it a mix is called optimal

// The mix is recomputed from the table before it is answered. Errors: kUnavailable without a solver
// on this machine or where none was found in time, kInternal where an answer does not hold.
Result<FleetMix> cheapest_fleet_mix(const FleetMixTable& table, const FleetMixDemand& demand,
                                    solve::IntegerSolver& solver, double time_limit_s);

}  // namespace medley::plan
