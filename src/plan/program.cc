#include "plan/program.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>

#include "base/check.h"

namespace medley::plan {
namespace {

using data::Demand, data::DeviceOffer, data::Redundancy, data::Requirements;

constexpr double kJoulesAKwh = 3.6e6;
constexpr double kLittle = 1e-6;
// Of a replica: less than that could come too near to a solver's tolerance.
constexpr double kSmall = 0.01;

bool active(const data::TrainingJob& job, int hour) {
  return (hour - job.from_hour + 24) % 24 < job.hours;
}

// Whether work of `demand` that comes in one hour of the day may be served in another.
bool reaches(const Demand& demand, int from, int to) {
  return (to - from + 24) % 24 < demand.hours_to_serve();
}

// States the program and reads its solution back.
class Program {
 public:
  Program(const Requirements& requirements, const std::vector<PoolType>& types,
          const PlanOptions& options)
      : requirements_(requirements),
        types_(types),
        options_(options),
        periods_(periods_of(requirements)) {
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
    for (std::size_t t = 0; t < periods_.size(); ++t) {
      if (std::none_of(shifts_.begin(), shifts_.end(),
                       [&](std::size_t shift) { return same_jobs(shift, t); }))
        shifts_.push_back(t);
    }
  }

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
  double per_joule(bool owned, const Period& period) const {
    return owned ? period.per_kwh * requirements_.frame.site.pue / kJoulesAKwh : 0;
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
  bool runs(const data::TrainingJob& job, std::size_t period) const {
    return active(job, periods_[period].hours.front());
  }
  bool same_jobs(std::size_t a, std::size_t b) const {
    return std::all_of(requirements_.jobs.begin(), requirements_.jobs.end(),
                       [&](const data::TrainingJob& job) { return runs(job, a) == runs(job, b); });
  }
  // Watts at the devices that one of a column takes, always or in the hours of a job.
  void draw(int column, const std::string& zone, double watts,
            const data::TrainingJob* job = nullptr) {
    const auto rows = power_.find(zone);
    for (std::size_t s = 0; rows != power_.end() && s < shifts_.size(); ++s) {
      if (job == nullptr || runs(*job, shifts_[s]))
        entry(column, rows->second[s], watts * requirements_.frame.site.pue / 1000);
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
  std::vector<std::vector<std::size_t>> sharing(std::size_t place) const;
  void meet(std::size_t g);
  bool is_small(std::size_t g, std::size_t p) const {
    return types_[p].device && load(g, p) * unit_[g] < kSmall;
  }
  void need_a_replica(std::size_t g, std::size_t p);
  void add_training();
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
  std::vector<std::size_t> shifts_;  // of the periods in which the same jobs run, the first
  std::vector<int> most_;

  std::vector<double> least_, most_of_row_;
  std::vector<Draft> drafts_;
  std::vector<std::vector<int>> single_;           // rows: by place and period: devices that train
  std::vector<std::vector<int>> capacity_;         // rows: by type and period
  std::map<std::string, int> racks_;               // rows: by zone
  std::map<std::string, std::vector<int>> power_;  // rows: by zone and shift
  std::vector<int> stock_;                         // rows: by offer; -1: none
  std::vector<int> tokens_, requests_;             // rows: by type; -1: none
  std::vector<int> job_;                           // rows: by job
  int budget_ = -1, staff_row_ = -1;
  std::vector<int> replicas_, nodes_, bought_;    // columns: by type, place, offer (-1: none)
  std::vector<std::vector<std::vector<int>>> x_;  // columns; -1: none
  std::vector<std::vector<int>> lent_;            // columns: by type and job; -1: none
  struct TrainingColumns {
    std::size_t job, place;
    int devices, hours;
    std::vector<std::pair<std::size_t, int>> lent_hours;  // device-hours on replicas, by type
  };
  std::vector<TrainingColumns> training_;
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
        spare += std::ceil(hours->second / job.hours / types_[p].devices);
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
  double energy_hours = 0;  // money for a watt of the site's devices through the year
  for (const Period& period : periods_)
    energy_hours += per_joule(true, period) * period.seconds_a_year();
  std::vector<int> owned_nodes;
  for (std::size_t i = 0; i < sites_.size(); ++i) {
    const DeviceOffer& of = offer(sites_[i]);
    const bool owned = of.deal == DeviceOffer::Deal::kBuy;
    const Costs costs = yearly_costs(of, requirements_.money);
    const int made =
        column({.cost = (costs.maintenance + costs.rent + (owned ? of.host_w * energy_hours : 0)) *
                        of.per_node,
                .whole = true});
    nodes_.push_back(made);
    if (owned)
      entry(made, to_buy[sites_[i].offer], 1);
    else if (stock_[sites_[i].offer] >= 0)
      entry(made, stock_[sites_[i].offer], of.per_node);
    if (const auto racks = racks_.find(sites_[i].zone); racks != racks_.end() && of.per_rack)
      entry(made, racks->second, static_cast<double>(of.per_node) / *of.per_rack);
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
    IntegerProgram::Column of{.cost = bought(type) ? type.idle_w * energy_hours : 0,
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
        double cost = type.uses[g].operation.joules_per_request * per_joule(bought(type), period);
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
          most += std::ceil(hours->second / job.hours);
      }
      const int made = row(-kUnlimited, 0);
      entry(nodes_[i], made, 1);
      entry(any, made, -most);
    }
  }
}

// Types that fit a node of a place, by who shares nodes: widths that divide one another, so that
// counts by width say exactly what fits. A width that does not stands on nodes of its own. Where a
// node may be lost each holds one pool.
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

// Whole replicas on whole nodes.
void Program::stand_on_nodes() {
  single_.assign(sites_.size(), std::vector<int>(periods_.size(), -1));
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
    std::vector<std::vector<std::size_t>> groups = sharing(i);
    // Devices that train fit beside everything that shares.
    if (trains && (groups.empty() || requirements_.redundancy == Redundancy::kNode))
      groups.emplace(groups.begin());
    for (std::size_t group = 0; group < groups.size(); ++group) {
      const int own = column({.whole = true});
      entry(own, nodes, 1);
      std::vector<int> widths;
      for (const std::size_t p : groups[group]) {
        if (widths.empty() || widths.back() != types_[p].devices)
          widths.push_back(types_[p].devices);
      }
      const bool with_training = trains && group == 0;
      if (with_training && (widths.empty() || widths.back() != 1))
        widths.push_back(1);
      for (const int width : widths) {
        // Training takes its devices in its hours only.
        const std::size_t rows = with_training && width == 1 ? periods_.size() : 1;
        for (std::size_t t = 0; t < rows; ++t) {
          const int held = row(-kUnlimited, 0);
          if (with_training && width == 1)
            single_[i][t] = held;
          entry(own, held, -of.replicas_on_node(width));
          for (const std::size_t p : groups[group]) {
            if (types_[p].devices >= width)
              entry(replicas_[p], held, types_[p].devices / width);
          }
        }
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

// Jobs take whole devices that do nothing else, or whole replicas lent for their hours.
void Program::add_training() {
  lent_.assign(types_.size(), std::vector<int>(requirements_.jobs.size(), -1));
  for (std::size_t j = 0; j < requirements_.jobs.size(); ++j) {
    const data::TrainingJob& job = requirements_.jobs[j];
    const Label& label = requirements_.frame.labels[job.label.number()];
    const int done = row(1, kUnlimited);
    for (std::size_t i = 0; i < sites_.size(); ++i) {
      const DeviceOffer& of = offer(sites_[i]);
      const auto hours = job.device_hours.find(of.accelerator.id);
      if (hours == job.device_hours.end() || !label.allows(sites_[i].zone))
        continue;
      double per_joule_of_hours = 0;
      for (const Period& period : periods_) {
        for (const int hour : period.hours)
          per_joule_of_hours +=
              active(job, hour) ? per_joule(of.deal == DeviceOffer::Deal::kBuy, period) : 0;
      }
      const double watts = of.accelerator.tdp_w ? of.accelerator.tdp_w->high : 0;
      const int devices = column({.whole = true});
      const auto cost = [&](double of) { return per_joule_of_hours / job.hours * of * 3600 * 365; };
      const int used = column({.cost = cost(watts)});
      training_.push_back({j, i, devices, used, {}});
      entry(used, done, 1 / hours->second);
      const int within = row(-kUnlimited, 0);  // device-hours used <= those there are
      entry(used, within, 1);
      entry(devices, within, -job.hours);
      for (std::size_t t = 0; t < periods_.size(); ++t) {
        if (runs(job, t))
          entry(devices, single_[i][t], 1);
      }
      draw(devices, sites_[i].zone, watts, &job);
      for (std::size_t p = 0; p < types_.size(); ++p) {
        if (!types_[p].device || place_of(types_[p]) != static_cast<int>(i) || most_[p] == 0)
          continue;
        const int lent = column({.most = static_cast<double>(most_[p]), .whole = true});
        lent_[p][j] = lent;
        // What it would draw idle is counted with the replica.
        const int there =
            column({.cost = cost(std::max(0.0, watts - types_[p].idle_w / types_[p].devices))});
        training_.back().lent_hours.emplace_back(p, there);
        entry(there, done, 1 / hours->second);
        const int within_lent = row(-kUnlimited, 0);
        entry(there, within_lent, 1);
        entry(lent, within_lent, -types_[p].devices * job.hours);
        for (std::size_t t = 0; t < periods_.size(); ++t) {
          if (runs(job, t))
            entry(lent, capacity_[p][t], 1);
        }
      }
    }
  }
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
  const double pue = requirements_.frame.site.pue;
  std::map<std::string, std::vector<double>> watts;  // by zone and shift
  const auto draws = [&](const std::string& zone, double of, const data::TrainingJob* job) {
    std::vector<double>& shifts = watts[zone];
    shifts.resize(shifts_.size(), 0);
    for (std::size_t s = 0; s < shifts_.size(); ++s)
      shifts[s] += job == nullptr || runs(*job, shifts_[s]) ? of * pue : 0;
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
    draws(sites_[i].zone, of.host_w * of.per_node * count, nullptr);
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
  const auto add_energy = [&](double joules, const Period& period, bool owned) {
    const double kwh = joules * pue / kJoulesAKwh;
    plan.kwh += kwh;
    plan.carbon_kg += kwh * period.carbon_g_per_kwh / 1000;
    plan.costs.energy += owned ? kwh * period.per_kwh : 0;
  };
  for (const auto& [place, count] : plan.nodes) {
    const DeviceOffer& of = requirements_.devices[place.first];
    for (const Period& period : periods_) {
      add_energy(of.host_w * of.per_node * count * period.seconds_a_year(), period,
                 of.deal == DeviceOffer::Deal::kBuy);
    }
  }
  plan.replicas.assign(types_.size(), 0);
  plan.lent.assign(types_.size(), std::vector<int>(requirements_.jobs.size(), 0));
  for (std::size_t p = 0; p < types_.size(); ++p) {
    plan.replicas[p] = whole(replicas_[p]);
    if (plan.replicas[p] == 0)
      continue;
    draws(types_[p].pool.zone, types_[p].most_w * plan.replicas[p], nullptr);
    for (const Period& period : periods_)
      add_energy(types_[p].idle_w * plan.replicas[p] * period.seconds_a_year(), period,
                 bought(types_[p]));
    for (std::size_t j = 0; j < requirements_.jobs.size(); ++j)
      plan.lent[p][j] = whole(lent_[p][j]);
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
          add_energy(requests * types_[p].uses[g].operation.joules_per_request, periods_[t],
                     bought(types_[p]));
        }
      }
    }
  }
  // What only a failure needs has to be there before it.
  for (const auto& [p, column] : spares_) {
    if (at(column) > kLittle)
      plan.replicas[p] = 1;
  }
  for (const TrainingColumns& of : training_) {
    const Place& place = sites_[of.place];
    const std::optional<Range>& tdp = offer(place).accelerator.tdp_w;
    const double training_w = tdp ? tdp->high : 0;
    double hours = at(of.hours), watt_hours = hours * training_w;
    for (const auto& [p, column] : of.lent_hours) {
      hours += at(column);
      watt_hours += at(column) * std::max(0.0, training_w - types_[p].idle_w / types_[p].devices);
    }
    if (hours <= kLittle)
      continue;
    const data::TrainingJob& job = requirements_.jobs[of.job];
    plan.training.push_back({of.job, place.offer, place.zone, whole(of.devices), hours});
    for (const Period& period : periods_) {
      double share = 0;
      for (const int hour : period.hours)
        share += active(job, hour) ? 1.0 / job.hours : 0;
      add_energy(watt_hours * share * 3600 * 365, period,
                 offer(place).deal == DeviceOffer::Deal::kBuy);
    }
    draws(place.zone, training_w * whole(of.devices), &job);
  }
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
  const Site& site = requirements.frame.site;
  std::vector<Period> periods;
  using Key =
      std::tuple<std::vector<double>, double, double, std::vector<bool>, std::vector<std::string>>;
  std::map<Key, std::size_t> known;
  for (int hour = 0; hour < 24; ++hour) {
    const auto h = static_cast<std::size_t>(hour);
    Period period;
    for (const Demand& demand : requirements.demands)
      period.rate_per_s.push_back(demand.rate_per_s[h] * requirements.growth());
    period.per_kwh = site.tariff_per_kwh[h];
    period.carbon_g_per_kwh = site.carbon_g_per_kwh ? (*site.carbon_g_per_kwh)[h] : 0;
    std::vector<bool> jobs;
    for (const data::TrainingJob& job : requirements.jobs)
      jobs.push_back(active(job, hour));
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
        Key{period.rate_per_s, period.per_kwh, period.carbon_g_per_kwh, jobs, origins},
        periods.size());
    if (fresh)
      periods.push_back(std::move(period));
    periods[at->second].hours.push_back(hour);
  }
  return periods;
}

double volume_a_day(const std::vector<Period>& periods, std::size_t demand) {
  double day = 0;
  for (const Period& period : periods)
    day += period.rate_per_s[demand] * static_cast<double>(period.hours.size());
  return day;
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

Result<Plan> cheapest(const Requirements& requirements, const std::vector<PoolType>& types,
                      solve::IntegerSolver& solver, const PlanOptions& options) {
  Program program(requirements, types, options);
  const IntegerProgram stated = program.state();
  MEDLEY_TRY(const IntegerSolution solution,
             solver.solve(stated, {.time_limit_s = options.time_limit_s, .gap = options.gap}));
  using Status = IntegerSolution::Status;
  if (solution.status == Status::kInfeasible)
    return Plan{.outcome = Plan::Outcome::kInfeasible};
  if (solution.status == Status::kUnknown)
    return Plan{};
  return program.read(solution);
}

}  // namespace medley::plan
