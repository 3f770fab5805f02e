#include "simulate/power_meter.h"

#include <algorithm>

namespace medley::simulate {

PowerMeter::PowerMeter(const Fleet& fleet, const perf::PerfModel& perf)
    : fleet_(fleet), joules_(fleet.pools.size()) {
  for (const PoolId pool : fleet.pools_of_replicas()) {
    const auto& steps = perf.pool(pool).steps;
    replicas_.push_back({pool, steps ? steps->idle_power().value() : 0});
  }
}

void PowerMeter::add(PoolId pool, double from_s, double until_s, double watts) {
  if (watts == 0 || !(until_s > from_s))
    return;
  while (until_s > width_s_ * static_cast<double>(kMostSlices)) {
    for (std::vector<double>& slices : joules_) {
      for (std::size_t i = 0; i < slices.size(); ++i)
        slices[i / 2] = i % 2 == 0 ? slices[i] : slices[i / 2] + slices[i];
      slices.resize((slices.size() + 1) / 2);
    }
    width_s_ *= 2;
  }
  std::vector<double>& slices = joules_[pool.number()];
  const auto first = static_cast<std::size_t>(from_s / width_s_);
  const auto last = std::min(kMostSlices - 1, static_cast<std::size_t>(until_s / width_s_));
  if (slices.size() <= last)
    slices.resize(last + 1, 0);
  for (std::size_t slice = first; slice <= last; ++slice) {
    const double begins_s = std::max(from_s, static_cast<double>(slice) * width_s_);
    const double ends_s = std::min(until_s, static_cast<double>(slice + 1) * width_s_);
    slices[slice] += watts * std::max(0.0, ends_s - begins_s);
  }
}

void PowerMeter::worked(std::size_t replica, double now_s, const replica::Usage& usage) {
  Replica& told = replicas_[replica];
  const double busy_s = usage.busy_s - told.busy_s;
  if (busy_s > 0) {
    const double from_s = std::max(0.0, now_s - busy_s);
    const double joules = usage.joules - told.joules;
    add(told.pool, from_s, now_s, joules / std::max(now_s - from_s, 1e-12) - told.idle_watts);
  }
  told.busy_s = usage.busy_s;
  told.joules = usage.joules;
}

void PowerMeter::lost(std::size_t replica, double from_s, double until_s) {
  add(replicas_[replica].pool, from_s, until_s, -replicas_[replica].idle_watts);
}

void PowerMeter::end(double end_s) {
  end_s_ = end_s;
  for (const Replica& replica : replicas_)
    add(replica.pool, 0, end_s, replica.idle_watts);
}

Instant PowerMeter::middle(std::size_t slice) const {
  return round_to_instant(Seconds((static_cast<double>(slice) + 0.5) * width_s_));
}

Money PowerMeter::money(PoolId pool) const {
  Money money;
  const std::vector<double>& slices = joules_[pool.number()];
  for (std::size_t slice = 0; slice < slices.size(); ++slice)
    money = money + Joules(slices[slice]) * fleet_.energy_price(middle(slice));
  return money;
}

PowerFigures PowerMeter::figures() const {
  PowerFigures figures;
  std::size_t count = 0;
  for (const std::vector<double>& slices : joules_)
    count = std::max(count, slices.size());
  for (std::size_t slice = 0; slice < count; ++slice) {
    double joules = 0;
    for (const std::vector<double>& slices : joules_)
      joules += slice < slices.size() ? slices[slice] : 0;
    const double lasts_s = std::min(width_s_, end_s_ - static_cast<double>(slice) * width_s_);
    if (!(lasts_s > 0))
      continue;
    const double watts = joules / lasts_s;
    figures.peak_kw = std::max(figures.peak_kw, watts * fleet_.site.pue / 1000);
    if (const std::optional<Watts> limit = fleet_.power_limit(middle(slice))) {
      const double share = watts / limit->value();
      figures.peak_of_limit = std::max(figures.peak_of_limit.value_or(0), share);
      figures.over_limit_s += share > 1 ? lasts_s : 0;
    }
  }
  return figures;
}

}  // namespace medley::simulate
