#include "simulate/workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/prng.h"
#include "data/fleet_file.h"
#include "simulate/step_tables.h"

namespace medley::simulate {
namespace {

// Streams of random numbers, one a purpose.
enum Purpose : std::uint64_t { kClass = 101, kLabel, kModel, kGap, kPrompt, kOutput };

long long draw_length(const data::LengthLaw& law, std::uint64_t seed, Purpose purpose,
                      std::uint64_t index) {
  Prng prng = Prng::stream(seed, purpose, index);
  const double drawn = law.sigma > 0 ? prng.log_normal(law.median, law.sigma) : law.median;
  return std::clamp(std::llround(std::min(drawn, 1e15)), 1LL, law.max);
}

std::vector<Arrival> generate(const data::WorkloadSpec& spec, std::uint64_t seed) {
  std::vector<Arrival> arrivals(static_cast<std::size_t>(spec.requests));
  Prng gaps = Prng::stream(seed, kGap);
  double at_s = 0;
  for (std::size_t i = 0; i < arrivals.size(); ++i) {
    const double mean_gap_s = 1 / spec.rate_per_s;
    at_s += spec.arrivals == data::Arrivals::kPoisson ? gaps.exponential(mean_gap_s) : mean_gap_s;
    arrivals[i].request.arrived_at = round_to_instant(Seconds(at_s));
    arrivals[i].request.prompt_tokens = Tokens(draw_length(spec.prompt_tokens, seed, kPrompt, i));
    arrivals[i].output_tokens = draw_length(spec.output_tokens, seed, kOutput, i);
  }
  return arrivals;
}

void draw_mix(const data::Scenario& scenario, std::vector<Arrival>& arrivals) {
  for (std::size_t i = 0; i < arrivals.size(); ++i) {
    Request& request = arrivals[i].request;
    request.id = RequestId(i);
    request.service_class =
        kServiceClasses[Prng::stream(scenario.seed, kClass, i).pick(scenario.mix.classes)];
    request.label = LabelId(Prng::stream(scenario.seed, kLabel, i).pick(scenario.mix.labels));
    request.model = OfferId(Prng::stream(scenario.seed, kModel, i).pick(scenario.mix.models));
  }
}

// What the trace itself says of class, label and model goes before the mix.
Status take_from_rows(const data::Scenario& scenario, const std::vector<data::TraceRequest>& rows,
                      std::vector<Arrival>& arrivals) {
  const auto in_row = [&](std::size_t row, Error error) {
    error.message = fmt::format("{}: request {}: {}", scenario.trace->path, row, error.message);
    return error;
  };
  for (std::size_t i = 0; i < rows.size(); ++i) {
    Request& request = arrivals[i].request;
    if (rows[i].service_class)
      request.service_class = *rows[i].service_class;
    if (!rows[i].label.empty()) {
      Result<LabelId> label = data::label_named(scenario.fleet, rows[i].label);
      if (!label.ok())
        return in_row(i, label.error());
      request.label = *label;
    }
    if (!rows[i].model.empty()) {
      Result<OfferId> model = data::offer_named(scenario.fleet, rows[i].model);
      if (!model.ok())
        return in_row(i, model.error());
      request.model = *model;
    }
  }
  return Done{};
}

}  // namespace

Result<std::vector<Arrival>> make_arrivals(const data::Scenario& scenario) {
  std::vector<Arrival> arrivals;
  if (scenario.trace) {
    MEDLEY_TRY(const std::vector<data::TraceRequest> rows, data::read_trace(*scenario.trace));
    arrivals.resize(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      arrivals[i].request.arrived_at = rows[i].arrived;
      arrivals[i].request.prompt_tokens = rows[i].prompt;
      arrivals[i].output_tokens = rows[i].output.count();
    }
    draw_mix(scenario, arrivals);
    MEDLEY_TRY_STATUS(take_from_rows(scenario, rows, arrivals));
    return arrivals;
  }
  arrivals = generate(scenario.workload.value(), scenario.seed);
  draw_mix(scenario, arrivals);
  return arrivals;
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
