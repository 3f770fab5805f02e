#include "plan/fleet_mix.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "plan/slice_rounding.h"

namespace medley::plan {
namespace {

using Status = FleetMix::Status;

constexpr double kAlmost = 1e-9;  // of a load against whole instances: what adding up may lose

double instances_for(double load) { return std::ceil(load - kAlmost * std::max(1.0, load)); }

// Of the busy buckets only, and where their columns are in the program.
struct Stated {
  std::vector<std::size_t> bucket;  // of the table
  SliceLoads loads;
  std::vector<int> column;  // as loads.load; -1: none
  IntegerProgram program;   // columns: a count a type, then slices by bucket and type
};

Stated state(const FleetMixTable& table, const FleetMixDemand& demand) {
  Stated stated;
  SliceLoads& loads = stated.loads;
  loads.types = static_cast<int>(table.types.size());
  loads.slices = demand.slices;
  for (const FleetMixTable::Type& type : table.types)
    loads.cost.push_back(type.cost_per_hour);
  for (std::size_t b = 0; b < table.share.size(); ++b) {
    if (table.share[b] <= 0)
      continue;
    stated.bucket.push_back(b);
    for (const FleetMixTable::Type& type : table.types) {
      loads.load.push_back(type.throughput[b] > 0 ? demand.requests_per_s * table.share[b] /
                                                        demand.slices / type.throughput[b]
                                                  : -1);
    }
  }
  loads.buckets = static_cast<int>(stated.bucket.size());

  IntegerProgram& program = stated.program;
  for (int t = 0; t < loads.types; ++t)
    program.add_row(0, kUnlimited);
  for (int b = 0; b < loads.buckets; ++b)
    program.add_row(loads.slices, loads.slices);
  for (int t = 0; t < loads.types; ++t) {
    double all = 0;
    for (int b = 0; b < loads.buckets; ++b)
      all += std::max(0.0, loads.at(b, t)) * loads.slices;
    program.add_column({.cost = loads.cost[static_cast<std::size_t>(t)],
                        .most = instances_for(all),
                        .whole = true});
    program.add_entry(t, 1);
  }
  for (int b = 0; b < loads.buckets; ++b) {
    for (int t = 0; t < loads.types; ++t) {
      stated.column.push_back(-1);
      if (loads.at(b, t) < 0)
        continue;
      stated.column.back() =
          program.add_column({.most = static_cast<double>(loads.slices), .whole = true});
      program.add_entry(t, -loads.at(b, t));
      program.add_entry(loads.types + b, 1);
    }
  }
  return stated;
}

// For the solver: counts and slices as a column of the program each.
class Rounder {
 public:
  explicit Rounder(const Stated& stated) : stated_(stated) {}

  std::vector<double> operator()(const std::vector<double>& x) {
    const auto types = static_cast<std::ptrdiff_t>(stated_.loads.types);
    const std::vector<double> count(x.begin(), x.begin() + types);
    // A thorough search pays at first, and then ever more seldom.
    const bool thorough = (calls_ & (calls_ - 1)) == 0;
    ++calls_;
    double cost = 0;  // of what a search that is not thorough would mostly come to, or to more
    for (std::size_t t = 0; t < count.size(); ++t)
      cost += std::ceil(count[t] - 1e-6) * stated_.loads.cost[t];
    if (!thorough && cost >= best_)
      return {};
    std::vector<double> slices(stated_.column.size(), 0);
    for (std::size_t i = 0; i < slices.size(); ++i) {
      if (stated_.column[i] >= 0)
        slices[i] = x[static_cast<std::size_t>(stated_.column[i])];
    }
    const WholeMix mix = round_mix(stated_.loads, count, slices, thorough);
    best_ = std::min(best_, mix.cost);
    std::vector<double> whole(x.size(), 0);
    std::copy(mix.count.begin(), mix.count.end(), whole.begin());
    for (std::size_t i = 0; i < slices.size(); ++i) {
      if (stated_.column[i] >= 0)
        whole[static_cast<std::size_t>(stated_.column[i])] = mix.slices[i];
    }
    return whole;
  }

 private:
  const Stated& stated_;
  unsigned calls_ = 1;
  double best_ = kUnlimited;
};

// What does not hold of a mix; nothing of this comes from the program above.
std::string wrong_with(const FleetMixTable& table, const FleetMixDemand& demand,
                       const FleetMix& mix) {
  std::vector<int> left(table.share.size(), demand.slices);
  std::vector<double> load(table.types.size(), 0);
  for (const FleetMix::Part& part : mix.assignment) {
    const double throughput = table.types[part.type].throughput[part.bucket];
    if (throughput <= 0 || part.slices <= 0)
      return fmt::format("bucket {} cannot go to {}", part.bucket, table.types[part.type].name);
    left[part.bucket] -= part.slices;
    load[part.type] += part.slices * (demand.requests_per_s * table.share[part.bucket]) /
                       (demand.slices * throughput);
  }
  for (std::size_t b = 0; b < left.size(); ++b) {
    if (table.share[b] > 0 && left[b] != 0)
      return fmt::format("{} slices of bucket {} are left", left[b], b);
  }
  double cost = 0;
  for (std::size_t t = 0; t < load.size(); ++t) {
    cost += table.types[t].cost_per_hour * mix.count[t];
    if (load[t] > mix.count[t] + kAlmost * std::max(1.0, load[t]))
      return fmt::format("{} instances of {} carry {}", mix.count[t], table.types[t].name, load[t]);
  }
  if (std::abs(cost - mix.cost_per_hour) > kAlmost * cost)
    return fmt::format("it costs {}, not {}", cost, mix.cost_per_hour);
  return {};
}

std::vector<std::optional<double>> single_type_costs(const SliceLoads& loads) {
  std::vector<std::optional<double>> costs;
  for (int t = 0; t < loads.types; ++t) {
    double all = 0;
    bool serves = true;
    for (int b = 0; b < loads.buckets; ++b) {
      serves = serves && loads.at(b, t) >= 0;
      all += loads.at(b, t) * loads.slices;
    }
    costs.push_back(
        serves ? std::optional(instances_for(all) * loads.cost[static_cast<std::size_t>(t)])
               : std::nullopt);
  }
  return costs;
}

}  // namespace

Result<FleetMix> cheapest_fleet_mix(const FleetMixTable& table, const FleetMixDemand& demand,
                                    solve::IntegerSolver& solver, double time_limit_s) {
  const auto start = std::chrono::steady_clock::now();
  const auto stop_watch = [&](FleetMix& mix) {
    mix.solve_seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  FleetMix mix;
  const Stated stated = state(table, demand);
  const SliceLoads& loads = stated.loads;
  mix.count.assign(table.types.size(), 0);
  mix.single_type_cost = single_type_costs(loads);
  for (int b = 0; b < loads.buckets; ++b) {
    bool served = false;
    for (int t = 0; t < loads.types; ++t)
      served = served || loads.at(b, t) >= 0;
    if (!served)
      mix.infeasible_buckets.push_back(stated.bucket[static_cast<std::size_t>(b)]);
  }
  if (!mix.infeasible_buckets.empty()) {
    mix.confirmed = true;
    stop_watch(mix);
    return mix;
  }

  IntegerOptions options;
  options.time_limit_s = time_limit_s;
  options.gap = kFleetMixGap;
  options.whole_from = Rounder(stated);
  MEDLEY_TRY(const IntegerSolution solution, solver.solve(stated.program, options));
  const auto broken = [](std::string_view what) {
    return Error{ErrorCode::kInternal, fmt::format("the fleet mix does not hold: {}", what), {}};
  };
  if (solution.x.empty() && solution.status != IntegerSolution::Status::kInfeasible) {
    return Error{ErrorCode::kUnavailable,
                 fmt::format("no fleet mix was found within {:.3g} s", time_limit_s),
                 {}};
  }
  if (solution.x.empty())
    return broken("none was found, though every bucket can be served");
  for (std::size_t t = 0; t < table.types.size(); ++t) {
    mix.count[t] = static_cast<int>(solution.x[t]);
    mix.cost_per_hour += mix.count[t] * table.types[t].cost_per_hour;
  }
  for (std::size_t i = 0; i < stated.column.size(); ++i) {
    if (stated.column[i] < 0)
      continue;
    const int slices = static_cast<int>(solution.x[static_cast<std::size_t>(stated.column[i])]);
    if (slices > 0)
      mix.assignment.push_back(
          {stated.bucket[i / table.types.size()], i % table.types.size(), slices});
  }
  mix.lower_bound = std::clamp(solution.bound, 0.0, mix.cost_per_hour);
  mix.status =
      solution.status == IntegerSolution::Status::kOptimal ? Status::kOptimal : Status::kFeasible;
  mix.confirmed = solution.confirmed;
  if (const std::string what = wrong_with(table, demand, mix); !what.empty())
    return broken(what);
  stop_watch(mix);
  return mix;
}

}  // namespace medley::plan
