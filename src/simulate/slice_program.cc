#include "simulate/slice_program.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "base/check.h"

namespace medley::simulate {
namespace {

constexpr double kForever = std::numeric_limits<double>::infinity();
constexpr std::size_t kWider = 4;
constexpr double kMostSlices = 16;  // of a window, about

}  // namespace

void SliceProgram::add_option(double gain, std::initializer_list<Need> needs) {
  gains_.push_back(gain);
  for (const Need& need : needs) {
    const bool binds = need.amount > 0 && need.until_s < kForever;
    needs_.push_back(binds ? need : Need{});
  }
  MEDLEY_CHECK(needs.size() == 2);
}

// From the narrowest.
std::size_t SliceProgram::level_of(const Row& row, double window_s) {
  std::size_t level = 0;
  for (double slice_s = row.slice_s; window_s > kMostSlices * slice_s; slice_s *= kWider)
    ++level;
  return level;
}

SliceProgram::Use SliceProgram::use_of(const Need& need) const {
  if (need.amount <= 0)
    return {};
  const Row& row = rows_[need.row];
  const std::size_t narrower = level_of(row, need.until_s - need.from_s);
  const Level& level = row.levels[row.levels.size() - 1 - narrower];
  const auto first = static_cast<std::size_t>((need.from_s - start_s_) / level.slice_s);
  const auto last = static_cast<std::size_t>((need.until_s - start_s_) / level.slice_s);
  MEDLEY_CHECK(last < level.slices);
  return {static_cast<std::uint32_t>(level.first + first),
          static_cast<std::uint32_t>(last - first + 1), need.amount};
}

void SliceProgram::finish() {
  starts_.push_back(gains_.size());
  start_s_ = kForever;
  double last_s = 0;  // the last time that something begins
  for (const Need& need : needs_) {
    if (need.amount > 0) {
      start_s_ = std::min(start_s_, need.from_s);
      last_s = std::max(last_s, need.from_s);
    }
  }
  // How far every width of every row must reach.
  std::vector<std::vector<double>> ends(rows_.size());
  for (const Need& need : needs_) {
    if (need.amount <= 0)
      continue;
    std::vector<double>& of_row = ends[need.row];
    const std::size_t level = level_of(rows_[need.row], need.until_s - need.from_s);
    of_row.resize(std::max(of_row.size(), level + 1));
    of_row[level] = std::max(of_row[level], need.until_s - start_s_);
  }
  double value = 0;
  for (std::size_t i = 0; i + 1 < starts_.size(); ++i) {
    const auto first = gains_.begin() + static_cast<std::ptrdiff_t>(starts_[i]);
    const auto last = gains_.begin() + static_cast<std::ptrdiff_t>(starts_[i + 1]);
    value += first == last ? 0 : std::max(0.0, *std::max_element(first, last));
  }
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    Row& row = rows_[r];
    std::vector<double>& of_row = ends[r];
    if (of_row.empty())
      continue;
    // On to the width of which two hold everything.
    double width_s = row.slice_s * std::pow(kWider, static_cast<double>(of_row.size()));
    const double end_s = *std::max_element(of_row.begin(), of_row.end());
    for (; width_s < end_s; width_s *= kWider)
      of_row.push_back(0);
    row.levels.resize(of_row.size());
    std::size_t slices = 0;
    for (std::size_t l = 0; l < of_row.size(); ++l) {
      const double wider = std::pow(kWider, static_cast<double>(l));
      slices = std::max((slices + kWider - 1) / kWider,
                        1 + static_cast<std::size_t>(of_row[l] / (row.slice_s * wider)));
      row.levels[of_row.size() - 1 - l] = {row.slice_s * wider, row.capacity * wider, 0, slices};
    }
    const double busy_slices = 1 + (last_s - start_s_) / row.slice_s;
    const double capacity_while_busy =
        busy_slices * row.capacity * static_cast<double>(rows_.size());
    for (std::size_t l = 0; l < row.levels.size(); ++l) {
      Level& level = row.levels[l];
      level.first = capacity_.size();
      for (std::size_t s = 0; s < level.slices; ++s) {
        const std::size_t parent = l == 0 ? level.first + s : row.levels[l - 1].first + s / kWider;
        parent_.push_back(static_cast<std::uint32_t>(parent));
        capacity_.push_back(level.capacity);
        worth_.push_back(value / capacity_while_busy);
      }
    }
  }
  MEDLEY_CHECK(capacity_.size() < UINT32_MAX);
  price_.resize(capacity_.size());

  options_.resize(gains_.size());
  for (std::size_t o = 0; o < gains_.size(); ++o) {
    options_[o].gain = gains_[o];
    for (std::size_t n = 2 * o; n < 2 * o + 2; ++n) {
      if (needs_[n].amount > 0)
        options_[o].uses[options_[o].count++] = use_of(needs_[n]);
    }
  }
  for (std::size_t i = 0; i + 1 < starts_.size(); ++i) {
    std::stable_sort(options_.begin() + static_cast<std::ptrdiff_t>(starts_[i]),
                     options_.begin() + static_cast<std::ptrdiff_t>(starts_[i + 1]),
                     [](const Option& a, const Option& b) { return a.gain > b.gain; });
  }
  gains_.clear(), needs_.clear();
}

void SliceProgram::add_up(const std::vector<double>& prices) {
  for (std::size_t i = 0; i < prices.size(); ++i)  // wider slices stand before narrower ones
    price_[i] = prices[i] + (parent_[i] == i ? 0 : price_[parent_[i]]);
}

// The first from `start` on, and round, so that equal slices are not all filled from the front.
std::size_t SliceProgram::cheapest(const Use& use, std::size_t start) const {
  const std::size_t begin = use.first, end = begin + use.slices, from = begin + start % use.slices;
  std::size_t best = from;
  double least = price_[from];
  const auto look = [&](std::size_t first, std::size_t last) {
    for (std::size_t i = first; i < last; ++i) {
      const bool is_less = price_[i] < least;
      best = is_less ? i : best;
      least = is_less ? price_[i] : least;
    }
  };
  look(from + 1, end);
  look(begin, from);
  return best;
}

double SliceProgram::dual(const std::vector<double>& prices, std::vector<double>& left) {
  add_up(prices);
  double value = 0;
  for (std::size_t i = 0; i < prices.size(); ++i) {
    value += prices[i] * capacity_[i];
    left[i] = 0;
  }
  for (std::size_t r = 0; r + 1 < starts_.size(); ++r) {
    double best = 0;
    const Option* chosen = nullptr;
    std::array<std::size_t, 2> at{}, chosen_at{};
    for (std::size_t o = starts_[r]; o < starts_[r + 1] && options_[o].gain > best; ++o) {
      const Option& option = options_[o];
      double net = option.gain;
      for (std::size_t u = 0; u < option.count && net > best; ++u) {
        at[u] = cheapest(option.uses[u], r);
        net -= price_[at[u]] * option.uses[u].amount;
      }
      if (net > best) {
        best = net;
        chosen = &option;
        chosen_at = at;
      }
    }
    value += best;
    for (std::size_t u = 0; chosen != nullptr && u < chosen->count; ++u)
      left[chosen_at[u]] += chosen->uses[u].amount;
  }
  for (std::size_t i = prices.size(); i-- > 0;) {
    if (parent_[i] != i)
      left[parent_[i]] += left[i];
    left[i] = capacity_[i] - left[i];
  }
  return value;
}

double SliceProgram::fill(const std::vector<double>& prices) {
  add_up(prices);
  std::vector<double> free = capacity_;
  const auto room = [&](std::size_t slice) {
    double least = free[slice];
    for (; parent_[slice] != slice; slice = parent_[slice])
      least = std::min(least, free[parent_[slice]]);
    return std::max(0.0, least);
  };
  const auto take = [&](std::size_t slice, double amount) {
    free[slice] -= amount;
    for (; parent_[slice] != slice; slice = parent_[slice])
      free[parent_[slice]] -= amount;
  };
  const auto net = [&](const Option& option, std::size_t request) {
    double net = option.gain;
    for (std::size_t u = 0; u < option.count; ++u)
      net -= price_[cheapest(option.uses[u], request)] * option.uses[u].amount;
    return net;
  };

  struct Wish {
    double net;
    std::size_t request, option;
  };
  std::vector<Wish> wishes;
  for (std::size_t r = 0; r + 1 < starts_.size(); ++r) {
    for (std::size_t o = starts_[r]; o < starts_[r + 1]; ++o) {
      if (options_[o].gain > 0)
        wishes.push_back({net(options_[o], r), r, o});
    }
  }
  std::stable_sort(wishes.begin(), wishes.end(),
                   [](const Wish& a, const Wish& b) { return a.net > b.net; });
  double earned = 0;
  std::vector<double> open(starts_.size(), 1);  // share of each request not served yet
  std::vector<std::pair<std::size_t, double>> taken;
  std::vector<std::size_t> order;
  for (const Wish& wish : wishes) {
    double& share = open[wish.request];
    if (share <= 0)
      continue;
    const Option& option = options_[wish.option];
    double served = share;
    taken.clear();
    for (std::size_t u = 0; u < option.count; ++u) {
      const Use& use = option.uses[u];
      const double wanted = served * use.amount;
      const std::size_t before = taken.size();
      double missing = wanted;
      order.resize(use.slices);
      std::iota(order.begin(), order.end(), use.first);
      std::sort(order.begin(), order.end(), [this](std::size_t a, std::size_t b) {
        return price_[a] != price_[b] ? price_[a] < price_[b] : a < b;
      });
      for (std::size_t i = 0; i < order.size() && missing > 0; ++i) {
        const std::size_t slice = order[i];
        const double amount = std::min(missing, room(slice));
        if (amount <= 0)
          continue;
        take(slice, amount);
        taken.emplace_back(slice, amount);
        missing -= amount;
      }
      if (missing > 0) {  // less of the request, so less of what its other need has taken
        const double kept = 1 - missing / wanted;
        for (std::size_t i = 0; i < before; ++i)
          take(taken[i].first, taken[i].second * (kept - 1));
        served *= kept;
      }
    }
    earned += served * option.gain;
    share -= served;
  }
  return earned;
}

}  // namespace medley::simulate
