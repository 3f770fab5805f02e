#include "plan/tco.h"

#include <cmath>

namespace medley::plan {

double capital_recovery(double interest, double years) {
  if (interest <= 0)
    return 1 / years;
  // 1 − (1+r)^−y, also where 1+r is 1 to a double.
  return interest / -std::expm1(-years * std::log1p(interest));
}

Costs yearly_costs(const data::DeviceOffer& offer, const data::MoneySpec& money) {
  Costs costs;
  const double price = offer.price.middle();
  if (offer.deal == data::DeviceOffer::Deal::kRent) {
    costs.rent = price * kHoursAYear;
  } else {
    costs.capital = price * (1 + money.integration) *
                    capital_recovery(money.interest, money.years_paid_back(offer.lead_weeks));
    costs.maintenance = price * money.maintenance;
  }
  return costs;
}

std::optional<double> break_even_duty(const data::DeviceOffer& owned,
                                      const data::DeviceOffer& rented, const data::MoneySpec& money,
                                      double staff, double idle_w, double busy_w,
                                      double per_kwh_with_pue) {
  const double always = (yearly_costs(owned, money).total() + staff) / kHoursAYear +
                        (idle_w + owned.host_w) / 1000 * per_kwh_with_pue;
  const double saved = rented.price.middle() - (busy_w - idle_w) / 1000 * per_kwh_with_pue;
  if (saved <= 0 || always > saved)
    return std::nullopt;
  return always / saved;
}

}  // namespace medley::plan
