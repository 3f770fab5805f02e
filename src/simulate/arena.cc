#include "simulate/arena.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>

#include "base/check.h"
#include "data/json.h"
#include "simulate/bound.h"
#include "simulate/workload.h"

namespace medley::simulate {
namespace {

namespace json = boost::json;

// Takes records into a report and forgets them.
class ReportSink final : public RecordSink {
 public:
  explicit ReportSink(const Fleet& fleet) : builder_(fleet) {}
  void add(const RequestRecord& record) override { builder_.add(record); }
  Report report(const SimulationResult& result) { return std::move(builder_).finish({}, result); }

 private:
  ReportBuilder builder_;
};

ArenaFigures figures_of(const Report& report) {
  ArenaFigures figures;
  figures.requests = report.requests;
  figures.kept = report.kept;
  for (const ClassReport& of_class : report.classes) {
    figures.class_requests[index_of(of_class.service_class)] = of_class.requests;
    figures.class_kept[index_of(of_class.service_class)] = of_class.kept;
    if (is_promised_windows(of_class.service_class))
      figures.windows += of_class.windows;
  }
  for (const TenantReport& tenant : report.tenants) {
    figures.tenant_requests.push_back(tenant.requests);
    figures.tenant_kept.push_back(tenant.kept);
  }
  figures.value_offered = report.value_offered;
  figures.value_kept = report.value_kept;
  figures.net_value = report.net_value();
  figures.money = report.money;
  figures.joules = report.joules;
  figures.peak_of_limit = report.power.peak_of_limit;
  return figures;
}

// The requests of one load and seed, made by whoever needs them first and gone after the last one.
struct Cell {
  std::mutex lock;
  std::shared_ptr<const Result<std::vector<Arrival>>> arrivals;
  std::size_t users = 0;  // tasks that are still to use them
};

class Runner {
 public:
  Runner(const data::Scenario& scenario, const ArenaOptions& options, const perf::PerfModel& models,
         const std::vector<Fault>& faults)
      : scenario_(scenario),
        options_(options),
        models_(models),
        faults_(faults),
        tasks_per_cell_(options.policies.size() + (options.bound ? 1 : 0)),
        cells_(options.loads.size() * options.seeds.size()) {
    for (Cell& cell : cells_)
      cell.users = tasks_per_cell_;
    for (const PlacementPolicy& policy : options.policies) {
      fleets_.push_back(scenario.fleet);
      fleets_.back().placement = policy;
    }
    arena_.name = scenario.name;
    arena_.currency = scenario.fleet.site.currency;
    for (const Tenant& tenant : scenario.fleet.tenants)
      arena_.tenants.push_back(tenant.name);
    arena_.policies = options.policies;
    arena_.loads = options.loads;
    arena_.load_one = options.load_one;
    arena_.seeds = options.seeds;
    arena_.prediction_error = options.prediction_error;
    arena_.prefill_error = options.prefill_error;
    arena_.heard_every = options.heard_every;
    arena_.runs.resize(cells_.size() * options.policies.size());
    arena_.bounds.resize(cells_.size());
  }

  Result<Arena> run() {
    const std::size_t tasks = cells_.size() * tasks_per_cell_;
    const std::size_t wanted = options_.threads > 0
                                   ? static_cast<std::size_t>(options_.threads)
                                   : std::max<std::size_t>(1, std::thread::hardware_concurrency());
    {
      std::vector<std::jthread> threads;
      for (std::size_t i = 1; i < std::min(wanted, tasks); ++i)
        threads.emplace_back([this, tasks] { work(tasks); });
      work(tasks);
    }
    if (thrown_)
      std::rethrow_exception(thrown_);
    if (error_)
      return *error_;
    return std::move(arena_);
  }

 private:
  // Takes tasks in order, so that few cells are in work at a time, until there is none left or one
  // has failed.
  void work(std::size_t tasks) {
    try {
      for (std::size_t task = next_++; task < tasks && !stop_; task = next_++)
        carry_out(task);
    } catch (...) {  // memory that ran out: the caller's thread is where that is an answer
      const std::lock_guard guard(lock_);
      thrown_ = std::current_exception();
      stop_ = true;
    }
  }

  void carry_out(std::size_t task) {
    const std::size_t place = task / tasks_per_cell_;
    const std::size_t policy = task % tasks_per_cell_;
    const double load = options_.loads[place / options_.seeds.size()];
    const std::uint64_t seed = options_.seeds[place % options_.seeds.size()];
    const auto arrivals = arrivals_of(cells_[place], load, seed);
    if (!arrivals->ok()) {
      const std::lock_guard guard(lock_);
      error_ = arrivals->error();
      stop_ = true;
      return;
    }
    if (policy == options_.policies.size()) {
      arena_.bounds[place] = options_.bound(scenario_.fleet, models_, **arrivals);
    } else {
      ReportSink sink(fleets_[policy]);
      const std::vector<OutsideArrival> outside = outside_of(**arrivals, seed);
      const SimulationResult result = simulate(fleets_[policy], models_, **arrivals, faults_,
                                               {.seed = seed,
                                                .records = &sink,
                                                .prediction_error = options_.prediction_error,
                                                .prefill_error = options_.prefill_error,
                                                .heard_every = options_.heard_every,
                                                .signals_every = signals_every(scenario_),
                                                .outside = &outside});
      arena_.runs[place * options_.policies.size() + policy] = figures_of(sink.report(result));
    }
    const std::lock_guard guard(lock_);
    ++done_;
    if (options_.progress)
      options_.progress(done_, cells_.size() * tasks_per_cell_);
  }

  std::shared_ptr<const Result<std::vector<Arrival>>> arrivals_of(Cell& cell, double load,
                                                                  std::uint64_t seed) {
    const std::lock_guard guard(cell.lock);
    if (!cell.arrivals) {
      cell.arrivals =
          std::make_shared<const Result<std::vector<Arrival>>>(make_arrivals_at(load, seed));
    }
    return --cell.users == 0 ? std::move(cell.arrivals) : cell.arrivals;
  }

  // The same at every load.
  std::vector<OutsideArrival> outside_of(const std::vector<Arrival>& arrivals,
                                         std::uint64_t seed) const {
    if (scenario_.outside.empty())
      return {};
    data::Scenario seeded = scenario_;
    seeded.seed = seed;
    return make_outside(seeded, arrivals);
  }

  Result<std::vector<Arrival>> make_arrivals_at(double load, std::uint64_t seed) const {
    MEDLEY_TRY(const data::Scenario scenario, scenario_at(scenario_, load, seed));
    return make_arrivals(scenario);
  }

  const data::Scenario& scenario_;
  const ArenaOptions& options_;
  const perf::PerfModel& models_;
  const std::vector<Fault>& faults_;
  const std::size_t tasks_per_cell_;
  std::vector<Fleet> fleets_;  // by policy
  std::vector<Cell> cells_;    // by load, then seed
  Arena arena_;                // each task writes places of its own

  std::atomic<std::size_t> next_ = 0;
  std::atomic<bool> stop_ = false;
  std::mutex lock_;  // of what follows
  std::size_t done_ = 0;
  std::optional<Error> error_;
  std::exception_ptr thrown_;
};

// Of a run, of the bound of its load and seed; empty without one that is worth anything.
std::optional<double> share_of_bound(const Arena& arena, std::size_t policy, std::size_t load,
                                     std::size_t seed) {
  const std::optional<NetValueBound>& bound = arena.bound(load, seed);
  if (!bound || !(bound->net_value > 0))
    return std::nullopt;
  return arena.run(policy, load, seed).net_value / bound->net_value;
}

// What `of_seed` says of every seed; empty where it says nothing of one.
template <typename OfSeed>
std::optional<std::vector<double>> of_seeds(const Arena& arena, const OfSeed& of_seed) {
  std::vector<double> figures;
  for (std::size_t seed = 0; seed < arena.seeds.size(); ++seed) {
    const std::optional<double> figure = of_seed(seed);
    if (!figure)
      return std::nullopt;
    figures.push_back(*figure);
  }
  return figures;
}

Standing standing_of(const Arena& arena, std::size_t policy, std::size_t load) {
  Standing standing;
  standing.policy = policy;
  standing.load = load;
  std::vector<double> goodputs;
  ArenaFigures all;
  all.tenant_requests.resize(arena.tenants.size());
  all.tenant_kept.resize(arena.tenants.size());
  for (std::size_t seed = 0; seed < arena.seeds.size(); ++seed) {
    const ArenaFigures& run = arena.run(policy, load, seed);
    goodputs.push_back(run.value_goodput());
    all.kept += run.kept;
    all.money += run.money;
    all.joules += run.joules;
    standing.windows += run.windows;
    if (run.peak_of_limit)
      standing.peak_of_limit = std::max(standing.peak_of_limit.value_or(0), *run.peak_of_limit);
    for (std::size_t i = 0; i < kServiceClassCount; ++i) {
      all.class_requests[i] += run.class_requests[i];
      all.class_kept[i] += run.class_kept[i];
    }
    for (std::size_t i = 0; i < arena.tenants.size(); ++i) {
      all.tenant_requests[i] += run.tenant_requests[i];
      all.tenant_kept[i] += run.tenant_kept[i];
    }
  }
  standing.value_goodput = estimate(goodputs);
  for (std::size_t i = 0; i < kServiceClassCount; ++i) {
    if (all.class_requests[i] > 0) {
      standing.attainment[i] =
          static_cast<double>(all.class_kept[i]) / static_cast<double>(all.class_requests[i]);
    }
  }
  for (std::size_t i = 0; i < arena.tenants.size(); ++i) {
    const auto requests = static_cast<double>(all.tenant_requests[i]);
    standing.tenant_attainment.push_back(
        requests > 0 ? std::optional(static_cast<double>(all.tenant_kept[i]) / requests)
                     : std::nullopt);
  }
  if (all.kept > 0) {
    standing.money_per_good = all.money / static_cast<double>(all.kept);
    if (all.joules > 0)
      standing.joules_per_good = all.joules / static_cast<double>(all.kept);
  }
  const auto shares =
      of_seeds(arena, [&](std::size_t seed) { return share_of_bound(arena, policy, load, seed); });
  if (shares)
    standing.share_of_bound = estimate(*shares).mean;
  const auto gaps = of_seeds(arena, [&](std::size_t seed) -> std::optional<double> {
    const std::optional<NetValueBound>& bound = arena.bound(load, seed);
    return bound ? std::optional(bound->gap) : std::nullopt;
  });
  if (gaps)
    standing.bound_gap = estimate(*gaps).mean;
  if (policy > 0) {
    standing.ahead_of_first = paired_difference(arena, policy, 0, load);
    standing.share_ahead_of_first = paired_share_difference(arena, policy, 0, load);
  }
  return standing;
}

json::value known(const std::optional<double>& figure) {
  return figure ? json::value(*figure) : json::value();
}

json::value known(const std::optional<Estimate>& estimate) {
  if (!estimate)
    return nullptr;
  return json::object{
      {"mean", estimate->mean}, {"low", known(estimate->low())}, {"high", known(estimate->high())}};
}

}  // namespace

Result<data::Scenario> scenario_at(const data::Scenario& as_written, double load,
                                   std::uint64_t seed) {
  data::Scenario scenario = as_written;
  scenario.seed = seed;
  if (scenario.trace)
    scenario.trace->time_scale /= load;
  if (!scenario.workload)
    return scenario;
  for (data::WorkloadStream& stream : scenario.workload->streams) {
    stream.rate_per_s *= load;
    if (const Status status = data::within_bounds(stream); !status.ok()) {
      Error error = status.error();
      error.message = fmt::format("{} at load {}: {}", scenario.file, load, error.message);
      return error;
    }
  }
  return scenario;
}

Result<double> find_load_one(const data::Scenario& scenario, std::uint64_t seed) {
  constexpr double kLeast = 0.01, kMost = 100;
  const Result<perf::PerfModel> models = make_models(scenario.fleet);
  if (!models.ok())
    return models.error();
  const auto arrivals_at = [&](double load) -> Result<std::vector<Arrival>> {
    MEDLEY_TRY(const data::Scenario at_load, scenario_at(scenario, load, seed));
    return make_arrivals(at_load);
  };
  if (const auto as_written = arrivals_at(1); !as_written.ok())
    return as_written.error();
  // A workload that cannot come so fast is as good as too heavy: no arrivals, of which no share is
  // kept.
  const auto or_none = [&](double load) {
    Result<std::vector<Arrival>> made = arrivals_at(load);
    return made.ok() ? std::move(made).value() : std::vector<Arrival>();
  };
  return load_one(scenario.fleet, *models, or_none, kLeast, kMost).load;
}

Result<Arena> run_arena(const data::Scenario& scenario, const ArenaOptions& options) {
  MEDLEY_CHECK(!options.policies.empty() && !options.loads.empty() && !options.seeds.empty());
  const auto at_file = [&](Error error) {
    error.message = scenario.file + ": " + error.message;
    return error;
  };
  const Result<perf::PerfModel> models = make_models(scenario.fleet);
  if (!models.ok())
    return at_file(models.error());
  MEDLEY_TRY(const std::vector<Fault> faults, make_faults(scenario));
  return Runner(scenario, options, *models, faults).run();
}

std::vector<Standing> standings(const Arena& arena) {
  std::vector<Standing> all;
  for (std::size_t load = 0; load < arena.loads.size(); ++load) {
    for (std::size_t policy = 0; policy < arena.policies.size(); ++policy)
      all.push_back(standing_of(arena, policy, load));
  }
  return all;
}

Estimate paired_difference(const Arena& arena, std::size_t a, std::size_t b, std::size_t load) {
  std::vector<double> differences;
  for (std::size_t seed = 0; seed < arena.seeds.size(); ++seed) {
    differences.push_back(arena.run(a, load, seed).value_goodput() -
                          arena.run(b, load, seed).value_goodput());
  }
  return estimate(differences);
}

std::optional<Estimate> paired_share_difference(const Arena& arena, std::size_t a, std::size_t b,
                                                std::size_t load) {
  const auto differences = of_seeds(arena, [&](std::size_t seed) -> std::optional<double> {
    const auto of_a = share_of_bound(arena, a, load, seed);
    const auto of_b = share_of_bound(arena, b, load, seed);
    return of_a && of_b ? std::optional(*of_a - *of_b) : std::nullopt;
  });
  return differences ? std::optional(estimate(*differences)) : std::nullopt;
}

std::string to_json(const Arena& arena) {
  json::array out;
  for (const Standing& standing : standings(arena)) {
    json::object attainment;
    for (const ServiceClass service_class : kServiceClasses) {
      if (const auto& share = standing.attainment[index_of(service_class)])
        attainment[name_of(service_class)] = *share;
    }
    json::object tenants;
    for (std::size_t i = 0; i < standing.tenant_attainment.size(); ++i) {
      if (const auto& share = standing.tenant_attainment[i])
        tenants[arena.tenants[i]] = *share;
    }
    out.push_back(json::object{{"policy", name_of(arena.policies[standing.policy])},
                               {"load", arena.loads[standing.load]},
                               {"load_one", known(arena.load_one)},
                               {"seeds", json::array(arena.seeds.begin(), arena.seeds.end())},
                               {"prediction_error", arena.prediction_error},
                               {"prefill_error", arena.prefill_error},
                               {"heard_every_s", to_seconds(arena.heard_every).value()},
                               {"value_goodput", known(std::optional(standing.value_goodput))},
                               {"ahead_of_first", known(standing.ahead_of_first)},
                               {"attainment", std::move(attainment)},
                               {"token_windows",
                                {{"admitted", standing.windows.admitted},
                                 {"promised", standing.windows.promised},
                                 {"kept", standing.windows.kept},
                                 {"broken", standing.windows.broken},
                                 {"lost", standing.windows.lost},
                                 {"no_limit", standing.windows.no_limit}}},
                               {"dollars_per_good", known(standing.money_per_good)},
                               {"joules_per_good", known(standing.joules_per_good)},
                               {"peak_of_limit", known(standing.peak_of_limit)},
                               {"share_of_bound", known(standing.share_of_bound)},
                               {"share_ahead_of_first", known(standing.share_ahead_of_first)},
                               {"bound_gap", known(standing.bound_gap)}});
    if (arena.tenants.size() > 1)
      out.back().as_object()["tenant_attainment"] = std::move(tenants);
  }
  return data::json_text(out);
}

}  // namespace medley::simulate
