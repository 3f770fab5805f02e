// Hours of the day and days of the year that are alike to the program (decisions 0075, 0076).
//
// Owns: which hours are one period, which periods are one shift of training, which days are one
// span. Rates are requests a second, hours are 0 to 23 of the day, days are counted from now.
// Pure; nothing here fails.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "data/requirements_file.h"

namespace medley::plan {

// Hours of the day that are alike to the program, the tariff and grid of every zone included.
struct Period {
  std::vector<int> hours;
  std::vector<double> rate_per_s;  // by demand, growth included; batch: as it arrives
  double seconds_a_year() const { return static_cast<double>(hours.size()) * 3600 * 365; }
};
std::vector<Period> periods_of(const data::Requirements& requirements);
// Requests of a demand, in those of an hour at one a second.
double volume_a_day(const std::vector<Period>& periods, std::size_t demand);
// Those in which no other period asks at least as much of every demand that `counts`.
std::vector<std::size_t> peaks_of(const std::vector<Period>& periods,
                                  const std::vector<bool>& counts);
// Whether work of `demand` that comes in one hour of the day may be served in another.
bool reaches(const data::Demand& demand, int from, int to);
double mean_of(const std::array<double, 24>& by_hour, const std::vector<int>& hours);

// Hours that training takes as one, the same on every day: those in which the same jobs may run
// and that ask for the same of what cannot wait, at the same tariffs.
struct Shift {
  std::vector<std::size_t> periods;
  std::vector<int> of_day;  // their hours
  bool trains = false;
  double hours() const { return static_cast<double>(of_day.size()); }
};
std::vector<Shift> shifts_of(const data::Requirements& requirements,
                             const std::vector<Period>& periods);

// Days from now on in which the same jobs are to be done: all alike. Of a year, in order.
struct Span {
  int from_day = 0, days = data::kDaysAYear;
};
std::vector<Span> spans_of(const std::vector<data::TrainingJob>& jobs);
// The least devices on which a job alone is done in time, when it may use all of its hours.
int least_devices(const data::TrainingJob& job, double device_hours);

}  // namespace medley::plan
