#include "simulate/workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/digest.h"
#include "base/prng.h"
#include "data/fleet_file.h"
#include "simulate/generator.h"
#include "simulate/step_tables.h"

namespace medley::simulate {
namespace {

// Streams of random numbers, one a purpose.
enum Purpose : std::uint64_t {
  kClass = 101,
  kLabel,
  kModel,
  kCopy = 110,
  kTenant,
  kOutside,
  kPriority
};  // others: generator.cc

// As many as a generated workload may have.
constexpr std::size_t kMostRequests = 100'000'000;
constexpr double kLatest = 1e9;  // seconds, as for the rows of a trace
// Of the names of what prompts have in common. Mooncake's are multiples of it.
constexpr long long kBlockTokens = 64;

// The first so many tokens of a prompt are those of an earlier row.
struct InCommon {
  std::uint64_t row = 0;
  long long tokens = 0;
};

std::vector<Arrival> generate(const data::WorkloadSpec& spec, std::uint64_t seed,
                              std::vector<std::size_t>& stream_of,
                              std::vector<InCommon>& in_common) {
  std::vector<Arrival> arrivals;
  const bool several = spec.streams.size() > 1;
  if (!several && spec.streams.front().requests)
    arrivals.reserve(static_cast<std::size_t>(*spec.streams.front().requests));
  WorkloadGenerator generator(spec, seed);
  while (const std::optional<GeneratedRequest> made = generator.next()) {
    Arrival arrival;
    arrival.request.arrived_at = round_to_instant(Seconds(made->arrived_s));
    arrival.request.prompt_tokens = Tokens(made->prompt_tokens);
    arrival.output_tokens = made->output_tokens;
    arrivals.push_back(arrival);
    if (several)
      stream_of.push_back(made->stream);
    in_common.push_back({made->prefix_of, made->prefix_tokens});
  }
  return arrivals;
}

// Names what prompts have in common, where a replica could find it again: of each prompt as many
// blocks as it shares with any other. The names are of the row and the place where something comes
// first, and of label and tenant. `arrivals` are whole copies of the rows; copies have nothing in
// common.
void name_prefixes(const Fleet& fleet, const std::vector<InCommon>& in_common,
                   long long block_tokens, std::vector<Arrival>& arrivals) {
  const bool any_caches = std::any_of(fleet.pools.begin(), fleet.pools.end(), [](const Pool& pool) {
    return pool.batching.prefix_caching;
  });
  if (!any_caches)
    return;
  std::vector<std::size_t> blocks(in_common.size());
  for (std::size_t row = in_common.size(); row-- > 0;) {
    const auto own = static_cast<std::size_t>(in_common[row].tokens / block_tokens);
    blocks[row] = std::max(blocks[row], own);
    if (own > 0)
      blocks[in_common[row].row] = std::max(blocks[in_common[row].row], own);
  }
  std::vector<std::vector<std::uint64_t>> contents(in_common.size());
  for (std::size_t row = 0; row < in_common.size(); ++row) {
    const std::vector<std::uint64_t>& earlier = contents[in_common[row].row];
    const auto repeated = static_cast<std::size_t>(in_common[row].tokens / block_tokens);
    for (std::size_t i = 0; i < blocks[row]; ++i) {
      Digest name;
      name.add(row);
      name.add(i);
      contents[row].push_back(i < repeated ? earlier[i] : name.value());
    }
  }
  for (std::size_t i = 0; i < arrivals.size(); ++i) {
    const std::vector<std::uint64_t>& content = contents[i % contents.size()];
    if (content.empty())
      continue;
    auto chain = std::make_shared<PrefixChain>();
    chain->block_tokens = block_tokens;
    for (const std::uint64_t block : content) {
      Digest name;
      name.add(block);
      name.add(arrivals[i].request.label.number());
      name.add(arrivals[i].request.tenant.number());
      name.add(i / contents.size());
      chain->blocks.push_back(name.value());
    }
    arrivals[i].request.prefix = std::move(chain);
  }
}

void draw_mix(const data::Scenario& scenario, std::vector<Arrival>& arrivals) {
  for (std::size_t i = 0; i < arrivals.size(); ++i) {
    Request& request = arrivals[i].request;
    request.id = RequestId(i);
    request.service_class =
        kServiceClasses[Prng::stream(scenario.seed, kClass, i).pick(scenario.mix.classes)];
    if (const auto& rule = scenario.mix.longer[index_of(request.service_class)]) {
      const long long answer = std::max(arrivals[i].output_tokens, data::kLeastAnswer);
      if (request.prompt_tokens.count() + answer > rule->than_tokens)
        request.service_class = rule->become;
    }
    if (const auto& least = scenario.mix.max_tokens_at_least)
      request.output_cap = Tokens(std::max(arrivals[i].output_tokens, *least));
    request.label = LabelId(Prng::stream(scenario.seed, kLabel, i).pick(scenario.mix.labels));
    if (scenario.mix.tenants.size() > 1)
      request.tenant = TenantId(Prng::stream(scenario.seed, kTenant, i).pick(scenario.mix.tenants));
    if (!scenario.mix.priorities.empty()) {
      request.priority = scenario.mix.priorities[Prng::stream(scenario.seed, kPriority, i)
                                                     .pick(scenario.mix.priority_weights)];
    }
    request.model = OfferId(Prng::stream(scenario.seed, kModel, i)
                                .pick(scenario.mix.models[index_of(request.service_class)]));
  }
}

// What the trace itself says of class, label and model goes before the mix.
Status take_from_rows(const data::Scenario& scenario, const std::vector<data::TraceRequest>& rows,
                      std::vector<Arrival>& arrivals) {
  const auto in_row = [&](std::size_t row, Error error) {
    error.message = fmt::format("{}: request {}: {}", scenario.trace->path, row, error.message);
    return error;
  };
  for (std::size_t i = 0; i < arrivals.size(); ++i) {
    Request& request = arrivals[i].request;
    const std::size_t place = i % rows.size();  // of several copies
    const data::TraceRequest& row = rows[place];
    if (row.service_class)
      request.service_class = *row.service_class;
    if (!row.label.empty()) {
      Result<LabelId> label = data::label_named(scenario.fleet, row.label);
      if (!label.ok())
        return in_row(place, label.error());
      request.label = *label;
    }
    if (!row.model.empty()) {
      Result<OfferId> model = data::offer_named(scenario.fleet, row.model);
      if (!model.ok())
        return in_row(place, model.error());
      request.model = *model;
    }
    if (!row.tenant.empty()) {
      Result<TenantId> tenant = data::tenant_named(scenario.fleet, row.tenant);
      if (!tenant.ok())
        return in_row(place, tenant.error());
      request.tenant = *tenant;
    }
    if (row.priority != 0)
      request.priority = row.priority;
  }
  return Done{};
}

// What a stream of the workload says of its requests goes before the mix.
Status take_from_streams(const data::Scenario& scenario, const std::vector<std::size_t>& stream_of,
                         std::vector<Arrival>& arrivals) {
  const std::vector<data::WorkloadStream>& streams = scenario.workload->streams;
  std::vector<std::optional<LabelId>> labels(streams.size());
  std::vector<std::optional<OfferId>> models(streams.size());
  std::vector<std::optional<TenantId>> tenants(streams.size());
  for (std::size_t i = 0; i < streams.size(); ++i) {
    const auto in_stream = [&](Error error) {
      error.message = fmt::format("{}: workload {}: {}", scenario.file, i, error.message);
      return error;
    };
    if (!streams[i].label.empty()) {
      Result<LabelId> label = data::label_named(scenario.fleet, streams[i].label);
      if (!label.ok())
        return in_stream(label.error());
      labels[i] = *label;
    }
    if (!streams[i].model.empty()) {
      Result<OfferId> model = data::offer_named(scenario.fleet, streams[i].model);
      if (!model.ok())
        return in_stream(model.error());
      models[i] = *model;
    }
    if (!streams[i].tenant.empty()) {
      Result<TenantId> tenant = data::tenant_named(scenario.fleet, streams[i].tenant);
      if (!tenant.ok())
        return in_stream(tenant.error());
      tenants[i] = *tenant;
    }
  }
  for (std::size_t row = 0; row < arrivals.size(); ++row) {
    const std::size_t i = stream_of.empty() ? 0 : stream_of[row];
    Request& request = arrivals[row].request;
    request.service_class = streams[i].service_class.value_or(request.service_class);
    request.label = labels[i].value_or(request.label);
    request.model = models[i].value_or(request.model);
    request.tenant = tenants[i].value_or(request.tenant);
    if (streams[i].priority != 0)
      request.priority = streams[i].priority;
  }
  return Done{};
}

// When the rows of each copy come, in place of when they stand in the trace.
void turn_copies(const data::Scenario& scenario, const std::vector<data::TraceRequest>& rows,
                 std::vector<Arrival>& arrivals) {
  const double wrap_s = scenario.copies->wrap_s;
  for (std::size_t first = 0; first < arrivals.size(); first += rows.size()) {
    const std::size_t copy = first / rows.size();
    const double offset_s = Prng::stream(scenario.seed, kCopy, copy).uniform() * wrap_s;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const double since_first_s = rows[i].arrived_s - rows.front().arrived_s;
      const double turned_s = std::fmod(since_first_s + offset_s, wrap_s);
      arrivals[first + i].request.arrived_at = round_to_instant(
          Seconds(turned_s * scenario.trace->time_scale + scenario.trace->start_s));
    }
  }
}

// What is to be done about a trace that is not there.
Error without_trace(const data::Scenario& scenario, Error error) {
  if (error.code != ErrorCode::kNotFound)
    return error;
  const data::TraceSpec& spec = *scenario.trace;
  error.message = fmt::format("{}: trace.path: {}; ", scenario.file, error.message);
  if (!spec.origin.empty())
    error.message += fmt::format("it is {}: put it there, or ", spec.origin);
  error.message += "name a trace with --trace FILE";
  if (!spec.shared.empty())
    error.message += fmt::format(", or let MEDLEY_SHARED name a folder with {}", spec.shared);
  return error;
}

Result<std::vector<Arrival>> arrivals_of_trace(const data::Scenario& scenario) {
  data::TraceSpec spec = *scenario.trace;
  if (scenario.copies) {  // the trace's own time first: it is turned before it is scaled
    spec.time_scale = 1;
    spec.start_s = 0;
  }
  const Result<std::vector<data::TraceRequest>> read = data::read_trace(spec);
  if (!read.ok())
    return without_trace(scenario, read.error());
  const std::vector<data::TraceRequest>& rows = *read;
  const auto copies = static_cast<std::size_t>(scenario.copies ? scenario.copies->count : 1);
  if (rows.size() > kMostRequests / copies) {
    return Error{ErrorCode::kInvalid,
                 fmt::format("{}: trace.copies: {} copies of {} requests are more than {}",
                             scenario.file, copies, rows.size(), kMostRequests),
                 "trace.copies"};
  }
  if (const data::TraceSpec& stated = *scenario.trace;
      scenario.copies && scenario.copies->wrap_s * stated.time_scale + stated.start_s > kLatest) {
    return Error{ErrorCode::kInvalid,
                 fmt::format("{}: trace.wrap_s: time_scale and start_s move arrivals to {:.3g} s, "
                             "expected at most {:.0f}",
                             scenario.file,
                             scenario.copies->wrap_s * stated.time_scale + stated.start_s, kLatest),
                 "trace.wrap_s"};
  }
  std::vector<Arrival> arrivals(rows.size() * copies);
  for (std::size_t i = 0; i < arrivals.size(); ++i) {
    const data::TraceRequest& row = rows[i % rows.size()];
    arrivals[i].request.arrived_at = row.arrived;
    arrivals[i].request.prompt_tokens = row.prompt;
    arrivals[i].output_tokens = row.output.count();
  }
  // Drawn by copy and row, so that a request keeps its class, label and model wherever it comes.
  draw_mix(scenario, arrivals);
  MEDLEY_TRY_STATUS(take_from_rows(scenario, rows, arrivals));
  std::vector<InCommon> in_common;
  for (const data::TraceRequest& row : rows)
    in_common.push_back({row.prefix_of, row.prefix.count()});
  name_prefixes(scenario.fleet, in_common, kBlockTokens, arrivals);
  if (scenario.copies) {
    turn_copies(scenario, rows, arrivals);
    std::stable_sort(arrivals.begin(), arrivals.end(), [](const Arrival& a, const Arrival& b) {
      return a.request.arrived_at < b.request.arrived_at;
    });
    for (std::size_t i = 0; i < arrivals.size(); ++i)
      arrivals[i].request.id = RequestId(i);
  }
  return arrivals;
}

}  // namespace

Result<std::vector<Arrival>> make_arrivals(const data::Scenario& scenario) {
  if (scenario.trace)
    return arrivals_of_trace(scenario);
  std::vector<Arrival> arrivals;
  const data::WorkloadSpec& workload = scenario.workload.value();
  std::vector<std::size_t> stream_of;  // by row; empty: all of the one stream
  std::vector<InCommon> in_common;
  arrivals = generate(workload, scenario.seed, stream_of, in_common);
  draw_mix(scenario, arrivals);
  MEDLEY_TRY_STATUS(take_from_streams(scenario, stream_of, arrivals));
  name_prefixes(scenario.fleet, in_common, kBlockTokens, arrivals);
  return arrivals;
}

std::vector<OutsideArrival> make_outside(const data::Scenario& scenario,
                                         const std::vector<Arrival>& arrivals) {
  std::vector<OutsideArrival> all;
  const std::vector<PoolId> owners = scenario.fleet.pools_of_replicas();
  for (std::size_t i = 0; i < scenario.outside.size() && !arrivals.empty(); ++i) {
    const data::Outside& outside = scenario.outside[i];
    const auto first = std::find(owners.begin(), owners.end(), outside.pool) - owners.begin();
    const auto replicas = static_cast<std::uint64_t>(scenario.fleet.pool(outside.pool).replicas);
    Prng place = Prng::stream(scenario.seed, kOutside, i);
    WorkloadGenerator generator(outside.workload, place.next());
    while (const std::optional<GeneratedRequest> made = generator.next()) {
      const Instant at = round_to_instant(Seconds(made->arrived_s));
      if (at > arrivals.back().request.arrived_at)
        break;
      all.push_back({at, ReplicaId(static_cast<std::uint64_t>(first) + place.below(replicas)),
                     made->prompt_tokens, made->output_tokens});
    }
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const OutsideArrival& a, const OutsideArrival& b) { return a.at < b.at; });
  return all;
}

Duration signals_every(const data::Scenario& scenario) {
  return round_to_duration(Seconds(scenario.signals_every_s.value_or(0)));
}

Result<std::vector<Fault>> make_faults(const data::Scenario& scenario) {
  std::vector<Fault> faults;
  for (const data::Fault& stated : scenario.faults) {
    const Instant at = round_to_instant(Seconds(stated.at_s));
    const Duration forever = Instant::max() - at;
    faults.push_back(
        {stated.replica, at,
         stated.for_s ? std::min(forever, round_to_duration(Seconds(*stated.for_s))) : forever,
         stated.slowdown});
  }
  std::stable_sort(faults.begin(), faults.end(),
                   [](const Fault& a, const Fault& b) { return a.at < b.at; });
  for (std::size_t i = 0; i < faults.size(); ++i) {
    for (std::size_t j = i + 1; j < faults.size(); ++j) {
      if (faults[i].replica == faults[j].replica && faults[j].at < faults[i].at + faults[i].lasts) {
        return Error{
            ErrorCode::kInvalid,
            fmt::format("{}: faults: replica {} has a fault at {} s while another one lasts; give "
                        "one after the other",
                        scenario.file, faults[i].replica.number(),
                        to_seconds(faults[j].at).value()),
            "faults"};
      }
    }
  }
  return faults;
}

Result<perf::PerfModel> make_models(const Fleet& fleet) {
  perf::PerfModel models;
  for (const Pool& pool : fleet.pools) {
    MEDLEY_TRY(perf::PoolModel model,
               pool.table ? make_table_model(pool) : perf::make_pool_model(pool));
    models.pools.push_back(std::move(model));
  }
  return models;
}

}  // namespace medley::simulate
