#include "plan/program_losses.h"

#include <algorithm>
#include <numeric>
#include <optional>

namespace medley::plan {

using data::DeviceOffer, data::Redundancy;

namespace {

// What is left of a type in a failure: nothing of it where it is lost, else replicas as a sum of
// columns.
struct Left {
  bool lost = false;
  std::vector<std::pair<int, double>> replicas;
};

std::vector<Left> all_of(const Terms& terms, const Draft& draft) {
  std::vector<Left> left(terms.types.size());
  for (std::size_t p = 0; p < terms.types.size(); ++p) {
    if (terms.types[p].device)
      left[p].replicas = {{draft.replicas[p], 1}};
  }
  return left;
}

// A column: those of `replicas` that are left when `lost` of them are, or all where it has fewer.
int without(const Terms& terms, Draft& draft, std::size_t p, int replicas, int lost) {
  // left <= most·some, left + lost·some <= n: all of it is lost where `some` is 0.
  const double most = terms.most[p];
  const int left = draft.column({.most = most});
  const int some = draft.column({.most = 1, .whole = true});
  const int any = draft.row(-kUnlimited, 0), less = draft.row(-kUnlimited, 0);
  draft.entry(left, any, 1);
  draft.entry(some, any, -most);
  draft.entry(left, less, 1);
  draft.entry(some, less, lost);
  draft.entry(replicas, less, -1);
  return left;
}

// The protected demands at their peaks once more, by what is left of each type. Services that serve
// then are added to `spares`.
void add_loss(const Terms& terms, Draft& draft, const std::vector<Left>& left,
              std::vector<std::pair<std::size_t, int>>& spares) {
  const auto give = [&](std::size_t p, int row) {
    for (const auto& [column, amount] : left[p].replicas)
      draft.entry(column, row, -amount);
  };
  std::vector<bool> counts;
  bool movable = false;
  for (std::size_t g = 0; g < terms.requirements.demands.size(); ++g) {
    counts.push_back(is_protected(terms.requirements, g));
    movable = movable || (counts.back() && terms.requirements.demands[g].movable());
  }
  // Batch presses in the hours it is moved to, which need be no peak of its own.
  std::vector<std::size_t> pressed = peaks_of(terms.periods, counts);
  // And a quota of a day is taken in all of its hours.
  const bool of_a_day = std::any_of(
      terms.types.begin(), terms.types.end(),
      [](const PoolType& type) { return type.service && type.pool.metered->requests_per_day; });
  if (movable || of_a_day) {
    pressed.resize(terms.periods.size());
    std::iota(pressed.begin(), pressed.end(), 0);
  }
  std::vector<int> day(terms.types.size(), -1);
  for (std::size_t p = 0; p < terms.types.size(); ++p) {
    if (terms.types[p].service && !left[p].lost && terms.types[p].pool.metered->requests_per_day)
      day[p] = draft.row(-kUnlimited,
                         static_cast<double>(*terms.types[p].pool.metered->requests_per_day));
  }
  for (const std::size_t t : pressed) {
    std::vector<int> room(terms.types.size(), -1), quota(terms.types.size(), -1);
    for (std::size_t p = 0; p < terms.types.size(); ++p) {
      if (left[p].lost)
        continue;
      if (terms.types[p].device) {
        room[p] = draft.row(-kUnlimited, 0);
        give(p, room[p]);
      } else if (terms.types[p].pool.metered->tokens_per_minute) {
        quota[p] = draft.row(-kUnlimited,
                             static_cast<double>(*terms.types[p].pool.metered->tokens_per_minute) *
                                 terms.requirements.utilisation);
      }
    }
    for (std::size_t g = 0; g < terms.requirements.demands.size(); ++g) {
      const double rate = terms.periods[t].rate_per_s[g];
      const bool moved = terms.requirements.demands[g].movable();
      if (!counts[g] || terms.unit[g] <= 0 || (!moved && rate <= 0))
        continue;
      const int met =
          moved ? draft.row(0, 0) : draft.row(rate / terms.unit[g], rate / terms.unit[g]);
      for (std::size_t p = 0; p < terms.types.size() && moved; ++p) {
        if (draft.x[g][p][t] >= 0)
          draft.entry(draft.x[g][p][t], met, -1);  // as much as is planned here with nothing lost
      }
      const double tokens = data::mean_of(terms.requirements.demands[g], false) +
                            data::mean_of(terms.requirements.demands[g], true);
      for (std::size_t p = 0; p < terms.types.size(); ++p) {
        if (left[p].lost || !terms.types[p].uses[g].ok() ||
            (terms.types[p].device && terms.most[p] == 0) || terms.left_out(p))
          continue;
        const int made = draft.column({});
        draft.entry(made, met, 1);
        if (terms.types[p].service)
          spares.emplace_back(p, made);
        if (room[p] >= 0)
          draft.entry(made, room[p], terms.load(g, p) * terms.unit[g]);
        if (quota[p] >= 0)
          draft.entry(made, quota[p], terms.safety[g] * terms.unit[g] * tokens * 60);
        if (day[p] >= 0)
          draft.entry(made, day[p], terms.of_quota(g, t));
        if (terms.is_small(g, p)) {
          const int there = draft.row(-kUnlimited, 0);
          draft.entry(made, there, moved ? 1.0 / 24 : terms.unit[g] / rate);
          give(p, there);
        }
      }
    }
  }
}

}  // namespace

std::vector<std::pair<std::size_t, int>> add_losses(const Terms& terms, const OnNodes& on_nodes,
                                                    Draft& draft) {
  std::vector<std::pair<std::size_t, int>> spares;
  const auto lose_some = [&](std::size_t p, int lost) {
    std::vector<Left> left = all_of(terms, draft);
    left[p].replicas = {{without(terms, draft, p, on_nodes.alone[p], lost), 1}};
    for (const OnNodes::Mixed& node : on_nodes.mixed) {
      if (const auto y = node.y.find(p); y != node.y.end())
        left[p].replicas.emplace_back(y->second, 1);
    }
    add_loss(terms, draft, left, spares);
  };
  switch (terms.requirements.redundancy) {
    case Redundancy::kNone:
      return spares;
    case Redundancy::kReplica:
    case Redundancy::kNode:
      for (std::size_t p = 0; p < terms.types.size(); ++p) {
        if (!terms.types[p].device || terms.most[p] == 0)
          continue;
        const DeviceOffer& of = terms.requirements.devices[*terms.types[p].device];
        lose_some(p, terms.requirements.redundancy == Redundancy::kReplica
                         ? 1
                         : of.replicas_lost(terms.types[p].devices));
      }
      for (const OnNodes::Mixed& node : on_nodes.mixed) {
        std::vector<Left> left = all_of(terms, draft);
        for (const auto& [p, y] : node.y)
          left[p].replicas.emplace_back(y, -1);
        add_loss(terms, draft, left, spares);
      }
      return spares;
    case Redundancy::kZone:
      for (const auto& [zone, limits] : terms.requirements.zones) {
        std::vector<Left> left = all_of(terms, draft);
        bool any = false;
        for (std::size_t p = 0; p < terms.types.size(); ++p) {
          left[p].lost = terms.types[p].pool.zone == zone;
          any = any || left[p].lost;
        }
        if (any)
          add_loss(terms, draft, left, spares);
      }
      return spares;
  }
  return spares;
}

}  // namespace medley::plan
