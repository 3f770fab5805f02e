// The program against enumeration, and the two things a buyer may rely on.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

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

// The best use of a given fleet: what running it costs a year beyond the replicas' own cost, or
// nothing where it cannot serve everybody. A linear program of its own, written from docs/plan.md.
class Enumeration {
 public:
  Enumeration(const data::Requirements& requirements, const std::vector<PoolType>& types)
      : r_(requirements), types_(types), periods_(periods_of(requirements)) {}

  std::optional<double> running(const std::vector<double>& n, bool protected_only) const {
    LinearProgram program;
    const double reward = 1e9;
    double asked = 0;
    std::vector<std::vector<int>> met(r_.demands.size());
    for (std::size_t g = 0; g < r_.demands.size(); ++g) {
      const data::Demand& demand = r_.demands[g];
      if (protected_only && (demand.movable() || !r_.redundant[index_of(demand.service_class)]))
        continue;
      double day = 0;
      for (const Period& period : periods_)
        day += period.rate_per_s[g] * static_cast<double>(period.hours.size());
      asked += day;
      int all = demand.movable() ? program.add_row(day) : -1;
      for (const Period& period : periods_) {
        met[g].push_back(
            demand.movable()
                ? all
                : program.add_row(period.rate_per_s[g] * static_cast<double>(period.hours.size())));
      }
    }
    std::vector<std::vector<int>> room;
    for (std::size_t p = 0; p < types_.size(); ++p) {
      room.emplace_back();
      for (std::size_t t = 0; t < periods_.size(); ++t)
        room.back().push_back(program.add_row(n[p]));
    }
    double served_cost = 0;
    std::vector<double> cost;
    for (std::size_t g = 0; g < r_.demands.size(); ++g) {
      for (std::size_t p = 0; p < types_.size() && !met[g].empty(); ++p) {
        if (!types_[p].uses[g].ok())
          continue;
        const Operation& state = types_[p].uses[g].operation;
        for (std::size_t t = 0; t < periods_.size(); ++t) {
          // In requests an hour-share: x hours' worth of requests a second.
          const double hours = static_cast<double>(periods_[t].hours.size());
          const bool owned = r_.devices[*types_[p].device].deal == data::DeviceOffer::Deal::kBuy;
          const double money = owned ? state.joules_per_request * 3600 * 365 / kJoulesAKwh *
                                           periods_[t].per_kwh * r_.frame.site.pue
                                     : 0;
          program.add_column(reward - money);
          cost.push_back(money);
          program.add_entry(met[g][t], 1);
          program.add_entry(room[p][t], 1 / (r_.utilisation * state.requests_per_s) / hours);
        }
      }
    }
    if (asked <= 0)
      return 0;
    if (cost.empty())
      return std::nullopt;
    const auto solution = solve::make_linear_solver()->solve(program);
    EXPECT_TRUE(solution.ok());
    double served = 0;
    for (std::size_t i = 0; i < cost.size(); ++i) {
      served += solution->x[i];
      served_cost += solution->x[i] * cost[i];
    }
    if (served < asked * (1 - 1e-7))
      return std::nullopt;
    return served_cost;
  }

  // Everything a fleet costs a year, or nothing where it breaks a limit or a promise.
  std::optional<double> cost(const std::vector<double>& n) const {
    double total = 0, watts = 0, capital = 0;
    std::vector<double> devices(r_.devices.size(), 0);
    for (std::size_t p = 0; p < types_.size(); ++p) {
      const int per_node = r_.devices[*types_[p].device].per_node;
      const double held = n[p] * types_[p].devices;
      devices[*types_[p].device] += r_.redundancy == data::Redundancy::kNode
                                        ? std::ceil(held / per_node - 1e-9) * per_node
                                        : held;
      watts += n[p] * types_[p].most_w;
      if (r_.devices[*types_[p].device].deal == data::DeviceOffer::Deal::kBuy) {
        total += n[p] * types_[p].idle_w / 1000 * 8760 * r_.frame.site.tariff_per_kwh[0] *
                 r_.frame.site.pue;
      }
    }
    for (std::size_t i = 0; i < devices.size(); ++i) {
      const data::DeviceOffer& offer = r_.devices[i];
      const double bought = std::ceil(devices[i] / offer.per_node - 1e-9) * offer.per_node;
      if (offer.stock && bought > *offer.stock)
        return std::nullopt;
      watts += bought * offer.host_w;
      total += bought * yearly_costs(offer, r_.money).total();
      if (offer.deal == data::DeviceOffer::Deal::kBuy) {
        capital += bought * offer.price.middle();
        total += bought * offer.host_w / 1000 * 8760 * r_.frame.site.tariff_per_kwh[0] *
                 r_.frame.site.pue;
      }
    }
    const auto& limit = r_.zones.at(r_.frame.site.zone).power_limit_kw;
    if (limit && watts * r_.frame.site.pue / 1000 > *limit * (1 + 1e-9))
      return std::nullopt;
    if (r_.money.budget && capital > *r_.money.budget * (1 + 1e-9))
      return std::nullopt;
    if (total >= best_)
      return std::nullopt;  // the rest only adds
    if (r_.redundancy != data::Redundancy::kNone) {
      for (std::size_t p = 0; p < types_.size(); ++p) {
        const int per_node = r_.devices[*types_[p].device].per_node;
        const int lost = r_.redundancy == data::Redundancy::kReplica
                             ? 1
                             : (per_node + types_[p].devices - 1) / types_[p].devices;
        std::vector<double> left = n;
        left[p] = std::max(0.0, left[p] - lost);
        if (!running(left, true))
          return std::nullopt;
      }
    }
    const std::optional<double> used = running(n, false);
    return used ? std::optional<double>(total + *used) : std::nullopt;
  }

  // Over all fleets of at most `most` replicas a type.
  std::optional<double> best(int most) {
    std::vector<double> n(types_.size(), 0);
    std::function<void(std::size_t)> each = [&](std::size_t p) {
      if (p == types_.size()) {
        if (const auto found = cost(n))
          best_ = std::min(best_, *found);
        return;
      }
      for (int count = 0; count <= most; ++count) {
        n[p] = count;
        each(p + 1);
      }
      n[p] = 0;
    };
    each(0);
    return best_ < 1e299 ? std::optional<double>(best_) : std::nullopt;
  }

 private:
  const data::Requirements& r_;
  const std::vector<PoolType>& types_;
  const std::vector<Period> periods_;
  double best_ = 1e300;
};

TEST(PlanProgram, EqualsEnumerationOfAllFleets) {
  int compared = 0, infeasible = 0;
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
    EXPECT_LE(solved.plan.gap, kGap);
  }
  EXPECT_EQ(compared, 100);
  EXPECT_GT(infeasible, 5);
  EXPECT_LT(infeasible, 60);
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
