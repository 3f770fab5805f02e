#include "plan/infeasible.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "plan/study.h"

namespace medley::plan {
namespace {

using data::Demand, data::DeviceOffer, data::Requirements;

using Change = std::function<void(Requirements&)>;

// Something that is asked for, and how to do without it. Where it is one number: what it is, how
// far it would go at most, given a plan that does without it, and how to make it another.
struct Element {
  std::string name;
  Change lift;
  std::string lifted;
  double is = 0;
  std::function<double(const Plan&)> farthest;               // empty: all or nothing
  std::function<std::string(Requirements&, double to)> set;  // answers how that is said
  std::function<double(double)> round;                       // to what may be said, where it helps
  bool limit = false;  // a plan needs no more of it than farthest() says of that plan
  Obstacle missed = Obstacle::kNone;  // where it is a target: what misses it
};

// Up to three digits, at least as much.
double rounded_up(double value) {
  if (value <= 0)
    return value;
  const double step = std::pow(10, std::floor(std::log10(value)) - 2);
  return std::ceil(value / step - 1e-9) * step;
}
double rounded_down(double value) {
  if (value <= 0)
    return value;
  const double step = std::pow(10, std::floor(std::log10(value)) - 2);
  return std::floor(value / step + 1e-9) * step;
}

struct TimeUnit {
  double seconds;
  const char* name;
};
TimeUnit unit_of(double seconds) {
  return seconds < 1      ? TimeUnit{1e-3, "ms"}
         : seconds < 120  ? TimeUnit{1, "s"}
         : seconds < 7200 ? TimeUnit{60, "min"}
                          : TimeUnit{3600, "h"};
}

const PlanOptions kRough{.gap = 1e-2, .time_limit_s = 3};

class Analysis {
 public:
  Analysis(const Requirements& requirements, const data::Catalog& catalog, const Proven* proven,
           const ProofOptions& proof)
      : asked_(requirements),
        catalog_(catalog),
        proven_(proven),
        proof_(proof),
        solver_(solve::make_integer_solver()) {
    // What helps is told of the one plan, and simulated as any plan is.
    proof_.loosen = ProofOptions::Loosen::kNot;
    proof_.neighbours = proof_.fresh = false;
  }

  Result<Conflict> run() {
    MEDLEY_TRY(const PoolTypes pools, pool_types(asked_, catalog_));
    Conflict conflict;
    Factors filtered;
    count_for(kNextToNothing, filtered);
    MEDLEY_TRY(const Plan least, plan_for(asked_, filtered));
    if (least.outcome == Plan::Outcome::kInfeasible) {
      conflict.ground = Conflict::Ground::kHard;
      count_for(1, factors_);
    } else if (proven_ != nullptr && proven_->nearest) {
      conflict.ground = Conflict::Ground::kSimulated;
      const auto& [plan, proof, misses_by] = *proven_->nearest;
      conflict.nearest = {fleet_name(asked_, pools.types, plan), plan.total(),
                          least_kept(asked_, proof)};
      MEDLEY_TRY_STATUS(learn_sizes());
      filtered = factors_;
    } else {
      count_for(1, factors_);
      filtered = factors_;
    }
    std::vector<Element> kept;
    Requirements left = asked_;
    // Demands are taken out by name, so that places stay right.
    MEDLEY_TRY_STATUS(filter(demands(), filtered, left, kept));
    MEDLEY_TRY_STATUS(filter(jobs(), filtered, left, kept));
    MEDLEY_TRY(const std::vector<Element> targets, targets_of(left));
    MEDLEY_TRY_STATUS(filter(targets, filtered, left, kept));
    MEDLEY_TRY_STATUS(filter(deadlines(left), filtered, left, kept));
    MEDLEY_TRY_STATUS(filter(limits(), filtered, left, kept));
    for (const Element& element : kept)
      conflict.elements.push_back(element.name);
    std::set<Obstacle> missed;
    for (const Element& element : kept) {
      if (element.missed != Obstacle::kNone)
        missed.insert(element.missed);
    }
    // Of a demand in the conflict; one that is not has a conflict of its own.
    Requirements others = asked_;
    for (std::size_t g = 0; g < asked_.demands.size(); ++g) {
      const Demand& demand = asked_.demands[g];
      if (std::none_of(left.demands.begin(), left.demands.end(),
                       [&](const Demand& of) { return of.name == demand.name; }))
        continue;
      std::erase_if(others.demands, [&](const Demand& of) { return of.name == demand.name; });
      const std::string why = no_pool_for(asked_, pools, g, missed);
      if (!why.empty() && conflict.reason.empty())
        conflict.reason = fmt::format("{}: {}", demand.name, why);
    }
    for (const data::TrainingJob& job : left.jobs) {
      const std::string why = no_device_for(job);
      if (!why.empty() && conflict.reason.empty())
        conflict.reason = fmt::format("{}: {}", job.name, why);
    }
    std::erase_if(others.jobs, [&](const data::TrainingJob& job) {
      return std::any_of(left.jobs.begin(), left.jobs.end(),
                         [&](const data::TrainingJob& of) { return of.name == job.name; });
    });
    MEDLEY_TRY(const Plan rest, plan_for(others, filtered));
    if (rest.outcome == Plan::Outcome::kInfeasible) {
      conflict.reason += fmt::format(
          "{}without what is named here there is another conflict, which shows when this one is "
          "gone",
          conflict.reason.empty() ? "" : "; ");
    }
    for (const Element& element : kept) {
      MEDLEY_TRY(std::optional<Relaxation> relaxation, relaxed(element));
      if (relaxation)
        conflict.relaxations.push_back(*std::move(relaxation));
    }
    std::stable_sort(conflict.relaxations.begin(), conflict.relaxations.end(),
                     [](const Relaxation& a, const Relaxation& b) {
                       return a.cost.value_or(1e300) < b.cost.value_or(1e300);
                     });
    return conflict;
  }

 private:
  using Factors = std::map<std::string, double>;  // by demand: how much larger it counts

  void count_for(double factor, Factors& factors) const {
    for (const Demand& demand : asked_.demands)
      factors[demand.name] = factor;
  }

  static std::vector<double> in_order(const Requirements& requirements, const Factors& factors) {
    std::vector<double> safety;
    for (const Demand& demand : requirements.demands)
      safety.push_back(factors.at(demand.name));
    return safety;
  }

  Result<Plan> plan_for(const Requirements& requirements, const Factors& factors) {
    if (requirements.demands.empty() && requirements.jobs.empty())
      return Plan{.outcome = Plan::Outcome::kFound};
    MEDLEY_TRY(const PoolTypes pools, pool_types(requirements, catalog_));
    PlanOptions options = kRough;
    options.safety = in_order(requirements, factors);
    return cheapest(requirements, pools.types, *solver_, options);
  }

  // The same, and simulated where plans are.
  struct Tried {
    Plan plan;
    Factors factors;
    bool agreed = true;  // simulation does with that plan; else with none that was tried
  };
  Result<Tried> proven_for(const Requirements& requirements) {
    if (proven_ == nullptr || requirements.demands.empty()) {
      MEDLEY_TRY(Plan plan, plan_for(requirements, factors_));
      return Tried{std::move(plan), factors_, true};
    }
    MEDLEY_TRY(const PoolTypes pools, pool_types(requirements, catalog_));
    PlanOptions options = kRough;
    options.safety = in_order(requirements, factors_);
    MEDLEY_TRY(Proven proven,
               cheapest_proven(requirements, catalog_, pools.types, *solver_, options, proof_));
    Tried tried{std::move(proven.plan), factors_, proven.agreed};
    for (std::size_t g = 0; g < requirements.demands.size(); ++g)
      tried.factors[requirements.demands[g].name] = proven.safety[g];
    return tried;
  }
  // Whether simulation agrees with what the program found.
  Result<bool> agreed(const Requirements& requirements, const Plan& plan) {
    if (proven_ == nullptr || requirements.demands.empty())
      return true;
    MEDLEY_TRY(const PoolTypes pools, pool_types(requirements, catalog_));
    MEDLEY_TRY(const Proof proof, prove(requirements, catalog_, pools.types, plan, proof_));
    const std::vector<bool> shortfall = falls_short(requirements, proof);
    return std::find(shortfall.begin(), shortfall.end(), true) == shortfall.end();
  }

  // What a fleet within the limits keeps says nothing of what would do: that is found where there
  // are none, and raised until the program, too, finds no fleet within them.
  Status learn_sizes() {
    count_for(1, factors_);
    Requirements free = asked_;
    for (auto& [zone, spec] : free.zones) {
      spec.power_limit_kw.reset();
      spec.racks.reset();
    }
    for (DeviceOffer& offer : free.devices)
      offer.stock.reset();
    free.money.budget.reset();
    const auto loosen = std::exchange(proof_.loosen, ProofOptions::Loosen::kAlike);
    MEDLEY_TRY(const Tried unlimited, proven_for(free));
    proof_.loosen = loosen;
    if (unlimited.plan.outcome != Plan::Outcome::kFound || !unlimited.agreed)
      return Done{};
    constexpr double kStep = 1.06;
    for (Factors factors = unlimited.factors;;) {
      MEDLEY_TRY(const Plan within, plan_for(asked_, factors));
      if (within.outcome == Plan::Outcome::kInfeasible) {
        factors_ = std::move(factors);
        return Done{};
      }
      if (std::none_of(factors.begin(), factors.end(),
                       [](const auto& of) { return of.second < 1; }))
        return Done{};
      for (auto& [name, factor] : factors)
        factor *= kStep;
    }
  }

  // Why a job cannot be done on any device; empty where it can.
  std::string no_device_for(const data::TrainingJob& job) const {
    const Label& label = asked_.frame.labels[job.label.number()];
    bool offered = false;
    std::string slow;
    for (const DeviceOffer& offer : asked_.devices) {
      const auto hours = job.device_hours.find(offer.accelerator.id);
      if (hours == job.device_hours.end())
        continue;
      offered = true;
      if (std::none_of(offer.zones.begin(), offer.zones.end(),
                       [&](const std::string& zone) { return label.allows(zone); }))
        continue;
      if (job.gang == 0 || hours->second <= job.gang * job.hours_to_deadline())
        return {};
      slow =
          fmt::format("on {} {} at once it takes {:.4g} h, and it has {:.4g} h until its deadline",
                      job.gang, hours->first, hours->second / job.gang, job.hours_to_deadline());
    }
    if (!slow.empty())
      return slow;
    std::vector<std::string> runs;
    for (const auto& [device, hours] : job.device_hours)
      runs.push_back(device);
    return offered ? fmt::format("label '{}' forbids every zone of the devices that it can run on",
                                 label.name)
                   : fmt::format("it can run on {}, and none of that is under devices",
                                 fmt::join(runs, ", "));
  }

  // Takes away what the conflict does not need; the rest joins `kept`.
  Status filter(const std::vector<Element>& elements, const Factors& factors, Requirements& left,
                std::vector<Element>& kept) {
    for (const Element& element : elements) {
      Requirements without = left;
      element.lift(without);
      MEDLEY_TRY(const Plan plan, plan_for(without, factors));
      // Not known within the time counts as there may be one: the filter then keeps what it has.
      if (plan.outcome != Plan::Outcome::kInfeasible) {
        kept.push_back(element);
      } else {
        left = std::move(without);
      }
    }
    return Done{};
  }

  std::vector<Element> demands() const {
    std::vector<Element> elements;
    for (const Demand& demand : asked_.demands) {
      const std::string name = demand.name;
      const double peak =
          *std::max_element(demand.rate_per_s.begin(), demand.rate_per_s.end()) * asked_.growth();
      elements.push_back(
          {fmt::format("demand {} ({:.3g} requests/s at its peak)", name, peak),
           [name](Requirements& of) {
             std::erase_if(of.demands, [&](const Demand& each) { return each.name == name; });
           },
           "leave out demand " + name, peak, [](const Plan&) { return 0.0; },
           [name, peak](Requirements& of, double to) {
             for (Demand& each : of.demands) {
               for (double& rate : each.rate_per_s)
                 rate *= each.name == name ? to / peak : 1;
             }
             return fmt::format("demand {}: {:.3g} requests/s at its peak", name, to);
           },
           rounded_down});
    }
    return elements;
  }

  std::vector<Element> jobs() const {
    std::vector<Element> elements;
    for (const data::TrainingJob& job : asked_.jobs) {
      elements.push_back({"job " + job.name,
                          [name = job.name](Requirements& of) {
                            std::erase_if(of.jobs, [&](const data::TrainingJob& each) {
                              return each.name == name;
                            });
                          },
                          "leave out job " + job.name,
                          0,
                          {},
                          {},
                          {}});
    }
    return elements;
  }

  // Days, hours and gangs of the jobs that are left.
  std::vector<Element> deadlines(const Requirements& left) const {
    std::vector<Element> elements;
    for (const data::TrainingJob& job : left.jobs) {
      const auto with = [name = job.name](auto change) {
        return [name, change](Requirements& of) {
          for (data::TrainingJob& each : of.jobs) {
            if (each.name == name)
              change(each);
          }
        };
      };
      const int most = job.once() ? data::kDaysAYear - job.start_day : job.every_days;
      const auto said = [name = job.name](double days) {
        return fmt::format("deadline of {:g} day{} for {}", days, days == 1 ? "" : "s", name);
      };
      if (job.deadline_days < most) {
        const auto until = [](int days) {
          return [days](data::TrainingJob& each) { each.deadline_days = days; };
        };
        elements.push_back({said(job.deadline_days), with(until(most)), said(most),
                            static_cast<double>(job.deadline_days),
                            [most](const Plan&) { return static_cast<double>(most); },
                            [with, until, said](Requirements& of, double to) {
                              with(until(static_cast<int>(to)))(of);
                              return said(to);
                            },
                            [](double to) { return std::ceil(to - 1e-9); }});
      }
      const auto all_or_nothing = [&](std::string name, Change lift, std::string lifted) {
        elements.push_back({std::move(name), std::move(lift), std::move(lifted), 0, {}, {}, {}});
      };
      if (job.hours < 24) {
        all_or_nothing(fmt::format("hours of {} ({} to {})", job.name, job.from_hour,
                                   (job.from_hour + job.hours) % 24),
                       with([](data::TrainingJob& each) { each.hours = 24; }),
                       fmt::format("{} at any hour", job.name));
      }
      if (job.gang > 1) {
        all_or_nothing(fmt::format("{} devices at once for {}", job.gang, job.name),
                       with([](data::TrainingJob& each) { each.gang = 0; }),
                       fmt::format("{} on any number of devices", job.name));
      }
      add_label(job.label, job.name, elements);
    }
    return elements;
  }

  void add_label(LabelId id, const std::string& name, std::vector<Element>& elements) const {
    const Label& label = asked_.frame.labels[id.number()];
    if (label.any_zone)
      return;
    elements.push_back(
        {fmt::format(
             "label {} of {} (zones: {})", label.name, name,
             label.zones.empty() ? "none" : fmt::format("{}", fmt::join(label.zones, ", "))),
         [place = id.number()](Requirements& of) { of.frame.labels[place].any_zone = true; },
         fmt::format("label {} allows every zone", label.name),
         0,
         {},
         {},
         {}});
  }

  // Targets and labels of the demands that are left.
  Result<std::vector<Element>> targets_of(const Requirements& left) const {
    // Times what was asked, or what is reached at best: beyond that it is another demand.
    constexpr double kSlowest = 20, kAboveBest = 4;
    MEDLEY_TRY(const PoolTypes pools, pool_types(left, catalog_));
    std::vector<Element> elements;
    for (std::size_t g = 0; g < left.demands.size(); ++g) {
      const Demand& demand = left.demands[g];
      const std::string name = demand.name;
      const auto add = [&](const char* title, Obstacle missed,
                           std::optional<Duration> Targets::*of) {
        const std::optional<Duration>& asked = demand.targets.*of;
        if (!asked)
          return;
        const auto said = [title, name](double seconds) {
          const TimeUnit unit = unit_of(seconds);
          return fmt::format("{} of {:.4g} {} for {}", title, seconds / unit.seconds, unit.name,
                             name);
        };
        const auto make = [name, of](Requirements& changed, std::optional<Duration> to) {
          for (Demand& found : changed.demands) {
            if (found.name == name)
              found.targets.*of = to;
          }
        };
        const double seconds = std::chrono::duration<double>(*asked).count();
        std::optional<double> best;
        for (const auto* types : {&pools.types, &pools.beaten}) {
          for (const PoolType& type : *types) {
            const Use& use = type.uses[g];
            if (use.obstacle == missed && use.reached_s > 0)
              best = std::min(best.value_or(use.reached_s), use.reached_s);
          }
        }
        const double slowest = std::max(seconds * kSlowest, best.value_or(0) * kAboveBest);
        elements.push_back({said(seconds),
                            [make](Requirements& changed) { make(changed, std::nullopt); },
                            fmt::format("no {} for {}", title, name), seconds,
                            [slowest](const Plan&) { return slowest; },
                            [make, said](Requirements& changed, double to) {
                              make(changed, round_to_duration(Seconds(to)));
                              return said(to);
                            },
                            [](double to) {
                              const double unit = unit_of(to).seconds;
                              return rounded_up(to / unit) * unit;
                            },
                            false, missed});
      };
      add("TTFT", Obstacle::kTtft, &Targets::ttft);
      add("TPOT", Obstacle::kTpot, &Targets::tpot);
      add("deadline", Obstacle::kDeadline, &Targets::deadline);
      add_label(demand.label, name, elements);
    }
    return elements;
  }

  std::vector<Element> limits() const {
    std::vector<Element> elements;
    using Set = std::function<void(Requirements&, std::optional<double>)>;
    const auto add = [&](const std::string& name, double limit, const char* unit,
                         std::function<double(const Plan&)> taken, const Set& set,
                         std::function<double(double)> round) {
      elements.push_back({fmt::format("{} ({:.10g}{})", name, limit, unit),
                          [set](Requirements& of) { set(of, std::nullopt); }, "no limit on " + name,
                          limit, std::move(taken),
                          [=](Requirements& of, double to) {
                            set(of, to);
                            return fmt::format("{}: {:.10g}{} in place of {:.10g}", name, to, unit,
                                               limit);
                          },
                          std::move(round), true});
    };
    const auto whole = [](std::optional<double> to) {
      return to ? std::optional<int>(static_cast<int>(std::ceil(*to - 1e-9))) : std::nullopt;
    };
    const auto up = [](double to) { return std::ceil(to - 1e-9); };
    for (const auto& [zone, spec] : asked_.zones) {
      if (spec.power_limit_kw) {
        add(
            "power in " + zone, *spec.power_limit_kw, " kW",
            [zone = zone](const Plan& plan) {
              const auto watts = plan.watts.find(zone);
              return watts == plan.watts.end() ? 0 : watts->second / 1000;
            },
            [zone = zone](Requirements& of, std::optional<double> to) {
              of.zones[zone].power_limit_kw = to;
            },
            rounded_up);
      }
      if (spec.racks) {
        add(
            "racks in " + zone, *spec.racks, "",
            [this, zone = zone](const Plan& plan) {
              return static_cast<double>(racks_of(asked_, plan, zone));
            },
            [zone = zone, whole](Requirements& of, std::optional<double> to) {
              of.zones[zone].racks = whole(to);
            },
            up);
      }
    }
    for (std::size_t i = 0; i < asked_.devices.size(); ++i) {
      if (!asked_.devices[i].stock)
        continue;
      add(
          "stock of " + asked_.devices[i].name, *asked_.devices[i].stock, " devices",
          [this, i](const Plan& plan) {
            double devices = 0;
            for (const auto& [place, count] : plan.nodes) {
              devices +=
                  place.first == i ? static_cast<double>(count) * asked_.devices[i].per_node : 0;
            }
            return devices;
          },
          [i, whole](Requirements& of, std::optional<double> to) {
            of.devices[i].stock = whole(to);
          },
          [nodes = asked_.devices[i].per_node](double to) {
            return std::ceil(to / nodes - 1e-9) * nodes;
          });
    }
    if (asked_.money.budget) {
      add(
          "budget", *asked_.money.budget, "", [](const Plan& plan) { return plan.capital; },
          [](Requirements& of, std::optional<double> to) { of.money.budget = to; }, rounded_up);
    }
    if (asked_.redundancy != data::Redundancy::kNone) {
      elements.push_back({fmt::format("redundancy (a {} may be lost)", name_of(asked_.redundancy)),
                          [](Requirements& of) { of.redundancy = data::Redundancy::kNone; },
                          "no redundancy",
                          0,
                          {},
                          {},
                          {}});
    }
    return elements;
  }

  // The least change that makes all of the requirements possible, to a sixteenth of the way; what
  // is told was tried. Nothing where no answer came in time.
  Result<std::optional<Relaxation>> relaxed(const Element& element) {
    using Outcome = Plan::Outcome;
    const bool simulated = proven_ != nullptr;
    Requirements lifted = asked_;
    element.lift(lifted);
    MEDLEY_TRY(const Tried without, proven_for(lifted));
    if (without.plan.outcome == Outcome::kUnknown)
      return std::optional<Relaxation>();
    if (without.plan.outcome == Outcome::kInfeasible) {
      return std::optional(Relaxation{element.lifted, std::nullopt, simulated, "not enough alone"});
    }
    // A target that works may be found all the same: with none at all requests may be kept waiting
    // for as long as the scheduler likes.
    const bool is_target = element.farthest && !element.limit;
    Relaxation best{element.lifted, without.plan.total(), simulated, {}};
    if (!without.agreed)
      best = {element.lifted, std::nullopt, simulated, "no fleet was found that keeps enough"};
    if (!without.agreed && !is_target)
      return std::optional(best);
    if (!element.farthest)
      return std::optional(best);
    const double is = element.is, farthest = element.farthest(without.plan);
    const auto value = [&](double way) {
      return element.round(is > 0 && farthest > 0 ? is * std::pow(farthest / is, way)
                                                  : is + (farthest - is) * way);
    };
    if (element.limit)  // that plan is there still within what it takes
      best.what = element.set(lifted, value(1));
    struct Step {
      Relaxation relaxation;
      Requirements changed;
      Plan plan;
    };
    std::vector<Step> steps;
    double low = 0, high = 1;
    for (int step = 0; step < 5; ++step) {
      const double way = step == 0 ? 1 : (low + high) / 2;
      double to = value(way);
      Requirements changed = asked_;
      element.set(changed, to);
      MEDLEY_TRY(Plan plan, plan_for(changed, without.factors));
      if (plan.outcome == Outcome::kFound) {
        high = way;
        if (element.limit)  // often it takes less than it is given
          to = std::min(to, element.round(element.farthest(plan)));
        if (to > 0) {
          std::string what = element.set(changed, to);
          steps.push_back({{std::move(what), plan.total(), simulated, {}},
                           std::move(changed),
                           std::move(plan)});
        }
      } else if (step == 0) {
        break;  // only without it
      } else {
        low = way;
      }
    }
    for (; !steps.empty(); steps.pop_back()) {
      MEDLEY_TRY(const bool enough, agreed(steps.back().changed, steps.back().plan));
      if (enough)
        return std::optional(std::move(steps.back().relaxation));
    }
    return std::optional(best);
  }

  const Requirements& asked_;
  const data::Catalog& catalog_;
  const Proven* proven_;
  ProofOptions proof_;
  Factors factors_;  // by which what helps is told
  std::unique_ptr<solve::IntegerSolver> solver_;
};

}  // namespace

std::string_view name_of(Conflict::Ground ground) {
  return ground == Conflict::Ground::kHard        ? "hard"
         : ground == Conflict::Ground::kSimulated ? "simulated"
                                                  : "estimated";
}

Result<Conflict> conflict_in(const Requirements& requirements, const data::Catalog& catalog,
                             const Proven* proven, const ProofOptions& proof) {
  return Analysis(requirements, catalog, proven, proof).run();
}

}  // namespace medley::plan
