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

}  // namespace

OnNodes stand_on_nodes(const Terms& terms, Draft& draft) {
  OnNodes stated;
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
    // Devices that train fit beside everything that shares.
    if (trains && (groups.empty() || apart))
      groups.emplace(groups.begin());
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
    std::vector<std::vector<int>> ways;
    if (!apart)
      ways = fillings(of.per_node, widths);
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
