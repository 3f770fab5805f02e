#include "plan/program_hours.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <tuple>

namespace medley::plan {

using data::Demand, data::Requirements;

namespace {

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

// Of more kinds of hours those are one that are the next in how much is asked for: each shift has
// whole columns of its own.
constexpr std::size_t kMostShifts = 4;

}  // namespace

bool reaches(const Demand& demand, int from, int to) {
  return (to - from + 24) % 24 < demand.hours_to_serve();
}

double mean_of(const std::array<double, 24>& by_hour, const std::vector<int>& hours) {
  double sum = 0;
  for (const int hour : hours)
    sum += by_hour[static_cast<std::size_t>(hour)];
  return sum / static_cast<double>(hours.size());
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

double volume_a_day(const std::vector<Period>& periods, std::size_t demand) {
  double day = 0;
  for (const Period& period : periods)
    day += period.rate_per_s[demand] * static_cast<double>(period.hours.size());
  return day;
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

int least_devices(const data::TrainingJob& job, double device_hours) {
  return std::max(job.gang, static_cast<int>(std::ceil(device_hours / job.hours_to_deadline())));
}

}  // namespace medley::plan
