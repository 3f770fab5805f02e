#include <boost/json/object.hpp>

#include "data/json.h"
#include "simulate/report.h"

namespace medley::simulate {
namespace {

namespace json = boost::json;

// An unknown figure is null, never 0.
json::value known(bool is_known, double figure) {
  return is_known ? json::value(figure) : json::value();
}

json::value known(const std::optional<double>& figure) {
  return known(figure.has_value(), figure.value_or(0));
}

json::object to_object(const Summary& summary) {
  const bool some = summary.count > 0;
  return {{"mean", known(some, summary.mean)},
          {"p50", known(some, summary.p50)},
          {"p90", known(some, summary.p90)},
          {"p99", known(some, summary.p99)},
          {"max", known(some, summary.max)}};
}

void add_latencies(json::object& object, const Latencies& latencies) {
  object["ttft_s"] = to_object(latencies.ttft_s);
  object["tpot_s"] = to_object(latencies.tpot_s);
  object["e2e_s"] = to_object(latencies.e2e_s);
}

}  // namespace

std::string to_json(const Report& report, const Fleet& fleet) {
  const bool some_energy = report.joules > 0;
  json::object out{{"schema", 1},
                   {"name", report.name},
                   {"placement", name_of(fleet.placement)},
                   {"requests", report.requests},
                   {"completed", report.completed},
                   {"rejected", report.rejected},
                   {"failed", report.failed},
                   {"unfinished", report.unfinished},
                   {"truncated", report.truncated},
                   {"kept", report.kept},
                   {"attainment", report.attainment},
                   {"goodput_per_s", report.goodput_per_s},
                   {"evictions", report.evictions},
                   {"preemptions", report.preemptions},
                   {"steps", report.steps},
                   {"extrapolated_steps", report.extrapolated_steps},
                   {"wake_ups", report.wake_ups},
                   {"simulated_s", report.simulated_s},
                   {"prompt_tokens", report.prompt_tokens},
                   {"output_tokens", report.output_tokens},
                   {"currency", fleet.site.currency},
                   {"money", report.money},
                   {"joules", known(some_energy, report.joules)},
                   {"request_money", report.request_money},
                   {"request_joules", known(some_energy, report.request_joules)},
                   {"value_offered", report.value_offered},
                   {"value_kept", report.value_kept},
                   {"value_goodput", known(report.value_goodput())},
                   {"net_value", report.net_value()},
                   {"share_of_bound", known(report.share_of_bound())},
                   {"bound_gap", report.bound ? json::value(report.bound->gap) : json::value()},
                   {"money_per_good", known(report.money_per_good())},
                   {"joules_per_good", known(report.joules_per_good())},
                   {"peak_kw", known(some_energy, report.power.peak_kw)},
                   {"peak_of_limit", known(report.power.peak_of_limit)},
                   {"over_limit_s", report.power.over_limit_s},
                   {"prediction_error", report.prediction_error},
                   {"prefill_error", report.prefill_error},
                   {"decision_digest", report.decision_digest}};
  if (!report.bound_left_out.empty())
    out["bound_left_out"] = report.bound_left_out;
  add_latencies(out, report.latencies);
  json::object classes;
  for (const ClassReport& of_class : report.classes) {
    json::object entry{
        {"requests", of_class.requests},     {"completed", of_class.completed},
        {"rejected", of_class.rejected},     {"failed", of_class.failed},
        {"unfinished", of_class.unfinished}, {"kept", of_class.kept},
        {"attainment", of_class.attainment}, {"goodput_per_s", of_class.goodput_per_s},
        {"money", of_class.money},           {"joules", known(some_energy, of_class.joules)}};
    const WindowCounts& windows = of_class.windows;
    entry["token_windows"] =
        json::object{{"admitted", windows.admitted}, {"promised", windows.promised},
                     {"kept", windows.kept},         {"broken", windows.broken},
                     {"lost", windows.lost},         {"no_limit", windows.no_limit}};
    add_latencies(entry, of_class.latencies);
    classes[name_of(of_class.service_class)] = std::move(entry);
  }
  out["classes"] = std::move(classes);
  if (fleet.tenants.size() > 1) {
    json::object tenants;
    for (const TenantReport& tenant : report.tenants) {
      json::object attainment;
      for (const ServiceClass service_class : kServiceClasses) {
        const std::size_t i = index_of(service_class);
        if (tenant.class_requests[i] > 0) {
          attainment[name_of(service_class)] = static_cast<double>(tenant.class_kept[i]) /
                                               static_cast<double>(tenant.class_requests[i]);
        }
      }
      const Tenant& facts = fleet.tenants.at(tenant.tenant.number());
      tenants[facts.name] =
          json::object{{"weight", facts.weight},
                       {"requests", tenant.requests},
                       {"completed", tenant.completed},
                       {"rejected", tenant.rejected},
                       {"kept", tenant.kept},
                       {"attainment", known(tenant.requests > 0, tenant.attainment())},
                       {"class_attainment", std::move(attainment)},
                       {"prompt_tokens", tenant.prompt_tokens},
                       {"output_tokens", tenant.output_tokens},
                       {"value_offered", tenant.value_offered},
                       {"value_kept", tenant.value_kept}};
    }
    out["tenants"] = std::move(tenants);
    out["jain_of_attainment"] = report.jain_of_attainment();
    out["jain_of_service"] = report.jain_of_service(fleet);
  }
  json::array pools;
  for (const PoolReport& pool : report.pools) {
    const Pool& facts = fleet.pool(pool.pool);
    pools.push_back(json::object{
        {"name", facts.name},
        {"device", facts.device},
        {"model", facts.model.id},
        {"zone", facts.zone},
        {"replicas", facts.replicas},
        {"simulated", true},
        {"requests", pool.requests},
        {"prompt_tokens", pool.prompt_tokens},
        {"output_tokens", pool.output_tokens},
        {"use", pool.use},
        {"joules", known(pool.joules > 0, pool.joules)},
        {"idle_joules", known(pool.idle_joules.has_value(), pool.idle_joules.value_or(0))},
        {"money", pool.money},
        {"steps", pool.steps},
        {"extrapolated_steps", pool.extrapolated_steps},
        {"reused_prompt_tokens", pool.reused_tokens}});
    if (const std::string text = perf::schedule_text(facts); !text.empty())
      pools.back().as_object()["token_window"] = text;
  }
  out["pools"] = std::move(pools);
  return data::json_text(out);
}

}  // namespace medley::simulate
