#include "plan/program.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <set>
#include <tuple>

#include "base/check.h"

namespace medley::plan {
namespace {

using data::Demand, data::DeviceOffer, data::Redundancy, data::Requirements;

constexpr double kJoulesAKwh = 3.6e6;
constexpr double kLittle = 1e-6;
// Of a replica: less than that could come too near to a solver's tolerance.
constexpr double kSmall = 0.01;

// Whether work of `demand` that comes in one hour of the day may be served in another.
bool reaches(const Demand& demand, int from, int to) {
  return (to - from + 24) % 24 < demand.hours_to_serve();
}

double mean_of(const std::array<double, 24>& by_hour, const std::vector<int>& hours) {
  double sum = 0;
  for (const int hour : hours)
    sum += by_hour[static_cast<std::size_t>(hour)];
  return sum / static_cast<double>(hours.size());
}

// Tariff and grid of every zone in an hour: where they are the same, energy is.
std::vector<double> energy_in(const Requirements& requirements, int hour) {
  std::vector<double> out;
  for (const auto& [zone, spec] : requirements.zones) {
    const auto& carbon = requirements.carbon_g_per_kwh(zone);
    out.push_back(requirements.tariff_per_kwh(zone)[static_cast<std::size_t>(hour)]);
    out.push_back(carbon ? (*carbon)[static_cast<std::size_t>(hour)] : 0);
  }
  return out;
}

// Hours that training takes as one, the same on every day: those in which the same jobs may run
// and that ask for the same of what cannot wait, at the same tariffs.
struct Shift {
  std::vector<std::size_t> periods;
  std::vector<int> of_day;  // their hours
  bool trains = false;
  double hours() const { return static_cast<double>(of_day.size()); }
};
// Of more kinds of hours those are one that are the next in how much is asked for: each shift has
// whole columns of its own.
constexpr std::size_t kMostShifts = 4;

std::vector<Shift> shifts_of(const Requirements& requirements, const std::vector<Period>& periods) {
  using Kind =
      std::tuple<double, std::vector<double>, std::vector<double>>;  // the first to sort by
  std::map<std::vector<bool>, std::map<Kind, std::vector<std::size_t>>> kinds;  // by jobs
  for (std::size_t t = 0; t < periods.size(); ++t) {
    std::vector<bool> jobs;
    for (const data::TrainingJob& job : requirements.jobs)
      jobs.push_back(job.runs_at(periods[t].hours.front()));
    Kind kind;
    if (std::find(jobs.begin(), jobs.end(), true) != jobs.end()) {
      auto& [busy, rates, energy] = kind;
      for (std::size_t g = 0; g < requirements.demands.size(); ++g) {
        if (requirements.demands[g].movable())
          continue;
        rates.push_back(periods[t].rate_per_s[g]);
        busy += rates.back() / volume_a_day(periods, g);
      }
      energy = energy_in(requirements, periods[t].hours.front());
    }
    kinds[jobs][kind].push_back(t);
  }
  std::vector<Shift> shifts;
  for (const auto& [jobs, by_kind] : kinds) {
    const bool trains = std::find(jobs.begin(), jobs.end(), true) != jobs.end();
    std::size_t all = 0, before = 0;
    for (const auto& [kind, of] : by_kind) {
      for (const std::size_t t : of)
        all += periods[t].hours.size();
    }
    std::optional<std::size_t> part;
    for (const auto& [kind, of] : by_kind) {
      const std::size_t here = before * kMostShifts / all;
      if (by_kind.size() <= kMostShifts || part != here)
        shifts.push_back({{}, {}, trains});
      part = here;
      Shift& shift = shifts.back();
      for (const std::size_t t : of) {
        shift.periods.push_back(t);
        before += periods[t].hours.size();
        shift.of_day.insert(shift.of_day.end(), periods[t].hours.begin(), periods[t].hours.end());
      }
    }
  }
  return shifts;
}

// States the program and reads its solution back.
class Program {
 public:
  Program(const Requirements& requirements, const std::vector<PoolType>& types,
          const PlanOptions& options)
      : requirements_(requirements),
        types_(types),
        options_(options),
        periods_(periods_of(requirements)),
        spans_(spans_of(requirements.jobs)),
        shifts_(shifts_of(requirements, periods_)) {
    // The mean rate: numbers that are much less than 1 get lost in a solver's tolerance.
    for (std::size_t g = 0; g < requirements.demands.size(); ++g)
      unit_.push_back(volume_a_day(periods_, g) / 24);
    safety_ = options.safety;
    if (safety_.empty())
      safety_.assign(requirements.demands.size(), 1);
    for (std::size_t i = 0; i < requirements.devices.size(); ++i) {
      for (const std::string& zone : requirements.devices[i].zones)
        sites_.push_back({i, zone});
    }
  }

  // Whether fleets are left out whose nodes hold what others' do not.
  bool within_rule() const { return within_rule_; }

  IntegerProgram state() {
    most_ = most_replicas();
    make_rows();
    make_columns();
    return assemble();
  }

  Plan read(const IntegerSolution& solution) const;

 private:
  // Devices of one offer in one zone.
  struct Place {
    std::size_t offer;
    std::string zone;
  };
  // What trains at a place: devices that only do that, or replicas of a type that are lent.
  struct Source {
    std::size_t place;
    std::optional<std::size_t> type;
    std::vector<int> count;  // columns: by shift; -1: none
  };
  // A column, with its entries: rows are few, so both are gathered before they are put in order.
  struct Draft {
    IntegerProgram::Column column;
    std::vector<std::pair<int, double>> entries;
  };

  const DeviceOffer& offer(const Place& place) const { return requirements_.devices[place.offer]; }
  // A service that a caller holds at none is not used, whatever is lost.
  bool left_out(std::size_t p) const {
    return types_[p].service && !options_.replicas.empty() && options_.replicas[p] == 0;
  }
  bool bought(const PoolType& type) const {
    return type.device && requirements_.devices[*type.device].deal == DeviceOffer::Deal::kBuy;
  }
  // Money for a joule at the meter of the devices, in that period: what is rented comes with its
  // energy.
  double per_joule(bool owned, const std::string& zone, const std::vector<int>& hours) const {
    return owned ? mean_of(requirements_.tariff_per_kwh(zone), hours) * requirements_.pue(zone) /
                       kJoulesAKwh
                 : 0;
  }
  // For a watt of owned devices in a zone through the year.
  double per_watt(const std::string& zone) const {
    double money = 0;
    for (const Period& period : periods_)
      money += per_joule(true, zone, period.hours) * period.seconds_a_year();
    return money;
  }
  int place_of(const PoolType& type) const {
    for (std::size_t i = 0; i < sites_.size(); ++i) {
      if (sites_[i].offer == *type.device && sites_[i].zone == type.pool.zone)
        return static_cast<int>(i);
    }
    return -1;
  }
  int row(double least, double most) {
    least_.push_back(least);
    most_of_row_.push_back(most);
    return static_cast<int>(least_.size()) - 1;
  }
  int column(IntegerProgram::Column column) {
    drafts_.push_back({column, {}});
    return static_cast<int>(drafts_.size()) - 1;
  }
  void entry(int column, int row, double amount) {
    if (amount != 0)
      drafts_[static_cast<std::size_t>(column)].entries.emplace_back(row, amount);
  }
  bool runs(const data::TrainingJob& job, std::size_t shift) const {
    return job.runs_at(shifts_[shift].of_day.front());
  }
  bool runs(const data::TrainingJob& job, const Span& span) const {
    return !job.once() || (job.start_day <= span.from_day &&
                           span.from_day + span.days <= job.start_day + job.deadline_days);
  }
  // Of a run, in device-hours at a place; 0: it cannot run there.
  double device_hours(const data::TrainingJob& job, std::size_t place) const {
    const auto hours = job.device_hours.find(offer(sites_[place]).accelerator.id);
    const Label& label = requirements_.frame.labels[job.label.number()];
    return hours == job.device_hours.end() || !label.allows(sites_[place].zone) ? 0 : hours->second;
  }
  // Days of a year for each day of a span: a job that comes back less often than it may take runs
  // on a share of the days that are set aside for it.
  double days_a_year(const data::TrainingJob& job, const Span& span) const {
    return span.days * (job.once() ? 1.0 : static_cast<double>(job.deadline_days) / job.every_days);
  }
  // Watts of a device that trains, at the TDP; what a replica that is lent would draw idle is
  // counted with the replica.
  double training_w(std::size_t place) const {
    const std::optional<Range>& tdp = offer(sites_[place]).accelerator.tdp_w;
    return tdp ? tdp->high : 0;
  }
  double added_w(const Source& source) const {
    const double idle =
        source.type ? types_[*source.type].idle_w / types_[*source.type].devices : 0;
    return std::max(0.0, training_w(source.place) - idle);
  }
  // Watts at the devices that one of a column takes, always or in one shift.
  void draw(int column, const std::string& zone, double watts,
            std::optional<std::size_t> shift = std::nullopt) {
    const auto rows = power_.find(zone);
    for (std::size_t s = 0; rows != power_.end() && s < shifts_.size(); ++s) {
      if (!shift || s == *shift)
        entry(column, rows->second[s], watts * requirements_.pue(zone) / 1000);
    }
  }
  // Requests of a day that one unit of a column takes from a quota: exactly so many, or more where
  // simulation asked for room.
  double of_quota(std::size_t g, std::size_t period) const {
    return std::max(1.0, safety_[g]) * unit_[g] *
           static_cast<double>(periods_[period].hours.size()) * 3600;
  }
  // Replica-seconds a second that one request a second takes.
  double load(std::size_t g, std::size_t p) const {
    const double requests_per_s = types_[p].uses[g].operation.requests_per_s;
    return safety_[g] / ((options_.given_fleet ? 1 : requirements_.utilisation) * requests_per_s);
  }

  std::vector<int> most_replicas() const;
  void make_rows();
  void make_columns();
  void stand_on_nodes();
  void stand_in_racks();
  std::vector<std::vector<std::size_t>> sharing(std::size_t place) const;
  void meet(std::size_t g);
  bool is_small(std::size_t g, std::size_t p) const {
    return types_[p].device && load(g, p) * unit_[g] < kSmall;
  }
  void need_a_replica(std::size_t g, std::size_t p);
  void add_training();
  void add_gangs(std::size_t place);
  void keep_a_replica(std::size_t p, std::size_t period, int lent);
  std::vector<std::vector<int>> trained_on(const std::function<double(int)>& at) const;
  void add_losses();
  void add_loss(const std::vector<bool>& lost_types, std::optional<std::size_t> partly, int lost);
  IntegerProgram assemble() const;

  const Requirements& requirements_;
  const std::vector<PoolType>& types_;
  const PlanOptions& options_;
  const std::vector<Period> periods_;
  std::vector<double> safety_;
  std::vector<double> unit_;  // by demand: requests/s for a 1 in its columns
  std::vector<Place> sites_;
  const std::vector<Span> spans_;
  const std::vector<Shift> shifts_;
  std::vector<int> most_;

  std::vector<double> least_, most_of_row_;
  std::vector<Draft> drafts_;
  std::vector<std::vector<int>> single_;           // rows: by place and shift: devices that train
  std::vector<std::vector<int>> capacity_;         // rows: by type and period
  std::map<std::string, int> racks_;               // rows: by zone
  std::map<std::string, std::vector<int>> power_;  // rows: by zone and shift
  std::vector<int> stock_;                         // rows: by offer; -1: none
  std::vector<int> tokens_, requests_;             // rows: by type; -1: none
  int budget_ = -1, staff_row_ = -1;
  bool within_rule_ = false;
  std::vector<int> replicas_, nodes_, bought_;    // columns: by type, place, offer (-1: none)
  std::vector<std::vector<std::vector<int>>> x_;  // columns; -1: none
  std::vector<Source> sources_;
  // Device-hours a day of a job on such devices, in a shift of the days of a span.
  struct Work {
    std::size_t job, source, shift, span;
    int column;
  };
  std::vector<Work> work_;
  // Gangs of so many devices at a place, the same on every day, and hours a day of the jobs on it.
  struct Gang {
    std::size_t place, shift;
    int size, count;                      // column
    std::vector<std::vector<int>> hours;  // columns: by span
  };
  std::vector<Gang> gangs_;
  std::map<std::tuple<std::size_t, std::size_t, std::size_t>, int>
      one_at_a_time_;                                // rows: by job of a gang, shift and span
  std::vector<std::pair<std::size_t, int>> spares_;  // columns: services in failures, by type
};

// More of a type than all that could use it need, its loss and all jobs included, never helps.
std::vector<int> Program::most_replicas() const {
  std::vector<int> most(types_.size(), 0);
  for (std::size_t p = 0; p < types_.size(); ++p) {
    if (!types_[p].device)
      continue;
    double need = 0;
    for (std::size_t g = 0; g < requirements_.demands.size(); ++g) {
      if (!types_[p].uses[g].ok())
        continue;
      double peak = 0;
      for (const Period& period : periods_)
        peak = std::max(peak, period.rate_per_s[g]);
      // Batch may be moved into one hour.
      const double most_rate =
          requirements_.demands[g].movable() ? volume_a_day(periods_, g) : peak;
      need += most_rate * load(g, p);
    }
    const DeviceOffer& of = requirements_.devices[*types_[p].device];
    double spare = 0;
    if (requirements_.redundancy != Redundancy::kNone)
      spare += requirements_.redundancy == Redundancy::kZone
                   ? need
                   : 1.0 + of.replicas_lost(types_[p].devices);
    for (const data::TrainingJob& job : requirements_.jobs) {
      const auto hours = job.device_hours.find(of.accelerator.id);
      if (hours != job.device_hours.end())
        spare += std::ceil(1.0 * least_devices(job, hours->second) / types_[p].devices);
    }
    most[p] = static_cast<int>(std::min(need > 0 ? std::ceil(need) + std::ceil(spare) : 0, 1e6));
  }
  return most;
}

void Program::make_rows() {
  for (const PoolType& type : types_) {
    capacity_.emplace_back();
    for (std::size_t t = 0; t < periods_.size(); ++t)
      capacity_.back().push_back(type.device ? row(-kUnlimited, 0) : -1);
    tokens_.push_back(-1);
    requests_.push_back(-1);
    if (type.service) {
      const Metered& metered = *type.pool.metered;
      // Quotas are refused, not queued: what is planned leaves room for bursts as replicas do.
      if (metered.tokens_per_minute) {
        for (std::size_t t = 0; t < periods_.size(); ++t) {
          const int made = row(-kUnlimited, static_cast<double>(*metered.tokens_per_minute) *
                                                requirements_.utilisation);
          if (t == 0)
            tokens_.back() = made;
        }
      }
      if (metered.requests_per_day) {
        requests_.back() = row(-kUnlimited, static_cast<double>(*metered.requests_per_day));
      }
    }
  }
  for (const auto& [zone, limits] : requirements_.zones) {
    if (limits.racks)
      racks_[zone] = row(-kUnlimited, *limits.racks);
    if (limits.power_limit_kw) {
      for (std::size_t s = 0; s < shifts_.size(); ++s)
        power_[zone].push_back(row(-kUnlimited, *limits.power_limit_kw));
    }
  }
  for (const DeviceOffer& of : requirements_.devices) {
    const bool limited = of.stock.has_value();
    stock_.push_back(limited ? row(-kUnlimited, *of.stock) : -1);
  }
  if (requirements_.money.budget)
    budget_ = row(-kUnlimited, *requirements_.money.budget);
}

void Program::make_columns() {
  const std::size_t demands = requirements_.demands.size();
  // Nodes, and where some are there already, those still to buy.
  for (const DeviceOffer& of : requirements_.devices) {
    const Costs costs = yearly_costs(of, requirements_.money);
    bought_.push_back(-1);
    if (of.deal == DeviceOffer::Deal::kRent)
      continue;
    const int made = column({.cost = costs.capital * of.per_node});
    bought_.back() = made;
    if (budget_ >= 0) {
      entry(made, budget_, of.price.middle() * of.per_node * (1 + requirements_.money.integration));
    }
  }
  std::vector<int> to_buy;  // rows: nodes − owned <= bought
  for (std::size_t i = 0; i < requirements_.devices.size(); ++i) {
    const DeviceOffer& of = requirements_.devices[i];
    to_buy.push_back(-1);
    if (bought_[i] < 0)
      continue;
    to_buy.back() = row(-kUnlimited, of.owned / of.per_node);
    entry(bought_[i], to_buy.back(), -1);
    if (stock_[i] >= 0)
      entry(bought_[i], stock_[i], of.per_node);
  }
  std::vector<int> owned_nodes;
  for (std::size_t i = 0; i < sites_.size(); ++i) {
    const DeviceOffer& of = offer(sites_[i]);
    const bool owned = of.deal == DeviceOffer::Deal::kBuy;
    const Costs costs = yearly_costs(of, requirements_.money);
    const int made = column({.cost = (costs.maintenance + costs.rent +
                                      (owned ? of.host_w * per_watt(sites_[i].zone) : 0)) *
                                     of.per_node,
                             .whole = true});
    nodes_.push_back(made);
    if (owned)
      entry(made, to_buy[sites_[i].offer], 1);
    else if (stock_[sites_[i].offer] >= 0)
      entry(made, stock_[sites_[i].offer], of.per_node);
    draw(made, sites_[i].zone, of.host_w * of.per_node);
    if (owned)
      owned_nodes.push_back(made);
  }
  for (std::size_t p = 0; p < types_.size(); ++p) {
    const PoolType& type = types_[p];
    if (!type.device) {
      replicas_.push_back(-1);
      continue;
    }
    IntegerProgram::Column of{.cost = bought(type) ? type.idle_w * per_watt(type.pool.zone) : 0,
                              .most = static_cast<double>(most_[p]),
                              .whole = true};
    if (!options_.replicas.empty() && options_.replicas[p]) {
      of.least = *options_.replicas[p];
      of.most = of.least;
    }
    const int made = column(of);
    replicas_.push_back(made);
    for (const int each : capacity_[p])
      entry(made, each, -1);
    draw(made, type.pool.zone, type.most_w);
  }
  stand_on_nodes();
  stand_in_racks();
  x_.assign(demands,
            std::vector<std::vector<int>>(types_.size(), std::vector<int>(periods_.size(), -1)));
  for (std::size_t g = 0; g < demands; ++g) {
    const Demand& demand = requirements_.demands[g];
    const double prompt = data::mean_of(demand, false), output = data::mean_of(demand, true);
    for (std::size_t p = 0; p < types_.size(); ++p) {
      const PoolType& type = types_[p];
      if (!type.uses[g].ok() || (type.device && most_[p] == 0) || left_out(p))
        continue;
      for (std::size_t t = 0; t < periods_.size(); ++t) {
        const Period& period = periods_[t];
        if (unit_[g] <= 0 || (!demand.movable() && period.rate_per_s[g] <= 0))
          continue;
        double cost = type.uses[g].operation.joules_per_request *
                      per_joule(bought(type), type.pool.zone, period.hours);
        if (type.service) {
          const Metered& metered = *type.pool.metered;
          cost = (prompt * metered.per_million_prompt + output * metered.per_million_output) / 1e6;
        }
        const int made = column({.cost = cost * unit_[g] * period.seconds_a_year()});
        x_[g][p][t] = made;
        if (type.device)
          entry(made, capacity_[p][t], load(g, p) * unit_[g]);
        if (tokens_[p] >= 0) {
          entry(made, tokens_[p] + static_cast<int>(t),
                safety_[g] * unit_[g] * (prompt + output) * 60);
        }
        if (requests_[p] >= 0)
          entry(made, requests_[p], of_quota(g, t));
      }
    }
    meet(g);
    for (std::size_t p = 0; p < types_.size(); ++p)
      need_a_replica(g, p);
  }
  add_training();
  if (!options_.given_fleet)
    add_losses();
  if (requirements_.money.staff_per_year > 0 && !owned_nodes.empty()) {
    // 1 when anything is owned.
    const int any = column({.cost = requirements_.money.staff_per_year, .most = 1, .whole = true});
    for (std::size_t i = 0; i < sites_.size(); ++i) {
      if (offer(sites_[i]).deal != DeviceOffer::Deal::kBuy)
        continue;
      double most = 1;
      for (std::size_t p = 0; p < types_.size(); ++p) {
        if (types_[p].device && place_of(types_[p]) == static_cast<int>(i))
          most += offer(sites_[i]).nodes_for(types_[p].devices, most_[p]);
      }
      for (const data::TrainingJob& job : requirements_.jobs) {
        const auto hours = job.device_hours.find(offer(sites_[i]).accelerator.id);
        if (hours != job.device_hours.end())
          most += least_devices(job, hours->second);
      }
      const int made = row(-kUnlimited, 0);
      entry(nodes_[i], made, 1);
      entry(any, made, -most);
    }
  }
}

// Types that fit a node of a place, by who shares devices of it: widths that divide one another, so
// that counts by width say exactly what fits. Where a node may be lost each pool is by itself.
std::vector<std::vector<std::size_t>> Program::sharing(std::size_t place) const {
  std::vector<std::size_t> narrow;
  for (std::size_t p = 0; p < types_.size(); ++p) {
    if (types_[p].device && place_of(types_[p]) == static_cast<int>(place) &&
        offer(sites_[place]).replicas_on_node(types_[p].devices) > 0) {
      narrow.push_back(p);
    }
  }
  std::stable_sort(narrow.begin(), narrow.end(), [&](std::size_t a, std::size_t b) {
    return types_[a].devices > types_[b].devices;
  });
  std::vector<std::vector<std::size_t>> groups;
  for (const std::size_t p : narrow) {
    const auto fits = std::find_if(groups.begin(), groups.end(), [&](const auto& group) {
      return requirements_.redundancy != Redundancy::kNode &&
             types_[group.back()].devices % types_[p].devices == 0;
    });
    if (fits == groups.end())
      groups.push_back({p});
    else
      fits->push_back(p);
  }
  return groups;
}

// Ways to divide the devices of a node among groups of widths, each of which divides the one before
// it. Without those that have room for no more than another one of everything; none where there are
// too many to be columns.
std::vector<std::vector<int>> fillings(int per_node, const std::vector<std::vector<int>>& groups) {
  constexpr std::size_t kMostFillings = 500;
  std::vector<std::vector<int>> all;
  std::vector<int> way;
  const std::function<void(int)> divide = [&](int left) {
    const std::size_t at = way.size();
    if (all.size() > kMostFillings)
      return;
    if (at + 1 == groups.size()) {
      way.push_back(left);
      all.push_back(way);
      way.pop_back();
      return;
    }
    for (int part = 0; part <= left; part += groups[at].back()) {
      way.push_back(part);
      divide(left - part);
      way.pop_back();
    }
  };
  divide(per_node);
  if (all.size() > kMostFillings)
    return {};
  const auto covers = [&](const std::vector<int>& a, const std::vector<int>& b) {
    for (std::size_t k = 0; k < groups.size(); ++k) {
      for (const int width : groups[k]) {
        if (a[k] / width < b[k] / width)
          return false;
      }
    }
    return true;
  };
  std::vector<std::vector<int>> best;
  for (std::size_t i = 0; i < all.size(); ++i) {
    bool covered = false;
    for (std::size_t j = 0; j < all.size() && !covered; ++j)
      covered = j != i && covers(all[j], all[i]) && (j < i || !covers(all[i], all[j]));
    if (!covered)
      best.push_back(all[i]);
  }
  return best;
}

// Whole replicas on whole nodes (decision 0095).
void Program::stand_on_nodes() {
  single_.assign(sites_.size(), std::vector<int>(shifts_.size(), -1));
  for (std::size_t i = 0; i < sites_.size(); ++i) {
    const DeviceOffer& of = offer(sites_[i]);
    const int nodes = row(-kUnlimited, 0);
    entry(nodes_[i], nodes, -1);
    for (std::size_t p = 0; p < types_.size(); ++p) {
      if (types_[p].device && place_of(types_[p]) == static_cast<int>(i) &&
          of.replicas_on_node(types_[p].devices) == 0)
        entry(replicas_[p], nodes, of.nodes_for(types_[p].devices, 1));
    }
    const bool trains = std::any_of(
        requirements_.jobs.begin(), requirements_.jobs.end(),
        [&](const data::TrainingJob& job) { return job.device_hours.contains(of.accelerator.id); });
    const bool apart = requirements_.redundancy == Redundancy::kNode;
    std::vector<std::vector<std::size_t>> groups = sharing(i);
    // Devices that train fit beside everything that shares.
    if (trains && (groups.empty() || apart))
      groups.emplace(groups.begin());
    if (groups.empty())
      continue;
    std::vector<std::vector<int>> widths(groups.size());  // by group, the widest first
    for (std::size_t group = 0; group < groups.size(); ++group) {
      for (const std::size_t p : groups[group]) {
        if (widths[group].empty() || widths[group].back() != types_[p].devices)
          widths[group].push_back(types_[p].devices);
      }
    }
    if (trains && (widths[0].empty() || widths[0].back() != 1))
      widths[0].push_back(1);
    std::vector<std::vector<int>> ways;
    if (!apart)
      ways = fillings(of.per_node, widths);
    if (ways.empty()) {
      within_rule_ = true;
      ways.assign(groups.size(), std::vector<int>(groups.size(), 0));
      for (std::size_t group = 0; group < groups.size(); ++group)
        ways[group][group] = of.per_node;
    }
    std::vector<int> filled;  // columns: nodes, by how they are divided
    for (std::size_t way = 0; way < ways.size(); ++way) {
      filled.push_back(column({.whole = true}));
      entry(filled.back(), nodes, 1);
    }
    for (std::size_t group = 0; group < groups.size(); ++group) {
      for (const int width : widths[group]) {
        // Training takes its devices in its hours only.
        const bool in_hours = trains && group == 0 && width == 1;
        for (std::size_t s = 0; s < (in_hours ? shifts_.size() : 1); ++s) {
          const int held = row(-kUnlimited, 0);
          if (in_hours)
            single_[i][s] = held;
          for (std::size_t way = 0; way < ways.size(); ++way)
            entry(filled[way], held, -(ways[way][group] / width));
          for (const std::size_t p : groups[group]) {
            if (types_[p].devices >= width)
              entry(replicas_[p], held, types_[p].devices / width);
          }
        }
      }
    }
  }
}

// Whole nodes in whole racks.
void Program::stand_in_racks() {
  for (const auto& [zone, limit] : racks_) {
    for (const std::vector<std::size_t>& group : rack_groups(requirements_, zone)) {
      const int racks = column({.whole = true});
      entry(racks, limit, 1);
      const int held = row(-kUnlimited, 0);
      entry(racks, held, -1);
      for (std::size_t i = 0; i < sites_.size(); ++i) {
        if (sites_[i].zone == zone &&
            std::find(group.begin(), group.end(), sites_[i].offer) != group.end())
          entry(nodes_[i], held, 1.0 / offer(sites_[i]).nodes_in_rack());
      }
    }
  }
}

// All of a demand is served: when it comes, or in the hours it may be moved to.
void Program::meet(std::size_t g) {
  const Demand& demand = requirements_.demands[g];
  if (unit_[g] <= 0)
    return;
  const auto serve = [&](int row, std::size_t t, double amount) {
    for (std::size_t p = 0; p < types_.size(); ++p) {
      if (x_[g][p][t] >= 0)
        entry(x_[g][p][t], row, amount);
    }
  };
  if (!demand.movable()) {
    for (std::size_t t = 0; t < periods_.size(); ++t)
      serve(row(periods_[t].rate_per_s[g] / unit_[g], periods_[t].rate_per_s[g] / unit_[g]), t, 1);
    return;
  }
  const auto hours = [&](std::size_t t) { return static_cast<double>(periods_[t].hours.size()); };
  if (demand.hours_to_serve() == 24) {
    const int all = row(24, 24);
    for (std::size_t t = 0; t < periods_.size(); ++t)
      serve(all, t, hours(t));
    return;
  }
  // What comes in each hour is divided among the periods it reaches.
  std::vector<int> moved_here;
  for (std::size_t t = 0; t < periods_.size(); ++t) {
    moved_here.push_back(row(0, 0));
    serve(moved_here.back(), t, -hours(t));
  }
  for (const Period& from : periods_) {
    for (const int hour : from.hours) {
      const int all = row(from.rate_per_s[g] / unit_[g], from.rate_per_s[g] / unit_[g]);
      for (std::size_t t = 0; t < periods_.size(); ++t) {
        if (from.rate_per_s[g] <= 0 || !reaches(demand, hour, periods_[t].hours.front()))
          continue;
        const int moved = column({});
        entry(moved, all, 1);
        entry(moved, moved_here[t], 1);
      }
    }
  }
}

// However little a demand takes of a replica: where its day is served there is one.
void Program::need_a_replica(std::size_t g, std::size_t p) {
  if (!is_small(g, p) || replicas_[p] < 0)
    return;
  const int there = row(-kUnlimited, 0);
  entry(replicas_[p], there, -1);
  for (std::size_t t = 0; t < periods_.size(); ++t) {
    if (x_[g][p][t] >= 0)
      entry(x_[g][p][t], there, static_cast<double>(periods_[t].hours.size()) / 24);
  }
}

// Jobs take whole devices that do nothing else, or whole replicas lent for hours of the day, the
// same on every day.
void Program::add_training() {
  const auto& jobs = requirements_.jobs;
  // Of what is done once: its share of work is 1; of what comes back, 1/days on each of its days.
  std::vector<std::vector<int>> done(jobs.size());
  for (std::size_t j = 0; j < jobs.size(); ++j) {
    for (std::size_t k = 0; k < (jobs[j].once() ? 1 : spans_.size()); ++k)
      done[j].push_back(row(1, kUnlimited));
  }
  for (std::size_t i = 0; i < sites_.size(); ++i) {
    const DeviceOffer& of = offer(sites_[i]);
    const auto may_run = [&](std::size_t shift) {
      return std::any_of(jobs.begin(), jobs.end(), [&](const data::TrainingJob& job) {
        return device_hours(job, i) > 0 && runs(job, shift);
      });
    };
    const auto add = [&](std::optional<std::size_t> type) {
      sources_.push_back({i, type, std::vector<int>(shifts_.size(), -1)});
      for (std::size_t s = 0; s < shifts_.size(); ++s) {
        if (!may_run(s))
          continue;
        const int made =
            column({.most = type ? static_cast<double>(most_[*type]) : kUnlimited, .whole = true});
        sources_.back().count[s] = made;
        if (!type) {
          entry(made, single_[i][s], 1);
          draw(made, sites_[i].zone, training_w(i), s);
          continue;
        }
        for (const std::size_t t : shifts_[s].periods) {
          entry(made, capacity_[*type][t], 1);
          keep_a_replica(*type, t, made);
        }
      }
    };
    const std::size_t first = sources_.size();
    add(std::nullopt);
    for (std::size_t p = 0; p < types_.size(); ++p) {
      if (types_[p].device && place_of(types_[p]) == static_cast<int>(i) && most_[p] > 0)
        add(p);
    }
    for (std::size_t from = first; from < sources_.size(); ++from) {
      const Source& source = sources_[from];
      const int width = source.type ? types_[*source.type].devices : 1;
      for (std::size_t s = 0; s < shifts_.size(); ++s) {
        if (source.count[s] < 0)
          continue;
        for (std::size_t k = 0; k < spans_.size(); ++k) {
          const int there = row(-kUnlimited, 0);
          entry(source.count[s], there, -width * shifts_[s].hours());
          for (std::size_t j = 0; j < jobs.size(); ++j) {
            const double whole_run = device_hours(jobs[j], i);
            if (whole_run <= 0 || !runs(jobs[j], s) || !runs(jobs[j], spans_[k]))
              continue;
            const bool owned = of.deal == DeviceOffer::Deal::kBuy;
            const int made =
                column({.cost = added_w(source) * 3600 * days_a_year(jobs[j], spans_[k]) *
                                per_joule(owned, sites_[i].zone, shifts_[s].of_day)});
            work_.push_back({j, from, s, k, made});
            entry(made, there, 1);
            entry(made, done[j][jobs[j].once() ? 0 : k],
                  (jobs[j].once() ? spans_[k].days : jobs[j].deadline_days) / whole_run);
          }
        }
      }
    }
    add_gangs(i);
  }
}

// However little a demand takes of a replica: where it is served one is not lent.
void Program::keep_a_replica(std::size_t p, std::size_t period, int lent) {
  for (std::size_t g = 0; g < x_.size(); ++g) {
    if (!is_small(g, p) || x_[g][p][period] < 0)
      continue;
    const int there = row(-kUnlimited, 0);
    entry(x_[g][p][period], there,
          requirements_.demands[g].movable()
              ? static_cast<double>(periods_[period].hours.size()) / 24
              : unit_[g] / periods_[period].rate_per_s[g]);
    entry(lent, there, 1);
    entry(replicas_[p], there, -1);
  }
}

// Jobs that run on so many devices at once take turns on gangs of as many devices or more, which
// are the same on every day.
void Program::add_gangs(std::size_t place) {
  std::set<int> sizes;
  for (const data::TrainingJob& job : requirements_.jobs) {
    if (job.gang > 0 && device_hours(job, place) > 0)
      sizes.insert(job.gang);
  }
  for (std::size_t shift = 0; shift < shifts_.size() && !sizes.empty(); ++shift) {
    const int devices = row(-kUnlimited, 0);
    for (const Source& source : sources_) {
      if (source.place == place && source.count[shift] >= 0)
        entry(source.count[shift], devices, source.type ? -types_[*source.type].devices : -1);
    }
    for (const int size : sizes) {
      const int count = column({.whole = true});
      entry(count, devices, size);
      gangs_.push_back({place, shift, size, count, std::vector<std::vector<int>>(spans_.size())});
    }
    for (std::size_t k = 0; k < spans_.size(); ++k) {
      std::map<int, int> turns;  // rows: by size
      for (const Gang& gang : gangs_) {
        if (gang.place == place && gang.shift == shift) {
          turns[gang.size] = row(-kUnlimited, 0);
          entry(gang.count, turns[gang.size], -shifts_[shift].hours());
        }
      }
      for (std::size_t j = 0; j < requirements_.jobs.size(); ++j) {
        const data::TrainingJob& job = requirements_.jobs[j];
        if (job.gang == 0 || device_hours(job, place) <= 0 || !runs(job, shift) ||
            !runs(job, spans_[k]))
          continue;
        const int all = row(0, 0);
        for (const Work& work : work_) {
          if (work.job == j && work.shift == shift && work.span == k &&
              sources_[work.source].place == place)
            entry(work.column, all, 1);
        }
        const auto [once, fresh] = one_at_a_time_.try_emplace({j, shift, k}, 0);
        if (fresh)
          once->second = row(-kUnlimited, shifts_[shift].hours());
        for (Gang& gang : gangs_) {
          if (gang.place != place || gang.shift != shift || gang.size < job.gang)
            continue;
          const int made = column({});
          gang.hours[k].push_back(made);
          entry(made, all, -job.gang);
          entry(made, turns[gang.size], 1);
          entry(made, once->second, 1);
        }
      }
    }
  }
}

// By source and shift, without what trains for nothing: a solver may lend what costs it nothing.
std::vector<std::vector<int>> Program::trained_on(const std::function<double(int)>& at) const {
  std::vector<std::vector<int>> counts;  // by source and shift
  for (const Source& source : sources_) {
    counts.emplace_back();
    for (const int column : source.count)
      counts.back().push_back(column < 0 ? 0 : static_cast<int>(std::llround(at(column))));
  }
  const auto up = [](double value) { return static_cast<int>(std::ceil(value - kLittle)); };
  for (std::size_t shift = 0; shift < shifts_.size(); ++shift) {
    std::vector<std::vector<double>> used(sources_.size(), std::vector<double>(spans_.size(), 0));
    for (const Work& work : work_) {
      if (work.shift == shift)
        used[work.source][work.span] += at(work.column);
    }
    std::vector<int> spare(sources_.size(), 0), devices(sites_.size(), 0);
    for (std::size_t s = 0; s < sources_.size(); ++s) {
      const int width = sources_[s].type ? types_[*sources_[s].type].devices : 1;
      int& count = counts[s][shift];
      const int need =
          up(*std::max_element(used[s].begin(), used[s].end()) / (shifts_[shift].hours() * width));
      spare[s] = std::max(0, count - need);
      count -= spare[s];
      devices[sources_[s].place] += count * width;
    }
    std::vector<int> in_gangs(sites_.size(), 0);
    for (const Gang& gang : gangs_) {
      if (gang.shift != shift)
        continue;
      double most = 0;
      for (const std::vector<int>& columns : gang.hours) {
        double hours = 0;
        for (const int column : columns)
          hours += at(column);
        most = std::max(most, hours);
      }
      in_gangs[gang.place] += gang.size * up(most / shifts_[shift].hours());
    }
    for (std::size_t s = 0; s < sources_.size(); ++s) {
      const int width = sources_[s].type ? types_[*sources_[s].type].devices : 1;
      const std::size_t place = sources_[s].place;
      const int back =
          std::clamp((in_gangs[place] - devices[place] + width - 1) / width, 0, spare[s]);
      counts[s][shift] += back;
      devices[place] += back * width;
    }
  }
  return counts;
}

// The protected demands at their peaks once more, without what is lost. `partly`: a type that
// loses `lost` replicas, or all where it has fewer.
void Program::add_loss(const std::vector<bool>& lost_types, std::optional<std::size_t> partly,
                       int lost) {
  std::vector<bool> counts;
  bool movable = false;
  for (std::size_t g = 0; g < requirements_.demands.size(); ++g) {
    counts.push_back(is_protected(requirements_, g));
    movable = movable || (counts.back() && requirements_.demands[g].movable());
  }
  // Batch presses in the hours it is moved to, which need be no peak of its own.
  std::vector<std::size_t> pressed = peaks_of(periods_, counts);
  // And a quota of a day is taken in all of its hours.
  const bool of_a_day = std::any_of(types_.begin(), types_.end(), [](const PoolType& type) {
    return type.service && type.pool.metered->requests_per_day;
  });
  if (movable || of_a_day) {
    pressed.resize(periods_.size());
    std::iota(pressed.begin(), pressed.end(), 0);
  }
  int left = -1;
  if (partly) {
    // left <= most·some, left + lost·some <= n: all of it is lost where `some` is 0.
    const double most = most_[*partly];
    left = column({.most = most});
    const int some = column({.most = 1, .whole = true});
    const int any = row(-kUnlimited, 0), less = row(-kUnlimited, 0);
    entry(left, any, 1);
    entry(some, any, -most);
    entry(left, less, 1);
    entry(some, less, lost);
    entry(replicas_[*partly], less, -1);
  }
  std::vector<int> day(types_.size(), -1);
  for (std::size_t p = 0; p < types_.size(); ++p) {
    if (types_[p].service && !lost_types[p] && types_[p].pool.metered->requests_per_day)
      day[p] = row(-kUnlimited, static_cast<double>(*types_[p].pool.metered->requests_per_day));
  }
  for (const std::size_t t : pressed) {
    std::vector<int> room(types_.size(), -1), quota(types_.size(), -1);
    for (std::size_t p = 0; p < types_.size(); ++p) {
      if (lost_types[p])
        continue;
      if (types_[p].device) {
        room[p] = row(-kUnlimited, 0);
        entry(partly && *partly == p ? left : replicas_[p], room[p], -1);
      } else if (types_[p].pool.metered->tokens_per_minute) {
        quota[p] =
            row(-kUnlimited, static_cast<double>(*types_[p].pool.metered->tokens_per_minute) *
                                 requirements_.utilisation);
      }
    }
    for (std::size_t g = 0; g < requirements_.demands.size(); ++g) {
      const double rate = periods_[t].rate_per_s[g];
      const bool moved = requirements_.demands[g].movable();
      if (!counts[g] || unit_[g] <= 0 || (!moved && rate <= 0))
        continue;
      const int met = moved ? row(0, 0) : row(rate / unit_[g], rate / unit_[g]);
      for (std::size_t p = 0; p < types_.size() && moved; ++p) {
        if (x_[g][p][t] >= 0)
          entry(x_[g][p][t], met, -1);  // as much as is planned here with nothing lost
      }
      const double tokens = data::mean_of(requirements_.demands[g], false) +
                            data::mean_of(requirements_.demands[g], true);
      for (std::size_t p = 0; p < types_.size(); ++p) {
        if (lost_types[p] || !types_[p].uses[g].ok() || (types_[p].device && most_[p] == 0) ||
            left_out(p))
          continue;
        const int made = column({});
        entry(made, met, 1);
        if (types_[p].service)
          spares_.emplace_back(p, made);
        if (room[p] >= 0)
          entry(made, room[p], load(g, p) * unit_[g]);
        if (quota[p] >= 0)
          entry(made, quota[p], safety_[g] * unit_[g] * tokens * 60);
        if (day[p] >= 0)
          entry(made, day[p], of_quota(g, t));
        if (is_small(g, p)) {
          const int there = row(-kUnlimited, 0);
          entry(made, there, moved ? 1.0 / 24 : unit_[g] / rate);
          entry(partly && *partly == p ? left : replicas_[p], there, -1);
        }
      }
    }
  }
}

void Program::add_losses() {
  const std::vector<bool> none(types_.size(), false);
  switch (requirements_.redundancy) {
    case Redundancy::kNone:
      return;
    case Redundancy::kReplica:
    case Redundancy::kNode:
      for (std::size_t p = 0; p < types_.size(); ++p) {
        if (!types_[p].device || most_[p] == 0)
          continue;
        const DeviceOffer& of = requirements_.devices[*types_[p].device];
        const int lost = requirements_.redundancy == Redundancy::kReplica
                             ? 1
                             : of.replicas_lost(types_[p].devices);
        add_loss(none, p, lost);
      }
      return;
    case Redundancy::kZone:
      for (const auto& [zone, limits] : requirements_.zones) {
        std::vector<bool> lost(types_.size(), false);
        bool any = false;
        for (std::size_t p = 0; p < types_.size(); ++p) {
          lost[p] = types_[p].pool.zone == zone;
          any = any || lost[p];
        }
        if (any)
          add_loss(lost, std::nullopt, 0);
      }
      return;
  }
}

IntegerProgram Program::assemble() const {
  IntegerProgram program;
  for (std::size_t i = 0; i < least_.size(); ++i)
    program.add_row(least_[i], most_of_row_[i]);
  for (const Draft& draft : drafts_) {
    program.add_column(draft.column);
    // A row occurs once in a column.
    std::map<int, double> amounts;
    for (const auto& [at, amount] : draft.entries)
      amounts[at] += amount;
    for (const auto& [at, amount] : amounts)
      program.add_entry(at, amount);
  }
  return program;
}

Plan Program::read(const IntegerSolution& solution) const {
  const auto at = [&](int column) {
    return column < 0 ? 0.0 : solution.x[static_cast<std::size_t>(column)];
  };
  const auto whole = [&](int column) { return static_cast<int>(std::llround(at(column))); };
  Plan plan;
  plan.outcome = Plan::Outcome::kFound;
  const double value = std::max(std::abs(solution.value), kLittle);
  plan.gap = std::max(0.0, (solution.value - solution.bound) / value);
  std::map<std::string, std::vector<double>> watts;  // by zone and shift
  const auto draws = [&](const std::string& zone, double of, std::optional<std::size_t> shift) {
    std::vector<double>& shifts = watts[zone];
    shifts.resize(shifts_.size(), 0);
    for (std::size_t s = 0; s < shifts_.size(); ++s)
      shifts[s] += !shift || s == *shift ? of * requirements_.pue(zone) : 0;
  };
  for (std::size_t i = 0; i < sites_.size(); ++i) {
    const int count = whole(nodes_[i]);
    if (count == 0)
      continue;
    const DeviceOffer& of = offer(sites_[i]);
    plan.nodes[{sites_[i].offer, sites_[i].zone}] = count;
    const Costs costs = yearly_costs(of, requirements_.money);
    plan.costs.maintenance += costs.maintenance * of.per_node * count;
    plan.costs.rent += costs.rent * of.per_node * count;
    draws(sites_[i].zone, of.host_w * of.per_node * count, std::nullopt);
    if (of.deal == DeviceOffer::Deal::kBuy)
      plan.costs.staff = requirements_.money.staff_per_year;
  }
  for (std::size_t i = 0; i < requirements_.devices.size(); ++i) {
    const DeviceOffer& of = requirements_.devices[i];
    // Which of its nodes stand where nobody says: those of the first zones are taken for there.
    int there = of.owned / of.per_node, new_nodes = 0;
    for (const auto& [place, count] : plan.nodes) {
      if (place.first != i)
        continue;
      const int of_them = std::min(there, count);
      there -= of_them;
      new_nodes += count - of_them;
      if (of_them > 0)
        plan.owned[place] = of_them;
    }
    if (of.deal == DeviceOffer::Deal::kBuy) {
      plan.costs.capital += yearly_costs(of, requirements_.money).capital * of.per_node * new_nodes;
      plan.capital +=
          of.price.middle() * of.per_node * new_nodes * (1 + requirements_.money.integration);
    }
  }
  // Energy: every joule at the meter, and what is paid for by whom.
  const auto add_energy = [&](double joules, const std::string& zone, const std::vector<int>& hours,
                              bool owned) {
    const double kwh = joules * requirements_.pue(zone) / kJoulesAKwh;
    const auto& carbon = requirements_.carbon_g_per_kwh(zone);
    plan.kwh += kwh;
    plan.carbon_kg += carbon ? kwh * mean_of(*carbon, hours) / 1000 : 0;
    plan.costs.energy += owned ? kwh * mean_of(requirements_.tariff_per_kwh(zone), hours) : 0;
  };
  for (const auto& [place, count] : plan.nodes) {
    const DeviceOffer& of = requirements_.devices[place.first];
    for (const Period& period : periods_) {
      add_energy(of.host_w * of.per_node * count * period.seconds_a_year(), place.second,
                 period.hours, of.deal == DeviceOffer::Deal::kBuy);
    }
  }
  plan.replicas.assign(types_.size(), 0);
  plan.lent.assign(types_.size(), std::vector<int>(periods_.size(), 0));
  for (std::size_t p = 0; p < types_.size(); ++p) {
    plan.replicas[p] = whole(replicas_[p]);
    if (plan.replicas[p] == 0)
      continue;
    draws(types_[p].pool.zone, types_[p].most_w * plan.replicas[p], std::nullopt);
    for (const Period& period : periods_)
      add_energy(types_[p].idle_w * plan.replicas[p] * period.seconds_a_year(), types_[p].pool.zone,
                 period.hours, bought(types_[p]));
  }
  plan.rate.assign(x_.size(), {});
  for (std::size_t g = 0; g < x_.size(); ++g) {
    const Demand& demand = requirements_.demands[g];
    const double prompt = data::mean_of(demand, false), output = data::mean_of(demand, true);
    for (std::size_t p = 0; p < types_.size(); ++p) {
      plan.rate[g].emplace_back(periods_.size(), 0.0);
      for (std::size_t t = 0; t < periods_.size(); ++t) {
        const double units = std::max(0.0, at(x_[g][p][t]));
        const double rate = types_[p].device && plan.replicas[p] == 0 ? 0 : units * unit_[g];
        plan.rate[g][p][t] = rate;
        const double requests = rate * periods_[t].seconds_a_year();
        if (types_[p].service) {
          const Metered& metered = *types_[p].pool.metered;
          plan.costs.metered +=
              requests *
              (prompt * metered.per_million_prompt + output * metered.per_million_output) / 1e6;
          if (units > kLittle)
            plan.replicas[p] = 1;
        } else {
          add_energy(requests * types_[p].uses[g].operation.joules_per_request, types_[p].pool.zone,
                     periods_[t].hours, bought(types_[p]));
        }
      }
    }
  }
  // What only a failure needs has to be there before it.
  for (const auto& [p, column] : spares_) {
    if (at(column) > kLittle)
      plan.replicas[p] = 1;
  }
  const std::vector<std::vector<int>> trained = trained_on(at);
  for (std::size_t from = 0; from < sources_.size(); ++from) {
    const Source& source = sources_[from];
    const Place& place = sites_[source.place];
    for (std::size_t s = 0; s < shifts_.size(); ++s) {
      const int count = trained[from][s];
      if (count == 0)
        continue;
      if (source.type) {
        for (const std::size_t t : shifts_[s].periods)
          plan.lent[*source.type][t] = count;
      } else {
        int& most = plan.trainers[{place.offer, place.zone}];
        most = std::max(most, count);
        draws(place.zone, training_w(source.place) * count, s);
      }
    }
  }
  std::map<std::pair<std::size_t, std::size_t>, Plan::Training> training;  // by job and place
  for (const Work& work : work_) {
    const double device_hours = at(work.column);  // a day
    if (device_hours <= kLittle)
      continue;
    const Source& source = sources_[work.source];
    const Place& place = sites_[source.place];
    const data::TrainingJob& job = requirements_.jobs[work.job];
    const Span& span = spans_[work.span];
    const double a_year = device_hours * days_a_year(job, span);
    add_energy(added_w(source) * a_year * 3600, place.zone, shifts_[work.shift].of_day,
               offer(place).deal == DeviceOffer::Deal::kBuy);
    Plan::Training& of =
        training
            .try_emplace({work.job, source.place},
                         Plan::Training{.job = work.job, .device = place.offer, .zone = place.zone})
            .first->second;
    of.device_hours += a_year / job.runs_a_year();
    of.kwh += a_year / job.runs_a_year() * training_w(source.place) *
              requirements_.pue(place.zone) / 1000;
    for (const int hour : shifts_[work.shift].of_day)
      of.hours[static_cast<std::size_t>(hour)] = true;
    if (job.once())
      of.done_day = std::max(of.done_day, span.from_day + span.days);
  }
  for (auto& [key, of] : training)
    plan.training.push_back(std::move(of));
  for (const auto& [zone, shifts] : watts)
    plan.watts[zone] = *std::max_element(shifts.begin(), shifts.end());
  return plan;
}

}  // namespace

bool Plan::has_work(std::size_t type) const {
  return std::any_of(rate.begin(), rate.end(), [&](const auto& by_type) {
    return std::any_of(by_type[type].begin(), by_type[type].end(),
                       [](double each) { return each > kLittle; });
  });
}

std::vector<Period> periods_of(const Requirements& requirements) {
  std::vector<Period> periods;
  using Key = std::tuple<std::vector<double>, std::vector<double>, std::vector<bool>,
                         std::vector<std::string>>;
  std::map<Key, std::size_t> known;
  for (int hour = 0; hour < 24; ++hour) {
    const auto h = static_cast<std::size_t>(hour);
    Period period;
    for (const Demand& demand : requirements.demands)
      period.rate_per_s.push_back(demand.rate_per_s[h] * requirements.growth());
    std::vector<bool> jobs;
    for (const data::TrainingJob& job : requirements.jobs)
      jobs.push_back(job.runs_at(hour));
    // From which hours batch may come here, where that is not any.
    std::vector<std::string> origins;
    for (const Demand& demand : requirements.demands) {
      if (!demand.movable() || demand.hours_to_serve() == 24)
        continue;
      origins.emplace_back(24, '-');
      for (int from = 0; from < 24; ++from) {
        const auto f = static_cast<std::size_t>(from);
        if (demand.rate_per_s[f] > 0 && reaches(demand, from, hour))
          origins.back()[f] = '+';
      }
    }
    const auto [at, fresh] = known.emplace(
        Key{period.rate_per_s, energy_in(requirements, hour), jobs, origins}, periods.size());
    if (fresh)
      periods.push_back(std::move(period));
    periods[at->second].hours.push_back(hour);
  }
  return periods;
}

std::vector<Span> spans_of(const std::vector<data::TrainingJob>& jobs) {
  std::set<int> days = {0, data::kDaysAYear};
  for (const data::TrainingJob& job : jobs) {
    if (job.once())
      days.insert({job.start_day, job.start_day + job.deadline_days});
  }
  std::vector<Span> spans;
  for (auto from = days.begin(); std::next(from) != days.end(); ++from)
    spans.push_back({*from, *std::next(from) - *from});
  return spans;
}

int least_devices(const data::TrainingJob& job, double device_hours) {
  return std::max(job.gang, static_cast<int>(std::ceil(device_hours / job.hours_to_deadline())));
}

double volume_a_day(const std::vector<Period>& periods, std::size_t demand) {
  double day = 0;
  for (const Period& period : periods)
    day += period.rate_per_s[demand] * static_cast<double>(period.hours.size());
  return day;
}

std::vector<std::vector<std::size_t>> rack_groups(const Requirements& requirements,
                                                  const std::string& zone) {
  const auto fit = [&](std::size_t i) { return requirements.devices[i].nodes_in_rack(); };
  std::vector<std::size_t> offers;
  for (std::size_t i = 0; i < requirements.devices.size(); ++i) {
    const DeviceOffer& of = requirements.devices[i];
    if (of.per_rack && std::find(of.zones.begin(), of.zones.end(), zone) != of.zones.end())
      offers.push_back(i);
  }
  std::stable_sort(offers.begin(), offers.end(),
                   [&](std::size_t a, std::size_t b) { return fit(a) < fit(b); });
  std::vector<std::vector<std::size_t>> groups;
  for (const std::size_t i : offers) {
    const auto shares = std::find_if(groups.begin(), groups.end(), [&](const auto& group) {
      return fit(i) % fit(group.back()) == 0;
    });
    if (shares == groups.end())
      groups.push_back({i});
    else
      shares->push_back(i);
  }
  return groups;
}

int racks_of(const Requirements& requirements, const Plan& plan, const std::string& zone) {
  int racks = 0;
  for (const std::vector<std::size_t>& group : rack_groups(requirements, zone)) {
    double share = 0;
    for (const std::size_t i : group) {
      const auto nodes = plan.nodes.find({i, zone});
      share += nodes == plan.nodes.end()
                   ? 0
                   : static_cast<double>(nodes->second) / requirements.devices[i].nodes_in_rack();
    }
    racks += static_cast<int>(std::ceil(share - kLittle));
  }
  return racks;
}

bool carbon_is_known(const Requirements& requirements, const Plan& plan) {
  return std::all_of(plan.nodes.begin(), plan.nodes.end(), [&](const auto& of) {
    return requirements.carbon_g_per_kwh(of.first.second).has_value();
  });
}

bool is_protected(const Requirements& requirements, std::size_t demand) {
  const Demand& of = requirements.demands[demand];
  return requirements.redundant[index_of(of.service_class)];
}

std::vector<std::size_t> peaks_of(const std::vector<Period>& periods,
                                  const std::vector<bool>& counts) {
  const auto covers = [&](const Period& a, const Period& b) {
    for (std::size_t g = 0; g < counts.size(); ++g) {
      if (counts[g] && a.rate_per_s[g] < b.rate_per_s[g])
        return false;
    }
    return true;
  };
  std::vector<std::size_t> peaks;
  for (std::size_t t = 0; t < periods.size(); ++t) {
    bool covered = false;
    for (std::size_t other = 0; other < periods.size(); ++other) {
      if (other == t || !covers(periods[other], periods[t]))
        continue;
      covered = covered || !covers(periods[t], periods[other]) || other < t;
    }
    if (!covered)
      peaks.push_back(t);
  }
  return peaks;
}

namespace {

Result<Plan> cheapest_of_rule(const Requirements& requirements, const std::vector<PoolType>& types,
                              solve::IntegerSolver& solver, const PlanOptions& options) {
  Program program(requirements, types, options);
  const IntegerProgram stated = program.state();
  MEDLEY_TRY(const IntegerSolution solution,
             solver.solve(stated, {.time_limit_s = options.time_limit_s, .gap = options.gap}));
  using Status = IntegerSolution::Status;
  Plan plan;
  if (solution.status == Status::kInfeasible)
    plan.outcome = Plan::Outcome::kInfeasible;
  else if (solution.status != Status::kUnknown)
    plan = program.read(solution);
  plan.within_rule = program.within_rule();
  return plan;
}

}  // namespace

Result<Plan> cheapest(const Requirements& requirements, const std::vector<PoolType>& types,
                      solve::IntegerSolver& solver, const PlanOptions& options) {
  using Outcome = Plan::Outcome;
  MEDLEY_TRY(Plan plan, cheapest_of_rule(requirements, types, solver, options));
  if (requirements.redundancy != Redundancy::kNode)
    return plan;
  Requirements other = requirements;
  if (requirements.zones.size() > 1) {
    // What survives the loss of any zone survives that of any node, whatever stands on it.
    other.redundancy = Redundancy::kZone;
    MEDLEY_TRY(Plan spread, cheapest_of_rule(other, types, solver, options));
    const double bound = std::min(plan.outcome == Outcome::kFound ? plan.bound() : kUnlimited,
                                  spread.outcome == Outcome::kFound ? spread.bound() : kUnlimited);
    const bool known = plan.outcome != Outcome::kUnknown && spread.outcome != Outcome::kUnknown;
    if (spread.outcome == Outcome::kFound &&
        (plan.outcome != Outcome::kFound || spread.total() < plan.total())) {
      plan = std::move(spread);
      plan.survives_zones = plan.within_rule = true;
    }
    if (plan.outcome == Outcome::kFound)
      plan.gap = plan.total() > 0 ? std::max(0.0, 1 - bound / plan.total()) : 0;
    else if (!known)
      plan.outcome = Outcome::kUnknown;
  }
  if (plan.outcome == Outcome::kInfeasible && plan.within_rule) {
    // A lost node takes a replica at the least, wherever it stands.
    other.redundancy = Redundancy::kReplica;
    PlanOptions any = options;
    any.gap = 1;
    MEDLEY_TRY(const Plan less, cheapest_of_rule(other, types, solver, any));
    plan.within_rule = less.outcome != Outcome::kInfeasible;
  }
  return plan;
}

}  // namespace medley::plan
