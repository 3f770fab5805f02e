#include "plan/program_reading.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string>

namespace medley::plan {

using data::Demand, data::DeviceOffer;

Plan plan_of(const Terms& terms, const Draft& draft, const OnNodes& on_nodes,
             const Training& training, const std::vector<std::pair<std::size_t, int>>& spares,
             const IntegerSolution& solution) {
  const auto at = [&](int column) {
    return column < 0 ? 0.0 : solution.x[static_cast<std::size_t>(column)];
  };
  const auto whole = [&](int column) { return static_cast<int>(std::llround(at(column))); };
  Plan plan;
  plan.outcome = Plan::Outcome::kFound;
  const double value = std::max(std::abs(solution.value), kLittle);
  plan.gap = std::max(0.0, (solution.value - solution.bound) / value);
  std::map<std::string, std::vector<double>> watts;  // by zone and shift
  const auto draws = [&](const std::string& zone, double of, std::optional<std::size_t> shift) {
    std::vector<double>& shifts = watts[zone];
    shifts.resize(terms.shifts.size(), 0);
    for (std::size_t s = 0; s < terms.shifts.size(); ++s)
      shifts[s] += !shift || s == *shift ? of * terms.requirements.pue(zone) : 0;
  };
  for (std::size_t i = 0; i < terms.places.size(); ++i) {
    const int count = whole(draft.nodes[i]);
    if (count == 0)
      continue;
    const DeviceOffer& of = terms.offer(terms.places[i]);
    plan.nodes[{terms.places[i].offer, terms.places[i].zone}] = count;
    const Costs costs = yearly_costs(of, terms.requirements.money);
    plan.costs.maintenance += costs.maintenance * of.per_node * count;
    plan.costs.rent += costs.rent * of.per_node * count;
    draws(terms.places[i].zone, of.host_w * of.per_node * count, std::nullopt);
    if (of.deal == DeviceOffer::Deal::kBuy)
      plan.costs.staff = terms.requirements.money.staff_per_year;
  }
  for (std::size_t i = 0; i < terms.requirements.devices.size(); ++i) {
    const DeviceOffer& of = terms.requirements.devices[i];
    // Which of its nodes stand where nobody says: those of the first zones are taken for there.
    int there = of.owned / of.per_node, new_nodes = 0;
    for (const auto& [place, count] : plan.nodes) {
      if (place.first != i)
        continue;
      const int of_them = std::min(there, count);
      there -= of_them;
      new_nodes += count - of_them;
      if (of_them > 0)
        plan.owned[place] = of_them;
    }
    if (of.deal == DeviceOffer::Deal::kBuy) {
      plan.costs.capital +=
          yearly_costs(of, terms.requirements.money).capital * of.per_node * new_nodes;
      plan.capital +=
          of.price.middle() * of.per_node * new_nodes * (1 + terms.requirements.money.integration);
    }
  }
  // Energy: every joule at the meter, and what is paid for by whom.
  const auto add_energy = [&](double joules, const std::string& zone, const std::vector<int>& hours,
                              bool owned) {
    const double kwh = joules * terms.requirements.pue(zone) / kJoulesAKwh;
    const auto& carbon = terms.requirements.carbon_g_per_kwh(zone);
    plan.kwh += kwh;
    plan.carbon_kg += carbon ? kwh * mean_of(*carbon, hours) / 1000 : 0;
    plan.costs.energy += owned ? kwh * mean_of(terms.requirements.tariff_per_kwh(zone), hours) : 0;
  };
  for (const auto& [place, count] : plan.nodes) {
    const DeviceOffer& of = terms.requirements.devices[place.first];
    for (const Period& period : terms.periods) {
      add_energy(of.host_w * of.per_node * count * period.seconds_a_year(), place.second,
                 period.hours, of.deal == DeviceOffer::Deal::kBuy);
    }
  }
  plan.replicas.assign(terms.types.size(), 0);
  plan.lent.assign(terms.types.size(), std::vector<int>(terms.periods.size(), 0));
  for (std::size_t p = 0; p < terms.types.size(); ++p) {
    plan.replicas[p] = whole(draft.replicas[p]);
    if (plan.replicas[p] == 0)
      continue;
    draws(terms.types[p].pool.zone, terms.types[p].most_w * plan.replicas[p], std::nullopt);
    for (const Period& period : terms.periods)
      add_energy(terms.types[p].idle_w * plan.replicas[p] * period.seconds_a_year(),
                 terms.types[p].pool.zone, period.hours, terms.bought(terms.types[p]));
  }
  for (const OnNodes::Mixed& node : on_nodes.mixed) {
    Plan::Node made{terms.places[node.place].offer, terms.places[node.place].zone, {}};
    for (const auto& [p, y] : node.y) {
      if (whole(y) > 0)
        made.replicas[p] = whole(y);
    }
    if (!made.replicas.empty())
      plan.mixed.push_back(std::move(made));
  }
  plan.rate.assign(draft.x.size(), {});
  for (std::size_t g = 0; g < draft.x.size(); ++g) {
    const Demand& demand = terms.requirements.demands[g];
    for (std::size_t p = 0; p < terms.types.size(); ++p) {
      plan.rate[g].emplace_back(terms.periods.size(), 0.0);
      for (std::size_t t = 0; t < terms.periods.size(); ++t) {
        const double units = std::max(0.0, at(draft.x[g][p][t]));
        const double rate =
            terms.types[p].device && plan.replicas[p] == 0 ? 0 : units * terms.unit[g];
        plan.rate[g][p][t] = rate;
        const double requests = rate * terms.periods[t].seconds_a_year();
        if (terms.types[p].service) {
          plan.costs.metered += requests * metered_price(*terms.types[p].pool.metered, demand);
          if (units > kLittle)
            plan.replicas[p] = 1;
        } else {
          add_energy(requests * terms.types[p].uses[g].operation.joules_per_request,
                     terms.types[p].pool.zone, terms.periods[t].hours,
                     terms.bought(terms.types[p]));
        }
      }
    }
  }
  // What only a failure needs has to be there before it.
  for (const auto& [p, column] : spares) {
    if (at(column) > kLittle)
      plan.replicas[p] = 1;
  }
  const std::vector<std::vector<int>> trained = trained_on(terms, training, at);
  for (std::size_t from = 0; from < training.sources.size(); ++from) {
    const Training::Source& source = training.sources[from];
    const Place& place = terms.places[source.place];
    for (std::size_t s = 0; s < terms.shifts.size(); ++s) {
      const int count = trained[from][s];
      if (count == 0)
        continue;
      if (source.type) {
        for (const std::size_t t : terms.shifts[s].periods)
          plan.lent[*source.type][t] = count;
      } else {
        int& most = plan.trainers[{place.offer, place.zone}];
        most = std::max(most, count);
        draws(place.zone, training_w(terms, source.place) * count, s);
      }
    }
  }
  std::map<std::pair<std::size_t, std::size_t>, Plan::Training> trainings;  // by job and place
  for (const Training::Work& work : training.work) {
    const double device_hours = at(work.column);  // a day
    if (device_hours <= kLittle)
      continue;
    const Training::Source& source = training.sources[work.source];
    const Place& place = terms.places[source.place];
    const data::TrainingJob& job = terms.requirements.jobs[work.job];
    const Span& span = terms.spans[work.span];
    const double a_year = device_hours * days_a_year(job, span);
    add_energy(added_w(terms, source) * a_year * 3600, place.zone, terms.shifts[work.shift].of_day,
               terms.offer(place).deal == DeviceOffer::Deal::kBuy);
    Plan::Training& of =
        trainings
            .try_emplace({work.job, source.place},
                         Plan::Training{.job = work.job, .device = place.offer, .zone = place.zone})
            .first->second;
    of.device_hours += a_year / job.runs_a_year();
    of.kwh += a_year / job.runs_a_year() * training_w(terms, source.place) *
              terms.requirements.pue(place.zone) / 1000;
    for (const int hour : terms.shifts[work.shift].of_day)
      of.hours[static_cast<std::size_t>(hour)] = true;
    if (job.once())
      of.done_day = std::max(of.done_day, span.from_day + span.days);
  }
  for (auto& [key, of] : trainings)
    plan.training.push_back(std::move(of));
  for (const auto& [zone, shifts] : watts)
    plan.watts[zone] = *std::max_element(shifts.begin(), shifts.end());
  return plan;
}

}  // namespace medley::plan
