#include "data/scenario_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <numeric>

#include "base/nearest.h"
#include "data/fleet_file.h"
#include "data/yaml.h"

namespace medley::data {
namespace {

constexpr long long kMaxTokens = 1 << 30;
constexpr double kLatest = 1e9;  // seconds, some 31 years
constexpr int kMostCopies = 1000;

const std::vector<std::string> kFormats = {"azure", "mooncake", "servegen", "vllm_workload",
                                           "medley"};
const std::vector<std::string> kClasses = {"guaranteed", "standard", "flex", "batch"};

// Where the file is that others share, if it is there.
std::optional<std::string> shared_file(const std::string& name) {
  const char* folder = std::getenv("MEDLEY_SHARED");
  if (name.empty() || folder == nullptr || *folder == '\0')
    return std::nullopt;
  const std::filesystem::path path = std::filesystem::path(folder) / name;
  std::error_code failure;
  return std::filesystem::exists(path, failure) ? std::optional(path.string()) : std::nullopt;
}

Result<TraceSpec> read_trace_spec(const Node& node, std::optional<TraceCopies>& copies) {
  Fields fields(node);
  TraceSpec spec;
  spec.path = node.resolve(fields.required_text("path"));
  spec.format = static_cast<TraceFormat>(fields.required_choice("format", kFormats).value_or(0));
  spec.time_scale = fields.number("time_scale", 1, {.max = 1e6, .above_min = true});
  spec.start_s = fields.seconds("start_s", 0, {.max = kLatest});
  spec.max_request_tokens = fields.whole("max_request_tokens", Whole{2, kMaxTokens});
  spec.shared = fields.text("shared", "");
  spec.origin = fields.text("origin", "");
  std::error_code failure;
  if (!std::filesystem::exists(spec.path, failure))
    spec.path = shared_file(spec.shared).value_or(spec.path);
  if (fields.child("copies") || fields.child("wrap_s")) {
    copies.emplace();
    copies->count = static_cast<int>(fields.required_whole("copies", {1, kMostCopies}));
    if (const auto wrap = fields.required("wrap_s"))
      fields.take(copies->wrap_s, wrap->seconds({.max = kLatest, .above_min = true}));
  }
  MEDLEY_TRY_STATUS(fields.finish());
  return spec;
}

// Weights by name, put at the places that `place_of` answers and scaled to sum up to 1.
template <typename PlaceOf>
Status read_weights(const Node& node, const PlaceOf& place_of, double* weights, std::size_t size) {
  MEDLEY_TRY(const auto entries, node.entries());
  std::fill_n(weights, size, 0.0);
  for (const auto& [name, value] : entries) {
    const Result<std::size_t> place = place_of(name);
    if (!place.ok())
      return value.key_error(place.error().message, place.error().code);
    MEDLEY_TRY(weights[*place], value.number());
  }
  const double sum = std::accumulate(weights, weights + size, 0.0);
  if (!(sum > 0))
    return node.error("expected shares that sum up to more than 0");
  for (std::size_t i = 0; i < size; ++i)
    weights[i] /= sum;
  return Done{};
}

// The one name that is not a pool's own model, else the first pool's model.
std::size_t default_offer(const Fleet& fleet) {
  const auto is_pools_own = [&](const Offer& offer) {
    return std::any_of(fleet.pools.begin(), fleet.pools.end(),
                       [&](const Pool& pool) { return pool.model.id == offer.name; });
  };
  std::vector<std::size_t> names;
  for (std::size_t i = 0; i < fleet.offers.size(); ++i) {
    if (!is_pools_own(fleet.offers[i]))
      names.push_back(i);
  }
  if (names.size() == 1)
    return names.front();
  const auto own = offer_named(fleet, fleet.pools.front().model.id);
  return own.ok() ? own->number() : 0;
}

// One name, or weights by name.
Status read_models(const Node& node, const Fleet& fleet, std::vector<double>& weights) {
  const auto place_of = [&](const std::string& name) -> Result<std::size_t> {
    MEDLEY_TRY(const OfferId offer, offer_named(fleet, name));
    return static_cast<std::size_t>(offer.number());
  };
  if (node.is_map())
    return read_weights(node, place_of, weights.data(), weights.size());
  MEDLEY_TRY(const std::string name, node.text());
  const Result<std::size_t> place = place_of(name);
  if (!place.ok())
    return node.error(place.error().message, place.error().code);
  std::fill(weights.begin(), weights.end(), 0.0);
  weights[*place] = 1;
  return Done{};
}

// The same for all classes, or a map from classes to either form. Weights are numbers: a map that
// holds maps, or something else for a class, is by class.
Status read_models_by_class(const Node& node, const Fleet& fleet, Mix& mix) {
  bool by_class = false;
  if (node.is_map()) {
    MEDLEY_TRY(const auto entries, node.entries());
    by_class = std::any_of(entries.begin(), entries.end(), [](const auto& entry) {
      const auto& [key, value] = entry;
      return value.is_map() || (service_class_named(key) && !value.number().ok());
    });
  }
  if (!by_class) {
    MEDLEY_TRY_STATUS(read_models(node, fleet, mix.models.front()));
    mix.models.fill(mix.models.front());
    return Done{};
  }
  Fields fields(node);
  for (const ServiceClass service_class : kServiceClasses) {
    if (const auto child = fields.child(name_of(service_class))) {
      Status status = read_models(*child, fleet, mix.models[index_of(service_class)]);
      if (!status.ok())
        fields.fail(std::move(status).error());
    }
  }
  return fields.finish();
}

// Weights by whole number.
Status read_priorities(const Node& node, Mix& mix) {
  MEDLEY_TRY(const auto entries, node.entries());
  for (const auto& [name, value] : entries) {
    long long priority = 0;
    const auto [end, failure] = std::from_chars(name.data(), name.data() + name.size(), priority);
    if (failure != std::errc() || end != name.data() + name.size())
      return value.key_error(fmt::format("expected a whole number, got '{}'", name));
    mix.priorities.push_back(priority);
  }
  mix.priority_weights.resize(entries.size());
  std::size_t next = 0;
  const auto place_of = [&next](const std::string&) -> Result<std::size_t> { return next++; };
  return read_weights(node, place_of, mix.priority_weights.data(), mix.priority_weights.size());
}

Result<LongerRule> read_longer(const Node& node, ServiceClass of) {
  Fields fields(node);
  LongerRule rule;
  rule.than_tokens = fields.required_whole("than_tokens", {1, kMaxTokens});
  if (const auto become = fields.required_choice("become", kClasses)) {
    rule.become = kServiceClasses[*become];
    if (rule.become == of)
      fields.fail(fields.child("become")->error("is the class that it has anyway"));
  }
  MEDLEY_TRY_STATUS(fields.finish());
  return rule;
}

Status read_mix(Fields& scenario, const Fleet& fleet, Mix& mix) {
  mix.labels.assign(fleet.labels.size(), 0);
  mix.tenants.assign(fleet.tenants.size(), 0);
  mix.tenants.front() = 1;
  mix.classes[index_of(ServiceClass::kStandard)] = 1;
  mix.labels[fleet.default_label.number()] = 1;
  mix.models.front().assign(fleet.offers.size(), 0);
  mix.models.front()[default_offer(fleet)] = 1;
  mix.models.fill(mix.models.front());

  const auto node = scenario.child("mix");
  if (!node)
    return Done{};
  Fields fields(*node);
  const auto check = [&](Status status) {
    if (!status.ok())
      fields.fail(std::move(status).error());
  };
  if (const auto classes = fields.child("classes")) {
    const auto place_of = [](const std::string& name) -> Result<std::size_t> {
      if (const auto named = service_class_named(name))
        return index_of(*named);
      return Error{ErrorCode::kInvalid,
                   fmt::format("no class '{}'{}", name, suggestion(name, kClasses)),
                   {}};
    };
    check(read_weights(*classes, place_of, mix.classes.data(), mix.classes.size()));
  }
  if (const auto labels = fields.child("labels")) {
    const auto place_of = [&](const std::string& name) -> Result<std::size_t> {
      MEDLEY_TRY(const LabelId label, label_named(fleet, name));
      return static_cast<std::size_t>(label.number());
    };
    check(read_weights(*labels, place_of, mix.labels.data(), mix.labels.size()));
  }
  if (const auto tenants = fields.child("tenants")) {
    const auto place_of = [&](const std::string& name) -> Result<std::size_t> {
      MEDLEY_TRY(const TenantId tenant, tenant_named(fleet, name));
      return static_cast<std::size_t>(tenant.number());
    };
    check(read_weights(*tenants, place_of, mix.tenants.data(), mix.tenants.size()));
  }
  if (const auto priorities = fields.child("priorities"))
    check(read_priorities(*priorities, mix));
  if (const auto model = fields.child("model"))
    check(read_models_by_class(*model, fleet, mix));
  mix.max_tokens_at_least = fields.whole("max_tokens_at_least", Whole{1, kMaxTokens});
  if (const auto longer = fields.child("longer")) {
    Fields rules(*longer);
    for (const ServiceClass service_class : kServiceClasses) {
      if (const auto rule = rules.child(name_of(service_class)))
        rules.take(mix.longer[index_of(service_class)], read_longer(*rule, service_class));
    }
    check(rules.finish());
  }
  return fields.finish();
}

// A replica's number through all pools, or "pool" (its first) or "pool/2" (its third).
Result<ReplicaId> read_replica(const Node& node, const Fleet& fleet) {
  MEDLEY_TRY(const std::string text, node.text());
  const std::size_t count = fleet.replica_count();
  std::size_t index = 0;
  const auto parse = [&](std::string_view digits) {
    const auto [end, failure] =
        std::from_chars(digits.data(), digits.data() + digits.size(), index);
    return failure == std::errc() && end == digits.data() + digits.size();
  };
  std::vector<std::string> names;
  for (const Pool& pool : fleet.pools)
    names.push_back(pool.name);
  const bool is_name = std::find(names.begin(), names.end(), text) != names.end();
  if (!is_name && parse(text)) {
    if (index < count)
      return ReplicaId(index);
    return node.error(fmt::format("expected a replica from 0 to {}, got '{}'", count - 1, text));
  }
  index = 0;
  const std::size_t slash = is_name ? std::string::npos : text.rfind('/');
  const std::string name = text.substr(0, slash);
  std::size_t first = 0;
  for (const Pool& pool : fleet.pools) {
    const auto replicas = static_cast<std::size_t>(pool.replicas);
    if (pool.name != name) {
      first += replicas;
      continue;
    }
    if ((slash != std::string::npos && !parse(std::string_view(text).substr(slash + 1))) ||
        index >= replicas) {
      return node.error(
          fmt::format("pool '{}' has the replicas 0 to {}, got '{}'", name, replicas - 1, text));
    }
    return ReplicaId(first + index);
  }
  return node.error(fmt::format("no pool '{}' in the fleet{}", name, suggestion(name, names)));
}

Result<std::vector<Fault>> read_faults(const Node& node, const Fleet& fleet) {
  MEDLEY_TRY(const std::vector<Node> nodes, node.items());
  std::vector<Fault> faults;
  for (const Node& item : nodes) {
    Fields fields(item);
    Fault fault;
    if (const auto replica = fields.required("replica"))
      fields.take(fault.replica, read_replica(*replica, fleet));
    if (const auto at = fields.required("at_s"))
      fields.take(fault.at_s, at->seconds({.max = kLatest}));
    fault.for_s = fields.seconds("for_s", Bounds{.max = kLatest, .above_min = true});
    fault.slowdown = fields.number("slowdown", Bounds{.min = 1, .max = 1e6});
    MEDLEY_TRY_STATUS(fields.finish());
    faults.push_back(fault);
  }
  return faults;
}

Result<std::vector<Outside>> read_outside(const Node& node, const Fleet& fleet) {
  MEDLEY_TRY(const std::vector<Node> nodes, node.items());
  std::vector<std::string> names;
  for (const Pool& pool : fleet.pools)
    names.push_back(pool.name);
  std::vector<Outside> all;
  for (const Node& item : nodes) {
    Fields fields(item);
    Outside outside;
    const std::string name = fields.required_text("pool");
    if (const auto workload = fields.required("workload"))
      fields.take(outside.workload, read_workload(*workload));
    MEDLEY_TRY_STATUS(fields.finish());
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) {
      return item.find("pool")->error(
          fmt::format("no pool '{}' in the fleet{}", name, suggestion(name, names)));
    }
    outside.pool = PoolId(static_cast<std::size_t>(found - names.begin()));
    if (fleet.pool(outside.pool).metered) {
      return item.find("pool")->error(
          fmt::format("'{}' is a rented service, whose 'metered' law has others in it", name));
    }
    all.push_back(std::move(outside));
  }
  return all;
}

Status read_expected_below(const Node& node, const std::string& prefix,
                           std::map<std::string, Expected>& expected) {
  constexpr Bounds kAny{.min = -1e300, .max = 1e300};
  MEDLEY_TRY(const auto entries, node.entries());
  for (const auto& [key, value] : entries) {
    const std::string name = prefix.empty() ? key : prefix + "." + key;
    Expected figure;
    if (value.is_map() && (value.find("at_least") || value.find("at_most"))) {
      Fields fields(value);
      figure.at_least = fields.number("at_least", figure.at_least, kAny);
      figure.at_most = fields.number("at_most", figure.at_most, kAny);
      MEDLEY_TRY_STATUS(fields.finish());
      if (figure.at_least > figure.at_most)
        return value.error("at_least is above at_most");
    } else if (value.is_map()) {
      MEDLEY_TRY_STATUS(read_expected_below(value, name, expected));
      continue;
    } else {
      MEDLEY_TRY(figure.at_least, value.number(kAny));
      figure.at_most = figure.at_least;
    }
    if (!expected.emplace(name, figure).second)
      return value.key_error("stands here twice");
  }
  return Done{};
}

// From a file of its own, or from the scenario's own keys.
void read_scenario_fleet(Fields& fields, const Catalog& catalog, Fleet& fleet) {
  const FleetOptions options{.resolve_secrets = false};
  const auto node = fields.child("fleet");
  if (!node) {
    if (!fields.has("pools")) {
      fields.ignore("pools");
      fields.fail(fields.node().error("missing key 'fleet', or 'pools' in its place"));
    }
    read_fleet_keys(fields, catalog, options, fleet);
    return;
  }
  if (node->is_map()) {
    fields.take(fleet, read_fleet(*node, catalog, options));
  } else if (const auto path = node->text(); path.ok()) {
    auto read = read_fleet(node->resolve(*path), catalog, options);
    if (!read.ok() && read.error().code == ErrorCode::kNotFound &&
        !std::filesystem::exists(node->resolve(*path))) {
      fields.fail(node->error(read.error().message, ErrorCode::kNotFound));
    } else {
      fields.take(fleet, std::move(read));
    }
  } else {
    fields.fail(path.error());
  }
  for (const char* key :
       {"site", "classes", "labels", "default_label", "tenants", "pools", "accept"}) {
    if (const auto inlined = fields.child(key)) {
      fields.fail(
          inlined->key_error("the fleet comes from 'fleet' here; leave one of the two out"));
    }
  }
  if (const auto placement = read_placement_policy(fields)) {
    fleet.placement = *placement;
    const bool tables = std::any_of(fleet.pools.begin(), fleet.pools.end(),
                                    [](const Pool& pool) { return pool.table.has_value(); });
    if (tables && !counts_only(fleet.placement.kind)) {
      fields.fail(fields.child("placement")->error("not for pools with step_times"));
    }
  }
}

Result<Scenario> read_document(const Node& node, const Catalog& catalog) {
  Fields fields(node);
  Scenario scenario;
  scenario.file = node.file();
  scenario.name = fields.text("name", std::filesystem::path(node.file()).stem().string());
  read_scenario_fleet(fields, catalog, scenario.fleet);
  const auto trace = fields.child("trace");
  const auto workload = fields.child("workload");
  if (trace && workload) {
    fields.fail(workload->key_error("a scenario has either a trace or a workload"));
  } else if (trace) {
    fields.take(scenario.trace, read_trace_spec(*trace, scenario.copies));
  } else if (workload) {
    fields.take(scenario.workload, read_workload(*workload));
  } else {
    fields.fail(node.error("missing key 'trace' or 'workload'"));
  }
  scenario.seed = static_cast<std::uint64_t>(fields.whole("seed", 1));
  if (const auto expected = fields.child("expected")) {
    Status status = read_expected(*expected, scenario.expected);
    if (!status.ok())
      fields.fail(std::move(status).error());
  }
  const auto faults = fields.child("faults");
  const auto outside = fields.child("outside");
  scenario.signals_every_s = fields.seconds("signals_every_s", Bounds{.min = 1e-3, .max = kLatest});
  fields.ignore("mix");
  if (!fields.failed()) {  // these name labels, models and replicas of the fleet
    Status status = read_mix(fields, scenario.fleet, scenario.mix);
    if (!status.ok())
      fields.fail(std::move(status).error());
    if (faults)
      fields.take(scenario.faults, read_faults(*faults, scenario.fleet));
    if (outside)
      fields.take(scenario.outside, read_outside(*outside, scenario.fleet));
  }
  MEDLEY_TRY_STATUS(fields.finish());
  return scenario;
}

// False where every pool is timed by a table and names no device, model or number format.
bool names_of_the_catalog(const Node& node) {
  const auto list = node.find("pools");
  if (!list || node.find("fleet") || node.find("accept"))
    return true;
  const auto pools = list->items();
  return !pools.ok() || std::any_of(pools->begin(), pools->end(), [](const Node& pool) {
    return !pool.find("step_times") || pool.find("device") || pool.find("model") ||
           pool.find("precision");
  });
}

}  // namespace

bool Expected::holds(double figure) const {
  const auto slack = [](double end) { return 1e-6 * std::max(1.0, std::abs(end)); };
  return !(figure < at_least - slack(at_least)) && !(figure > at_most + slack(at_most));
}

Status read_expected(const Node& node, std::map<std::string, Expected>& expected) {
  return read_expected_below(node, "", expected);
}

std::string text_of(const Expected& expected) {
  if (expected.at_least == expected.at_most)
    return fmt::format("{}", expected.at_least);
  std::string text;
  if (std::isfinite(expected.at_least))
    text = fmt::format("at least {}", expected.at_least);
  if (std::isfinite(expected.at_most))
    text += fmt::format("{}at most {}", text.empty() ? "" : " and ", expected.at_most);
  return text;
}

Result<Scenario> read_scenario(const std::string& path, const std::string& catalog_folder) {
  MEDLEY_TRY(const Node node, read_yaml(path));
  if (!names_of_the_catalog(node))
    return read_document(node, Catalog());
  MEDLEY_TRY(const Catalog catalog, read_catalog(catalog_folder));
  return read_document(node, catalog);
}

Result<Scenario> read_scenario(const std::string& path, const Catalog& catalog) {
  MEDLEY_TRY(const Node node, read_yaml(path));
  return read_document(node, catalog);
}

Result<Scenario> parse_scenario(std::string_view text, const std::string& name,
                                const Catalog& catalog) {
  MEDLEY_TRY(const Node node, parse_yaml(text, name));
  return read_document(node, catalog);
}

}  // namespace medley::data
