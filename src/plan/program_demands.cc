#include "plan/program_demands.h"

#include <algorithm>

namespace medley::plan {

using data::Demand;

namespace {

// All of a demand is served: when it comes, or in the hours it may be moved to.
void meet(const Terms& terms, Draft& draft, std::size_t g) {
  const Demand& demand = terms.requirements.demands[g];
  if (terms.unit[g] <= 0)
    return;
  const auto serve = [&](int row, std::size_t t, double amount) {
    for (std::size_t p = 0; p < terms.types.size(); ++p) {
      if (draft.x[g][p][t] >= 0)
        draft.entry(draft.x[g][p][t], row, amount);
    }
  };
  if (!demand.movable()) {
    for (std::size_t t = 0; t < terms.periods.size(); ++t)
      serve(draft.row(terms.periods[t].rate_per_s[g] / terms.unit[g],
                      terms.periods[t].rate_per_s[g] / terms.unit[g]),
            t, 1);
    return;
  }
  const auto hours = [&](std::size_t t) {
    return static_cast<double>(terms.periods[t].hours.size());
  };
  if (demand.hours_to_serve() == 24) {
    const int all = draft.row(24, 24);
    for (std::size_t t = 0; t < terms.periods.size(); ++t)
      serve(all, t, hours(t));
    return;
  }
  // What comes in each hour is divided among the periods it reaches.
  std::vector<int> moved_here;
  for (std::size_t t = 0; t < terms.periods.size(); ++t) {
    moved_here.push_back(draft.row(0, 0));
    serve(moved_here.back(), t, -hours(t));
  }
  for (const Period& from : terms.periods) {
    for (const int hour : from.hours) {
      const int all =
          draft.row(from.rate_per_s[g] / terms.unit[g], from.rate_per_s[g] / terms.unit[g]);
      for (std::size_t t = 0; t < terms.periods.size(); ++t) {
        if (from.rate_per_s[g] <= 0 || !reaches(demand, hour, terms.periods[t].hours.front()))
          continue;
        const int moved = draft.column({});
        draft.entry(moved, all, 1);
        draft.entry(moved, moved_here[t], 1);
      }
    }
  }
}

// However little a demand takes of a replica: where its day is served there is one.
void need_a_replica(const Terms& terms, Draft& draft, std::size_t g, std::size_t p) {
  if (!terms.is_small(g, p) || draft.replicas[p] < 0)
    return;
  const int there = draft.row(-kUnlimited, 0);
  draft.entry(draft.replicas[p], there, -1);
  for (std::size_t t = 0; t < terms.periods.size(); ++t) {
    if (draft.x[g][p][t] >= 0)
      draft.entry(draft.x[g][p][t], there, static_cast<double>(terms.periods[t].hours.size()) / 24);
  }
}

}  // namespace

Quotas stand_for_use(const Terms& terms, Draft& draft) {
  Quotas quotas;
  for (const PoolType& type : terms.types) {
    draft.capacity.emplace_back();
    for (std::size_t t = 0; t < terms.periods.size(); ++t)
      draft.capacity.back().push_back(type.device ? draft.row(-kUnlimited, 0) : -1);
    quotas.tokens.push_back(-1);
    quotas.requests.push_back(-1);
    if (type.service) {
      const Metered& metered = *type.pool.metered;
      // Quotas are refused, not queued: what is planned leaves room for bursts as replicas do.
      if (metered.tokens_per_minute) {
        for (std::size_t t = 0; t < terms.periods.size(); ++t) {
          const int made = draft.row(-kUnlimited, static_cast<double>(*metered.tokens_per_minute) *
                                                      terms.requirements.utilisation);
          if (t == 0)
            quotas.tokens.back() = made;
        }
      }
      if (metered.requests_per_day) {
        quotas.requests.back() =
            draft.row(-kUnlimited, static_cast<double>(*metered.requests_per_day));
      }
    }
  }
  return quotas;
}

void serve_demands(const Terms& terms, const Quotas& quotas, Draft& draft) {
  const std::size_t demands = terms.requirements.demands.size();
  draft.x.assign(demands, std::vector<std::vector<int>>(
                              terms.types.size(), std::vector<int>(terms.periods.size(), -1)));
  for (std::size_t g = 0; g < demands; ++g) {
    const Demand& demand = terms.requirements.demands[g];
    const double prompt = data::mean_of(demand, false), output = data::mean_of(demand, true);
    for (std::size_t p = 0; p < terms.types.size(); ++p) {
      const PoolType& type = terms.types[p];
      if (!type.uses[g].ok() || (type.device && terms.most[p] == 0) || terms.left_out(p))
        continue;
      for (std::size_t t = 0; t < terms.periods.size(); ++t) {
        const Period& period = terms.periods[t];
        if (terms.unit[g] <= 0 || (!demand.movable() && period.rate_per_s[g] <= 0))
          continue;
        double cost = type.uses[g].operation.joules_per_request *
                      terms.per_joule(terms.bought(type), type.pool.zone, period.hours);
        if (type.service)
          cost = metered_price(*type.pool.metered, demand);
        const int made = draft.column({.cost = cost * terms.unit[g] * period.seconds_a_year()});
        draft.x[g][p][t] = made;
        if (type.device)
          draft.entry(made, draft.capacity[p][t], terms.load(g, p) * terms.unit[g]);
        if (quotas.tokens[p] >= 0) {
          draft.entry(made, quotas.tokens[p] + static_cast<int>(t),
                      terms.safety[g] * terms.unit[g] * (prompt + output) * 60);
        }
        if (quotas.requests[p] >= 0)
          draft.entry(made, quotas.requests[p], terms.of_quota(g, t));
      }
    }
    meet(terms, draft, g);
    for (std::size_t p = 0; p < terms.types.size(); ++p)
      need_a_replica(terms, draft, g, p);
  }
}

}  // namespace medley::plan
