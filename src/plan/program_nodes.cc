#include "plan/program_nodes.h"

#include <algorithm>
#include <functional>

namespace medley::plan {

using data::DeviceOffer, data::Redundancy, data::Requirements;

namespace {

// Types that fit a node of a place, by who shares devices of it: widths that divide one another, so
// that counts by width say exactly what fits. Where a node may be lost each pool is by itself.
std::vector<std::vector<std::size_t>> sharing(const Terms& terms, std::size_t place) {
  std::vector<std::size_t> narrow;
  for (std::size_t p = 0; p < terms.types.size(); ++p) {
    if (terms.stands_at(p, place) &&
        terms.offer(terms.places[place]).replicas_on_node(terms.types[p].devices) > 0) {
      narrow.push_back(p);
    }
  }
  std::stable_sort(narrow.begin(), narrow.end(), [&](std::size_t a, std::size_t b) {
    return terms.types[a].devices > terms.types[b].devices;
  });
  std::vector<std::vector<std::size_t>> groups;
  for (const std::size_t p : narrow) {
    const auto fits = std::find_if(groups.begin(), groups.end(), [&](const auto& group) {
      return terms.requirements.redundancy != Redundancy::kNode &&
             terms.types[group.back()].devices % terms.types[p].devices == 0;
    });
    if (fits == groups.end())
      groups.push_back({p});
    else
      fits->push_back(p);
  }
  return groups;
}

// Ways to divide the devices of a node among groups of widths, each of which divides the one before
// it. Without those that have room for no more than another one of everything; none where there are
// too many to be columns.
std::vector<std::vector<int>> fillings(int per_node, const std::vector<std::vector<int>>& groups) {
  constexpr std::size_t kMostFillings = 500;
  std::vector<std::vector<int>> all;
  std::vector<int> way;
  const std::function<void(int)> divide = [&](int left) {
    const std::size_t at = way.size();
    if (all.size() > kMostFillings)
      return;
    if (at + 1 == groups.size()) {
      way.push_back(left);
      all.push_back(way);
      way.pop_back();
      return;
    }
    for (int part = 0; part <= left; part += groups[at].back()) {
      way.push_back(part);
      divide(left - part);
      way.pop_back();
    }
  };
  divide(per_node);
  if (all.size() > kMostFillings)
    return {};
  const auto covers = [&](const std::vector<int>& a, const std::vector<int>& b) {
    for (std::size_t k = 0; k < groups.size(); ++k) {
      for (const int width : groups[k]) {
        if (a[k] / width < b[k] / width)
          return false;
      }
    }
    return true;
  };
  std::vector<std::vector<int>> best;
  for (std::size_t i = 0; i < all.size(); ++i) {
    bool covered = false;
    for (std::size_t j = 0; j < all.size() && !covered; ++j)
      covered = j != i && covers(all[j], all[i]) && (j < i || !covers(all[i], all[j]));
    if (!covered)
      best.push_back(all[i]);
  }
  return best;
}

// Where a node may be lost: nodes of one pool each, filled before the next is begun, and `mixed`
// nodes one by one. Training is of no pool: a lost node takes nothing with it that is promised.
void stand_apart(const Terms& terms, std::size_t place,
                 const std::vector<std::vector<std::size_t>>& pools, bool trains, int mixed,
                 int nodes, OnNodes& stated, Draft& draft) {
  const DeviceOffer& of = terms.offer(terms.places[place]);
  std::vector<int> all;                         // columns: nodes
  std::vector<int> together(pools.size(), -1);  // rows: replicas of a pool, wherever they stand
  for (std::size_t k = 0; k < pools.size(); ++k) {
    const std::size_t p = pools[k].front();
    if (mixed > 0) {
      together[k] = draft.row(0, 0);
      draft.entry(draft.replicas[p], together[k], -1);
      stated.alone[p] = draft.column({.most = static_cast<double>(terms.most[p]), .whole = true});
      draft.entry(stated.alone[p], together[k], 1);
    }
    const int held = draft.row(-kUnlimited, 0);
    all.push_back(draft.column({.whole = true}));
    draft.entry(all.back(), held, -of.replicas_on_node(terms.types[p].devices));
    draft.entry(stated.alone[p], held, 1);
  }
  int before = -1, first_before = -1;
  for (int node = 0; node < mixed; ++node) {
    OnNodes::Mixed made{place, draft.column({.most = 1, .whole = true}), {}};
    all.push_back(made.used);
    const int held = draft.row(-kUnlimited, 0);
    draft.entry(made.used, held, -of.per_node);
    for (std::size_t k = 0; k < pools.size(); ++k) {
      const std::size_t p = pools[k].front();
      const int fit = of.replicas_on_node(terms.types[p].devices);
      const int y = draft.column({.most = static_cast<double>(fit), .whole = true});
      made.y[p] = y;
      draft.entry(y, together[k], 1);
      draft.entry(y, held, terms.types[p].devices);
    }
    // They are alike: those that hold more of the first pool come first, unused ones last.
    const auto no_more_than = [&](int column, int other) {
      const int order = draft.row(-kUnlimited, 0);
      draft.entry(column, order, 1);
      draft.entry(other, order, -1);
    };
    const int first = made.y.at(pools.front().front());
    if (node > 0) {
      no_more_than(made.used, before);
      no_more_than(first, first_before);
    }
    before = made.used;
    first_before = first;
    stated.mixed.push_back(std::move(made));
  }
  if (trains)
    all.push_back(draft.column({.whole = true}));  // nodes that only train
  for (const int each : all)
    draft.entry(each, nodes, 1);
  for (std::size_t s = 0; trains && s < terms.shifts.size(); ++s) {
    const int held = draft.row(-kUnlimited, 0);
    stated.single[place][s] = held;
    for (const int each : all)
      draft.entry(each, held, -of.per_node);
    for (const std::vector<std::size_t>& pool : pools)
      draft.entry(draft.replicas[pool.front()], held, terms.types[pool.front()].devices);
  }
}

}  // namespace

std::vector<int> most_mixed(const Terms& terms, double most_cost) {
  std::vector<int> out;
  for (std::size_t i = 0; i < terms.places.size(); ++i) {
    const DeviceOffer& of = terms.offer(terms.places[i]);
    int replicas = 0;  // one a node at the least
    for (std::size_t p = 0; p < terms.types.size(); ++p) {
      if (terms.stands_at(p, i) && of.replicas_on_node(terms.types[p].devices) > 0)
        replicas += terms.most[p];
    }
    // Of nodes of one device all hold one pool, full.
    int nodes = of.per_node > 1 ? replicas : 0;
    const int owned = of.owned / of.per_node;
    const Costs costs = yearly_costs(of, terms.requirements.money);
    const bool bought = of.deal == DeviceOffer::Deal::kBuy;
    if (of.stock)
      nodes = std::min(nodes, owned + *of.stock / of.per_node);
    const double running = (costs.maintenance + costs.rent +
                            (bought ? of.host_w * terms.per_watt(terms.places[i].zone) : 0)) *
                           of.per_node;
    const auto cost = [&](int count) {
      return running * count + costs.capital * of.per_node * std::max(0, count - owned);
    };
    while (nodes > 0 && cost(nodes) > most_cost)
      --nodes;
    out.push_back(nodes);
  }
  return out;
}

OnNodes stand_on_nodes(const Terms& terms, const std::vector<int>& mixed, Draft& draft) {
  OnNodes stated;
  stated.alone = draft.replicas;
  stated.single.assign(terms.places.size(), std::vector<int>(terms.shifts.size(), -1));
  for (std::size_t i = 0; i < terms.places.size(); ++i) {
    const DeviceOffer& of = terms.offer(terms.places[i]);
    const int nodes = draft.row(-kUnlimited, 0);
    draft.entry(draft.nodes[i], nodes, -1);
    for (std::size_t p = 0; p < terms.types.size(); ++p) {
      if (terms.stands_at(p, i) && of.replicas_on_node(terms.types[p].devices) == 0)
        draft.entry(draft.replicas[p], nodes, of.nodes_for(terms.types[p].devices, 1));
    }
    const bool trains = std::any_of(
        terms.requirements.jobs.begin(), terms.requirements.jobs.end(),
        [&](const data::TrainingJob& job) { return job.device_hours.contains(of.accelerator.id); });
    const bool apart = terms.requirements.redundancy == Redundancy::kNode;
    std::vector<std::vector<std::size_t>> groups = sharing(terms, i);
    if (apart) {
      stand_apart(terms, i, groups, trains, mixed.empty() ? 0 : mixed[i], nodes, stated, draft);
      continue;
    }
    // Devices that train fit beside everything that shares.
    if (trains && groups.empty())
      groups.emplace_back();
    if (groups.empty())
      continue;
    std::vector<std::vector<int>> widths(groups.size());  // by group, the widest first
    for (std::size_t group = 0; group < groups.size(); ++group) {
      for (const std::size_t p : groups[group]) {
        if (widths[group].empty() || widths[group].back() != terms.types[p].devices)
          widths[group].push_back(terms.types[p].devices);
      }
    }
    if (trains && (widths[0].empty() || widths[0].back() != 1))
      widths[0].push_back(1);
    std::vector<std::vector<int>> ways = fillings(of.per_node, widths);
    if (ways.empty()) {
      stated.within_rule = true;
      ways.assign(groups.size(), std::vector<int>(groups.size(), 0));
      for (std::size_t group = 0; group < groups.size(); ++group)
        ways[group][group] = of.per_node;
    }
    std::vector<int> filled;  // columns: nodes, by how they are divided
    for (std::size_t way = 0; way < ways.size(); ++way) {
      filled.push_back(draft.column({.whole = true}));
      draft.entry(filled.back(), nodes, 1);
    }
    for (std::size_t group = 0; group < groups.size(); ++group) {
      for (const int width : widths[group]) {
        // Training takes its devices in its hours only.
        const bool in_hours = trains && group == 0 && width == 1;
        for (std::size_t s = 0; s < (in_hours ? terms.shifts.size() : 1); ++s) {
          const int held = draft.row(-kUnlimited, 0);
          if (in_hours)
            stated.single[i][s] = held;
          for (std::size_t way = 0; way < ways.size(); ++way)
            draft.entry(filled[way], held, -(ways[way][group] / width));
          for (const std::size_t p : groups[group]) {
            if (terms.types[p].devices >= width)
              draft.entry(draft.replicas[p], held, terms.types[p].devices / width);
          }
        }
      }
    }
  }
  return stated;
}

std::vector<std::vector<std::size_t>> rack_groups(const Requirements& requirements,
                                                  const std::string& zone) {
  const auto fit = [&](std::size_t i) { return requirements.devices[i].nodes_in_rack(); };
  std::vector<std::size_t> offers;
  for (std::size_t i = 0; i < requirements.devices.size(); ++i) {
    const DeviceOffer& of = requirements.devices[i];
    if (of.per_rack && std::find(of.zones.begin(), of.zones.end(), zone) != of.zones.end())
      offers.push_back(i);
  }
  std::stable_sort(offers.begin(), offers.end(),
                   [&](std::size_t a, std::size_t b) { return fit(a) < fit(b); });
  std::vector<std::vector<std::size_t>> groups;
  for (const std::size_t i : offers) {
    const auto shares = std::find_if(groups.begin(), groups.end(), [&](const auto& group) {
      return fit(i) % fit(group.back()) == 0;
    });
    if (shares == groups.end())
      groups.push_back({i});
    else
      shares->push_back(i);
  }
  return groups;
}

void stand_in_racks(const Terms& terms, Draft& draft) {
  for (const auto& [zone, limit] : draft.racks) {
    for (const std::vector<std::size_t>& group : rack_groups(terms.requirements, zone)) {
      const int racks = draft.column({.whole = true});
      draft.entry(racks, limit, 1);
      const int held = draft.row(-kUnlimited, 0);
      draft.entry(racks, held, -1);
      for (std::size_t i = 0; i < terms.places.size(); ++i) {
        if (terms.places[i].zone == zone &&
            std::find(group.begin(), group.end(), terms.places[i].offer) != group.end())
          draft.entry(draft.nodes[i], held, 1.0 / terms.offer(terms.places[i]).nodes_in_rack());
      }
    }
  }
}

}  // namespace medley::plan
