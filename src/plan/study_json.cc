#include "plan/study_json.h"

#include <boost/json.hpp>

namespace medley::plan {
namespace {

namespace json = boost::json;

json::value none(const std::string& why) {
  return why.empty() ? json::value(nullptr) : json::value(why);
}

json::object costs_of(const Costs& costs) {
  return {{"capital", costs.capital}, {"maintenance", costs.maintenance}, {"staff", costs.staff},
          {"rent", costs.rent},       {"metered", costs.metered},         {"energy", costs.energy},
          {"total", costs.total()}};
}

json::value or_null(const std::optional<double>& value) {
  return value ? json::value(*value) : json::value(nullptr);
}

json::array shares(const std::vector<std::optional<double>>& kept) {
  json::array out;
  for (const std::optional<double>& of : kept)
    out.push_back(or_null(of));
  return out;
}

// `asked`: what types and plan were made for, of the study or of one of its candidates.
json::object plan_of(const Study& study, const data::Requirements& asked,
                     const std::vector<PoolType>& types, const Plan& plan) {
  json::array pools, nodes;
  const std::vector<Period> periods = periods_of(asked);
  for (std::size_t p = 0; p < types.size(); ++p) {
    if (plan.replicas[p] == 0)
      continue;
    const PoolType& type = types[p];
    json::object pool{
        {"name", type.pool.name},
        {"device", type.pool.device},
        {"model", type.pool.model.id},
        {"zone", type.pool.zone},
        {"replicas", plan.replicas[p]},
        {"devices", plan.replicas[p] * type.devices},
        {"busy_at_peak",
         type.device ? json::value(busy_at_peak(asked, types, plan, p)) : json::value(nullptr)}};
    if (std::any_of(plan.lent[p].begin(), plan.lent[p].end(), [](int of) { return of > 0; })) {
      json::array lent(24);
      for (std::size_t t = 0; t < periods.size(); ++t) {
        for (const int hour : periods[t].hours)
          lent[static_cast<std::size_t>(hour)] = plan.lent[p][t];
      }
      pool["lent_by_hour"] = std::move(lent);
    }
    if (const std::string text = perf::schedule_text(type.pool); !text.empty())
      pool["token_window"] = text;
    pools.push_back(std::move(pool));
  }
  for (const auto& [place, count] : plan.nodes) {
    const data::DeviceOffer& offer = asked.devices[place.first];
    nodes.push_back({{"offer", offer.name},
                     {"zone", place.second},
                     {"nodes", count},
                     {"owned_nodes", plan.owned_of(place)},
                     {"devices", count * offer.per_node},
                     {"lead_weeks", offer.lead_weeks}});
  }
  json::array training, trainers;
  for (const Plan::Training& of : plan.training) {
    const data::TrainingJob& job = asked.jobs[of.job];
    json::array hours;
    for (int hour = 0; hour < 24; ++hour) {
      if (of.hours[static_cast<std::size_t>(hour)])
        hours.emplace_back(hour);
    }
    training.push_back(
        {{"job", job.name},
         {"offer", asked.devices[of.device].name},
         {"zone", of.zone},
         {"hours", std::move(hours)},
         {"device_hours", of.device_hours},
         {"kwh", of.kwh},
         {"runs_a_year", job.runs_a_year()},
         {"done_day", job.once() ? json::value(of.done_day) : json::value(nullptr)}});
  }
  for (const auto& [place, devices] : plan.trainers) {
    trainers.push_back(
        {{"offer", asked.devices[place.first].name}, {"zone", place.second}, {"devices", devices}});
  }
  json::array unknown;
  for (const std::string& service : services_in(types, plan))
    unknown.push_back(json::value(service));
  const bool known = draw_is_known(types, plan);
  json::array other;
  for (const std::string& zone : silent_zones(asked, plan))
    other.push_back(json::value(zone));
  json::object kw;
  for (const auto& [zone, watts] : plan.watts)
    kw[zone] = watts / 1000;
  return {{"pools", std::move(pools)},
          {"nodes", std::move(nodes)},
          {"training", std::move(training)},
          {"devices_that_only_train", std::move(trainers)},
          {"a_year", costs_of(plan.costs)},
          {"an_hour", plan.total() / kHoursAYear},
          {"per_million_tokens", or_null(study.per_million_tokens(plan.total()))},
          {"capital", plan.capital},
          {"kwh_a_year", known ? json::value(plan.kwh) : json::value(nullptr)},
          {"carbon_kg_a_year", known && carbon_is_known(asked, plan) ? json::value(plan.carbon_kg)
                                                                     : json::value(nullptr)},
          {"draw_unknown_of", std::move(unknown)},
          {"at_the_sites_pue_and_grid", std::move(other)},
          {"kw_at_most", std::move(kw)},
          {"headroom", or_null(headroom(asked, types, plan))},
          {"gap", plan.gap},
          {"gap_is_within_the_rule_for_nodes", plan.within_rule}};
}

json::array kept_of(const Study& study, const std::vector<Kept>& kept) {
  json::array out;
  for (std::size_t g = 0; g < kept.size(); ++g) {
    out.push_back(
        {{"demand", study.requirements.demands[g].name},
         {"requests", kept[g].requests},
         {"kept", kept[g].kept},
         {"from_hour", kept[g].from_hour ? json::value(*kept[g].from_hour) : json::value(nullptr)},
         {"attainment", or_null(kept[g].share())}});
  }
  return out;
}

json::array bindings_of(const std::vector<Binding>& bindings) {
  json::array out;
  for (const Binding& binding : bindings) {
    out.push_back({{"limit", binding.limit},
                   {"saving_a_year",
                    binding.none.empty() ? json::value(binding.saving) : json::value(nullptr)},
                   {"none", none(binding.none)}});
  }
  return out;
}

json::object proof_of(const Study& study, const Proof& proof) {
  json::array failures;
  for (const Proof::Failure& failure : proof.failures)
    failures.push_back({{"lost", failure.what}, {"demands", kept_of(study, failure.demands)}});
  return {{"demands", kept_of(study, proof.whole)},
          {"failures", std::move(failures)},
          {"requests", proof.requests},
          {"simulated_hours", proof.hours},
          {"peak_kw", proof.peak_kw},
          {"services_paid", proof.services_paid},
          {"services_planned", proof.services_planned}};
}

}  // namespace

std::string to_json(const Study& study) {
  const Plan& plan = study.chosen.plan;
  json::object out{{"name", study.requirements.name},
                   {"currency", study.requirements.frame.site.currency},
                   {"energy_is_priced", no_tariff_in_words(study.requirements).empty()},
                   {"found", plan.outcome == Plan::Outcome::kFound}};
  if (plan.outcome != Plan::Outcome::kFound)
    return json::serialize(out);
  out["fleet"] = study.fleet;
  out["plan"] = plan_of(study, study.requirements, study.pools.types, plan);
  json::array demands;
  for (std::size_t g = 0; g < study.requirements.demands.size(); ++g) {
    const data::Demand& demand = study.requirements.demands[g];
    demands.push_back({{"name", demand.name},
                       {"class", std::string(name_of(demand.service_class))},
                       {"asked", demand.attain},
                       {"kept_in_failures", is_protected(study.requirements, g)},
                       {"safety", study.chosen.safety[g]}});
  }
  out["demands"] = std::move(demands);
  if (!study.chosen.rounds.empty()) {
    json::array rounds;
    for (const Proven::Round& round : study.chosen.rounds) {
      rounds.push_back(
          {{"a_year", round.cost}, {"kept", shares(round.kept)}, {"agreed", round.agreed}});
    }
    json::array neighbours;
    for (const Proven::Neighbour& of : study.chosen.neighbours) {
      neighbours.push_back({{"what", of.what},
                            {"a_year", or_null(of.cost)},
                            {"kept", shares(of.kept)},
                            {"keeps_all", of.keeps_all}});
    }
    out["neighbours"] = std::move(neighbours);
    json::array below;
    for (const BelowPromise& of :
         below_promise(study.requirements, study.chosen.proof, study.chosen.fresh)) {
      below.push_back({{"demand", study.requirements.demands[of.demand].name},
                       {"promised", of.promised},
                       {"kept", of.kept}});
    }
    out["proof"] = json::object{
        {"agreed", study.chosen.agreed},
        {"rounds", std::move(rounds)},
        {"promised", proof_of(study, study.chosen.proof)},
        {"fresh_seeds", study.chosen.fresh.whole.empty() ? json::value(nullptr)
                                                         : proof_of(study, study.chosen.fresh)},
        {"fresh_below_promise", std::move(below)}};
  }
  json::array candidates;
  for (const Candidate& of : study.candidates) {
    json::object candidate{{"name", of.name}, {"why", of.why}};
    if (of.plan.outcome == Plan::Outcome::kFound) {
      candidate["fleet"] = of.fleet;
      candidate["plan"] = plan_of(study, of.requirements, of.types, of.plan);
      candidate["binding"] = bindings_of(of.bindings);
    }
    if (of.proof)
      candidate["proof"] = proof_of(study, *of.proof);
    candidates.push_back(std::move(candidate));
  }
  out["candidates"] = std::move(candidates);
  json::object why_not;
  for (const auto& [name, why] : study.why_not)
    why_not[name] = why;
  out["why_not"] = std::move(why_not);
  if (const auto single = single_kind(study)) {
    out["single_kind"] = json::object{
        {"fleet", single->fleet},
        {"premium", single->premium},
        {"chosen", single->chosen},
        {"keeps_all", single->keeps_all ? json::value(*single->keeps_all) : json::value(nullptr)}};
  }
  out["not_simulated"] = {"why_not", "binding", "sensitivity", "front", "a_year_range"};
  out["binding"] = bindings_of(study.bindings);
  json::array sensitivity;
  for (const Sensitivity& of : study.sensitivity) {
    sensitivity.push_back({{"what", of.what},
                           {"a_year", or_null(of.cost)},
                           {"same_fleet", of.same_fleet},
                           {"none", none(of.none)}});
  }
  out["sensitivity"] = std::move(sensitivity);
  json::array duties;
  for (const Duty& duty : study.duties) {
    duties.push_back({{"bought", duty.bought},
                      {"rented", duty.rented},
                      {"break_even_paid_by_the_hour", or_null(duty.break_even)},
                      {"planned", duty.planned},
                      {"owned_a_year", duty.owned},
                      {"rented_all_hours_a_year", duty.leased},
                      {"rent_forbidden_for", json::value_from(duty.forbidden)}});
  }
  out["duty"] = std::move(duties);
  json::array front;
  for (const FrontPoint& point : study.front) {
    front.push_back({{"tpot_factor", point.factor},
                     {"tokens_per_s", point.tokens_per_s},
                     {"a_year", or_null(point.cost)},
                     {"has_lpu", point.has_scheduled},
                     {"none", none(point.none)}});
  }
  out["front"] = std::move(front);
  json::array truths;
  const auto reach = [](const std::optional<Truth::Reach>& of) -> json::value {
    if (!of)
      return nullptr;
    return json::object{{"pool", of->pool},
                        {"fastest_tokens_per_s", of->fastest},
                        {"joules_per_token_alone", of->joules_alone},
                        {"joules_per_token_full", or_null(of->joules_full)},
                        {"joules_per_token_planned", or_null(of->joules_planned)}};
  };
  for (const Truth& truth : study.truths) {
    truths.push_back({{"demand", truth.demand},
                      {"tokens_per_s_asked", truth.tokens_per_s_asked},
                      {"gpu", reach(truth.batched)},
                      {"lpu", reach(truth.scheduled)},
                      {"needs_lpu", truth.needs_scheduled},
                      {"needs_lpu_for", !truth.needs_scheduled ? json::value(nullptr)
                                        : truth.by_limits      ? json::value("limits")
                                                               : json::value("speed")},
                      {"lpu_share", truth.scheduled_share},
                      {"verdict", truth.verdict}});
  }
  out["lpu"] = std::move(truths);
  if (study.price_range)
    out["a_year_range"] = json::array{study.price_range->low, study.price_range->high};
  if (!study.no_price_range.empty())
    out["a_year_range_none"] = study.no_price_range;
  return json::serialize(out);
}

std::string to_json(const data::Requirements& requirements, const Conflict& conflict) {
  json::array elements, relaxations;
  for (const std::string& element : conflict.elements)
    elements.push_back(json::value(element));
  for (const Relaxation& of : conflict.relaxations)
    relaxations.push_back({{"what", of.what},
                           {"a_year", or_null(of.cost)},
                           {"none", of.none.empty() ? json::value(nullptr) : json::value(of.none)},
                           {"simulated", of.simulated}});
  json::object out{{"name", requirements.name},
                   {"currency", requirements.frame.site.currency},
                   {"found", false},
                   {"because", name_of(conflict.ground)},
                   {"conflict", std::move(elements)},
                   {"relaxations", std::move(relaxations)}};
  if (!conflict.reason.empty())
    out["reason"] = conflict.reason;
  if (conflict.nearest) {
    json::array demands;
    for (std::size_t g = 0; g < requirements.demands.size(); ++g) {
      demands.push_back({{"demand", requirements.demands[g].name},
                         {"asked", requirements.demands[g].attain},
                         {"kept", or_null(conflict.nearest->kept[g])}});
    }
    out["nearest"] = json::object{{"fleet", conflict.nearest->fleet},
                                  {"a_year", conflict.nearest->cost},
                                  {"demands", std::move(demands)}};
  }
  return json::serialize(out);
}

}  // namespace medley::plan
