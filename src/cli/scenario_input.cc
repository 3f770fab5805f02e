#include "cli/scenario_input.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "base/nearest.h"
#include "cli/simulate.h"
#include "cli/table.h"
#include "data/catalog.h"
#include "data/yaml.h"
#include "lpu/chip/pool_schedule.h"

namespace medley::cli {
namespace {

Error invalid(std::string message) { return {ErrorCode::kInvalid, std::move(message), {}}; }

constexpr double kMostError = 2;  // e² is seven times too long or too short

Result<double> error_share(std::string_view flag, const std::optional<std::string>& text,
                           std::string_view like) {
  if (!text)
    return 0.0;
  const std::optional<double> share = data::parse_number(*text);
  if (!share || !(*share >= 0 && *share <= kMostError)) {
    return invalid(fmt::format("{}: expected a number from 0 to {} like {}, got '{}'", flag,
                               kMostError, like, *text));
  }
  return *share;
}

}  // namespace

Result<data::Scenario> read_scenario(const SimulateOptions& options) {
  const std::string folder =
      options.catalog.empty() ? data::default_catalog_folder() : options.catalog;
  MEDLEY_TRY(data::Scenario scenario, data::read_scenario(options.scenario, folder));
  MEDLEY_TRY_STATUS(lpu::chip::schedule_pools(scenario.fleet, folder));
  if (options.trace.empty())
    return scenario;
  // In the place of a trace, or of a generated workload with its classes, labels and models.
  if (!scenario.trace)
    scenario.trace.emplace();
  scenario.workload.reset();
  scenario.trace->format.reset();
  scenario.trace->path = options.trace;
  scenario.trace->shared = scenario.trace->origin = "";
  return scenario;
}

Result<PlacementPolicy> policy_named(std::string_view flag, const std::string& name,
                                     const Fleet& fleet) {
  const std::optional<PlacementPolicy> placement = placement_named(name);
  if (!placement) {
    return invalid(
        fmt::format("{}: unknown policy '{}'{}", flag, name, suggestion(name, placement_names())));
  }
  if (!counts_only(placement->kind) &&
      std::any_of(fleet.pools.begin(), fleet.pools.end(),
                  [](const Pool& pool) { return pool.table.has_value(); })) {
    return invalid(
        fmt::format("{}: pools with step_times are placed by round_robin, least_queued, "
                    "least_outstanding or least_pending_tokens",
                    flag));
  }
  return *placement;
}

Result<double> prediction_error(const SimulateOptions& options) {
  return error_share("--prediction-error", options.prediction_error, "0.3");
}

Result<double> prefill_error(const SimulateOptions& options) {
  return error_share("--prefill-error", options.prefill_error, "0.03");
}

Result<Duration> heard_every(const SimulateOptions& options) {
  constexpr double kLeastS = 1e-3, kMostS = 60;
  if (!options.heard_every)
    return Duration(0);
  const std::optional<double> seconds = data::parse_number(*options.heard_every);
  if (!seconds || !(*seconds >= kLeastS && *seconds <= kMostS)) {
    return invalid(fmt::format("--heard-every: expected seconds from {} to {} like 1, got '{}'",
                               kLeastS, kMostS, *options.heard_every));
  }
  return round_to_duration(Seconds(*seconds));
}

Command::Command(const SimulateOptions& options) {
  add("", options.scenario);
  add("--trace", options.trace);
  add("--placement", options.placement);
  add("--compare", options.compare.value_or(""));
  add("--load", options.loads.value_or(""));
  add("--seeds", options.seeds.value_or(""));
  add("--prediction-error", options.prediction_error.value_or(""));
  add("--prefill-error", options.prefill_error.value_or(""));
  add("--heard-every", options.heard_every.value_or(""));
  add("--catalog", options.catalog);
}

Command& Command::add(std::string_view flag, std::string_view value) {
  if (value.empty())
    return *this;
  text_ += flag.empty() ? " " : fmt::format(" {} ", flag);
  const bool plain = value.find_first_not_of(
                         "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                         "_-./:=,+@") == std::string_view::npos;
  if (plain) {
    text_ += value;
    return *this;
  }
  text_ += "'";
  for (const char c : value)
    text_ += c == '\'' ? std::string("'\\''") : std::string(1, c);
  text_ += "'";
  return *this;
}

int complain(const Error& error, std::FILE* err) {
  fmt::print(err, "medley simulate: {}\n", printable(error.message));
  return error.code == ErrorCode::kUnavailable ? 1 : 2;
}

}  // namespace medley::cli
