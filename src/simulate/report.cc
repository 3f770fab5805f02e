#include "simulate/report.h"

#include <fmt/format.h>

#include <iterator>

namespace medley::simulate {
namespace {

struct Samples {
  std::vector<double> ttft_s, tpot_s, e2e_s;

  void add(const RequestRecord& record) {
    if (const auto value = record.ttft_s())
      ttft_s.push_back(*value);
    if (const auto value = record.tpot_s())
      tpot_s.push_back(*value);
    if (const auto value = record.e2e_s())
      e2e_s.push_back(*value);
  }
  Latencies summarised() {
    return {summarise(std::move(ttft_s)), summarise(std::move(tpot_s)),
            summarise(std::move(e2e_s))};
  }
};

double share(double part, double whole) { return whole > 0 ? part / whole : 0; }

// The price of a joule of idle hardware: the mean of the day.
double mean_energy_price(const Fleet& fleet) {
  double sum = 0;
  for (int hour = 0; hour < 24; ++hour)
    sum += fleet.energy_price(Instant(std::chrono::hours(hour))).value();
  return sum / 24;
}

std::string csv_text(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos)
    return text;
  std::string quoted = "\"";
  for (const char c : text)
    quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + '"';
}

std::string csv_time(const std::optional<double>& seconds) {
  return seconds ? fmt::format("{:.9f}", *seconds) : "";
}

}  // namespace

Report make_report(const std::string& name, const Fleet& fleet, const SimulationResult& result) {
  Report report;
  report.name = name;
  report.simulated_s = result.simulated_s;
  report.evictions = result.evictions;
  report.steps = result.steps;
  report.wake_ups = result.wake_ups;
  report.decision_digest = result.digest.hex();

  const std::vector<PoolId> owners = fleet.pools_of_replicas();
  for (std::size_t i = 0; i < fleet.pools.size(); ++i)
    report.pools.push_back({.pool = PoolId(i)});
  std::array<ClassReport, kServiceClassCount> classes;
  std::array<Samples, kServiceClassCount> samples;
  Samples all;
  for (const RequestRecord& record : result.requests) {
    const std::size_t index = index_of(record.request.service_class);
    ClassReport& of_class = classes[index];
    ++report.requests;
    ++of_class.requests;
    switch (record.outcome) {
      case RequestOutcome::kRejected:
        ++report.rejected;
        ++of_class.rejected;
        continue;
      case RequestOutcome::kFailed:
        ++report.failed;
        ++of_class.failed;
        continue;
      case RequestOutcome::kUnfinished:
        ++report.unfinished;
        ++of_class.unfinished;
        continue;
      case RequestOutcome::kCompleted:
        ++report.completed;
        ++of_class.completed;
        break;
    }
    if (record.kept) {
      ++report.kept;
      ++of_class.kept;
    }
    report.truncated += record.truncated;
    report.prompt_tokens += record.request.prompt_tokens.count();
    report.output_tokens += record.output_tokens;
    report.request_joules += record.joules;
    report.request_money += record.money;
    of_class.joules += record.joules;
    of_class.money += record.money;
    all.add(record);
    samples[index].add(record);
    PoolReport& pool = report.pools[owners[record.replica->number()].number()];
    ++pool.requests;
    pool.prompt_tokens += record.request.prompt_tokens.count();
    pool.output_tokens += record.output_tokens;
    if (fleet.pool(pool.pool).metered)
      pool.money += record.money;
  }
  report.attainment = share(static_cast<double>(report.kept), static_cast<double>(report.requests));
  report.goodput_per_s = share(static_cast<double>(report.kept), report.simulated_s);
  report.latencies = all.summarised();
  for (std::size_t i = 0; i < kServiceClassCount; ++i) {
    ClassReport& of_class = classes[i];
    if (of_class.requests == 0)
      continue;
    of_class.service_class = kServiceClasses[i];
    of_class.attainment =
        share(static_cast<double>(of_class.kept), static_cast<double>(of_class.requests));
    of_class.goodput_per_s = share(static_cast<double>(of_class.kept), report.simulated_s);
    of_class.latencies = samples[i].summarised();
    report.classes.push_back(of_class);
  }

  const double energy_price = mean_energy_price(fleet);
  for (const ReplicaRecord& replica : result.replicas) {
    PoolReport& pool = report.pools[replica.pool.number()];
    const Pool& facts = fleet.pool(replica.pool);
    if (facts.metered)
      continue;
    pool.steps += replica.usage.steps;
    pool.extrapolated_steps += replica.usage.extrapolated_steps;
    report.extrapolated_steps += replica.usage.extrapolated_steps;
    pool.use += share(replica.usage.busy_s, report.simulated_s * facts.replicas);
    const double joules = replica.usage.joules + replica.idle_joules.value_or(0);
    if (replica.idle_joules)
      pool.idle_joules = pool.idle_joules.value_or(0) + *replica.idle_joules;
    pool.joules += joules;
    pool.money += joules * energy_price;
  }
  for (const PoolReport& pool : report.pools) {
    report.joules += pool.joules;
    report.money += pool.money;
  }
  return report;
}

std::string to_csv(const Fleet& fleet, const SimulationResult& result) {
  const std::vector<PoolId> owners = fleet.pools_of_replicas();
  std::string out =
      "request_id,arrived_s,first_token_s,finished_s,prompt_tokens,output_tokens,class,label,model,"
      "outcome,reason,"
      "pool,replica,dispatched_s,predicted_ttft_s,predicted_tpot_s,kept,joules,money\n";
  out.reserve(result.requests.size() * 160);
  for (const RequestRecord& record : result.requests) {
    const bool completed = record.outcome == RequestOutcome::kCompleted;
    const bool placed = record.replica.has_value();
    fmt::format_to(std::back_inserter(out),
                   "{},{:.9f},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{:d},{:.9g},{:.9g}\n",
                   record.request.id.number(), record.arrived_s,
                   csv_time(completed ? record.first_token_s : std::nullopt),
                   csv_time(record.finished_s), record.request.prompt_tokens.count(),
                   record.output_tokens, name_of(record.request.service_class),
                   csv_text(fleet.labels.at(record.request.label.number()).name),
                   csv_text(fleet.offers.at(record.request.model.number()).name),
                   name_of(record.outcome), record.reason ? sched::name_of(*record.reason) : "",
                   placed ? csv_text(fleet.pool(owners[record.replica->number()]).name) : "",
                   placed ? std::to_string(record.replica->number()) : "",
                   csv_time(record.dispatched_s),
                   record.predicted ? fmt::format("{:.9f}", record.predicted->ttft_s) : "",
                   record.predicted ? fmt::format("{:.9f}", record.predicted->tpot_s) : "",
                   record.kept, record.joules, record.money);
  }
  return out;
}

}  // namespace medley::simulate
