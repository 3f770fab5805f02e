#include "plan/program.h"

#include <algorithm>
#include <cmath>

#include "plan/program_demands.h"
#include "plan/program_draft.h"
#include "plan/program_losses.h"
#include "plan/program_nodes.h"
#include "plan/program_reading.h"
#include "plan/program_terms.h"
#include "plan/program_training.h"

namespace medley::plan {
namespace {

using data::Demand, data::DeviceOffer, data::Redundancy, data::Requirements;

// In one place. Each adds whole columns for all pools there and a failure of its own.
constexpr int kMostMixed = 4;

// Rows: -1: none.
struct Limits {
  std::vector<int> stock;  // by offer
  int budget = -1;
};

// Of zones, stock and money.
Limits limit(const Terms& terms, Draft& draft) {
  Limits limits;
  for (const auto& [zone, of] : terms.requirements.zones) {
    if (of.racks)
      draft.racks[zone] = draft.row(-kUnlimited, *of.racks);
    if (of.power_limit_kw) {
      for (std::size_t s = 0; s < terms.shifts.size(); ++s)
        draft.power[zone].push_back(draft.row(-kUnlimited, *of.power_limit_kw));
    }
  }
  for (const DeviceOffer& of : terms.requirements.devices)
    limits.stock.push_back(of.stock ? draft.row(-kUnlimited, *of.stock) : -1);
  if (terms.requirements.money.budget)
    limits.budget = draft.row(-kUnlimited, *terms.requirements.money.budget);
  return limits;
}

// What may be bought, rented and run, at what it costs before anybody uses it.
void offer(const Terms& terms, const Limits& limits, Draft& draft) {
  std::vector<int> bought;  // columns: by offer; -1: none
  // Nodes, and where some are there already, those still to buy.
  for (const DeviceOffer& of : terms.requirements.devices) {
    const Costs costs = yearly_costs(of, terms.requirements.money);
    bought.push_back(-1);
    if (of.deal == DeviceOffer::Deal::kRent)
      continue;
    const int made = draft.column({.cost = costs.capital * of.per_node});
    bought.back() = made;
    if (limits.budget >= 0) {
      draft.entry(made, limits.budget,
                  of.price.middle() * of.per_node * (1 + terms.requirements.money.integration));
    }
  }
  std::vector<int> to_buy;  // rows: nodes − owned <= bought
  for (std::size_t i = 0; i < terms.requirements.devices.size(); ++i) {
    const DeviceOffer& of = terms.requirements.devices[i];
    to_buy.push_back(-1);
    if (bought[i] < 0)
      continue;
    to_buy.back() = draft.row(-kUnlimited, of.owned / of.per_node);
    draft.entry(bought[i], to_buy.back(), -1);
    if (limits.stock[i] >= 0)
      draft.entry(bought[i], limits.stock[i], of.per_node);
  }
  for (std::size_t i = 0; i < terms.places.size(); ++i) {
    const DeviceOffer& of = terms.offer(terms.places[i]);
    const bool owned = of.deal == DeviceOffer::Deal::kBuy;
    const Costs costs = yearly_costs(of, terms.requirements.money);
    const auto least =
        terms.options.nodes.find({terms.places[i].offer, std::string(terms.places[i].zone)});
    const int made =
        draft.column({.cost = (costs.maintenance + costs.rent +
                               (owned ? of.host_w * terms.per_watt(terms.places[i].zone) : 0)) *
                              of.per_node,
                      .least = least == terms.options.nodes.end() ? 0.0 : least->second,
                      .whole = true});
    draft.nodes.push_back(made);
    if (owned)
      draft.entry(made, to_buy[terms.places[i].offer], 1);
    else if (limits.stock[terms.places[i].offer] >= 0)
      draft.entry(made, limits.stock[terms.places[i].offer], of.per_node);
    draft.draw(terms, made, terms.places[i].zone, of.host_w * of.per_node);
  }
  for (std::size_t p = 0; p < terms.types.size(); ++p) {
    const PoolType& type = terms.types[p];
    if (!type.device) {
      draft.replicas.push_back(-1);
      continue;
    }
    IntegerProgram::Column of{
        .cost = terms.bought(type) ? type.idle_w * terms.per_watt(type.pool.zone) : 0,
        .most = static_cast<double>(terms.most[p]),
        .whole = true};
    if (terms.options.with == p)
      of.least = std::max(of.least, 1.0);
    if (!terms.options.replicas.empty() && terms.options.replicas[p]) {
      of.least = *terms.options.replicas[p];
      of.most = of.least;
    }
    const int made = draft.column(of);
    draft.replicas.push_back(made);
    for (const int each : draft.capacity[p])
      draft.entry(made, each, -1);
    draft.draw(terms, made, type.pool.zone, type.most_w);
  }
}

// Staff is paid whenever anything is owned.
void employ(const Terms& terms, Draft& draft) {
  if (terms.requirements.money.staff_per_year <= 0)
    return;
  const int any =
      draft.column({.cost = terms.requirements.money.staff_per_year, .most = 1, .whole = true});
  for (std::size_t i = 0; i < terms.places.size(); ++i) {
    const DeviceOffer& of = terms.offer(terms.places[i]);
    if (of.deal != DeviceOffer::Deal::kBuy)
      continue;
    double most = 1;
    for (std::size_t p = 0; p < terms.types.size(); ++p) {
      if (terms.stands_at(p, i))
        most += terms.most[p] * of.nodes_for(terms.types[p].devices, 1);
    }
    for (const data::TrainingJob& job : terms.requirements.jobs) {
      const auto hours = job.device_hours.find(of.accelerator.id);
      if (hours != job.device_hours.end())  // the cheapest hour of a day may be worth all of them
        most += job.gang + std::ceil(hours->second / job.deadline_days);
    }
    const int made = draft.row(-kUnlimited, 0);
    draft.entry(draft.nodes[i], made, 1);
    draft.entry(any, made, -most);
  }
}

Result<Plan> cheapest_of_rule(const Requirements& requirements, const std::vector<PoolType>& types,
                              solve::IntegerSolver& solver, const PlanOptions& options,
                              const std::vector<int>& mixed = {}) {
  const Terms terms(requirements, types, options);
  Draft draft;
  const Quotas quotas = stand_for_use(terms, draft);
  offer(terms, limit(terms, draft), draft);
  const OnNodes on_nodes = stand_on_nodes(terms, mixed, draft);
  stand_in_racks(terms, draft);
  serve_demands(terms, quotas, draft);
  const Training training = add_training(terms, on_nodes.single, draft);
  std::vector<std::pair<std::size_t, int>> spares;
  if (!options.given_fleet)
    spares = add_losses(terms, on_nodes, draft);
  employ(terms, draft);
  MEDLEY_TRY(
      const IntegerSolution solution,
      solver.solve(draft.assemble(), {.time_limit_s = options.time_limit_s, .gap = options.gap}));
  using Status = IntegerSolution::Status;
  Plan plan;
  if (solution.status == Status::kInfeasible)
    plan.outcome = Plan::Outcome::kInfeasible;
  else if (solution.status != Status::kUnknown)
    plan = plan_of(terms, draft, on_nodes, training, spares, solution);
  plan.within_rule = on_nodes.within_rule;
  return plan;
}

}  // namespace

bool Plan::has_work(std::size_t type) const {
  return std::any_of(rate.begin(), rate.end(), [&](const auto& by_type) {
    return std::any_of(by_type[type].begin(), by_type[type].end(),
                       [](double each) { return each > kLittle; });
  });
}

double metered_per_s(const Requirements& requirements, const std::vector<PoolType>& types,
                     const Plan& plan, std::size_t period) {
  double a_second = 0;
  for (std::size_t g = 0; g < plan.rate.size(); ++g) {
    for (std::size_t p = 0; p < types.size(); ++p) {
      if (types[p].service)
        a_second += plan.rate[g][p][period] *
                    metered_price(*types[p].pool.metered, requirements.demands[g]);
    }
  }
  return a_second;
}

int racks_of(const Requirements& requirements, const Plan& plan, const std::string& zone) {
  int racks = 0;
  for (const std::vector<std::size_t>& group : rack_groups(requirements, zone)) {
    double share = 0;
    for (const std::size_t i : group) {
      const auto nodes = plan.nodes.find({i, zone});
      share += nodes == plan.nodes.end()
                   ? 0
                   : static_cast<double>(nodes->second) / requirements.devices[i].nodes_in_rack();
    }
    racks += static_cast<int>(std::ceil(share - kLittle));
  }
  return racks;
}

bool carbon_is_known(const Requirements& requirements, const Plan& plan) {
  return std::all_of(plan.nodes.begin(), plan.nodes.end(), [&](const auto& of) {
    return requirements.carbon_g_per_kwh(of.first.second).has_value();
  });
}

bool is_protected(const Requirements& requirements, std::size_t demand) {
  const Demand& of = requirements.demands[demand];
  return requirements.redundant[index_of(of.service_class)];
}

Result<Plan> cheapest(const Requirements& requirements, const std::vector<PoolType>& types,
                      solve::IntegerSolver& solver, const PlanOptions& options) {
  using Outcome = Plan::Outcome;
  MEDLEY_TRY(Plan plan, cheapest_of_rule(requirements, types, solver, options));
  if (requirements.redundancy != Redundancy::kNode || options.given_fleet)
    return plan;
  Requirements other = requirements;
  double bound = plan.outcome == Outcome::kFound ? plan.bound() : kUnlimited;
  bool known = plan.outcome != Outcome::kUnknown;
  if (requirements.zones.size() > 1) {
    // What survives the loss of any zone survives that of any node, whatever stands on it.
    other.redundancy = Redundancy::kZone;
    MEDLEY_TRY(Plan spread, cheapest_of_rule(other, types, solver, options));
    known = known && spread.outcome != Outcome::kUnknown;
    if (spread.outcome == Outcome::kFound)
      bound = std::min(bound, spread.bound());
    if (spread.outcome == Outcome::kFound &&
        (plan.outcome != Outcome::kFound || spread.total() < plan.total())) {
      plan = std::move(spread);
      plan.survives_zones = true;
    }
  }
  if (plan.outcome != Outcome::kFound) {
    // A lost node takes a replica at the least, wherever it stands.
    other.redundancy = Redundancy::kReplica;
    PlanOptions any = options;
    any.gap = 1;
    MEDLEY_TRY(const Plan less, cheapest_of_rule(other, types, solver, any));
    if (less.outcome == Outcome::kInfeasible) {
      plan.outcome = Outcome::kInfeasible;
      plan.within_rule = false;
      return plan;
    }
  }
  // Nodes one by one: where there are as many as could be of use, nothing is left out.
  std::vector<int> mixed = most_mixed(Terms(requirements, types, options),
                                      plan.outcome == Outcome::kFound ? plan.total() : kUnlimited);
  plan.within_rule =
      std::any_of(mixed.begin(), mixed.end(), [](int nodes) { return nodes > kMostMixed; });
  for (int& nodes : mixed)
    nodes = std::min(nodes, kMostMixed);
  if (std::any_of(mixed.begin(), mixed.end(), [](int nodes) { return nodes > 0; })) {
    MEDLEY_TRY(Plan one_by_one, cheapest_of_rule(requirements, types, solver, options, mixed));
    const bool left_out = plan.within_rule || one_by_one.outcome == Outcome::kUnknown;
    if (one_by_one.outcome == Outcome::kFound) {
      bound = left_out ? std::min(bound, one_by_one.bound()) : one_by_one.bound();
      if (plan.outcome != Outcome::kFound || one_by_one.total() < plan.total())
        plan = std::move(one_by_one);
    }
    known = known || (one_by_one.outcome == Outcome::kInfeasible && !left_out);
    plan.within_rule = left_out;
  }
  if (plan.outcome == Outcome::kFound)
    plan.gap = plan.total() > 0 ? std::max(0.0, 1 - bound / plan.total()) : 0;
  else
    plan.outcome = known ? Outcome::kInfeasible : Outcome::kUnknown;
  return plan;
}

}  // namespace medley::plan
