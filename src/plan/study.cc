#include "plan/study.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

namespace medley::plan {
namespace {

using data::Demand, data::DeviceOffer, data::Requirements;

constexpr double kLittle = 1e-6;
// Comparisons need not be as close as the choice.
constexpr PlanOptions kRough{.gap = 1e-3, .time_limit_s = 5};

bool is_scheduled(const DeviceOffer& offer) {
  return offer.accelerator.kind == AcceleratorKind::kLpu ||
         offer.accelerator.kind == AcceleratorKind::kWafer;
}

class Studier {
 public:
  Studier(const Requirements& requirements, const data::Catalog& catalog,
          const StudyOptions& options)
      : catalog_(catalog),
        options_(options),
        checked_(solve::make_integer_solver()),
        solver_(solve::make_integer_solver(solve::IntegerMethod::kCbc)) {
    out_.requirements = requirements;
  }

  Result<Study> run() {
    const Requirements& asked = out_.requirements;
    MEDLEY_TRY(out_.pools, pool_types(asked, catalog_));
    if (options_.prove) {
      MEDLEY_TRY(out_.chosen,
                 cheapest_proven(asked, catalog_, out_.pools.types, *checked_, {}, options_.proof));
    } else {
      MEDLEY_TRY(out_.chosen.plan, cheapest(asked, out_.pools.types, *checked_));
      out_.chosen.safety.assign(asked.demands.size(), 1);
    }
    for (const Period& period : periods_of(asked)) {
      for (std::size_t g = 0; g < asked.demands.size(); ++g) {
        out_.tokens_a_year +=
            period.rate_per_s[g] * period.seconds_a_year() * data::mean_of(asked.demands[g], true);
      }
    }
    if (out_.chosen.plan.outcome != Plan::Outcome::kFound)
      return std::move(out_);
    out_.fleet = fleet_name(out_.pools.types, out_.chosen.plan.replicas);
    tell_truths();
    if (options_.compare) {
      MEDLEY_TRY_STATUS(compare_candidates());
      MEDLEY_TRY_STATUS(say_why_not());
      MEDLEY_TRY_STATUS(find_bindings());
      MEDLEY_TRY_STATUS(vary());
      MEDLEY_TRY_STATUS(walk_front());
      compare_duties();
    }
    MEDLEY_TRY_STATUS(range_of_prices());
    return std::move(out_);
  }

 private:
  struct Solved {
    PoolTypes pools;
    Plan plan;
  };
  Result<Solved> solve(const Requirements& changed) {
    Solved solved;
    MEDLEY_TRY(solved.pools, pool_types(changed, catalog_));
    PlanOptions options = kRough;
    options.safety = out_.chosen.safety;
    MEDLEY_TRY(solved.plan, cheapest(changed, solved.pools.types, *solver_, options));
    return solved;
  }
  std::optional<double> cost_of(const Plan& plan) const {
    return plan.outcome == Plan::Outcome::kFound ? std::optional(plan.total()) : std::nullopt;
  }

  Status compare_candidates() {
    const Requirements& asked = out_.requirements;
    const double best = out_.chosen.plan.total();
    out_.candidates.push_back({"cheapest of all", out_.pools.types, out_.chosen.plan, out_.fleet,
                               "chosen",
                               options_.prove ? std::optional(out_.chosen.proof) : std::nullopt});
    std::set<std::string> fleets = {order_of(asked, out_.pools.types, out_.chosen.plan)};
    const auto consider = [&](const std::string& name,
                              const std::function<bool(const DeviceOffer&)>& keep,
                              bool services) -> Status {
      Requirements changed = asked;
      std::erase_if(changed.devices, [&](const DeviceOffer& offer) { return !keep(offer); });
      if (!services)
        changed.services.clear();
      if (changed.devices.size() == asked.devices.size() &&
          changed.services.size() == asked.services.size()) {
        return Done{};
      }
      if (changed.devices.empty() && changed.services.empty())
        return Done{};
      MEDLEY_TRY(Solved solved, solve(changed));
      Candidate candidate{name, solved.pools.types, solved.plan, {}, {}, {}};
      if (solved.plan.outcome != Plan::Outcome::kFound) {
        candidate.why = why_none(changed, solved);
      } else {
        candidate.fleet = fleet_name(solved.pools.types, solved.plan.replicas);
        if (!fleets.insert(order_of(changed, solved.pools.types, solved.plan)).second)
          return Done{};
        const double more = solved.plan.total() - best;
        candidate.why = fmt::format("{:+.0f} a year ({:+.1f} %)", more, more / best * 100);
        if (options_.prove) {
          ProofOptions proof = options_.proof;
          proof.seeds.resize(1);
          MEDLEY_TRY(candidate.proof,
                     prove(changed, catalog_, candidate.types, candidate.plan, proof));
        }
      }
      out_.candidates.push_back(std::move(candidate));
      return Done{};
    };
    std::set<std::string> ids;
    for (const DeviceOffer& offer : asked.devices)
      ids.insert(offer.accelerator.id);
    for (const std::string& id : ids) {
      MEDLEY_TRY_STATUS(consider(
          "only " + id, [&](const DeviceOffer& of) { return of.accelerator.id == id; }, false));
    }
    MEDLEY_TRY_STATUS(consider(
        "no LPU", [](const DeviceOffer& of) { return !is_scheduled(of); }, true));
    MEDLEY_TRY_STATUS(consider(
        "all rented", [](const DeviceOffer& of) { return of.deal == DeviceOffer::Deal::kRent; },
        true));
    return consider(
        "all bought", [](const DeviceOffer& of) { return of.deal == DeviceOffer::Deal::kBuy; },
        false);
  }

  // What would be ordered: fleets that only put models differently on the same devices are one.
  static std::string order_of(const Requirements& of, const std::vector<PoolType>& types,
                              const Plan& plan) {
    std::string order;
    for (const auto& [place, count] : plan.nodes)
      order += fmt::format("{} {} {}\n", of.devices[place.first].name, place.second, count);
    for (std::size_t p = 0; p < types.size(); ++p)
      order += types[p].service && plan.replicas[p] > 0 ? types[p].pool.name + "\n" : "";
    return order;
  }

  std::string why_none(const Requirements& changed, const Solved& solved) const {
    if (solved.plan.outcome == Plan::Outcome::kUnknown)
      return "no answer within the time given";
    for (std::size_t g = 0; g < changed.demands.size(); ++g) {
      const std::string why = no_pool_for(changed, solved.pools, g);
      if (!why.empty())
        return fmt::format("{}: {}", changed.demands[g].name, why);
    }
    for (const data::TrainingJob& job : changed.jobs) {
      if (std::none_of(changed.devices.begin(), changed.devices.end(), [&](const DeviceOffer& of) {
            return job.device_hours.contains(of.accelerator.id);
          })) {
        return fmt::format("{}: no device here can run it", job.name);
      }
    }
    return "not within the limits (power, racks, stock, budget)";
  }

  // Of each offer that the fleet leaves out: what a fleet with one of it would cost more.
  Status say_why_not() {
    const Requirements& asked = out_.requirements;
    const Plan& plan = out_.chosen.plan;
    for (std::size_t i = 0; i < asked.devices.size(); ++i) {
      bool used = false;
      std::vector<std::size_t> mine;
      for (std::size_t p = 0; p < out_.pools.types.size(); ++p) {
        if (out_.pools.types[p].device != i)
          continue;
        mine.push_back(p);
        used = used || plan.replicas[p] > 0;
      }
      for (const Plan::Training& training : plan.training)
        used = used || training.device == i;
      if (used)
        continue;
      const std::string& name = asked.devices[i].name;
      std::string nearest;
      std::optional<double> least;
      for (const std::size_t p : mine) {
        const PoolType& type = out_.pools.types[p];
        const bool usable = std::any_of(type.uses.begin(), type.uses.end(),
                                        [](const Use& use) { return use.ok(); });
        if (!usable) {
          for (const Use& use : type.uses) {
            if (use.obstacle != Obstacle::kModel && nearest.empty())
              nearest = use.why;
          }
          continue;
        }
        PlanOptions options = kRough;
        options.safety = out_.chosen.safety;
        options.replicas.assign(out_.pools.types.size(), std::nullopt);
        options.replicas[p] = 1;
        MEDLEY_TRY(const Plan forced, cheapest(asked, out_.pools.types, *solver_, options));
        if (forced.outcome == Plan::Outcome::kFound)
          least = std::min(least.value_or(1e300), forced.total());
      }
      if (least) {
        const double more = std::max(0.0, *least - plan.total());
        out_.why_not.emplace_back(
            name, more < plan.total() * 1e-3
                      ? std::string("as cheap, to within the gap: a matter of taste")
                      : fmt::format("one replica of it makes the plan {:.0f} a year dearer", more));
      } else if (mine.empty()) {
        std::string why = "no model that is asked for fits it";
        for (const auto& [refused, reason] : out_.pools.refused) {
          if (refused.starts_with(name + "-"))
            why = reason;
        }
        out_.why_not.emplace_back(name, why);
      } else {
        out_.why_not.emplace_back(name, nearest.empty() ? "not within the limits" : nearest);
      }
    }
    for (std::size_t p = 0; p < out_.pools.types.size(); ++p) {
      const PoolType& type = out_.pools.types[p];
      if (!type.service || plan.replicas[p] > 0)
        continue;
      std::string why = "dearer than what is there anyway";
      if (std::none_of(type.uses.begin(), type.uses.end(),
                       [](const Use& use) { return use.ok(); })) {
        for (const Use& use : type.uses) {
          if (use.obstacle != Obstacle::kModel)
            why = use.why;
        }
      }
      out_.why_not.emplace_back(type.pool.name, why);
    }
    return Done{};
  }

  Status find_bindings() {
    const Requirements& asked = out_.requirements;
    const double best = out_.chosen.plan.total();
    const auto lift = [&](const std::string& limit,
                          const std::function<void(Requirements&)>& change) -> Status {
      Requirements changed = asked;
      change(changed);
      MEDLEY_TRY(const Solved solved, solve(changed));
      if (const auto cost = cost_of(solved.plan); cost && *cost < best * (1 - 2e-3))
        out_.bindings.push_back({limit, best - *cost});
      return Done{};
    };
    for (const auto& [zone, limits] : asked.zones) {
      if (limits.power_limit_kw) {
        MEDLEY_TRY_STATUS(lift(fmt::format("power in {} ({:g} kW)", zone, *limits.power_limit_kw),
                               [&](Requirements& of) { of.zones[zone].power_limit_kw.reset(); }));
      }
      if (limits.racks) {
        MEDLEY_TRY_STATUS(lift(fmt::format("racks in {} ({})", zone, *limits.racks),
                               [&](Requirements& of) { of.zones[zone].racks.reset(); }));
      }
    }
    for (std::size_t i = 0; i < asked.devices.size(); ++i) {
      if (asked.devices[i].stock) {
        MEDLEY_TRY_STATUS(
            lift(fmt::format("stock of {} ({})", asked.devices[i].name, *asked.devices[i].stock),
                 [&](Requirements& of) { of.devices[i].stock.reset(); }));
      }
    }
    if (asked.money.budget) {
      MEDLEY_TRY_STATUS(lift(fmt::format("budget ({:.0f})", *asked.money.budget),
                             [](Requirements& of) { of.money.budget.reset(); }));
    }
    if (asked.redundancy != data::Redundancy::kNone) {
      MEDLEY_TRY_STATUS(
          lift(fmt::format("redundancy (a {} may be lost)", name_of(asked.redundancy)),
               [](Requirements& of) { of.redundancy = data::Redundancy::kNone; }));
    }
    for (std::size_t l = 0; l < asked.frame.labels.size(); ++l) {
      if (asked.frame.labels[l].any_zone || asked.zones.size() < 2)
        continue;
      MEDLEY_TRY_STATUS(lift(fmt::format("label {}", asked.frame.labels[l].name),
                             [&](Requirements& of) { of.frame.labels[l].any_zone = true; }));
    }
    std::sort(out_.bindings.begin(), out_.bindings.end(),
              [](const Binding& a, const Binding& b) { return a.saving > b.saving; });
    return Done{};
  }

  Status vary() {
    const auto change = [&](const std::string& what,
                            const std::function<void(Requirements&)>& by) -> Status {
      Requirements changed = out_.requirements;
      by(changed);
      MEDLEY_TRY(const Solved solved, solve(changed));
      const auto cost = cost_of(solved.plan);
      out_.sensitivity.push_back(
          {what, cost, cost && fleet_name(solved.pools.types, solved.plan.replicas) == out_.fleet});
      return Done{};
    };
    for (const double factor : {0.8, 1.2, 1.5, 2.0}) {
      MEDLEY_TRY_STATUS(change(fmt::format("traffic x {:g}", factor), [&](Requirements& of) {
        for (Demand& demand : of.demands) {
          for (double& rate : demand.rate_per_s)
            rate *= factor;
        }
      }));
    }
    MEDLEY_TRY_STATUS(change("tariff x 2", [](Requirements& of) {
      for (double& price : of.frame.site.tariff_per_kwh)
        price *= 2;
    }));
    for (const double factor : {0.7, 1.3}) {
      MEDLEY_TRY_STATUS(
          change(fmt::format("purchase prices x {:g}", factor), [&](Requirements& of) {
            for (DeviceOffer& offer : of.devices) {
              if (offer.deal == DeviceOffer::Deal::kBuy)
                offer.price = {offer.price.low * factor, offer.price.high * factor};
            }
          }));
    }
    for (const double years : {2.0, 6.0}) {
      if (years == out_.requirements.money.useful_life_years)
        continue;
      MEDLEY_TRY_STATUS(change(fmt::format("useful life {:g} years", years),
                               [&](Requirements& of) { of.money.useful_life_years = years; }));
    }
    return Done{};
  }

  // Shorter targets on TPOT for all that have one.
  Status walk_front() {
    double tightest = 1e300;
    for (const Demand& demand : out_.requirements.demands) {
      if (demand.targets.tpot)
        tightest = std::min(tightest, std::chrono::duration<double>(*demand.targets.tpot).count());
    }
    if (tightest > 1e299)
      return Done{};
    for (const double factor : {4.0, 2.0, 1.4, 1.0, 0.8, 0.6, 0.4, 0.3, 0.2, 0.1}) {
      Requirements changed = out_.requirements;
      for (Demand& demand : changed.demands) {
        if (demand.targets.tpot) {
          demand.targets.tpot = round_to_duration(
              Seconds(std::chrono::duration<double>(*demand.targets.tpot).count() * factor));
        }
      }
      MEDLEY_TRY(const Solved solved, solve(changed));
      FrontPoint point{factor, 1 / (tightest * factor), cost_of(solved.plan), false};
      for (std::size_t p = 0; p < solved.pools.types.size() && point.cost; ++p) {
        point.has_scheduled =
            point.has_scheduled || (solved.plan.replicas[p] > 0 && solved.pools.types[p].device &&
                                    solved.pools.types[p].pool.statically_scheduled());
      }
      out_.front.push_back(point);
      if (!point.cost)
        break;  // tighter still is no better
    }
    return Done{};
  }

  // Share of the day that a device's replicas are busy for, as the program has it.
  double planned_duty(std::size_t device) const {
    const Requirements& asked = out_.requirements;
    const Plan& plan = out_.chosen.plan;
    const std::vector<Period> periods = periods_of(asked);
    double busy = 0, there = 0;
    for (std::size_t p = 0; p < out_.pools.types.size(); ++p) {
      const PoolType& type = out_.pools.types[p];
      if (type.device != device)
        continue;
      there += static_cast<double>(plan.replicas[p]) * type.devices;
      for (std::size_t t = 0; t < periods.size(); ++t) {
        for (std::size_t g = 0; g < asked.demands.size(); ++g) {
          if (type.uses[g].ok()) {
            busy += plan.rate[g][p][t] / type.uses[g].operation.requests_per_s * type.devices *
                    static_cast<double>(periods[t].hours.size()) / 24;
          }
        }
      }
    }
    return there > 0 ? busy / there : 0;
  }

  void compare_duties() {
    const Requirements& asked = out_.requirements;
    double tariff = 0;
    for (const double price : asked.frame.site.tariff_per_kwh)
      tariff += price / 24;
    for (std::size_t i = 0; i < asked.devices.size(); ++i) {
      for (std::size_t j = 0; j < asked.devices.size(); ++j) {
        const DeviceOffer &bought = asked.devices[i], &rented = asked.devices[j];
        if (bought.deal != DeviceOffer::Deal::kBuy || rented.deal != DeviceOffer::Deal::kRent ||
            bought.accelerator.id != rented.accelerator.id) {
          continue;
        }
        double idle = 0, busy = 0;
        for (const PoolType& type : out_.pools.types) {
          if (type.device == i && type.devices > 0) {
            idle = type.idle_w / type.devices;
            busy = std::max(busy, type.most_w / type.devices);
          }
        }
        out_.duties.push_back({bought.name, rented.name,
                               break_even_duty(bought, rented, asked.money, idle, busy,
                                               tariff * asked.frame.site.pue),
                               std::max(planned_duty(i), planned_duty(j))});
      }
    }
  }

  void tell_truths() {
    const Requirements& asked = out_.requirements;
    for (std::size_t g = 0; g < asked.demands.size(); ++g) {
      const Demand& demand = asked.demands[g];
      Truth truth{.demand = demand.name};
      if (demand.targets.tpot) {
        truth.tokens_per_s_asked = 1 / std::chrono::duration<double>(*demand.targets.tpot).count();
      }
      double all = 0, scheduled = 0;
      for (std::size_t p = 0; p < out_.pools.types.size(); ++p) {
        const PoolType& type = out_.pools.types[p];
        for (const double rate : out_.chosen.plan.rate[g][p]) {
          all += rate;
          scheduled += type.device && type.pool.statically_scheduled() ? rate : 0;
        }
        const Use& use = type.uses[g];
        if (!type.device || use.obstacle == Obstacle::kModel || use.obstacle == Obstacle::kLabel)
          continue;
        const auto speed = fastest(type.model, demand);
        if (!speed)
          continue;
        auto& best = type.pool.statically_scheduled() ? truth.scheduled : truth.batched;
        Truth::Reach reach{type.pool.name, speed->tokens_per_s, {}, speed->joules_per_token};
        if (use.ok())
          reach.joules_per_token = use.operation.joules_per_token;
        const bool better =
            !best ||
            (reach.joules_per_token &&
             (!best->joules_per_token || *reach.joules_per_token < *best->joules_per_token)) ||
            (!reach.joules_per_token && !best->joules_per_token && reach.fastest > best->fastest);
        if (better)
          best = reach;
      }
      truth.scheduled_share = all > 0 ? scheduled / all : 0;
      const bool batched_reaches = truth.batched && truth.batched->joules_per_token;
      const bool scheduled_reaches = truth.scheduled && truth.scheduled->joules_per_token;
      truth.needs_scheduled = !batched_reaches && scheduled_reaches;
      truth.verdict = verdict(truth, batched_reaches, scheduled_reaches);
      out_.truths.push_back(std::move(truth));
    }
  }

  static std::string verdict(const Truth& truth, bool batched, bool scheduled) {
    if (batched && truth.scheduled_share < kLittle) {
      return fmt::format("needs no LPU: {} keeps its targets at {:.2g} J a token",
                         truth.batched->pool, *truth.batched->joules_per_token);
    }
    if (batched) {
      return fmt::format(
          "could do without an LPU ({} keeps its targets at {:.2g} J a token); it uses "
          "slots that are there for others, or cheaper",
          truth.batched->pool, *truth.batched->joules_per_token);
    }
    if (scheduled) {
      const std::string gpu =
          truth.batched ? fmt::format(
                              "no GPU keeps its targets: {} gives one user {:.0f} tokens/s at "
                              "best ({:.2g} J each)",
                              truth.batched->pool, truth.batched->fastest,
                              truth.batched->joules_per_token_fastest)
                        : std::string("no GPU may serve it");
      return fmt::format("{}; {} gives {:.0f} at {:.2g} J a token, which is what it buys", gpu,
                         truth.scheduled->pool, truth.scheduled->fastest,
                         *truth.scheduled->joules_per_token);
    }
    return "served by rented services alone, whose energy is unknown";
  }

  // The chosen fleet, were every price at the low or the high end of its range.
  Status range_of_prices() {
    const auto at = [&](bool high) -> Result<double> {
      Requirements changed = out_.requirements;
      for (DeviceOffer& offer : changed.devices) {
        const double price = high ? offer.price.high : offer.price.low;
        offer.price = {price, price};
      }
      PlanOptions options = kRough;
      options.safety = out_.chosen.safety;
      options.replicas.clear();
      for (std::size_t p = 0; p < out_.pools.types.size(); ++p) {
        options.replicas.push_back(out_.pools.types[p].device
                                       ? std::optional<int>(out_.chosen.plan.replicas[p])
                                       : std::nullopt);
      }
      MEDLEY_TRY(const Plan plan, cheapest(changed, out_.pools.types, *solver_, options));
      return plan.outcome == Plan::Outcome::kFound ? plan.total() : out_.chosen.plan.total();
    };
    const bool ranges =
        std::any_of(out_.requirements.devices.begin(), out_.requirements.devices.end(),
                    [](const DeviceOffer& of) { return of.price.low < of.price.high; });
    if (!ranges)
      return Done{};
    PriceRange range;
    MEDLEY_TRY(range.low, at(false));
    MEDLEY_TRY(range.high, at(true));
    if (range.high > range.low * (1 + 1e-9))
      out_.price_range = range;
    return Done{};
  }

  const data::Catalog& catalog_;
  const StudyOptions& options_;
  // The choice is checked by two methods; what it is compared with by one, and recomputed.
  std::unique_ptr<solve::IntegerSolver> checked_, solver_;
  Study out_;
};

}  // namespace

std::string fleet_name(const std::vector<PoolType>& types, const std::vector<int>& replicas) {
  std::string out;
  for (std::size_t p = 0; p < types.size(); ++p) {
    if (replicas[p] == 0)
      continue;
    out += out.empty() ? "" : ", ";
    out += types[p].service ? types[p].pool.name
                            : fmt::format("{} x {}", replicas[p], types[p].pool.name);
  }
  return out.empty() ? "nothing" : out;
}

double busy_at_peak(const Requirements& requirements, const std::vector<PoolType>& types,
                    const Plan& plan, std::size_t type) {
  if (!types[type].device || plan.replicas[type] == 0)
    return 0;
  double most = 0;
  for (std::size_t t = 0; t < plan.rate.front()[type].size(); ++t) {
    double busy = 0;
    for (std::size_t g = 0; g < requirements.demands.size(); ++g) {
      if (types[type].uses[g].ok())
        busy += plan.rate[g][type][t] / types[type].uses[g].operation.requests_per_s;
    }
    most = std::max(most, busy);
  }
  return most / plan.replicas[type];
}

std::array<std::optional<double>, kServiceClassCount> kept_by_class(
    const Requirements& requirements, const Proof& proof) {
  std::array<Kept, kServiceClassCount> sums;
  for (std::size_t g = 0; g < requirements.demands.size(); ++g) {
    Kept& sum = sums[index_of(requirements.demands[g].service_class)];
    sum.requests += proof.whole[g].requests;
    sum.kept += proof.whole[g].kept;
  }
  std::array<std::optional<double>, kServiceClassCount> kept;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (sums[i].requests > 0)
      kept[i] = sums[i].share();
  }
  return kept;
}

std::string no_pool_for(const Requirements& requirements, const PoolTypes& pools,
                        std::size_t demand) {
  // The obstacle that is nearest to being none tells most.
  std::string why;
  int rank = -1;
  for (const PoolType& type : pools.types) {
    const Use& use = type.uses[demand];
    if (use.ok())
      return {};
    const int nearness = use.obstacle == Obstacle::kModel     ? 0
                         : use.obstacle == Obstacle::kLabel   ? 2
                         : use.obstacle == Obstacle::kContext ? 1
                                                              : 3;
    if (nearness > rank) {
      rank = nearness;
      why = fmt::format("{} ({})", use.why, type.pool.name);
    }
  }
  if (rank <= 0) {
    why = fmt::format("nothing that may be had runs {}",
                      fmt::join(requirements.demands[demand].models, " or "));
    for (const auto& [name, reason] : pools.refused) {
      for (const std::string& model : requirements.demands[demand].models) {
        if (name.find(model) != std::string::npos)
          why = reason;
      }
    }
  }
  return why;
}

Result<Study> study(const Requirements& requirements, const data::Catalog& catalog,
                    const StudyOptions& options) {
  return Studier(requirements, catalog, options).run();
}

}  // namespace medley::plan
