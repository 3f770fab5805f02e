// The arena: policies side by side on the same requests, over loads and seeds, in parallel.
//
// A load is a factor on the rate of arrivals, a seed takes the place of the scenario's. Each policy
// meets exactly the same requests at a load and seed, so that differences can be taken in pairs.
// The result does not depend on the number of threads; each thread holds one run, and beyond these
// only the requests of the loads and seeds in work are kept.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/statistics.h"
#include "data/scenario_file.h"
#include "simulate/report.h"
#include "simulate/simulation.h"

namespace medley::simulate {

// The scenario with arrivals `load` times as dense and another seed. Fails where a workload cannot
// come so fast.
Result<data::Scenario> scenario_at(const data::Scenario& scenario, double load, std::uint64_t seed);

// The load at which the bound keeps just kLoadOneShare of all value (bound.h), from a hundredth to
// a hundred times the scenario as it is written, on the requests of this seed. `load_one` is its
// factor. Errors: as make_arrivals.
Result<double> find_load_one(const data::Scenario& scenario, std::uint64_t seed);

struct ArenaOptions {
  std::vector<PlacementPolicy> policies;           // at least one, each once
  std::vector<double> loads = {1};                 // at least one, above 0
  std::vector<std::uint64_t> seeds;                // at least one
  double prediction_error = 0, prefill_error = 0;  // SimulationOptions has them
  Duration heard_every{};                          // and this
  std::optional<double> load_one;                  // told on in the arena
  // Called once for every load and seed, from several threads. Empty: no bound is known.
  std::function<NetValueBound(const Fleet&, const perf::PerfModel&, const std::vector<Arrival>&)>
      bound;
  // Hears of every run that has ended, from one thread at a time.
  std::function<void(std::size_t done, std::size_t all)> progress;
  int threads = 0;  // 0: as many as the machine has
};

// What one run came to.
struct ArenaFigures {
  long long requests = 0, kept = 0;
  std::array<long long, kServiceClassCount> class_requests{}, class_kept{};
  double value_offered = 0, value_kept = 0, net_value = 0;  // money, as Report has them
  double money = 0, joules = 0;                             // of the fleet, as Report has them
  std::optional<double> peak_of_limit;                      // of power, as PowerFigures has it
  WindowCounts windows;                                     // of the classes that are promised them
  std::vector<long long> tenant_requests, tenant_kept;      // by TenantId

  double value_goodput() const { return value_offered > 0 ? value_kept / value_offered : 0; }
};

struct Arena {
  std::string name, currency;
  std::vector<std::string> tenants;  // by TenantId
  std::vector<PlacementPolicy> policies;
  std::vector<double> loads;
  std::vector<std::uint64_t> seeds;
  std::optional<double> load_one;  // where loads were asked for as multiples of it
  double prediction_error = 0, prefill_error = 0;
  Duration heard_every{};
  std::vector<ArenaFigures> runs;                    // see run()
  std::vector<std::optional<NetValueBound>> bounds;  // by load, then seed

  // By their places in the lists above.
  const ArenaFigures& run(std::size_t policy, std::size_t load, std::size_t seed) const {
    return runs.at((load * seeds.size() + seed) * policies.size() + policy);
  }
  const std::optional<NetValueBound>& bound(std::size_t load, std::size_t seed) const {
    return bounds.at(load * seeds.size() + seed);
  }
};

// Errors: what make_arrivals and its kin find wrong with the scenario, at a load too.
Result<Arena> run_arena(const data::Scenario& scenario, const ArenaOptions& options);

// A policy at a load, over all seeds.
struct Standing {
  std::size_t policy = 0, load = 0;  // places in the arena's lists
  Estimate value_goodput;
  // Of all seeds together. Empty: no such request, nothing kept, no energy known.
  std::array<std::optional<double>, kServiceClassCount> attainment;
  std::vector<std::optional<double>> tenant_attainment;  // by TenantId
  std::optional<double> money_per_good, joules_per_good;
  WindowCounts windows;  // of all seeds together, of the classes that are promised them
  std::optional<double> peak_of_limit;  // of power, the most of any seed; empty without a limit
  std::optional<double> share_of_bound, bound_gap;  // means over the seeds; empty without a bound
  // Its goodput, and its share of the bound, less those of the first policy with the same requests;
  // empty for the first one, the second also without a bound.
  std::optional<Estimate> ahead_of_first, share_ahead_of_first;
};

// By load, then policy, both as in the arena's lists.
std::vector<Standing> standings(const Arena& arena);
// Of policy `a` less that of `b`, in pairs of runs with the same load and seed: goodput, and the
// share of the bound, where there is one for every pair.
Estimate paired_difference(const Arena& arena, std::size_t a, std::size_t b, std::size_t load);
std::optional<Estimate> paired_share_difference(const Arena& arena, std::size_t a, std::size_t b,
                                                std::size_t load);

// One JSON value, one line: an array of standings (docs/arena.md lists its keys).
std::string to_json(const Arena& arena);

// A page with pictures (docs/arena.md), the same bytes for the same arena and command.
std::string to_html(const Arena& arena, const std::string& command);

}  // namespace medley::simulate
