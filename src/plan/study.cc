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
const PlanOptions kRough{.gap = 1e-3, .time_limit_s = 5};
constexpr char kNone[] = "none can be", kNoTime[] = "no answer within the time given",
               kNoneOfRule[] = "none within the rule for nodes";

bool is_scheduled(const DeviceOffer& offer) {
  return offer.accelerator.kind == AcceleratorKind::kLpu ||
         offer.accelerator.kind == AcceleratorKind::kWafer;
}

class Studier {
 public:
  Studier(const Requirements& requirements, const data::Catalog& catalog,
          solve::IntegerSolver& solver, const StudyOptions& options)
      : catalog_(catalog), solver_(solver), options_(options) {
    out_.requirements = requirements;
  }

  Result<Study> run() {
    const Requirements& asked = out_.requirements;
    MEDLEY_TRY_STATUS(know_what_jobs_draw());
    MEDLEY_TRY(out_.pools, pool_types(asked, catalog_));
    if (options_.prove) {
      MEDLEY_TRY(out_.chosen,
                 cheapest_proven(asked, catalog_, out_.pools.types, solver_, {}, options_.proof));
    } else {
      options_.proof.tell("solving for the cheapest fleet");
      MEDLEY_TRY(out_.chosen.plan, cheapest_of_few_kinds(asked, out_.pools.types, solver_, {}));
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
    out_.fleet = fleet_name(asked, out_.pools.types, out_.chosen.plan);
    tell_truths();
    if (options_.compare) {
      compare_candidates();
      say_why_not();
      find_bindings();
      vary();
      walk_front();
      compare_duties();
    }
    range_of_prices();
    return std::move(out_);
  }

 private:
  // What training draws is its TDP.
  Status know_what_jobs_draw() const {
    for (const data::TrainingJob& job : out_.requirements.jobs) {
      for (const DeviceOffer& offer : out_.requirements.devices) {
        if (job.device_hours.contains(offer.accelerator.id) && !offer.accelerator.tdp_w) {
          return Error{ErrorCode::kInvalid,
                       fmt::format("{}: job '{}' may run on {}, whose draw the catalogue does not "
                                   "know (power_w.tdp): leave it out of device_hours, or give a "
                                   "catalogue that knows it",
                                   out_.requirements.file, job.name, offer.accelerator.id),
                       {}};
        }
      }
    }
    return Done{};
  }

  struct Solved {
    PoolTypes pools;
    Plan plan;
    std::string none;  // why there is no plan; empty where there is one
    std::optional<double> cost() const {
      return none.empty() ? std::optional(plan.total()) : std::nullopt;
    }
  };
  // `held`: replicas by pool type, of the requirements as they are; `with`: one of these types, of
  // which there is one replica at least.
  // `edit` may take uses away.
  Solved solve(const Requirements& changed, std::vector<std::optional<int>> held = {},
               const std::function<void(PoolType&)>& edit = {},
               std::optional<std::size_t> with = {}) {
    const auto failed = [](Solved solved, const Error& error) {
      solved.none = "could not be computed: " + error.message;
      return solved;
    };
    Solved solved;
    auto pools = pool_types(changed, catalog_);
    if (!pools.ok())
      return failed(std::move(solved), pools.error());
    solved.pools = *std::move(pools);
    if (edit)
      std::for_each(solved.pools.types.begin(), solved.pools.types.end(), edit);
    PlanOptions options = kRough;
    options.safety = out_.chosen.safety;
    options.replicas = std::move(held);
    options.with = with;
    auto plan = cheapest_of_few_kinds(changed, solved.pools.types, solver_, options);
    if (!plan.ok())
      return failed(std::move(solved), plan.error());
    solved.plan = *std::move(plan);
    solved.none = solved.plan.outcome == Plan::Outcome::kFound        ? ""
                  : solved.plan.within_rule                           ? kNoneOfRule
                  : solved.plan.outcome == Plan::Outcome::kInfeasible ? kNone
                                                                      : kNoTime;
    return solved;
  }

  void compare_candidates() {
    const Requirements& asked = out_.requirements;
    out_.candidates.push_back({"cheapest of all", asked, out_.pools.types, out_.chosen.plan,
                               out_.fleet, "chosen",
                               options_.prove ? std::optional(out_.chosen.proof) : std::nullopt,
                               bindings_of(asked, out_.chosen.plan.total(), hard_limits(asked))});
    std::set<std::string> ids;
    for (const DeviceOffer& offer : asked.devices)
      ids.insert(offer.accelerator.id);
    for (const std::string& id : ids) {
      consider(
          "only " + id, [&](const DeviceOffer& of) { return of.accelerator.id == id; }, false);
    }
    consider(
        "no LPU", [](const DeviceOffer& of) { return !is_scheduled(of); }, true);
    consider(
        "all rented", [](const DeviceOffer& of) { return of.deal == DeviceOffer::Deal::kRent; },
        true);
    consider(
        "all bought", [](const DeviceOffer& of) { return of.deal == DeviceOffer::Deal::kBuy; },
        false);
  }

  // The cheapest fleet of some of the offers, simulated on the first seed.
  void consider(const std::string& name, const std::function<bool(const DeviceOffer&)>& keep,
                bool services) {
    const Requirements& asked = out_.requirements;
    Requirements changed = asked;
    std::erase_if(changed.devices, [&](const DeviceOffer& offer) { return !keep(offer); });
    if (!services)
      changed.services.clear();
    if ((changed.devices.size() == asked.devices.size() &&
         changed.services.size() == asked.services.size()) ||
        (changed.devices.empty() && changed.services.empty())) {
      return;
    }
    options_.proof.tell("comparing: " + name);
    const Solved solved = solve(changed);
    Candidate candidate{name, changed, solved.pools.types, solved.plan, {}, {}, {}, {}};
    if (!solved.none.empty()) {
      candidate.why = solved.none == kNone ? why_none(changed, solved) : solved.none;
      out_.candidates.push_back(std::move(candidate));
      return;
    }
    candidate.fleet = fleet_name(changed, solved.pools.types, solved.plan);
    const std::string order = order_of(changed, solved.pools.types, solved.plan);
    for (const std::string& known : orders_) {
      if (known == order)
        return;
    }
    if (order == order_of(asked, out_.pools.types, out_.chosen.plan))
      return;
    orders_.push_back(order);
    candidate.bindings = bindings_of(changed, solved.plan.total(), hard_limits(changed));
    const double best = out_.chosen.plan.total();
    candidate.why = fmt::format("{:+.0f} a year ({})", solved.plan.total() - best,
                                change_text(solved.plan.total(), best));
    if (options_.prove) {
      ProofOptions options = options_.proof;
      options.seeds.resize(1);
      options_.proof.tell("simulating: " + name);
      auto proof = prove(changed, catalog_, candidate.types, candidate.plan, options);
      if (!proof.ok()) {
        candidate.why += ", could not be simulated: " + proof.error().message;
      } else {
        const std::vector<bool> shortfall = falls_short(changed, *proof);
        std::string few;
        for (std::size_t g = 0; g < shortfall.size(); ++g) {
          if (shortfall[g])
            few += (few.empty() ? "" : ", ") + changed.demands[g].name;
        }
        if (!few.empty())
          candidate.why += ", and more in truth: simulated, it keeps too little of " + few;
        candidate.proof = *std::move(proof);
      }
    }
    out_.candidates.push_back(std::move(candidate));
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

  std::string why_none(const Requirements& changed, const Solved& solved) {
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
    std::string of;  // each alone is what stands in the way
    for (const Limit& limit : hard_limits(changed)) {
      if (solve(lifted(changed, limit)).none.empty())
        of += (of.empty() ? "" : ", or ") + limit.name;
    }
    if (!of.empty())
      return "not within the limits: " + of;
    Requirements all = changed;
    for (const Limit& limit : hard_limits(changed))
      limit.lift(all);
    return solve(all).none.empty()
               ? "not within the limits: several of power, racks, stock and budget together"
               : "none can be, whatever the limits on power, racks, stock and budget";
  }

  // A job that may run on such a device; empty: none.
  std::string job_for(const DeviceOffer& offer) const {
    for (const data::TrainingJob& job : out_.requirements.jobs) {
      if (job.device_hours.contains(offer.accelerator.id))
        return job.name;
    }
    return {};
  }

  // Of each offer that the fleet leaves out: what a fleet with one of it would cost more.
  void say_why_not() {
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
      std::string nearest, failed;
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
        options_.proof.tell("why not " + type.pool.name);
        const Solved forced = solve(asked, {}, {}, p);
        if (const auto cost = forced.cost())
          least = std::min(least.value_or(1e300), *cost);
        else if (forced.none != kNone)
          failed = forced.none;
      }
      if (least) {
        const double more = std::max(0.0, *least - plan.total());
        out_.why_not.emplace_back(
            name, more <= plan.total() * 1e-3
                      ? std::string("as cheap, to within the gap: a matter of taste")
                      : fmt::format("one replica of it makes the plan {:.0f} a year dearer", more));
      } else if (const std::string job = job_for(asked.devices[i]); mine.empty() && !job.empty()) {
        out_.why_not.emplace_back(name, job + " may run on it, and costs no less there");
      } else if (mine.empty()) {
        std::string why =
            asked.demands.empty() ? "no job may run on it" : "no model that is asked for fits it";
        for (const auto& [refused, reason] : out_.pools.refused) {
          if (refused.starts_with(name + "-"))
            why = reason;
        }
        out_.why_not.emplace_back(name, why);
      } else {
        out_.why_not.emplace_back(name, !failed.empty()   ? failed
                                        : nearest.empty() ? "not within the limits"
                                                          : nearest);
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
  }

  struct Limit {
    std::string name;
    std::function<void(Requirements&)> lift;
  };
  static Requirements lifted(Requirements of, const Limit& limit) {
    limit.lift(of);
    return of;
  }

  // What there is of power, room, devices and money.
  static std::vector<Limit> hard_limits(const Requirements& of) {
    std::vector<Limit> limits;
    for (const auto& entry : of.zones) {
      const std::string zone = entry.first;
      if (const auto& kw = entry.second.power_limit_kw) {
        limits.push_back({fmt::format("power in {} ({:g} kW)", zone, *kw),
                          [zone](Requirements& r) { r.zones[zone].power_limit_kw.reset(); }});
      }
      if (const auto& racks = entry.second.racks) {
        limits.push_back({fmt::format("racks in {} ({})", zone, *racks),
                          [zone](Requirements& r) { r.zones[zone].racks.reset(); }});
      }
    }
    for (std::size_t i = 0; i < of.devices.size(); ++i) {
      if (of.devices[i].stock) {
        limits.push_back({fmt::format("stock of {} ({})", of.devices[i].name, *of.devices[i].stock),
                          [i](Requirements& r) { r.devices[i].stock.reset(); }});
      }
    }
    if (of.money.budget) {
      limits.push_back({fmt::format("budget ({:.0f})", *of.money.budget),
                        [](Requirements& r) { r.money.budget.reset(); }});
    }
    return limits;
  }

  // Those of the limits without which a fleet that costs `cost` would be cheaper, the dearest
  // first.
  std::vector<Binding> bindings_of(const Requirements& of, double cost,
                                   const std::vector<Limit>& limits) {
    std::vector<Binding> bindings;
    for (const Limit& limit : limits) {
      options_.proof.tell("without the limit " + limit.name);
      const Solved solved = solve(lifted(of, limit));
      if (const auto without = solved.cost(); !without)
        bindings.push_back({limit.name, 0, solved.none});
      else if (*without < cost * (1 - 2e-3))
        bindings.push_back({limit.name, cost - *without, {}});
    }
    std::sort(bindings.begin(), bindings.end(),
              [](const Binding& a, const Binding& b) { return a.saving > b.saving; });
    return bindings;
  }

  void find_bindings() {
    const Requirements& asked = out_.requirements;
    std::vector<Limit> limits = hard_limits(asked);
    if (asked.redundancy != data::Redundancy::kNone) {
      limits.push_back({fmt::format("redundancy (a {} may be lost)", name_of(asked.redundancy)),
                        [](Requirements& r) { r.redundancy = data::Redundancy::kNone; }});
    }
    for (std::size_t l = 0; l < asked.frame.labels.size(); ++l) {
      if (asked.frame.labels[l].any_zone || asked.zones.size() < 2)
        continue;
      limits.push_back({fmt::format("label {}", asked.frame.labels[l].name),
                        [l](Requirements& r) { r.frame.labels[l].any_zone = true; }});
    }
    out_.bindings = bindings_of(asked, out_.chosen.plan.total(), limits);
  }

  void vary() {
    const std::string order = order_of(out_.requirements, out_.pools.types, out_.chosen.plan);
    const auto change = [&](const std::string& what, const std::function<void(Requirements&)>& by) {
      Requirements changed = out_.requirements;
      by(changed);
      options_.proof.tell("if " + what);
      const Solved solved = solve(changed);
      const auto cost = solved.cost();
      out_.sensitivity.push_back(
          {what, cost, cost && order_of(changed, solved.pools.types, solved.plan) == order,
           solved.none});
    };
    const bool serves = !out_.requirements.demands.empty();
    for (const double factor : {0.8, 1.2, 1.5, 2.0}) {
      change(fmt::format("{} x {:g}", serves ? "traffic" : "training", factor),
             [&](Requirements& of) {
               for (Demand& demand : of.demands) {
                 for (double& rate : demand.rate_per_s)
                   rate *= factor;
               }
               for (data::TrainingJob& job : of.jobs) {
                 for (auto& [device, hours] : job.device_hours)
                   hours *= serves ? 1 : factor;
               }
             });
    }
    change("tariff x 2", [](Requirements& of) {
      for (double& price : of.frame.site.tariff_per_kwh)
        price *= 2;
      for (auto& [zone, spec] : of.zones) {
        for (std::size_t hour = 0; spec.tariff_per_kwh && hour < 24; ++hour)
          (*spec.tariff_per_kwh)[hour] *= 2;
      }
    });
    for (const double factor : {0.7, 1.3}) {
      change(fmt::format("purchase prices x {:g}", factor), [&](Requirements& of) {
        for (DeviceOffer& offer : of.devices) {
          if (offer.deal == DeviceOffer::Deal::kBuy)
            offer.price = {offer.price.low * factor, offer.price.high * factor};
        }
      });
    }
    for (const double years : {2.0, 6.0}) {
      if (years == out_.requirements.money.useful_life_years)
        continue;
      change(fmt::format("useful life {:g} years", years),
             [&](Requirements& of) { of.money.useful_life_years = years; });
    }
  }

  // Shorter targets on TPOT for all that have one.
  void walk_front() {
    double tightest = 1e300;
    for (const Demand& demand : out_.requirements.demands) {
      if (demand.targets.tpot)
        tightest = std::min(tightest, std::chrono::duration<double>(*demand.targets.tpot).count());
    }
    if (tightest > 1e299)
      return;
    for (const double factor : {4.0, 2.0, 1.4, 1.0, 0.8, 0.6, 0.4, 0.3, 0.2, 0.1}) {
      if (factor == 1) {  // that is the choice itself
        out_.front.push_back({1,
                              1 / tightest,
                              out_.chosen.plan.total(),
                              has_scheduled(out_.pools.types, out_.chosen.plan),
                              {}});
        continue;
      }
      Requirements changed = out_.requirements;
      for (Demand& demand : changed.demands) {
        if (demand.targets.tpot) {
          demand.targets.tpot = round_to_duration(
              Seconds(std::chrono::duration<double>(*demand.targets.tpot).count() * factor));
        }
      }
      options_.proof.tell(fmt::format("cost against interactivity: TPOT targets x {:g}", factor));
      const Solved solved = solve(changed);
      out_.front.push_back({factor, 1 / (tightest * factor), solved.cost(),
                            solved.none.empty() && has_scheduled(solved.pools.types, solved.plan),
                            solved.none});
      if (solved.none == kNone)
        break;  // tighter still is no better
    }
    const std::vector<FrontPoint> all = out_.front;
    std::erase_if(out_.front, [&](const FrontPoint& of) {
      return of.factor != 1 && of.cost &&
             std::any_of(all.begin(), all.end(), [&](const FrontPoint& other) {
               return other.tokens_per_s > of.tokens_per_s && other.cost &&
                      *other.cost <= *of.cost * (1 + kRough.gap);
             });
    });
  }

  static bool has_scheduled(const std::vector<PoolType>& types, const Plan& plan) {
    for (std::size_t p = 0; p < types.size(); ++p) {
      if (plan.replicas[p] > 0 && types[p].device && types[p].pool.statically_scheduled())
        return true;
    }
    return false;
  }

  // Share of the hours of its devices that the plan has an offer serve, and train, as the program
  // has it.
  struct Work {
    double serving = 0, training = 0;
    double all() const { return serving + training; }
  };
  Work planned_work(std::size_t device) const {
    const Requirements& asked = out_.requirements;
    const Plan& plan = out_.chosen.plan;
    const std::vector<Period> periods = periods_of(asked);
    double there = 0;
    for (const auto& [place, count] : plan.nodes)
      there += place.first == device ? count * asked.devices[device].per_node : 0;
    Work work;
    if (there == 0)
      return work;
    for (std::size_t p = 0; p < out_.pools.types.size(); ++p) {
      const PoolType& type = out_.pools.types[p];
      for (std::size_t t = 0; t < periods.size() && type.device == device; ++t) {
        for (std::size_t g = 0; g < asked.demands.size(); ++g) {
          if (type.uses[g].ok()) {
            work.serving += plan.rate[g][p][t] / type.uses[g].operation.requests_per_s *
                            type.devices * static_cast<double>(periods[t].hours.size()) / 24 /
                            there;
          }
        }
      }
    }
    for (const Plan::Training& of : plan.training) {
      if (of.device == device)
        work.training += of.device_hours * asked.jobs[of.job].runs_a_year() / kHoursAYear / there;
    }
    return work;
  }

  void compare_duties() {
    const Requirements& asked = out_.requirements;
    for (std::size_t i = 0; i < asked.devices.size(); ++i) {
      // Where the plan has most of them, else the first place they may stand.
      std::string zone = asked.devices[i].zones.front();
      int most = 0;
      for (const auto& [place, count] : out_.chosen.plan.nodes) {
        if (place.first == i && count > most) {
          zone = place.second;
          most = count;
        }
      }
      double tariff = 0;
      for (const double price : asked.tariff_per_kwh(zone))
        tariff += price / 24 * asked.pue(zone);
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
            for (const Use& use : type.uses)
              busy = std::max(busy, use.operation.busy_w / type.devices);
          }
        }
        busy = std::max(busy, idle);
        const Work of_bought = planned_work(i), of_rented = planned_work(j);
        const Work& work = of_bought.all() >= of_rented.all() ? of_bought : of_rented;
        // Training draws its TDP, in the hours that it has of those with work.
        const std::optional<Range>& tdp = bought.accelerator.tdp_w;
        if (work.training > 0 && tdp)
          busy = (work.serving * busy + work.training * tdp->high) / work.all();
        Duty duty{.bought = bought.name, .rented = rented.name, .planned = work.all()};
        for (const auto& [place, count] : out_.chosen.plan.nodes) {
          const DeviceOffer& offer = asked.devices[place.first];
          if (place.first == i || place.first == j)
            duty.devices += count * offer.per_node;
          else if (offer.deal == DeviceOffer::Deal::kBuy)
            duty.staff_is_there = true;
        }
        if (duty.devices == 0)
          duty.devices = bought.per_node;
        const double staff = duty.staff_is_there ? 0 : asked.money.staff_per_year / duty.devices;
        duty.owned =
            yearly_costs(bought, asked.money).total() + staff +
            (idle + bought.host_w + duty.planned * (busy - idle)) / 1000 * tariff * kHoursAYear;
        duty.leased = yearly_costs(rented, asked.money).total();
        duty.break_even = break_even_duty(bought, rented, asked.money, staff, idle, busy, tariff);
        for (const Demand& demand : asked.demands) {
          const Label& label = asked.frame.labels[demand.label.number()];
          if (std::none_of(rented.zones.begin(), rented.zones.end(),
                           [&](const std::string& zone) { return label.allows(zone); }))
            duty.forbidden.push_back(demand.name);
        }
        out_.duties.push_back(std::move(duty));
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
      double all = 0, on_devices = 0, on_scheduled = 0;
      for (std::size_t p = 0; p < out_.pools.types.size(); ++p) {
        const PoolType& type = out_.pools.types[p];
        bool serves = false;
        for (const double rate : out_.chosen.plan.rate[g][p]) {
          serves = serves || rate > kLittle;
          all += rate;
          on_devices += type.device ? rate : 0;
          on_scheduled += type.device && type.pool.statically_scheduled() ? rate : 0;
        }
        reach(type, g, serves ? joules_planned(p) : std::nullopt, truth);
      }
      for (const PoolType& type : out_.pools.beaten)
        reach(type, g, std::nullopt, truth);
      truth.scheduled_share = all > 0 ? on_scheduled / all : 0;
      truth.device_share = all > 0 ? on_devices / all : 0;
      const bool batched = truth.batched && truth.batched->reaches();
      const bool scheduled = truth.scheduled && truth.scheduled->reaches();
      truth.needs_scheduled = !batched && scheduled;
      truth.verdict = verdict(truth, batched, scheduled);
      if (batched && truth.scheduled_share > kLittle)
        ask_without(g, truth);
      out_.truths.push_back(std::move(truth));
    }
  }

  // What the plan would cost if LPUs did not serve this demand: it may be that a GPU is fast
  // enough, and that there are not enough of them.
  void ask_without(std::size_t g, Truth& truth) {
    const Solved without = solve(out_.requirements, {}, [&](PoolType& type) {
      if (type.device && type.pool.statically_scheduled() && type.uses[g].ok())
        type.uses[g] = {.obstacle = Obstacle::kModel, .why = "left out", .operation = {}};
    });
    const std::string gpu = fmt::format("{} keeps its targets at {:.2g} J a token when full",
                                        truth.batched->pool, *truth.batched->joules_full);
    const double best = out_.chosen.plan.total();
    if (const auto cost = without.cost()) {
      truth.verdict = *cost <= best * (1 + kRough.gap)
                          ? fmt::format(
                                "could do without an LPU, as cheaply ({}); it fills slots that are "
                                "there for others",
                                gpu)
                          : fmt::format("could do without an LPU for {:.0f} more a year ({})",
                                        *cost - best, gpu);
    } else if (without.none == kNone) {
      truth.needs_scheduled = truth.by_limits = true;
      truth.verdict = fmt::format(
          "{}, but within the limits (power, racks, stock, budget) there is no fleet that serves "
          "it "
          "without LPUs: a limit needs them here, and not physics",
          gpu);
    } else {
      truth.verdict =
          fmt::format("{}; whether LPUs could be left out is not known: {}", gpu, without.none);
    }
  }

  // Remembers a pool type where it is the best of its kind so far.
  void reach(const PoolType& type, std::size_t g, std::optional<double> planned,
             Truth& truth) const {
    const Use& use = type.uses[g];
    if (!type.device || use.obstacle == Obstacle::kModel || use.obstacle == Obstacle::kLabel)
      return;
    const auto speed = fastest(type.model, out_.requirements.demands[g]);
    if (!speed)
      return;
    Truth::Reach reach{type.pool.name, speed->tokens_per_s, speed->joules_per_token, {}, planned};
    if (use.ok())
      reach.joules_full = use.operation.joules_per_token;
    auto& best = type.pool.statically_scheduled() ? truth.scheduled : truth.batched;
    if (best && planned.has_value() != best->joules_planned.has_value()) {
      if (planned)
        best = std::move(reach);
      return;
    }
    const bool better =
        !best || (reach.reaches() && !best->reaches()) ||
        (reach.reaches() && best->reaches() && *reach.joules_full < *best->joules_full) ||
        (!reach.reaches() && !best->reaches() && reach.fastest > best->fastest);
    if (better)
      best = std::move(reach);
  }

  // Of a pool of the plan: all that it draws in a year, by the output tokens of that time.
  std::optional<double> joules_planned(std::size_t p) const {
    const Requirements& asked = out_.requirements;
    const PoolType& type = out_.pools.types[p];
    double joules = 0, tokens = 0;
    const std::vector<Period> periods = periods_of(asked);
    for (std::size_t t = 0; t < periods.size(); ++t) {
      joules += type.idle_w * out_.chosen.plan.replicas[p] * periods[t].seconds_a_year();
      for (std::size_t g = 0; g < asked.demands.size(); ++g) {
        const double requests = out_.chosen.plan.rate[g][p][t] * periods[t].seconds_a_year();
        joules += requests * type.uses[g].operation.joules_per_request;
        tokens += requests * data::mean_of(asked.demands[g], true);
      }
    }
    return tokens > 0 ? std::optional(joules / tokens) : std::nullopt;
  }

  static std::string verdict(const Truth& truth, bool batched, bool scheduled) {
    if (batched) {  // where LPUs serve it all the same, ask_without() says more
      return fmt::format("needs no LPU: {} keeps its targets at {:.2g} J a token when full",
                         truth.batched->pool, *truth.batched->joules_full);
    }
    if (scheduled) {
      const std::string gpu =
          truth.batched
              ? fmt::format(
                    "no GPU keeps its targets: {} gives one user alone {:.0f} tokens/s at {:.2g} J "
                    "each",
                    truth.batched->pool, truth.batched->fastest, truth.batched->joules_alone)
              : std::string("no GPU may serve it");
      const Truth::Reach& lpu = *truth.scheduled;
      return fmt::format(
          "{}; {} gives {:.0f}, whoever else is there, at {:.2g} J for one user "
          "alone and {:.2g} J when full{}: that rate is what it buys",
          gpu, lpu.pool, lpu.fastest, lpu.joules_alone, *lpu.joules_full,
          lpu.joules_planned ? fmt::format(" ({:.2g} J as planned)", *lpu.joules_planned) : "");
    }
    return "served by rented services alone, whose energy is unknown";
  }

  // The chosen fleet, were every price at the low or the high end of its range.
  void range_of_prices() {
    const Requirements& asked = out_.requirements;
    if (std::none_of(asked.devices.begin(), asked.devices.end(),
                     [](const DeviceOffer& of) { return of.price.low < of.price.high; })) {
      return;
    }
    std::vector<std::optional<int>> fleet;
    for (std::size_t p = 0; p < out_.pools.types.size(); ++p) {
      fleet.push_back(out_.pools.types[p].device ? std::optional(out_.chosen.plan.replicas[p])
                                                 : std::nullopt);
    }
    const auto at = [&](bool high) {
      Requirements changed = asked;
      changed.money.budget.reset();  // kept at the middles
      for (DeviceOffer& offer : changed.devices) {
        const double price = high ? offer.price.high : offer.price.low;
        offer.price = {price, price};
      }
      return solve(changed, fleet);
    };
    const Solved low = at(false), high = at(true);
    if (!low.none.empty() || !high.none.empty())
      out_.no_price_range = low.none.empty() ? high.none : low.none;
    else if (*high.cost() > *low.cost() * (1 + 1e-9))
      out_.price_range = {*low.cost(), *high.cost()};
  }

  const data::Catalog& catalog_;
  solve::IntegerSolver& solver_;
  const StudyOptions& options_;
  std::vector<std::string> orders_;  // of the candidates so far
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

std::string fleet_name(const Requirements& requirements, const std::vector<PoolType>& types,
                       const Plan& plan) {
  std::string out;
  if (std::any_of(plan.replicas.begin(), plan.replicas.end(), [](int n) { return n > 0; }))
    out = fleet_name(types, plan.replicas);
  for (const auto& [place, devices] : plan.trainers) {
    out += fmt::format("{}{} x {} to train", out.empty() ? "" : ", ", devices,
                       requirements.devices[place.first].name);
  }
  return out.empty() ? "nothing" : out;
}

std::optional<SingleKind> single_kind(const Study& study) {
  const Plan& plan = study.chosen.plan;
  if (study.candidates.empty() || plan.total() <= 0)
    return std::nullopt;
  std::set<std::string> kinds;
  for (const auto& [place, count] : plan.nodes)
    kinds.insert(study.requirements.devices[place.first].accelerator.id);
  // The candidate of that kind is the choice itself, and left out.
  if (kinds.size() == 1 && services_in(study.pools.types, plan).empty())
    return SingleKind{study.fleet, 0, true, std::nullopt};
  const Candidate* best = nullptr;
  for (const Candidate& of : study.candidates) {
    if (of.name.starts_with("only ") && of.plan.outcome == Plan::Outcome::kFound &&
        (best == nullptr || of.plan.total() < best->plan.total()))
      best = &of;
  }
  if (best == nullptr)
    return std::nullopt;
  std::optional<bool> keeps_all;
  if (best->proof) {
    const std::vector<bool> shortfall = falls_short(study.requirements, *best->proof);
    keeps_all = std::find(shortfall.begin(), shortfall.end(), true) == shortfall.end();
  }
  return SingleKind{best->fleet, best->plan.total() / plan.total() - 1, false, keeps_all};
}

std::string single_kind_in_words(const Study& study) {
  const auto of = single_kind(study);
  if (!of)
    return {};
  return of->chosen
             ? std::string("The choice is of one kind of device.")
             : fmt::format("The best fleet of one kind of device ({}) costs {:.1f} % more; {}.",
                           of->fleet, of->premium * 100,
                           !of->keeps_all   ? "it was not simulated"
                           : *of->keeps_all ? "simulated, it keeps all that is asked"
                                            : "simulated, it keeps too little, so that one "
                                              "that does costs more still");
}

std::string duty_in_words(const Study& study, const Duty& duty) {
  const std::string& currency = study.requirements.frame.site.currency;
  std::string staff;
  if (study.requirements.money.staff_per_year > 0) {
    staff = duty.staff_is_there
                ? ", staff not counted since the plan owns other devices anyway"
                : fmt::format(", its part of the staff of {} devices", duty.devices);
  }
  std::string out = fmt::format(
      "{} against {}: owning one costs {:.0f} {} a year (price paid back, maintenance, energy{}), "
      "renting it {:.0f} for all 8760 hours, as the plan does. If rent were paid for hours of work "
      "alone, {}; planned is a duty of {:.0f} %",
      duty.bought, duty.rented, duty.owned, currency, staff, duty.leased,
      duty.break_even ? fmt::format("owning would be cheaper from a duty of {:.0f} % on",
                                    *duty.break_even * 100)
                      : std::string("renting would be cheaper at any duty"),
      duty.planned * 100);
  if (!duty.forbidden.empty()) {
    out += fmt::format(". Labels forbid renting it for {}", fmt::join(duty.forbidden, ", "));
  }
  return out + ".";
}

std::optional<double> headroom(const Requirements& requirements, const std::vector<PoolType>& types,
                               const Plan& plan) {
  const std::vector<Period> periods = periods_of(requirements);
  std::optional<double> least;
  for (std::size_t p = 0; p < types.size(); ++p) {
    if (!types[p].device || plan.replicas[p] == 0)
      continue;
    for (std::size_t t = 0; t < periods.size(); ++t) {
      double busy = 0;
      for (std::size_t g = 0; g < requirements.demands.size(); ++g) {
        if (types[p].uses[g].ok())
          busy += plan.rate[g][p][t] / types[p].uses[g].operation.requests_per_s;
      }
      busy += plan.lent[p][t];
      least = std::min(least.value_or(1), 1 - busy / plan.replicas[p]);
    }
  }
  return least ? std::optional(std::max(0.0, *least)) : least;
}

std::optional<double> kept_at_worst(const Requirements& requirements, const Proof& proof) {
  std::optional<double> worst;
  for (const std::optional<double>& share : least_kept(requirements, proof)) {
    if (share)
      worst = std::min(worst.value_or(1), *share);
  }
  return worst;
}

const char kKeptNote[] =
    "Whole: what the whole fleet keeps of guaranteed, standard, flex and batch. Least: of the "
    "demand "
    "it keeps least of, whole or with what redundancy names lost. Headroom: what the busiest pool "
    "has free in its busiest hour. Binding: power, racks, stock or budget without which that fleet "
    "would be cheaper, by so much a year.";

const char kProgramOnlyNote[] =
    "Why not, what binds, sensitivity, cost against interactivity and ranges of prices are of the "
    "program that simulation calibrated for the choice; their fleets were not simulated.";

std::vector<std::string> kept_row(const Candidate& candidate) {
  const Requirements& asked = candidate.requirements;
  std::string whole, least = "-", binding;
  if (candidate.proof && !asked.demands.empty()) {
    for (const std::optional<double>& kept : kept_by_class(asked, *candidate.proof))
      whole += (whole.empty() ? "" : "/") + (kept ? fmt::format("{:.2f}", *kept * 100) : "-");
    if (const auto worst = kept_at_worst(asked, *candidate.proof))
      least = fmt::format("{:.2f}", *worst * 100);
  }
  for (const Binding& of : candidate.bindings) {
    binding += fmt::format("{}{}: {}", binding.empty() ? "" : ", ", of.limit,
                           of.none.empty() ? fmt::format("{:.0f}", of.saving) : of.none);
  }
  const auto free = headroom(asked, candidate.types, candidate.plan);
  return {
      candidate.name,
      known_part(candidate.types, candidate.plan, fmt::format("{:.1f}", candidate.plan.kwh / 1000)),
      carbon_is_known(asked, candidate.plan)
          ? known_part(candidate.types, candidate.plan,
                       fmt::format("{:.1f}", candidate.plan.carbon_kg / 1000))
          : "unknown",
      whole.empty() ? "-" : whole,
      least,
      free ? fmt::format("{:.0f} %", *free * 100) : "-",
      binding.empty() ? "none" : binding};
}

std::string no_tariff_in_words(const Requirements& requirements) {
  const auto is_free = [](const auto& per_kwh) {
    return std::all_of(per_kwh.begin(), per_kwh.end(), [](double of) { return of == 0; });
  };
  bool free = is_free(requirements.frame.site.tariff_per_kwh);
  for (const auto& [name, zone] : requirements.zones)
    free = free && (!zone.tariff_per_kwh || is_free(*zone.tariff_per_kwh));
  return free ? "No tariff is stated (site: {tariff: ...}): energy costs nothing in these figures."
              : "";
}

std::string apart(const Requirements& requirements, const DeviceOffer& offer) {
  const auto same = std::count_if(
      requirements.devices.begin(), requirements.devices.end(),
      [&](const DeviceOffer& of) { return of.accelerator.id == offer.accelerator.id; });
  return same > 1 ? fmt::format(" ({})", offer.name) : "";
}

std::string kept_by(const Study& study, const Proven::Neighbour& neighbour) {
  if (!neighbour.cost)
    return "not within the limits, or nothing left for some demand";
  std::string kept;
  for (std::size_t g = 0; g < neighbour.kept.size(); ++g) {
    const data::Demand& demand = study.requirements.demands[g];
    if (neighbour.kept[g] && *neighbour.kept[g] < demand.attain) {
      kept += fmt::format("{}{} {:.2f} % of {:.2f} % asked", kept.empty() ? "" : ", ", demand.name,
                          *neighbour.kept[g] * 100, demand.attain * 100);
    }
  }
  if (!kept.empty())
    return kept;
  const bool cheaper = *neighbour.cost < study.chosen.plan.total() * (1 - 1e-3);
  return cheaper ? "every promise, for less: the program leaves more room than that"
                 : "every promise";
}

std::vector<std::string> silent_zones(const Requirements& requirements, const Plan& plan) {
  std::set<std::string> zones;
  for (const auto& [place, count] : plan.nodes) {
    const data::ZoneSpec& spec = requirements.zones.at(place.second);
    const bool grid = spec.carbon_g_per_kwh || !requirements.frame.site.carbon_g_per_kwh;
    if (place.second != requirements.frame.site.zone && !(spec.pue && spec.tariff_per_kwh && grid))
      zones.insert(place.second);
  }
  return {zones.begin(), zones.end()};
}

std::string other_zones_in_words(const Study& study) {
  const Requirements& asked = study.requirements;
  const Site& site = asked.frame.site;
  std::set<std::string> used;
  const auto add = [&](const Plan& plan) {
    for (const auto& [place, count] : plan.nodes)
      used.insert(place.second);
  };
  add(study.chosen.plan);
  for (const Candidate& of : study.candidates)
    add(of.plan);
  std::string out;
  for (const std::string& zone : used) {
    const data::ZoneSpec& spec = asked.zones.at(zone);
    if (zone == site.zone)
      continue;
    std::string stated, not_stated;
    const auto say = [&](bool own, const std::string& value, const std::string& name) {
      std::string& of = own ? stated : not_stated;
      of += (of.empty() ? "" : ", ") + (own ? value : name);
    };
    const auto hours = [](const std::array<double, 24>& of) {
      const auto [low, high] = std::minmax_element(of.begin(), of.end());
      return *low < *high ? fmt::format("{:g} to {:g}", *low, *high) : fmt::format("{:g}", *low);
    };
    say(spec.pue.has_value(), fmt::format("PUE {:g}", asked.pue(zone)), "PUE");
    say(spec.tariff_per_kwh.has_value(),
        fmt::format("{} {}/kWh", hours(asked.tariff_per_kwh(zone)), site.currency), "tariff");
    if (const auto& carbon = asked.carbon_g_per_kwh(zone))
      say(spec.carbon_g_per_kwh.has_value(), hours(*carbon) + " g CO2/kWh", "grid");
    out += fmt::format("{}{}: {}", out.empty() ? "" : " ", zone, stated);
    if (!not_stated.empty()) {
      out += fmt::format("{}told at {}'s {}, since nobody stated its own",
                         stated.empty() ? "" : "; ", site.zone, not_stated);
    }
    out += ".";
  }
  return out;
}

std::vector<std::string> services_in(const std::vector<PoolType>& types, const Plan& plan) {
  std::vector<std::string> services;
  for (std::size_t p = 0; p < types.size(); ++p) {
    if (types[p].service && plan.replicas[p] > 0)
      services.push_back(types[p].pool.name);
  }
  return services;
}

bool draw_is_known(const std::vector<PoolType>& types, const Plan& plan) {
  return !plan.nodes.empty() || services_in(types, plan).empty();
}

std::string known_part(const std::vector<PoolType>& types, const Plan& plan, std::string figure) {
  if (!draw_is_known(types, plan))
    return "unknown";
  return services_in(types, plan).empty() ? figure : "at least " + figure;
}

const char kWithinRule[] = " within the rule for nodes";
const char kNoneWithinRule[] =
    "no fleet was found within the rule for nodes (where one may be lost: it holds one pool, or "
    "any "
    "zone may be lost). Whether nodes that hold several pools would do is not known: redundancy: "
    "replica may be met, or more stock, power or racks";

std::string gap_text(double gap) { return gap < 1e-9 ? "0" : fmt::format("{:.2g}", gap * 100); }

std::string change_text(double is, double was) {
  if (was <= 0)
    return "-";
  const double percent = (is / was - 1) * 100;
  return std::abs(percent) < 0.05 ? "0 %" : fmt::format("{:+.1f} %", percent);
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
  for (std::size_t i = 0; i < kept.size(); ++i)
    kept[i] = sums[i].share();
  return kept;
}

std::string no_pool_for(const Requirements& requirements, const PoolTypes& pools,
                        std::size_t demand, const std::set<Obstacle>& of) {
  // The obstacle that is nearest to being none tells most, and of equal ones the nearest miss.
  std::string why;
  int rank = -1;
  double reached_s = 0;
  std::vector<const PoolType*> all;
  for (const PoolType& type : pools.types) {
    if (type.uses[demand].ok())
      return {};
    all.push_back(&type);
  }
  for (const PoolType& type : pools.beaten)
    all.push_back(&type);
  for (const PoolType* type : all) {
    const Use& use = type->uses[demand];
    const int nearness = of.contains(use.obstacle)            ? 4
                         : use.obstacle == Obstacle::kModel   ? 0
                         : use.obstacle == Obstacle::kLabel   ? 2
                         : use.obstacle == Obstacle::kContext ? 1
                                                              : 3;
    if (nearness > rank || (nearness >= 3 && rank == nearness && use.reached_s < reached_s)) {
      rank = nearness;
      reached_s = use.reached_s;
      why = fmt::format("{} ({})", use.why, type->pool.name);
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
                    solve::IntegerSolver& solver, const StudyOptions& options) {
  return Studier(requirements, catalog, solver, options).run();
}

}  // namespace medley::plan
