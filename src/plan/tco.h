// What things cost a year, bought or rented (hardware.md 7.1).
#pragma once

#include "data/requirements_file.h"

namespace medley::plan {

inline constexpr double kHoursAYear = 8760;

// The yearly payment that pays back 1 with interest in so many years: r(1+r)^y / ((1+r)^y − 1).
// Preconditions: interest >= 0, years > 0.
double capital_recovery(double interest, double years);

// Of a year, in the site's currency.
struct Costs {
  double capital = 0, maintenance = 0, staff = 0;  // of what is owned
  double rent = 0, metered = 0;
  double energy = 0;
  double owned() const { return capital + maintenance + staff; }
  double rented() const { return rent + metered; }
  double total() const { return capital + maintenance + staff + rent + metered + energy; }
};

// A year of one device of an offer, energy not counted: capital and maintenance, or rent.
Costs yearly_costs(const data::DeviceOffer& offer, const data::MoneySpec& money);

// From which share of the hours on owning a device is cheaper than renting it for those hours
// alone: what owning costs whether it works or not, by what an hour of work saves. Empty: at no
// share up to
// 1. `staff` is what the device bears of it, a year. Owned energy is paid by the hour too, the idle
// draw always.
std::optional<double> break_even_duty(const data::DeviceOffer& owned,
                                      const data::DeviceOffer& rented, const data::MoneySpec& money,
                                      double staff, double idle_w, double busy_w,
                                      double per_kwh_with_pue);

}  // namespace medley::plan
