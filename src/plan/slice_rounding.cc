#include "plan/slice_rounding.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace medley::plan {
namespace {

constexpr int kMostMoves = 400;  // of one repair: more have not been seen to help
constexpr double kAlmost = 1e-9;

std::size_t at(int index) { return static_cast<std::size_t>(index); }

double instances_for(double load) { return std::ceil(load - kAlmost * std::max(1.0, load)); }

class Rounding {
 public:
  Rounding(const SliceLoads& loads, const std::vector<double>& slices)
      : loads_(loads), order_(at(loads.types)) {
    mix_.slices.assign(slices.size(), 0);
    used_.assign(at(loads.types), 0);
    for (int b = 0; b < loads.buckets; ++b)
      round_bucket(b, slices);
    for (int t = 0; t < loads.types; ++t)
      mix_.count.push_back(instances_for(used_[at(t)]));
    std::iota(order_.begin(), order_.end(), 0);
    std::stable_sort(order_.begin(), order_.end(),
                     [&](int a, int b) { return loads.cost[at(a)] > loads.cost[at(b)]; });
  }

  double cost_of(const std::vector<double>& count) const {
    return std::inner_product(count.begin(), count.end(), loads_.cost.begin(), 0.0);
  }
  const std::vector<double>& count() const { return mix_.count; }

  // Goes over to these counts, or to fewer, where the slices can be brought to fit.
  bool go_to(const std::vector<double>& count) {
    std::vector<int> slices = mix_.slices;
    std::vector<double> used = used_;
    if (!repair(count, slices, used))
      return false;
    mix_.slices = std::move(slices);
    used_ = std::move(used);
    for (int t = 0; t < loads_.types; ++t)
      mix_.count[at(t)] = std::min(count[at(t)], instances_for(used_[at(t)]));
    return true;
  }

  bool leave_one_out() {
    return std::any_of(order_.begin(), order_.end(), [&](int t) {
      if (mix_.count[at(t)] == 0)
        return false;
      std::vector<double> fewer = mix_.count;
      fewer[at(t)] -= 1;
      return go_to(fewer);
    });
  }

  // One for one or two of a cheaper type.
  bool exchange_one() {
    for (const int t : order_) {
      if (mix_.count[at(t)] == 0)
        continue;
      for (const int other : order_) {
        std::vector<double> changed = mix_.count;
        changed[at(t)] -= 1;
        for (int more = 1; more <= 2; ++more) {
          if (more * loads_.cost[at(other)] >= loads_.cost[at(t)] * (1 - kAlmost))
            break;
          changed[at(other)] += 1;
          if (go_to(changed))
            return true;
        }
      }
    }
    return false;
  }

  WholeMix result() && {
    mix_.cost = cost_of(mix_.count);
    return std::move(mix_);
  }

 private:
  void round_bucket(int b, const std::vector<double>& slices) {
    int left = loads_.slices;
    std::vector<std::pair<double, int>> remainders;
    for (int t = 0; t < loads_.types; ++t) {
      if (loads_.at(b, t) < 0)
        continue;
      const double wanted = slices[at(b * loads_.types + t)];
      const int whole = std::clamp(static_cast<int>(std::floor(wanted + 1e-6)), 0, left);
      mix_.slices[at(b * loads_.types + t)] = whole;
      left -= whole;
      remainders.emplace_back(wanted - whole, -t);  // equal ones: the first type
    }
    std::sort(remainders.rbegin(), remainders.rend());
    for (std::size_t i = 0; left > 0; i = (i + 1) % remainders.size(), --left)
      ++mix_.slices[at(b * loads_.types - remainders[i].second)];
    for (int t = 0; t < loads_.types; ++t) {
      if (const int n = mix_.slices[at(b * loads_.types + t)]; n > 0)
        used_[at(t)] += n * loads_.at(b, t);
    }
  }

  double excess(int t, double used, double count) const {
    return loads_.cost[at(t)] * std::max(0.0, used - count);
  }

  // Moves slices off the type that is over its count by most money, where this relieves it for the
  // least room elsewhere, until all fits.
  bool repair(const std::vector<double>& count, std::vector<int>& slices,
              std::vector<double>& used) const {
    for (int move = 0; move < kMostMoves; ++move) {
      int over = -1;
      double most = 0;
      for (int t = 0; t < loads_.types; ++t) {
        const double load = used[at(t)];
        if (load - count[at(t)] <= kAlmost * std::max(1.0, load) / 2)
          continue;
        if (over < 0 || excess(t, load, count[at(t)]) > most) {
          over = t;
          most = excess(t, load, count[at(t)]);
        }
      }
      if (over < 0)
        return true;
      int best_bucket = -1, best_type = -1, best_moved = 0;
      double best_score = 0;
      for (int b = 0; b < loads_.buckets; ++b) {
        const int there = slices[at(b * loads_.types + over)];
        if (there == 0)
          continue;
        const double from = loads_.at(b, over), surplus = used[at(over)] - count[at(over)];
        for (int t = 0; t < loads_.types; ++t) {
          const double to = loads_.at(b, t);
          if (t == over || to < 0)
            continue;
          int moved =
              std::clamp(static_cast<int>(std::min(1e9, std::ceil(surplus / from))), 1, there);
          const double fitting = std::floor((count[at(t)] - used[at(t)]) / to + kAlmost);
          if (fitting >= 1 && fitting < moved)
            moved = static_cast<int>(fitting);
          const double gain = most - excess(over, used[at(over)] - moved * from, count[at(over)]) -
                              excess(t, used[at(t)] + moved * to, count[at(t)]) +
                              excess(t, used[at(t)], count[at(t)]);
          if (gain <= 1e-12 * most)
            continue;
          if (const double score = gain / (moved * to * loads_.cost[at(t)] + 1e-12);
              score > best_score) {
            best_score = score;
            best_bucket = b;
            best_type = t;
            best_moved = moved;
          }
        }
      }
      if (best_bucket < 0)
        return false;
      slices[at(best_bucket * loads_.types + over)] -= best_moved;
      slices[at(best_bucket * loads_.types + best_type)] += best_moved;
      used[at(over)] -= best_moved * loads_.at(best_bucket, over);
      used[at(best_type)] += best_moved * loads_.at(best_bucket, best_type);
    }
    return false;
  }

  const SliceLoads& loads_;
  WholeMix mix_;
  std::vector<double> used_;  // by type
  std::vector<int> order_;    // of types, the dearest first
};

}  // namespace

WholeMix round_mix(const SliceLoads& loads, const std::vector<double>& count,
                   const std::vector<double>& slices, bool thorough) {
  Rounding rounding(loads, slices);
  std::vector<double> up(count.size());
  std::transform(count.begin(), count.end(), up.begin(),
                 [](double n) { return std::ceil(n - 1e-6); });
  if (rounding.cost_of(up) < rounding.cost_of(rounding.count()))
    rounding.go_to(up);
  while (thorough && (rounding.leave_one_out() || rounding.exchange_one())) {
  }
  return std::move(rounding).result();
}

}  // namespace medley::plan
