#include "plan/infeasible.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

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

constexpr PlanOptions kRough{.gap = 1e-2, .time_limit_s = 3};

class Analysis {
 public:
  Analysis(const Requirements& requirements, const data::Catalog& catalog,
           const std::vector<double>& safety)
      : asked_(requirements), catalog_(catalog), solver_(solve::make_integer_solver()) {
    for (std::size_t g = 0; g < safety.size(); ++g)
      safety_[requirements.demands[g].name] = safety[g];
  }

  Result<Conflict> run() {
    std::vector<Element> kept;
    Requirements left = asked_;
    // Demands are taken out by name, so that places stay right.
    MEDLEY_TRY_STATUS(filter(demands(), left, kept));
    MEDLEY_TRY_STATUS(filter(jobs(), left, kept));
    MEDLEY_TRY_STATUS(filter(targets(left), left, kept));
    MEDLEY_TRY_STATUS(filter(deadlines(left), left, kept));
    MEDLEY_TRY_STATUS(filter(limits(), left, kept));
    Conflict conflict;
    for (const Element& element : kept)
      conflict.elements.push_back(element.name);
    MEDLEY_TRY(const PoolTypes pools, pool_types(asked_, catalog_));
    // Of a demand in the conflict; one that is not has a conflict of its own.
    Requirements others = asked_;
    for (std::size_t g = 0; g < asked_.demands.size(); ++g) {
      const Demand& demand = asked_.demands[g];
      if (std::none_of(left.demands.begin(), left.demands.end(),
                       [&](const Demand& of) { return of.name == demand.name; }))
        continue;
      std::erase_if(others.demands, [&](const Demand& of) { return of.name == demand.name; });
      const std::string why = no_pool_for(asked_, pools, g);
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
    MEDLEY_TRY(const Plan rest, plan_for(others));
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
  // By the factors that the plan was searched with.
  Result<Plan> plan_for(const Requirements& requirements) {
    if (requirements.demands.empty() && requirements.jobs.empty())
      return Plan{.outcome = Plan::Outcome::kFound};
    MEDLEY_TRY(const PoolTypes pools, pool_types(requirements, catalog_));
    PlanOptions options = kRough;
    for (const Demand& demand : requirements.demands) {
      const auto found = safety_.find(demand.name);
      options.safety.push_back(found == safety_.end() ? 1 : found->second);
    }
    return cheapest(requirements, pools.types, *solver_, options);
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
  Status filter(const std::vector<Element>& elements, Requirements& left,
                std::vector<Element>& kept) {
    for (const Element& element : elements) {
      Requirements without = left;
      element.lift(without);
      MEDLEY_TRY(const Plan plan, plan_for(without));
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
  std::vector<Element> targets(const Requirements& left) const {
    constexpr double kSlowest = 20;  // times what was asked: beyond that it is another demand
    std::vector<Element> elements;
    for (const Demand& demand : left.demands) {
      const std::string name = demand.name;
      const auto add = [&](const char* title, std::optional<Duration> Targets::*of) {
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
        elements.push_back({said(seconds),
                            [make](Requirements& changed) { make(changed, std::nullopt); },
                            fmt::format("no {} for {}", title, name), seconds,
                            [seconds](const Plan&) { return seconds * kSlowest; },
                            [make, said](Requirements& changed, double to) {
                              make(changed, round_to_duration(Seconds(to)));
                              return said(to);
                            },
                            [](double to) {
                              const double unit = unit_of(to).seconds;
                              return rounded_up(to / unit) * unit;
                            }});
      };
      add("TTFT", &Targets::ttft);
      add("TPOT", &Targets::tpot);
      add("deadline", &Targets::deadline);
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
    Requirements lifted = asked_;
    element.lift(lifted);
    MEDLEY_TRY(const Plan without, plan_for(lifted));
    if (without.outcome == Outcome::kUnknown)
      return std::optional<Relaxation>();
    if (without.outcome == Outcome::kInfeasible)
      return std::optional(Relaxation{element.lifted, std::nullopt});
    Relaxation best{element.lifted, without.total()};
    if (!element.farthest)
      return std::optional(best);
    const double is = element.is, farthest = element.farthest(without);
    const auto value = [&](double way) {
      return element.round(is > 0 && farthest > 0 ? is * std::pow(farthest / is, way)
                                                  : is + (farthest - is) * way);
    };
    double low = 0, high = 1;
    for (int step = 0; step < 5; ++step) {
      const double way = step == 0 ? 1 : (low + high) / 2;
      Requirements changed = asked_;
      std::string what = element.set(changed, value(way));
      MEDLEY_TRY(const Plan plan, plan_for(changed));
      if (plan.outcome == Outcome::kFound) {
        high = way;
        // Often it takes less than it is given.
        if (element.limit)
          what = element.set(changed, std::min(value(way), element.round(element.farthest(plan))));
        if (value(way) > 0)
          best = {what, plan.total()};
      } else if (step == 0) {
        break;  // only without it
      } else {
        low = way;
      }
    }
    return std::optional(best);
  }

  const Requirements& asked_;
  const data::Catalog& catalog_;
  std::map<std::string, double> safety_;  // by demand
  std::unique_ptr<solve::IntegerSolver> solver_;
};

}  // namespace

Result<Conflict> conflict_in(const Requirements& requirements, const data::Catalog& catalog,
                             const std::vector<double>& safety) {
  return Analysis(requirements, catalog, safety).run();
}

}  // namespace medley::plan
