#include "simulate/report.h"

#include <fmt/format.h>

#include "simulate/trace_stats.h"

namespace medley::simulate {
namespace {

double share(double part, double whole) { return whole > 0 ? part / whole : 0; }

}  // namespace

WindowCounts& WindowCounts::operator+=(const WindowCounts& other) {
  admitted += other.admitted;
  promised += other.promised;
  kept += other.kept;
  broken += other.broken;
  lost += other.lost;
  no_limit += other.no_limit;
  return *this;
}

std::optional<double> Report::share_of_bound() const {
  if (!bound || !(bound->net_value > 0))
    return std::nullopt;
  return net_value() / bound->net_value;
}

std::string bound_text(const Report& report) {
  if (!report.bound_left_out.empty())
    return fmt::format("share of the bound: not worked out, {}", report.bound_left_out);
  if (!report.bound)
    return "";
  const std::optional<double> share = report.share_of_bound();
  if (!share)
    return "share of the bound: none, since no request is worth what it costs";
  return fmt::format(
      "{:.1f} % of the bound, which no policy could exceed (it may be up to {:.1f} % too high)",
      *share * 100, report.bound->gap * 100);
}

std::optional<double> Report::value_goodput() const {
  return value_offered > 0 ? std::optional(value_kept / value_offered) : std::nullopt;
}

std::optional<double> Report::money_per_good() const {
  return kept > 0 ? std::optional(money / static_cast<double>(kept)) : std::nullopt;
}

std::optional<double> Report::joules_per_good() const {
  return kept > 0 && joules > 0 ? std::optional(joules / static_cast<double>(kept)) : std::nullopt;
}

double Report::jain_of_attainment() const {
  std::vector<double> shares;
  for (const TenantReport& tenant : tenants) {
    if (tenant.requests > 0)
      shares.push_back(tenant.attainment());
  }
  return jain_index(shares);
}

double Report::jain_of_service(const Fleet& fleet) const {
  std::vector<double> shares;
  for (const TenantReport& tenant : tenants) {
    if (tenant.requests > 0)
      shares.push_back(static_cast<double>(tenant.prompt_tokens + tenant.output_tokens) /
                       fleet.tenants.at(tenant.tenant.number()).weight);
  }
  return jain_index(shares);
}

ReportBuilder::ReportBuilder(const Fleet& fleet, bool curves)
    : fleet_(fleet), curves_(curves), owners_(fleet.pools_of_replicas()) {
  for (std::size_t i = 0; i < fleet.pools.size(); ++i)
    report_.pools.push_back({.pool = PoolId(i)});
  for (std::size_t i = 0; i < fleet.tenants.size(); ++i)
    report_.tenants.push_back({.tenant = TenantId(i)});
}

void ReportBuilder::add(const RequestRecord& record) {
  ClassReport& of_class = classes_[index_of(record.request.service_class)];
  const double value = fleet_.policy(record.request.service_class).value.value();
  TenantReport& of_tenant = report_.tenants.at(record.request.tenant.number());
  ++report_.requests;
  ++of_class.requests;
  ++of_tenant.requests;
  ++of_tenant.class_requests[index_of(record.request.service_class)];
  of_tenant.value_offered += value;
  report_.value_offered += value;
  WindowCounts& windows = of_class.windows;
  windows.admitted += record.scheduled;
  const bool promised = record.window_outcome != WindowOutcome::kNone;
  windows.promised += promised;
  windows.no_limit += record.scheduled && !promised && !record.request.output_cap;
  windows.kept += record.window_outcome == WindowOutcome::kKept;
  windows.lost += record.window_outcome == WindowOutcome::kLost;
  windows.broken = windows.promised - windows.kept;
  switch (record.outcome) {
    case RequestOutcome::kRejected:
      ++report_.rejected;
      ++of_class.rejected;
      ++of_tenant.rejected;
      if (record.reason)
        ++report_.refused_for[std::string(sched::name_of(*record.reason))];
      return;
    case RequestOutcome::kFailed:
      ++report_.failed;
      ++of_class.failed;
      if (record.money > 0) {  // a rented service's answer that broke
        report_.request_money += record.money;
        of_class.money += record.money;
        report_.pools[owners_[record.replica->number()].number()].money += record.money;
      }
      return;
    case RequestOutcome::kUnfinished:
      ++report_.unfinished;
      ++of_class.unfinished;
      return;
    case RequestOutcome::kCompleted:
      ++report_.completed;
      ++of_class.completed;
      ++of_tenant.completed;
      break;
  }
  if (record.kept) {
    report_.value_kept += value;
    ++report_.kept;
    ++of_class.kept;
    ++of_tenant.kept;
    ++of_tenant.class_kept[index_of(record.request.service_class)];
    of_tenant.value_kept += value;
  }
  of_tenant.prompt_tokens += record.request.prompt_tokens.count();
  of_tenant.output_tokens += record.output_tokens;
  report_.truncated += record.truncated;
  report_.prompt_tokens += record.request.prompt_tokens.count();
  report_.output_tokens += record.output_tokens;
  report_.request_joules += record.joules;
  report_.request_money += record.money;
  of_class.joules += record.joules;
  of_class.money += record.money;
  Samples& samples = samples_[index_of(record.request.service_class)];
  const auto sample = [](std::vector<double>& values, const std::optional<double>& value) {
    if (value)
      values.push_back(*value);
  };
  sample(samples.ttft_s, record.ttft_s());
  sample(samples.tpot_s, record.tpot_s());
  sample(samples.e2e_s, record.e2e_s());
  PoolReport& pool = report_.pools[owners_[record.replica->number()].number()];
  ++pool.requests;
  pool.prompt_tokens += record.request.prompt_tokens.count();
  pool.output_tokens += record.output_tokens;
  if (fleet_.pool(pool.pool).metered)
    pool.money += record.money;
}

Report ReportBuilder::finish(const std::string& name, const SimulationResult& result) && {
  Report report = std::move(report_);
  report.name = name;
  report.simulated_s = result.simulated_s;
  report.evictions = result.evictions;
  report.preemptions = result.preemptions;
  report.steps = result.steps;
  report.wake_ups = result.wake_ups;
  report.power = result.power;
  report.prediction_error = result.prediction_error;
  report.prefill_error = result.prefill_error;
  report.decision_digest = result.digest.hex();
  report.attainment = share(static_cast<double>(report.kept), static_cast<double>(report.requests));
  report.goodput_per_s = share(static_cast<double>(report.kept), report.simulated_s);

  Samples all;
  for (std::size_t i = 0; i < kServiceClassCount; ++i) {
    ClassReport& of_class = classes_[i];
    if (of_class.requests == 0)
      continue;
    of_class.service_class = kServiceClasses[i];
    of_class.attainment =
        share(static_cast<double>(of_class.kept), static_cast<double>(of_class.requests));
    of_class.goodput_per_s = share(static_cast<double>(of_class.kept), report.simulated_s);
    for (const auto values : {&Samples::ttft_s, &Samples::tpot_s, &Samples::e2e_s}) {
      const std::vector<double>& of_one = samples_[i].*values;
      // One class alone is all there is.
      if (of_class.requests < report.requests)
        (all.*values).insert((all.*values).end(), of_one.begin(), of_one.end());
    }
    Samples& samples = samples_[i];
    if (curves_) {
      of_class.curves = {distribution(samples.ttft_s), distribution(samples.tpot_s),
                         distribution(samples.e2e_s)};
    }
    of_class.latencies = {summarise(std::move(samples.ttft_s)),
                          summarise(std::move(samples.tpot_s)),
                          summarise(std::move(samples.e2e_s))};
    report.classes.push_back(of_class);
  }
  if (report.classes.size() == 1) {
    report.latencies = report.classes.front().latencies;
  } else {
    report.latencies = {summarise(std::move(all.ttft_s)), summarise(std::move(all.tpot_s)),
                        summarise(std::move(all.e2e_s))};
  }

  for (const ReplicaRecord& replica : result.replicas) {
    PoolReport& pool = report.pools[replica.pool.number()];
    const Pool& facts = fleet_.pool(replica.pool);
    if (facts.metered)
      continue;
    pool.steps += replica.usage.steps;
    pool.extrapolated_steps += replica.usage.extrapolated_steps;
    pool.reused_tokens += replica.usage.reused_tokens;
    report.extrapolated_steps += replica.usage.extrapolated_steps;
    pool.use += share(replica.usage.busy_s, report.simulated_s * facts.replicas);
    const double joules = replica.usage.joules + replica.idle_joules.value_or(0);
    if (replica.idle_joules)
      pool.idle_joules = pool.idle_joules.value_or(0) + *replica.idle_joules;
    pool.joules += joules;
  }
  for (PoolReport& pool : report.pools) {
    if (!fleet_.pool(pool.pool).metered && !result.energy_cost.empty())
      pool.money = result.energy_cost[pool.pool.number()].value();
    report.joules += pool.joules;
    report.money += pool.money;
  }
  return report;
}

std::string unknown_energy(const Report& report, const Fleet& fleet) {
  std::string unknown;
  for (const PoolReport& pool : report.pools) {
    const Pool& facts = fleet.pool(pool.pool);
    const bool no_energy = facts.metered || !(pool.joules > 0);
    if (no_energy || !pool.idle_joules) {
      unknown += fmt::format("{}the {} of {}", unknown.empty() ? "" : ", ",
                             no_energy ? "energy" : "idle draw", facts.name);
    }
  }
  return unknown;
}

std::string power_text(const PowerFigures& power) {
  if (!(power.peak_kw > 0))
    return {};
  std::string text = fmt::format("peak draw {:.4g} kW at the meter", power.peak_kw);
  if (power.peak_of_limit) {
    text += fmt::format(", at most {:.1f} % of the site's limit; above it for {:.4g} s",
                        100 * *power.peak_of_limit, power.over_limit_s);
  }
  return text;
}

std::string windows_text(const ClassReport& of_class) {
  const WindowCounts& windows = of_class.windows;
  if (windows.admitted == 0 || !is_promised_windows(of_class.service_class))
    return {};
  return fmt::format(
      "{}: {} admitted on scheduled devices, {} of them ({:.1f} %) with a token window, {} kept, "
      "{} broken{}{}",
      name_of(of_class.service_class), windows.admitted, windows.promised,
      100 * share(static_cast<double>(windows.promised), static_cast<double>(windows.admitted)),
      windows.kept, windows.broken,
      windows.lost > 0 ? fmt::format(", of which {} by lost replicas", windows.lost) : "",
      windows.no_limit > 0
          ? fmt::format(
                "; {} without one named no max_tokens and may fill their pool's whole context",
                windows.no_limit)
          : "");
}

Report make_report(const std::string& name, const Fleet& fleet, const SimulationResult& result) {
  ReportBuilder builder(fleet);
  for (const RequestRecord& record : result.requests)
    builder.add(record);
  return std::move(builder).finish(name, result);
}

RequestsCsv::RequestsCsv(const Fleet& fleet)
    : owners_(fleet.pools_of_replicas()),
      writer_({"request_id",       "arrived_s", "first_token_s", "finished_s",   "prompt_tokens",
               "output_tokens",    "class",     "label",         "model",        "outcome",
               "reason",           "pool",      "replica",       "dispatched_s", "predicted_ttft_s",
               "predicted_tpot_s", "kept",      "joules",        "money",        "window_ttft_s",
               "window_itl_s",     "window",    "tenant",        "priority"}) {
  for (const Label& label : fleet.labels)
    labels_.push_back(data::CsvWriter::quoted(label.name));
  for (const Offer& offer : fleet.offers)
    models_.push_back(data::CsvWriter::quoted(offer.name));
  for (const Pool& pool : fleet.pools)
    pools_.push_back(data::CsvWriter::quoted(pool.name));
  for (const Tenant& tenant : fleet.tenants)
    tenants_.push_back(data::CsvWriter::quoted(tenant.name));
}

void RequestsCsv::add(const RequestRecord& record) {
  const auto time = [this](const std::optional<double>& seconds) {
    if (seconds)
      writer_.number(*seconds, 9);
    else
      writer_.empty();
  };
  const bool completed = record.outcome == RequestOutcome::kCompleted;
  writer_.whole(static_cast<long long>(record.request.id.number())).number(record.arrived_s, 9);
  time(completed ? record.first_token_s : std::nullopt);
  time(record.finished_s);
  writer_.whole(record.request.prompt_tokens.count())
      .whole(record.output_tokens)
      .plain(name_of(record.request.service_class))
      .plain(labels_.at(record.request.label.number()))
      .plain(models_.at(record.request.model.number()))
      .plain(name_of(record.outcome))
      .plain(record.reason ? sched::name_of(*record.reason) : "");
  if (record.replica) {
    writer_.plain(pools_.at(owners_.at(record.replica->number()).number()))
        .whole(static_cast<long long>(record.replica->number()));
  } else {
    writer_.empty().empty();
  }
  time(record.dispatched_s);
  if (record.predicted)
    writer_.number(record.predicted->ttft_s, 9).number(record.predicted->tpot_s, 9);
  else
    writer_.empty().empty();
  writer_.plain(record.kept ? "1" : "0").significant(record.joules, 9).significant(record.money, 9);
  if (record.window_outcome != WindowOutcome::kNone) {
    writer_.number(to_seconds(record.window.first_token_within).value(), 9)
        .number(to_seconds(record.window.every_token_within).value(), 9);
  } else {
    writer_.empty().empty();
  }
  writer_.plain(name_of(record.window_outcome))
      .plain(tenants_.at(record.request.tenant.number()))
      .whole(record.request.priority)
      .end_row();
}

}  // namespace medley::simulate
