#include "plan/program_terms.h"

#include <algorithm>
#include <cmath>

namespace medley::plan {

using data::DeviceOffer, data::Redundancy, data::Requirements;

namespace {

constexpr double kSmall = 0.01;  // of a replica

std::vector<int> most_replicas(const Terms& terms) {
  std::vector<int> most(terms.types.size(), 0);
  for (std::size_t p = 0; p < terms.types.size(); ++p) {
    if (!terms.types[p].device)
      continue;
    double need = 0;
    for (std::size_t g = 0; g < terms.requirements.demands.size(); ++g) {
      if (!terms.types[p].uses[g].ok())
        continue;
      double peak = 0;
      for (const Period& period : terms.periods)
        peak = std::max(peak, period.rate_per_s[g]);
      // Batch may be moved into one hour.
      const double most_rate =
          terms.requirements.demands[g].movable() ? volume_a_day(terms.periods, g) : peak;
      need += most_rate * terms.load(g, p);
    }
    const DeviceOffer& of = terms.requirements.devices[*terms.types[p].device];
    double spare = 0;
    if (terms.requirements.redundancy != Redundancy::kNone)
      spare += terms.requirements.redundancy == Redundancy::kZone
                   ? need
                   : 1.0 + of.replicas_lost(terms.types[p].devices);
    for (const data::TrainingJob& job : terms.requirements.jobs) {
      const auto hours = job.device_hours.find(of.accelerator.id);
      if (hours != job.device_hours.end())
        spare += std::ceil(1.0 * least_devices(job, hours->second) / terms.types[p].devices);
    }
    most[p] = static_cast<int>(std::min(need > 0 ? std::ceil(need) + std::ceil(spare) : 0, 1e6));
  }
  return most;
}

}  // namespace

double metered_price(const Metered& metered, const data::Demand& demand) {
  return (data::mean_of(demand, false) * metered.per_million_prompt +
          data::mean_of(demand, true) * metered.per_million_output) /
         1e6;
}

Terms::Terms(const Requirements& of, const std::vector<PoolType>& of_types, const PlanOptions& with)
    : requirements(of),
      types(of_types),
      options(with),
      periods(periods_of(of)),
      spans(spans_of(of.jobs)),
      shifts(shifts_of(of, periods)),
      safety(with.safety) {
  // The mean rate: numbers that are much less than 1 get lost in a solver's tolerance.
  for (std::size_t g = 0; g < requirements.demands.size(); ++g)
    unit.push_back(volume_a_day(periods, g) / 24);
  if (safety.empty())
    safety.assign(requirements.demands.size(), 1);
  for (std::size_t i = 0; i < requirements.devices.size(); ++i) {
    for (const std::string& zone : requirements.devices[i].zones)
      places.push_back({i, zone});
  }
  most = most_replicas(*this);
}

bool Terms::stands_at(std::size_t type, std::size_t place) const {
  return types[type].device == places[place].offer && types[type].pool.zone == places[place].zone;
}

bool Terms::left_out(std::size_t type) const {
  return types[type].service && !options.replicas.empty() && options.replicas[type] == 0;
}

bool Terms::bought(const PoolType& type) const {
  return type.device && requirements.devices[*type.device].deal == DeviceOffer::Deal::kBuy;
}

double Terms::per_joule(bool owned, const std::string& zone, const std::vector<int>& hours) const {
  return owned ? mean_of(requirements.tariff_per_kwh(zone), hours) * requirements.pue(zone) /
                     kJoulesAKwh
               : 0;
}

double Terms::per_watt(const std::string& zone) const {
  double money = 0;
  for (const Period& period : periods)
    money += per_joule(true, zone, period.hours) * period.seconds_a_year();
  return money;
}

double Terms::load(std::size_t demand, std::size_t type) const {
  const double requests_per_s = types[type].uses[demand].operation.requests_per_s;
  return safety[demand] / ((options.given_fleet ? 1 : requirements.utilisation) * requests_per_s);
}

bool Terms::is_small(std::size_t demand, std::size_t type) const {
  return types[type].device && load(demand, type) * unit[demand] < kSmall;
}

double Terms::of_quota(std::size_t demand, std::size_t period) const {
  return std::max(1.0, safety[demand]) * unit[demand] *
         static_cast<double>(periods[period].hours.size()) * 3600;
}

}  // namespace medley::plan
