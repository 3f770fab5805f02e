// The program against enumeration, and the two things a buyer may rely on.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "plan/program.h"
#include "plan/testing_requirements.h"
#include "solve/linear_solver.h"

namespace medley::plan {
namespace {

constexpr double kGap = 1e-4;
constexpr double kJoulesAKwh = 3.6e6;

struct Solved {
  data::Requirements requirements;
  PoolTypes pools;
  Plan plan;
};

Solved solve_random(const RandomRequirements& random) {
  Solved solved{random.read(), {}, {}};
  auto pools = pool_types(solved.requirements, test_catalog());
  EXPECT_TRUE(pools.ok()) << (pools.ok() ? "" : pools.error().message);
  solved.pools = *std::move(pools);
  const auto solver = solve::make_integer_solver();
  auto plan = cheapest(solved.requirements, solved.pools.types, *solver, {.gap = kGap});
  EXPECT_TRUE(plan.ok()) << (plan.ok() ? "" : plan.error().message) << random.text();
  if (plan.ok())
    solved.plan = *std::move(plan);
  return solved;
}

// All fleets, one after the other. Written from docs/plan.md by the hour of the day, with packing,
// moving and losing of its own.
class Enumeration {
 public:
  Enumeration(const data::Requirements& requirements, const std::vector<PoolType>& types)
      : r_(requirements), types_(types) {
    // Hours that ask for the same are one, unless batch has to move from some of them to others.
    const bool by_hour = std::any_of(r_.demands.begin(), r_.demands.end(), [&](const auto& demand) {
      return hours_left(demand) > 1 && hours_left(demand) < 24;
    });
    for (int hour = 0; hour < 24; ++hour) {
      const auto same = std::find_if(times_.begin(), times_.end(), [&](const Time& time) {
        return std::all_of(r_.demands.begin(), r_.demands.end(), [&](const data::Demand& demand) {
          return demand.rate_per_s[static_cast<std::size_t>(time.hour)] ==
                 demand.rate_per_s[static_cast<std::size_t>(hour)];
        });
      });
      if (by_hour || same == times_.end())
        times_.push_back({hour, 1});
      else
        ++same->hours;
    }
  }

  // Over all fleets of at most `most` replicas a type.
  std::optional<double> best(int most) {
    std::vector<int> n(types_.size(), 0);
    std::function<void(std::size_t)> each = [&](std::size_t p) {
      if (p == types_.size()) {
        if (const auto found = cost(n))
          best_ = std::min(best_, *found);
        return;
      }
      if (types_[p].service) {
        n[p] = 1;
        each(p + 1);
        return;
      }
      for (n[p] = 0; n[p] <= most; ++n[p])
        each(p + 1);
      n[p] = 0;
    };
    each(0);
    return best_ < 1e299 ? std::optional<double>(best_) : std::nullopt;
  }

 private:
  struct Time {
    int hour;
    double hours;
  };
  using Fleet = std::vector<int>;

  static int hours_left(const data::Demand& demand) {
    if (demand.service_class != ServiceClass::kBatch)
      return 1;
    const double hours = std::chrono::duration<double>(*demand.targets.deadline).count() / 3600;
    return std::max(1, std::min(24, static_cast<int>(hours)));
  }
  const data::DeviceOffer& offer(std::size_t p) const { return r_.devices[*types_[p].device]; }
  double money_a_kwh() const { return r_.frame.site.tariff_per_kwh[0] * r_.frame.site.pue; }

  // Nodes by packing the largest first, each where it still fits.
  static int packed(std::vector<int> widths, int per_node) {
    std::sort(widths.rbegin(), widths.rend());
    std::vector<int> free;
    int nodes = 0;
    for (const int width : widths) {
      if (width > per_node) {
        for (int left = width; left > 0; left -= per_node)
          ++nodes;
        continue;
      }
      const auto node =
          std::find_if(free.begin(), free.end(), [&](int room) { return room >= width; });
      if (node == free.end())
        free.push_back(per_node - width);
      else
        *node -= width;
    }
    return nodes + static_cast<int>(free.size());
  }

  // What is left of a fleet in each thing that may happen.
  std::vector<Fleet> losses(const Fleet& n) const {
    std::vector<Fleet> left;
    if (r_.redundancy == data::Redundancy::kZone) {
      for (const char* zone : {"here", "there"}) {
        left.push_back(n);
        for (std::size_t p = 0; p < types_.size(); ++p)
          left.back()[p] = types_[p].pool.zone == zone ? 0 : n[p];
      }
    } else if (r_.redundancy != data::Redundancy::kNone) {
      for (std::size_t p = 0; p < types_.size(); ++p) {
        if (types_[p].service)
          continue;
        int lost = 1;
        for (int room = offer(p).per_node - 2 * types_[p].devices;
             room >= 0 && r_.redundancy == data::Redundancy::kNode; room -= types_[p].devices)
          ++lost;
        left.push_back(n);
        left.back()[p] = std::max(0, n[p] - lost);
      }
    }
    return left;
  }

  // The least that serving costs, or nothing where somebody is not served: by the whole fleet, and
  // what is protected by each of those that are left.
  std::optional<double> served(const Fleet& whole, const std::vector<Fleet>& left) const {
    constexpr double kReward = 1e7;
    LinearProgram program;
    std::vector<double> cost;
    struct Entry {
      int row;
      double amount;
    };
    const auto column = [&](double money, bool counts, const std::vector<Entry>& entries) {
      program.add_column((counts ? kReward : 0) - money);
      cost.push_back(counts ? money : -1);
      for (const Entry& entry : entries)
        program.add_entry(entry.row, entry.amount);
    };
    double asked = 0;
    // What batch is served in the whole fleet bounds what is served of it in a failure.
    std::vector<std::vector<std::vector<int>>> again(r_.demands.size());
    for (std::size_t g = 0; g < r_.demands.size(); ++g) {
      again[g].assign(times_.size(), {});
      for (std::size_t t = 0; t < times_.size(); ++t) {
        for (std::size_t i = 0; i < left.size(); ++i)
          again[g][t].push_back(program.add_row(0));
      }
    }
    for (std::size_t i = 0; i <= left.size(); ++i) {
      const Fleet& n = i == 0 ? whole : left[i - 1];
      // Replicas, or of a service the tokens of a minute, in thousands, and the requests of a day.
      std::vector<std::vector<int>> room(types_.size());
      std::vector<int> a_day(types_.size(), -1);
      for (std::size_t p = 0; p < types_.size(); ++p) {
        double most = n[p];
        if (types_[p].service) {
          const Metered& metered = *types_[p].pool.metered;
          most =
              metered.tokens_per_minute ? *metered.tokens_per_minute / 1e3 * r_.utilisation : 1e9;
          if (metered.requests_per_day)
            a_day[p] = program.add_row(*metered.requests_per_day / 1e3);
        }
        for (std::size_t t = 0; t < times_.size(); ++t)
          room[p].push_back(program.add_row(most));
      }
      for (std::size_t g = 0; g < r_.demands.size(); ++g) {
        const data::Demand& demand = r_.demands[g];
        if (i > 0 && !r_.redundant[index_of(demand.service_class)])
          continue;
        const int reach = hours_left(demand);
        double day = 0;
        for (const Time& time : times_)
          day += demand.rate_per_s[static_cast<std::size_t>(time.hour)] * time.hours;
        asked += 1;
        // Shares of the day's work, so that the least of demands weighs as much as the largest.
        const auto share = [&](std::size_t t) {
          return demand.rate_per_s[static_cast<std::size_t>(times_[t].hour)] * times_[t].hours /
                 day;
        };
        std::vector<int> here;
        const int all = reach == 24 && i == 0 ? program.add_row(1) : -1;
        for (std::size_t t = 0; t < times_.size(); ++t) {
          if (i > 0 && reach > 1)
            here.push_back(again[g][t][i - 1]);
          else
            here.push_back(all >= 0 ? all : program.add_row(reach == 1 ? share(t) : 0));
        }
        if (i == 0 && reach > 1 && reach < 24) {
          for (std::size_t from = 0; from < times_.size(); ++from) {
            const int comes = program.add_row(share(from));
            for (int later = 0; later < reach; ++later)
              column(0, false,
                     {{comes, 1}, {here[(from + static_cast<std::size_t>(later)) % 24], -1}});
          }
        }
        for (std::size_t p = 0; p < types_.size(); ++p) {
          if (!types_[p].uses[g].ok() || n[p] == 0)
            continue;
          const Operation& state = types_[p].uses[g].operation;
          const double prompt = data::mean_of(demand, false), output = data::mean_of(demand, true);
          double money = 0, takes = 1 / (r_.utilisation * state.requests_per_s);
          if (types_[p].service) {
            const Metered& metered = *types_[p].pool.metered;
            money = day * 3600 * 365 / 1e6 *
                    (prompt * metered.per_million_prompt + output * metered.per_million_output);
            takes = metered.tokens_per_minute ? 60 * (prompt + output) / 1e3 : 0;
          } else if (offer(p).deal == data::DeviceOffer::Deal::kBuy) {
            money = state.joules_per_request * day * 3600 * 365 / kJoulesAKwh * money_a_kwh();
          }
          money *= i == 0 ? 1 : 0;
          for (std::size_t t = 0; t < times_.size(); ++t) {
            std::vector<Entry> entries = {{here[t], 1},
                                          {room[p][t], day / times_[t].hours * takes}};
            if (a_day[p] >= 0)
              entries.push_back({a_day[p], day * 3.6});
            for (std::size_t other = 0; i == 0 && reach > 1 && other < left.size(); ++other)
              entries.push_back({again[g][t][other], -1});
            column(money, true, entries);
          }
        }
      }
    }
    if (asked == 0)
      return 0;
    if (cost.empty())
      return std::nullopt;
    const auto solution = solve::make_linear_solver()->solve(program);
    EXPECT_TRUE(solution.ok());
    double share = 0, money = 0;
    for (std::size_t c = 0; c < cost.size(); ++c) {
      share += cost[c] >= 0 ? solution->x[c] : 0;
      money += cost[c] >= 0 ? solution->x[c] * cost[c] : 0;
    }
    return share < asked - 1e-6 ? std::nullopt : std::optional(money);
  }

  // Everything a fleet costs a year, or nothing where it breaks a limit or a promise.
  std::optional<double> cost(const Fleet& n) const {
    double total = 0, capital = 0;
    std::map<std::string, double> watts;
    for (std::size_t p = 0; p < types_.size(); ++p) {
      if (types_[p].service)
        continue;
      watts[types_[p].pool.zone] += n[p] * types_[p].most_w;
      if (offer(p).deal == data::DeviceOffer::Deal::kBuy)
        total += n[p] * types_[p].idle_w / 1000 * 8760 * money_a_kwh();
    }
    for (std::size_t i = 0; i < r_.devices.size(); ++i) {
      const data::DeviceOffer& of = r_.devices[i];
      int bought = 0;
      for (const std::string& zone : of.zones) {
        std::vector<int> widths;
        int nodes = 0;
        for (std::size_t p = 0; p < types_.size(); ++p) {
          if (types_[p].device != i || types_[p].pool.zone != zone)
            continue;
          const std::vector<int> mine(static_cast<std::size_t>(n[p]), types_[p].devices);
          if (r_.redundancy == data::Redundancy::kNode)
            nodes += packed(mine, of.per_node);
          else
            widths.insert(widths.end(), mine.begin(), mine.end());
        }
        nodes += packed(widths, of.per_node);
        watts[zone] += nodes * of.per_node * of.host_w;
        bought += nodes * of.per_node;
      }
      if (of.stock && bought > *of.stock)
        return std::nullopt;
      total += bought * yearly_costs(of, r_.money).total();
      if (of.deal == data::DeviceOffer::Deal::kBuy) {
        capital += bought * of.price.middle();
        total += bought * of.host_w / 1000 * 8760 * money_a_kwh();
      }
    }
    const auto& limit = r_.zones.at(r_.frame.site.zone).power_limit_kw;
    if (limit && watts[r_.frame.site.zone] * r_.frame.site.pue / 1000 > *limit * (1 + 1e-9))
      return std::nullopt;
    if (r_.money.budget && capital > *r_.money.budget * (1 + 1e-9))
      return std::nullopt;
    if (total >= best_)
      return std::nullopt;  // the rest only adds
    const std::optional<double> used = served(n, losses(n));
    return used ? std::optional<double>(total + *used) : std::nullopt;
  }

  const data::Requirements& r_;
  const std::vector<PoolType>& types_;
  std::vector<Time> times_;
  double best_ = 1e300;
};

TEST(PlanProgram, EqualsEnumerationOfAllFleets) {
  int compared = 0, infeasible = 0, serviced = 0;
  for (std::uint64_t seed = 1; compared < 100 && seed < 600; ++seed) {
    const RandomRequirements random(seed);
    const Solved solved = solve_random(random);
    ASSERT_NE(solved.plan.outcome, Plan::Outcome::kUnknown) << random.text();
    // Small enough to be enumerated, with room above what the program chose.
    const std::size_t types = solved.pools.types.size();
    const int most = types <= 2 ? 14 : types == 3 ? 9 : types == 4 ? 6 : 4;
    const bool found = solved.plan.outcome == Plan::Outcome::kFound;
    if (types == 0 || types > 5 ||
        (found &&
         *std::max_element(solved.plan.replicas.begin(), solved.plan.replicas.end()) >= most))
      continue;
    ++compared;
    infeasible += found ? 0 : 1;
    serviced += random.services.empty() ? 0 : 1;
    Enumeration enumeration(solved.requirements, solved.pools.types);
    const auto best = enumeration.best(most);
    SCOPED_TRACE("seed " + std::to_string(seed) + "\n" + random.text());
    if (!found) {
      EXPECT_FALSE(best.has_value()) << "a fleet serves all of it for " << *best;
      continue;
    }
    ASSERT_TRUE(best.has_value());
    EXPECT_LE(solved.plan.total(), *best * (1 + kGap + 1e-6));
    EXPECT_GE(solved.plan.total(), *best * (1 - 1e-6));
    if (*best > 1) {  // of less than a unit of money a share says nothing
      EXPECT_LE(solved.plan.gap, kGap);
    }
  }
  EXPECT_EQ(compared, 100);
  EXPECT_GT(infeasible, 5);
  EXPECT_LT(infeasible, 60);
  EXPECT_GT(serviced, 20);
}

TEST(PlanProgram, ADemandLessIsNeverDearer) {
  int compared = 0;
  for (std::uint64_t seed = 1000; compared < 60 && seed < 1400; ++seed) {
    const RandomRequirements random(seed);
    const Solved all = solve_random(random);
    if (all.plan.outcome != Plan::Outcome::kFound || random.demands.size() < 2)
      continue;
    for (std::size_t g = 0; g < random.demands.size(); ++g) {
      RandomRequirements less = random;
      less.demands.erase(less.demands.begin() + static_cast<std::ptrdiff_t>(g));
      const Solved without = solve_random(less);
      ++compared;
      ASSERT_EQ(without.plan.outcome, Plan::Outcome::kFound) << random.text();
      EXPECT_LE(without.plan.total(), all.plan.total() * (1 + kGap + 1e-6)) << random.text();
    }
  }
  EXPECT_GE(compared, 60);
}

TEST(PlanProgram, ADeviceMoreIsNeverDearer) {
  int compared = 0;
  for (std::uint64_t seed = 2000; compared < 60 && seed < 2400; ++seed) {
    const RandomRequirements random(seed);
    if (random.devices.size() < 2)
      continue;
    RandomRequirements less = random;
    less.devices.pop_back();
    const Solved without = solve_random(less), with = solve_random(random);
    if (without.plan.outcome != Plan::Outcome::kFound)
      continue;
    ++compared;
    ASSERT_EQ(with.plan.outcome, Plan::Outcome::kFound) << random.text();
    EXPECT_LE(with.plan.total(), without.plan.total() * (1 + kGap + 1e-6)) << random.text();
  }
  EXPECT_EQ(compared, 60);
}

}  // namespace
}  // namespace medley::plan
