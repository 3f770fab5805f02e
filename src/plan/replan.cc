#include "plan/replan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>

#include "data/fleet_file.h"

namespace medley::plan {
namespace {

using data::Demand, data::DeviceOffer, data::Requirements, data::UsageKind, data::UsageSpan;

constexpr double kLittle = 1e-6;
// What is touched may break: a change that saves less than this share is not worth it. Our choice.
constexpr double kWorthAChange = 0.01;
// Gaps from which burstiness is told; below them chance says more than traffic.
constexpr double kLeastGaps = 30;

std::string count_of(int count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

// Turns a record and a fleet into requirements.
class Reading {
 public:
  Reading(const UsageInput& input, const data::Catalog& catalog)
      : input_(input), catalog_(catalog) {}

  Result<Usage> run() {
    begin();
    add_pools();
    measure_time();
    MEDLEY_TRY_STATUS(add_demands());
    if (of().demands.empty()) {
      std::string why;
      for (const std::string& note : out_.notes)
        why += (why.empty() ? "" : "; ") + note;
      return Error{ErrorCode::kInvalid,
                   fmt::format("{}: nothing in it can be planned for{}{}", input_.usage_file,
                               why.empty() ? ": no request came" : ": ", why),
                   {}};
    }
    return std::move(out_);
  }

 private:
  Requirements& of() { return out_.requirements; }
  const Requirements& of() const { return out_.requirements; }
  void note(std::string text) { out_.notes.push_back(std::move(text)); }

  void begin() {
    const Fleet& fleet = input_.fleet;
    if (input_.asked) {
      of() = *input_.asked;
      of().frame.classes = fleet.classes;  // the promises that were recorded
    } else {
      of().file = input_.fleet_file;
      of().name = std::filesystem::path(input_.fleet_file).stem().string();
      of().frame = fleet;
      of().frame.pools.clear();
      of().frame.offers.clear();
      if (fleet.site.power_limit_kw) {
        of().zones[fleet.site.zone].power_limit_kw =
            *std::min_element(fleet.site.power_limit_kw->begin(), fleet.site.power_limit_kw->end());
      }
      note(fmt::format(
          "no requirements file: interest, maintenance and useful life are the defaults of "
          "docs/plan.md, nothing may fail, and only what {} has may be added",
          input_.fleet_file));
    }
    asked_demands_ = std::move(of().demands);
    of().demands.clear();
    of().accept.clear();
    of().zones[of().frame.site.zone];
    for (const Offer& offer : fleet.offers) {
      std::array<std::vector<std::string>, kServiceClassCount> models;
      for (std::size_t c = 0; c < kServiceClassCount; ++c) {
        for (const PoolId pool : offer.pools[c]) {
          const std::string& id = fleet.pool(pool).model.id;
          if (catalog_.has_model(id) &&
              std::find(models[c].begin(), models[c].end(), id) == models[c].end()) {
            models[c].push_back(id);
          }
        }
      }
      of().accept.emplace_back(offer.name, std::move(models));
    }
  }

  // The ratio of a pool as it was learned last.
  double slower(const Pool& pool) const {
    for (auto span = input_.spans.rbegin(); span != input_.spans.rend(); ++span) {
      for (const data::UsagePool& recorded : span->pools) {
        if (recorded.name == pool.name && recorded.device == pool.device &&
            recorded.model == pool.model.id && recorded.tpot_ratio) {
          return std::max(*recorded.tpot_ratio, 1e-3);
        }
      }
    }
    return 0;
  }

  void add_pools() {
    // Replicas by offer, zone and devices of one.
    std::map<std::size_t, std::map<std::string, std::map<int, int>>> owned;
    for (const Pool& pool : input_.fleet.pools) {
      if (!catalog_.has_model(pool.model.id)) {
        note(fmt::format("pool {}: the catalogue does not know its model {}; it is left as it is",
                         pool.name, pool.model.id));
        continue;
      }
      of().zones[pool.zone];
      if (pool.metered) {
        const auto same = [&](const data::ServiceOffer& offer) { return offer.name == pool.name; };
        if (std::none_of(of().services.begin(), of().services.end(), same))
          of().services.push_back({pool.name, pool.model.id, pool.zone, *pool.metered});
        of().standing.push_back({pool, {}, 1});
        continue;
      }
      if (!pool.accelerator) {
        note(
            fmt::format("pool {}: it runs on {}, which the catalogue does not know; it is left as "
                        "it is",
                        pool.name, pool.device));
        continue;
      }
      const std::size_t device = offer_for(pool);
      data::StandingPool standing{pool, device, slower(pool)};
      if (pool.shared)
        note(fmt::format("pool {}: others use it past medley, and how much is unknown", pool.name));
      if (standing.slower == 0) {
        standing.slower = 1;
        note(fmt::format("pool {}: nothing was learned of its speed; the step model is believed",
                         pool.name));
      }
      of().standing.push_back(std::move(standing));
      owned[device][pool.zone][devices_of(pool)] += pool.replicas;
    }
    for (auto& [device, zones] : owned) {
      DeviceOffer& offer = of().devices[device];
      if (offer.deal == DeviceOffer::Deal::kRent)
        continue;
      int nodes = 0;
      for (const auto& [zone, replicas] : zones)
        nodes += nodes_for(offer, replicas);
      offer.owned = std::max(offer.owned, nodes * offer.per_node);
    }
  }

  // Whole nodes in one zone for replicas by their devices: as the program counts them where widths
  // divide one another, else each width on nodes of its own.
  int nodes_for(const DeviceOffer& offer, const std::map<int, int>& replicas) const {
    bool shared = of().redundancy != data::Redundancy::kNode;
    int apart = 0, together = 0, wide = 0;
    for (auto at = replicas.begin(); at != replicas.end(); ++at) {
      const auto& [width, count] = *at;
      const int fit = offer.replicas_on_node(width);
      (fit > 0 ? apart : wide) += offer.nodes_for(width, count);
      if (fit == 0)
        continue;
      int units = 0;  // of this width, wider ones among them
      for (auto other = at; other != replicas.end() && other->first <= offer.per_node; ++other) {
        units += other->second * (other->first / width);
        shared = shared && other->first % width == 0;
      }
      together = std::max(together, (units + fit - 1) / fit);
    }
    return wide + (shared ? together : apart);
  }

  // The offer of a standing pool's device: bought before rented, else one of its own making.
  std::size_t offer_for(const Pool& pool) {
    std::optional<std::size_t> found;
    for (std::size_t i = 0; i < of().devices.size(); ++i) {
      if (of().devices[i].accelerator.id != pool.device)
        continue;
      if (!found || (of().devices[*found].deal == DeviceOffer::Deal::kRent &&
                     of().devices[i].deal == DeviceOffer::Deal::kBuy)) {
        found = i;
      }
    }
    if (!found) {
      found = of().devices.size();
      made_.insert(*found);
      DeviceOffer offer;
      offer.name = pool.device;
      offer.accelerator = *pool.accelerator;
      const bool dollars = of().frame.site.currency == "USD";
      const std::optional<double> rate = dollars ? std::optional(1.0) : of().money.per_usd;
      const std::optional<Range>& price = offer.accelerator.price_usd;
      if (price && rate) {
        offer.price = {price->low * *rate, price->high * *rate};
        offer.price_from_catalogue = true;
      } else {
        offer.stock = 0;
        note(fmt::format(
            "{}: {}, so none is added; a requirements file with `devices: [{{device: {}, price: "
            "…}}]` says what it costs",
            pool.device,
            price ? fmt::format("its price is known in USD only, and what a dollar is in {} is not",
                                of().frame.site.currency)
                  : std::string("its price is unknown"),
            pool.device));
      }
      of().devices.push_back(std::move(offer));
    }
    DeviceOffer& offer = of().devices[*found];
    if (std::find(offer.zones.begin(), offer.zones.end(), pool.zone) == offer.zones.end())
      offer.zones.push_back(pool.zone);
    if (made_.contains(*found) && !pool.statically_scheduled())
      offer.per_node = std::max(offer.per_node, pool.tensor_parallel);
    return *found;
  }

  // The days and hours of day that were recorded.
  void measure_time() {
    std::set<long long> days;
    for (const UsageSpan& span : input_.spans) {
      days.insert(day_of(span));
      seconds_[{day_of(span), span.hour}] += span.seconds;
      out_.hours += span.seconds / 3600;
      for (const data::UsagePool& pool : span.pools) {
        if (pool.joules)
          out_.kwh = out_.kwh.value_or(0) + *pool.joules * of().frame.site.pue / 3.6e6;
        if (pool.money)
          out_.money = out_.money.value_or(0) + *pool.money;
      }
    }
    std::set<int> hours;
    double longest = 0;
    for (const auto& [at, seconds] : seconds_)
      longest = std::max(longest, seconds);
    enough_s_ = std::min(1800.0, longest);
    for (const auto& [at, seconds] : seconds_) {
      if (seconds >= enough_s_ && seconds > 0)
        hours.insert(at.second);
    }
    out_.days = static_cast<int>(days.size());
    out_.hours_of_day = static_cast<int>(hours.size());
    if (out_.hours_of_day < 24) {
      note(
          fmt::format("{} of 24 hours of the day were not recorded: each is taken to be as busy as "
                      "the busiest that was",
                      24 - out_.hours_of_day));
    }
    if (out_.days < 7)
      note(fmt::format("{} recorded: what a week's other days, or a year's, bring is unknown",
                       count_of(out_.days, "day")));
  }

  // Of the place's calendar: the same for all spans between two midnights there.
  static long long day_of(const UsageSpan& span) {
    return (span.from_unix_s - span.hour * 3600LL) / 86400;
  }

  Status add_demands() {
    using Key = std::tuple<std::string, std::string, std::string>;
    struct Seen {
      UsageKind all;
      std::map<std::pair<long long, int>, double> arrived;  // by day and hour
      double gaps = 0, gap_cv2 = 0;                         // spans with enough of them
    };
    std::map<Key, Seen> kinds;
    for (const UsageSpan& span : input_.spans) {
      for (const UsageKind& kind : span.kinds) {
        Seen& seen = kinds[{kind.service_class, kind.label, kind.model}];
        seen.all.service_class = kind.service_class;
        seen.all.label = kind.label;
        seen.all.model = kind.model;
        seen.all.add(kind);
        seen.arrived[{day_of(span), span.hour}] += static_cast<double>(kind.arrived);
        if (kind.gaps >= kLeastGaps && kind.gap_sum_s > 0) {
          const double mean = kind.gap_sum_s / kind.gaps;
          const double square = kind.gap_sum_s2 / kind.gaps / (mean * mean);
          seen.gaps += kind.gaps;
          seen.gap_cv2 += kind.gaps * std::max(0.0, square - 1);
        }
      }
    }
    std::set<std::string> labels;
    for (const auto& [key, seen] : kinds)
      labels.insert(seen.all.label);
    for (const auto& [key, seen] : kinds) {
      const UsageKind& all = seen.all;
      Demand demand;
      demand.name = fmt::format("{} {}{}", all.model, all.service_class,
                                labels.size() > 1 ? " " + all.label : "");
      demand.service_class = *service_class_named(all.service_class);
      demand.model = all.model;
      const auto label = data::label_named(of().frame, all.label);
      if (!label.ok()) {
        return Error{ErrorCode::kInvalid,
                     fmt::format("{}: label '{}' of {} is not in {}: {}", input_.usage_file,
                                 all.label, demand.name, of().file, label.error().message),
                     {}};
      }
      demand.label = *label;
      const std::size_t of_class = index_of(demand.service_class);
      bool offered = false;
      for (const auto& [name, models] : of().accept) {
        offered = offered || name == all.model;
        if (name == all.model)
          demand.models = models[of_class];
      }
      if (demand.models.empty()) {
        note(fmt::format("{}: {} requests are left out: {}", demand.name, all.arrived,
                         offered ? "no model of the catalogue answers them"
                                 : "the fleet file does not offer this name any more"));
        continue;
      }
      if (all.arrived == 0 || all.output_tokens.count() == 0) {
        note(fmt::format("{}: {} requests are left out: no whole answer tells how long they are",
                         demand.name, all.arrived));
        continue;
      }
      demand.targets = of().frame.classes[of_class].targets;
      demand.attain = data::default_attain(demand.service_class);
      for (const Demand& asked : asked_demands_) {
        if (asked.service_class == demand.service_class && asked.label == demand.label &&
            asked.model == demand.model) {
          demand.attain = asked.attain;
        }
      }
      demand.prompt_tokens = all.prompt_tokens.law();
      demand.output_tokens = {{0, all.output_tokens.law()}};
      if (seen.gaps > 0) {
        demand.gap_cv = std::min(20.0, std::sqrt(seen.gap_cv2 / seen.gaps));
      } else {
        note(fmt::format("{}: too few requests to tell how bursty they are; Poisson is assumed",
                         demand.name));
      }
      set_rates(seen.arrived, demand);
      if (*std::max_element(demand.rate_per_s.begin(), demand.rate_per_s.end()) <
          data::kLeastRate) {
        note(fmt::format("{}: {} requests are left out: next to none came", demand.name,
                         all.arrived));
        continue;
      }
      if (all.own_targets > 0) {
        note(
            fmt::format("{}: {} of {} requests brought targets of their own; the plan counts with "
                        "the class's",
                        demand.name, all.own_targets, all.arrived));
      }
      out_.recorded.push_back(all);
      of().demands.push_back(std::move(demand));
    }
    for (const Demand& asked : asked_demands_) {
      const auto seen = [&](const Demand& demand) {
        return demand.service_class == asked.service_class && demand.model == asked.model &&
               demand.label == asked.label;
      };
      if (std::none_of(of().demands.begin(), of().demands.end(), seen))
        note(fmt::format("{} of {}: nothing like it was recorded, so nothing is planned for it",
                         asked.name, of().file));
    }
    return Done{};
  }

  // Each hour of the day as it was on its busiest day: promises are kept then too, or not.
  void set_rates(const std::map<std::pair<long long, int>, double>& arrived, Demand& demand) {
    std::array<std::optional<double>, 24> rates;
    double busiest = 0, mean_of_busiest = 0;
    std::array<int, 24> days{};
    std::array<double, 24> sum{};
    for (const auto& [at, seconds] : seconds_) {
      if (seconds < enough_s_ || seconds <= 0)
        continue;
      const auto here = arrived.find(at);
      const double rate = here == arrived.end() ? 0 : here->second / seconds;
      std::optional<double>& most = rates[static_cast<std::size_t>(at.second)];
      most = std::max(most.value_or(0), rate);
      ++days[static_cast<std::size_t>(at.second)];
      sum[static_cast<std::size_t>(at.second)] += rate;
    }
    for (std::size_t hour = 0; hour < 24; ++hour) {
      if (rates[hour].value_or(0) > busiest) {
        busiest = *rates[hour];
        mean_of_busiest = sum[hour] / days[hour];
      }
    }
    for (std::size_t hour = 0; hour < 24; ++hour)
      demand.rate_per_s[hour] = rates[hour].value_or(busiest);
    if (busiest > mean_of_busiest * 1.3) {
      note(
          fmt::format("{}: its busiest hour saw {:.3g} a second on one day and {:.3g} on the mean "
                      "of them; the plan takes each hour as on its busiest day",
                      demand.name, busiest, mean_of_busiest));
    }
  }

  const UsageInput& input_;
  const data::Catalog& catalog_;
  Usage out_;
  std::vector<Demand> asked_demands_;
  std::set<std::size_t> made_;                           // offers that no file states
  std::map<std::pair<long long, int>, double> seconds_;  // recorded, by day and hour
  double enough_s_ = 0;                                  // of an hour, to tell its rate
};

class Replanner {
 public:
  Replanner(Usage usage, const data::Catalog& catalog, const ProofOptions& options)
      : catalog_(catalog), options_(options), solver_(solve::make_integer_solver()) {
    out_.usage = std::move(usage);
  }

  Result<Replan> run() {
    MEDLEY_TRY(out_.pools, pool_types(asked(), catalog_));
    for (const auto& [name, why] : out_.pools.refused) {
      if (std::any_of(
              asked().standing.begin(), asked().standing.end(),
              [&wanted = name](const data::StandingPool& of) { return of.pool.name == wanted; })) {
        out_.usage.notes.push_back(fmt::format("pool {}: {}; it is left as it is", name, why));
      }
    }
    for (const PoolType& type : types()) {
      out_.now.push_back(type.standing  ? asked().standing[*type.standing].pool.replicas
                         : type.service ? (stands(*type.service) ? 1 : 0)
                                        : 0);
    }
    MEDLEY_TRY_STATUS(judge_what_stands());
    MEDLEY_TRY(out_.planned, cheapest_proven(asked(), catalog_, types(), *solver_, {}, options_));
    keep_what_is_good();
    if (out_.planned.plan.outcome != Plan::Outcome::kFound)
      return std::move(out_);
    tell_changes();
    MEDLEY_TRY_STATUS(find_quiet_hours());
    return std::move(out_);
  }

 private:
  const Requirements& asked() const { return out_.usage.requirements; }
  const std::vector<PoolType>& types() const { return out_.pools.types; }
  bool stands(std::size_t service) const {
    return std::any_of(asked().standing.begin(), asked().standing.end(),
                       [&](const data::StandingPool& of) {
                         return of.pool.metered && of.pool.name == asked().services[service].name;
                       });
  }

  Status judge_what_stands() {
    // Services that may be rented but are not are none of it.
    std::vector<PoolType> here = types();
    PlanOptions options{.given_fleet = true};
    for (std::size_t p = 0; p < here.size(); ++p) {
      options.replicas.push_back(here[p].device ? std::optional(out_.now[p]) : std::nullopt);
      if (here[p].device || out_.now[p] > 0)
        continue;
      for (Use& use : here[p].uses)
        use.obstacle = Obstacle::kQuota;
    }
    MEDLEY_TRY(out_.standing, cheapest(asked(), here, *solver_, options));
    if (out_.standing.outcome != Plan::Outcome::kFound)
      return Done{};
    // All of it stands, used or not.
    for (std::size_t p = 0; p < here.size(); ++p)
      out_.standing.replicas[p] = out_.now[p];
    MEDLEY_TRY(out_.standing_proof, prove(asked(), catalog_, here, out_.standing, options_));
    return Done{};
  }

  // What stands and keeps everything is left alone where a plan saves next to nothing.
  void keep_what_is_good() {
    if (!out_.standing_proof || out_.planned.plan.outcome != Plan::Outcome::kFound)
      return;
    const std::vector<bool> misses = falls_short(asked(), *out_.standing_proof);
    if (std::find(misses.begin(), misses.end(), true) != misses.end() ||
        out_.planned.plan.total() < out_.standing.total() * (1 - kWorthAChange)) {
      return;
    }
    out_.worth_it = false;
    out_.planned.plan = out_.standing;
    out_.planned.proof = *out_.standing_proof;
    out_.planned.fresh = {};
    out_.planned.neighbours.clear();
    out_.planned.agreed = true;
  }

  void tell_changes() {
    const Plan& plan = out_.planned.plan;
    // Devices that become free, by offer and zone, and to whom they go.
    std::map<std::pair<std::size_t, std::string>, std::vector<std::pair<std::size_t, int>>> free;
    std::map<std::size_t, std::map<std::size_t, int>> moved;  // from, to: devices
    for (std::size_t p = 0; p < types().size(); ++p) {
      if (types()[p].device && plan.replicas[p] < out_.now[p]) {
        free[{*types()[p].device, types()[p].pool.zone}].emplace_back(
            p, (out_.now[p] - plan.replicas[p]) * types()[p].devices);
      }
    }
    std::vector<int> missing(types().size(), 0);
    for (std::size_t p = 0; p < types().size(); ++p) {
      if (!types()[p].device || plan.replicas[p] <= out_.now[p])
        continue;
      missing[p] = (plan.replicas[p] - out_.now[p]) * types()[p].devices;
      for (auto& [from, devices] : free[{*types()[p].device, types()[p].pool.zone}]) {
        const int taken = std::min(devices, missing[p]);
        if (taken == 0)
          continue;
        devices -= taken;
        missing[p] -= taken;
        moved[from][p] += taken;
      }
    }
    for (std::size_t p = 0; p < types().size(); ++p) {
      const int now = out_.now[p], then = plan.replicas[p];
      if (now == 0 && then == 0)
        continue;
      Replan::Change change{p, now, then, {}};
      const PoolType& type = types()[p];
      if (type.service) {
        change.what = then == now ? "keep" : then > 0 ? "add" : "switch off";
      } else if (then == now) {
        change.what = "keep";
      } else if (then > now) {
        change.what = fmt::format("add {}", then - now);
        if (missing[p] > 0) {
          const DeviceOffer& offer = asked().devices[*type.device];
          change.what +=
              fmt::format(" ({})", offer.deal == DeviceOffer::Deal::kRent
                                       ? fmt::format("{} to rent", count_of(missing[p], "device"))
                                       : fmt::format("on {} more", count_of(missing[p], "device")));
        }
      } else {
        int left = (now - then) * type.devices;
        for (const auto& [to, devices] : moved[p]) {
          change.what += fmt::format("{}move {} to {}", change.what.empty() ? "" : ", ",
                                     count_of(devices, "device"), types()[to].pool.name);
          left -= devices;
        }
        if (left >= type.devices) {
          change.what +=
              fmt::format("{}switch off {}", change.what.empty() ? "" : ", ", left / type.devices);
        }
      }
      out_.changes.push_back(std::move(change));
    }
  }

  // Replicas of a pool that the plan needs in a period, with what redundancy keeps beside them.
  int needed(std::size_t p, std::size_t t) const {
    const Plan& plan = out_.planned.plan;
    double busy = 0;
    bool guarded = false;
    for (std::size_t g = 0; g < asked().demands.size(); ++g) {
      const double rate = plan.rate[g][p][t];
      if (rate <= kLittle || !types()[p].uses[g].ok())
        continue;
      busy += rate * out_.planned.safety[g] /
              (asked().utilisation * types()[p].uses[g].operation.requests_per_s);
      guarded = guarded || is_protected(asked(), g);
    }
    const bool spare = guarded && asked().redundancy != data::Redundancy::kNone;
    return std::min(plan.replicas[p],
                    static_cast<int>(std::ceil(busy - kLittle)) + (spare ? 1 : 0));
  }

  // The longest stretch of the day in which some replica can be off, held against simulation.
  Status find_quiet_hours() {
    const Plan& plan = out_.planned.plan;
    const std::vector<Period> periods = periods_of(asked());
    std::array<std::size_t, 24> period_of{};
    for (std::size_t t = 0; t < periods.size(); ++t) {
      for (const int hour : periods[t].hours)
        period_of[static_cast<std::size_t>(hour)] = t;
    }
    const auto idle_at = [&](std::size_t p, int hour) {
      const std::size_t t = period_of[static_cast<std::size_t>(hour % 24)];
      // What trains in some hour of the day is not off in another.
      if (std::any_of(plan.lent[p].begin(), plan.lent[p].end(), [](int lent) { return lent > 0; }))
        return 0;
      return types()[p].device ? plan.replicas[p] - needed(p, t) : 0;
    };
    const auto any_idle = [&](int hour) {
      for (std::size_t p = 0; p < types().size(); ++p) {
        if (idle_at(p, hour) > 0)
          return true;
      }
      return false;
    };
    Replan::Quiet quiet;
    for (int from = 0; from < 24; ++from) {
      int length = 0;
      while (length < 24 && any_idle(from + length))
        ++length;
      if (length > quiet.hours) {
        quiet.hours = length;
        quiet.from_hour = from;
      }
    }
    if (quiet.hours == 0 || quiet.hours == 24)  // all day: they are spares of redundancy
      return Done{};
    quiet.off.assign(types().size(), 0);
    for (std::size_t p = 0; p < types().size(); ++p) {
      int least = plan.replicas[p];
      for (int i = 0; i < quiet.hours; ++i)
        least = std::min(least, idle_at(p, quiet.from_hour + i));
      quiet.off[p] = least;
    }
    // Those hours alone, whoever may wait left out.
    Requirements then = asked();
    for (Demand& demand : then.demands) {
      for (int hour = 0; hour < 24; ++hour) {
        if ((hour - quiet.from_hour + 24) % 24 >= quiet.hours || demand.movable())
          demand.rate_per_s[static_cast<std::size_t>(hour)] = 0;
      }
    }
    then.jobs.clear();
    while (std::any_of(quiet.off.begin(), quiet.off.end(), [](int of) { return of > 0; })) {
      PlanOptions options{.given_fleet = true};
      for (std::size_t p = 0; p < types().size(); ++p) {
        options.replicas.push_back(
            types()[p].device ? std::optional(plan.replicas[p] - quiet.off[p]) : std::nullopt);
      }
      MEDLEY_TRY(const Plan fewer, cheapest(then, types(), *solver_, options));
      if (fewer.outcome == Plan::Outcome::kFound) {
        MEDLEY_TRY(const Proof proof, prove(then, catalog_, types(), fewer, options_));
        const std::vector<bool> misses = falls_short(then, proof);
        if (std::find(misses.begin(), misses.end(), true) == misses.end()) {
          quiet.kept = proof.whole;
          break;
        }
      }
      for (int& of : quiet.off)
        of = std::max(0, of - 1);
    }
    for (std::size_t p = 0; p < types().size(); ++p) {
      if (!types()[p].device || asked().devices[*types()[p].device].deal != DeviceOffer::Deal::kBuy)
        continue;
      const std::string& zone = types()[p].pool.zone;
      const double kwh = quiet.off[p] * types()[p].idle_w * asked().pue(zone) / 1000 * 365;
      for (int i = 0; i < quiet.hours; ++i) {
        quiet.kwh += kwh;
        quiet.money += kwh * asked().tariff_per_kwh(
                                 zone)[static_cast<std::size_t>((quiet.from_hour + i) % 24)];
      }
    }
    if (quiet.kwh <= 0)
      return Done{};
    out_.quiet = std::move(quiet);
    return Done{};
  }

  const data::Catalog& catalog_;
  const ProofOptions& options_;
  std::unique_ptr<solve::IntegerSolver> solver_;
  Replan out_;
};

}  // namespace

Result<Usage> requirements_of(const UsageInput& input, const data::Catalog& catalog) {
  return Reading(input, catalog).run();
}

Result<Replan> replan(Usage usage, const data::Catalog& catalog, const ProofOptions& options) {
  return Replanner(std::move(usage), catalog, options).run();
}

}  // namespace medley::plan
