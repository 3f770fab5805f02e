#include "cli/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <vector>

#include "cli/progress_line.h"
#include "cli/scenario_input.h"
#include "cli/simulate.h"
#include "cli/table.h"
#include "cli/warn.h"
#include "cli/write_file.h"
#include "data/yaml.h"
#include "simulate/arena.h"
#include "simulate/bound.h"
#include "simulate/workload.h"

namespace medley::cli {
namespace {

constexpr std::size_t kMostSeeds = 10'000, kMostRuns = 1'000'000;
constexpr std::size_t kMostTenantColumns = 6;
constexpr double kLeastLoad = 1e-3, kMostLoad = 1e3;

Error invalid(std::string message) { return {ErrorCode::kInvalid, std::move(message), {}}; }

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    parts.emplace_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  return parts;
}

template <typename T>
bool holds(const std::vector<T>& values, const T& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

Result<std::vector<PlacementPolicy>> read_policies(const std::string& text, const Fleet& fleet) {
  std::vector<PlacementPolicy> policies;
  for (const std::string& name : split(text)) {
    MEDLEY_TRY(const PlacementPolicy policy, policy_named("--compare", name, fleet));
    if (holds(policies, policy))
      return invalid(fmt::format("--compare: '{}' stands there twice", name));
    policies.push_back(policy);
  }
  return policies;
}

struct AskedLoad {
  double factor = 1;
  bool of_one = false;  // of load one, not of the scenario as it is written

  bool operator==(const AskedLoad&) const = default;
};

// "0.5", "one", "1.5one".
std::optional<AskedLoad> read_load(std::string_view text) {
  AskedLoad load;
  load.of_one = text.ends_with("one");
  if (load.of_one)
    text.remove_suffix(3);
  if (load.of_one && text.empty())
    return load;
  const std::optional<double> factor = data::parse_number(text);
  if (!factor || !(*factor >= kLeastLoad && *factor <= kMostLoad))
    return std::nullopt;
  load.factor = *factor;
  return load;
}

Result<std::vector<AskedLoad>> read_loads(const std::string& text) {
  std::vector<AskedLoad> loads;
  for (const std::string& part : split(text)) {
    const std::optional<AskedLoad> load = read_load(part);
    if (!load) {
      return invalid(
          fmt::format("--load: expected numbers from {} to {} like 0.5,1, or times load one like "
                      "0.5one,one, got '{}'",
                      kLeastLoad, kMostLoad, part));
    }
    if (holds(loads, *load))
      return invalid(fmt::format("--load: {} stands there twice", part));
    loads.push_back(*load);
  }
  return loads;
}

std::optional<std::uint64_t> read_seed(std::string_view text) {
  std::uint64_t seed = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), seed);
  constexpr std::uint64_t kMostSeed = std::numeric_limits<std::int64_t>::max();  // as in a scenario
  if (failure != std::errc() || end != text.data() + text.size() || seed > kMostSeed)
    return std::nullopt;
  return seed;
}

// "11..20" is eleven to twenty.
Result<std::vector<std::uint64_t>> read_seeds(const std::string& text) {
  std::vector<std::uint64_t> seeds;
  for (const std::string& part : split(text)) {
    const std::size_t dots = part.find("..");
    const auto first = read_seed(std::string_view(part).substr(0, dots));
    const auto last =
        dots == std::string::npos ? first : read_seed(std::string_view(part).substr(dots + 2));
    if (!first || !last || *last < *first) {
      return invalid(fmt::format("--seeds: expected seeds like 11..20 or 1,5,7, got '{}'", part));
    }
    if (*last - *first >= kMostSeeds - seeds.size())
      return invalid(fmt::format("--seeds: more than {} seeds", kMostSeeds));
    for (std::uint64_t seed = *first; seed <= *last; ++seed) {
      if (holds(seeds, seed))
        return invalid(fmt::format("--seeds: {} stands there twice", seed));
      seeds.push_back(seed);
    }
  }
  return seeds;
}

std::string bar_text(std::size_t done, std::size_t all) {
  constexpr std::size_t kWidth = 40;
  const std::size_t filled = kWidth * done / all;
  return fmt::format("[{}{}] {} of {} runs", std::string(filled, '#'),
                     std::string(kWidth - filled, '.'), done, all);
}

std::string percent(double share) { return fmt::format("{:.1f} %", share * 100); }

template <typename Text>
std::string or_dash(const std::optional<double>& figure, const Text& text) {
  return figure ? text(*figure) : std::string("-");
}

void print_table(const simulate::Arena& arena, std::FILE* out) {
  const std::vector<simulate::Standing> all = simulate::standings(arena);
  const auto difference = [](const std::optional<Estimate>& ahead) {
    if (!ahead)
      return std::string("-");
    const std::string points = fmt::format("{:+.1f}", ahead->mean * 100);
    return ahead->margin ? fmt::format("{} ± {:.1f}", points, *ahead->margin * 100) : points;
  };
  const auto short_figure = [](double figure) { return fmt::format("{:.4g}", figure); };
  const auto occurs = [&](ServiceClass service_class) {
    return std::any_of(all.begin(), all.end(), [&](const simulate::Standing& standing) {
      return standing.attainment[index_of(service_class)].has_value();
    });
  };
  std::string error;
  if (arena.prediction_error > 0)
    error += fmt::format("; forecasts with an error of {}", percent(arena.prediction_error));
  if (arena.prefill_error > 0)
    error +=
        fmt::format("; prompts on scheduled devices with one of {}", percent(arena.prefill_error));
  if (arena.heard_every > Duration(0))
    error += fmt::format("; first tokens and ends heard of every {} s",
                         to_seconds(arena.heard_every).value());
  fmt::print(out, "{}\n{} runs of up to {} requests{}; every device here is simulated\n\n",
             printable(arena.name), arena.runs.size(),
             std::max_element(arena.runs.begin(), arena.runs.end(),
                              [](const auto& a, const auto& b) { return a.requests < b.requests; })
                 ->requests,
             error);
  const Align right = Align::kRight;
  std::vector<Column> columns = {
      {"load", right}, {"policy"}, {"value goodput", right}, {"95 %, ±", right}};
  for (const ServiceClass service_class : kServiceClasses) {
    if (occurs(service_class))
      columns.push_back({std::string(name_of(service_class)), right});
  }
  const bool by_tenant = arena.tenants.size() > 1 && arena.tenants.size() <= kMostTenantColumns;
  const auto has_requests = [&](std::size_t tenant) {
    return by_tenant && std::any_of(all.begin(), all.end(), [&](const simulate::Standing& s) {
             return s.tenant_attainment[tenant].has_value();
           });
  };
  for (std::size_t i = 0; i < arena.tenants.size(); ++i) {
    if (has_requests(i))
      columns.push_back({"tenant " + printable(arena.tenants[i]), right});
  }
  columns.push_back({arena.currency + "/good", right});
  columns.push_back({"J/good", right});
  columns.push_back({"of bound", right});
  columns.push_back({"gap", right});
  if (arena.policies.size() > 1) {
    columns.push_back({fmt::format("points to {}", name_of(arena.policies.front())), right});
    columns.push_back({"of the bound", right});
  }
  Table table(std::move(columns));
  for (const simulate::Standing& standing : all) {
    if (standing.policy == 0 && standing.load > 0)
      table.add_rule();
    const Estimate& goodput = standing.value_goodput;
    std::vector<std::string> row = {fmt::format("{:.4g}", arena.loads[standing.load]),
                                    std::string(name_of(arena.policies[standing.policy])),
                                    percent(goodput.mean), or_dash(goodput.margin, percent)};
    for (const ServiceClass service_class : kServiceClasses) {
      if (occurs(service_class))
        row.push_back(or_dash(standing.attainment[index_of(service_class)], percent));
    }
    for (std::size_t i = 0; i < arena.tenants.size(); ++i) {
      if (has_requests(i))
        row.push_back(or_dash(standing.tenant_attainment[i], percent));
    }
    row.push_back(or_dash(standing.money_per_good, short_figure));
    row.push_back(or_dash(standing.joules_per_good, short_figure));
    row.push_back(or_dash(standing.share_of_bound, percent));
    row.push_back(or_dash(standing.bound_gap, percent));
    if (standing.ahead_of_first) {
      row.push_back(difference(standing.ahead_of_first));
      row.push_back(difference(standing.share_ahead_of_first));
    }
    table.add_row(std::move(row));
  }
  fmt::print(out, "{}gap: how far the bound may still come down, as a share of it\n", table.text());
  if (arena.load_one) {
    fmt::print(out, "load one is {:.4g} times the scenario as it is written\n", *arena.load_one);
  }
}

Result<simulate::Arena> run(const SimulateOptions& options, std::FILE* err) {
  MEDLEY_TRY(const data::Scenario scenario, read_scenario(options));
  if (const Result<perf::PerfModel> models = simulate::make_models(scenario.fleet); models.ok())
    warn_of_impossible(scenario.fleet, *models, err);
  simulate::ArenaOptions arena;
  MEDLEY_TRY(arena.policies, read_policies(options.compare.value(), scenario.fleet));
  arena.seeds = {scenario.seed};
  if (options.seeds) {
    MEDLEY_TRY(arena.seeds, read_seeds(*options.seeds));
  }
  if (options.loads) {
    MEDLEY_TRY(const std::vector<AskedLoad> asked, read_loads(*options.loads));
    arena.loads.clear();
    for (const AskedLoad& load : asked) {
      if (load.of_one && !arena.load_one) {
        MEDLEY_TRY(arena.load_one, simulate::find_load_one(scenario, arena.seeds.front()));
      }
      arena.loads.push_back(load.factor * (load.of_one ? *arena.load_one : 1));
    }
  }
  MEDLEY_TRY(arena.prediction_error, prediction_error(options));
  MEDLEY_TRY(arena.prefill_error, prefill_error(options));
  MEDLEY_TRY(arena.heard_every, heard_every(options));
  if (arena.seeds.size() > kMostRuns / (arena.policies.size() * arena.loads.size()))
    return invalid(fmt::format("--compare: more than {} runs", kMostRuns));
  arena.bound = [](const Fleet& fleet, const perf::PerfModel& perf,
                   const std::vector<simulate::Arrival>& arrivals) {
    const simulate::Bound bound = simulate::bound(fleet, perf, arrivals);
    return simulate::NetValueBound{bound.value, bound.gap()};
  };
  ProgressLine line(err);
  arena.progress = [&line](std::size_t done, std::size_t all) { line.show(bar_text(done, all)); };
  return simulate::run_arena(scenario, arena);
}

}  // namespace

int run_compare(const SimulateOptions& options, std::FILE* out, std::FILE* err) {
  const Result<simulate::Arena> arena = run(options, err);
  if (!arena.ok())
    return complain(arena.error(), err);
  if (!options.report.empty()) {
    const Command command = Command(options).add("--report", "report.html");
    const Status written = write_file(options.report, simulate::to_html(*arena, command.text()));
    if (!written.ok())
      return complain(written.error(), err);
  }
  if (options.json) {
    fmt::print(out, "{}\n", simulate::to_json(*arena));
  } else {
    print_table(*arena, out);
  }
  return 0;
}

}  // namespace medley::cli
