#include "sched/market.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "sched/admission.h"

namespace medley::sched {
namespace {

constexpr Duration kFirstAfter = std::chrono::seconds(2);  // arrivals make no rate before
constexpr Duration kEvery = std::chrono::seconds(5);
constexpr Duration kTooOld = std::chrono::seconds(60);
constexpr double kLeastProbability = 0.5;  // as of a placement
// Of what a replica can do, at most: bursts leave gaps that nothing else fills. 1 loses 0.4 and 0.8
// points of value goodput at loads 1.5 and 2, 0.9 half of that (scenarios/mixed_fleet.yaml, seed
// 9).
constexpr double kUsable = 0.8;
constexpr int kDigits = 3;  // of a price

double rounded(double price) {
  if (!(price > 0))
    return 0;
  const double unit = std::pow(10.0, std::floor(std::log10(price)) - (kDigits - 1));
  return std::round(price / unit) * unit;
}

}  // namespace

Market::Market(const Fleet& fleet, const perf::PerfModel& perf, const Predictor& predictor,
               const Ledger& ledger, const Arrivals& arrivals)
    : fleet_(fleet), perf_(perf), predictor_(predictor), ledger_(ledger), arrivals_(arrivals) {}

std::optional<LinearProgram> Market::due(Instant now) {
  if (!asked_at_) {
    asked_at_ = now + kFirstAfter - kEvery;
    return std::nullopt;
  }
  if (now - *asked_at_ < kEvery)
    return std::nullopt;
  asked_at_ = now;
  return state(now);
}

double Market::added_joules(PoolId pool, const Usage& usage, double output_tokens,
                            const Forecast& alone) const {
  const perf::PoolModel& model = perf_.pool(pool);
  if (!model.steps)
    return 0;
  const double busy_s =
      model.kind == perf::ServingKind::kBatched
          ? usage.main
          : (alone.work_s + output_tokens * alone.tpot_s) / std::max(1, model.max_running);
  return std::max(0.0, usage.joules - busy_s * model.steps->idle_power().value());
}

Market::Usage Market::usage(PoolId pool, const Request& request, const Forecast& alone) const {
  Usage usage;
  const auto output = static_cast<double>(predictor_.output_tokens(request));
  usage.main = predictor_.usage_s(pool, request);
  // A request alone on a replica would pay for all of it; among others it pays its share.
  usage.joules = perf_.pool(pool).kind == perf::ServingKind::kBatched
                     ? usage.main * predictor_.operating_watts(pool)
                     : alone.joules / std::max(1, perf_.pool(pool).max_running);
  usage.added_joules = added_joules(pool, usage, output, alone);
  switch (perf_.pool(pool).kind) {
    case perf::ServingKind::kMetered:
      usage.main = static_cast<double>(request.prompt_tokens.count()) + output;
      usage.other = 1;
      break;
    case perf::ServingKind::kSlotted:
      usage.other = usage.main + output * alone.tpot_s;
      break;
    case perf::ServingKind::kBatched:
      break;
  }
  return usage;
}

LinearProgram Market::state(Instant now) {
  LinearProgram program;
  stated_.assign(fleet_.pools.size(), {});
  for (std::size_t i = 0; i < fleet_.pools.size(); ++i) {
    const PoolId pool(i);
    const int live = ledger_.live(pool);
    switch (perf_.pool(pool).kind) {
      case perf::ServingKind::kBatched:
        stated_[i].main = program.add_row(kUsable * live);
        break;
      case perf::ServingKind::kSlotted:
        stated_[i].main = program.add_row(kUsable * live);
        stated_[i].other = program.add_row(live * perf_.pool(pool).max_running);
        break;
      case perf::ServingKind::kMetered: {
        const Metered& metered = *fleet_.pool(pool).metered;
        if (metered.tokens_per_minute)
          stated_[i].main =
              program.add_row(live > 0 ? static_cast<double>(*metered.tokens_per_minute) / 60 : 0);
        if (metered.requests_per_day)
          stated_[i].other = program.add_row(
              live > 0 ? static_cast<double>(*metered.requests_per_day) / 86400 : 0);
        break;
      }
    }
  }
  stated_power_ = -1;
  if (const std::optional<Watts> limit = fleet_.power_limit(now)) {
    // What idle replicas draw is drawn whatever is decided.
    double idle_watts = 0;
    for (std::size_t i = 0; i < fleet_.pools.size(); ++i) {
      if (const auto& steps = perf_.pools[i].steps)
        idle_watts += ledger_.live(PoolId(i)) * steps->idle_power().value();
    }
    stated_power_ = program.add_row(std::max(0.0, limit->value() - idle_watts));
  }
  scale_ = 0;
  for (const ServiceClass service_class : kServiceClasses)
    scale_ = std::max(scale_, fleet_.policy(service_class).value.value());
  if (!(scale_ > 0))
    scale_ = 1;
  for (const Arrivals::Group& group : arrivals_.groups(now)) {
    const Request& typical = group.typical;
    const double value = fleet_.policy(typical.service_class).value.value();
    const int row = program.add_row(group.rate);
    for (std::size_t i = 0; i < fleet_.pools.size(); ++i) {
      const PoolId pool(i);
      if (ledger_.live(pool) == 0 ||
          forbidden_by_law(fleet_, perf_, typical, pool) != Forbidden::kNo)
        continue;
      const Forecast idle = predictor_.forecast_alone(now, typical, pool);
      const double probability = predictor_.probability(now, typical, pool, idle);
      if (probability < kLeastProbability)
        continue;
      const Usage taken = usage(pool, typical, idle);
      const double money = fleet_.pool(pool).metered
                               ? idle.money
                               : (Joules(taken.joules) * fleet_.energy_price(now)).value();
      const double gain = value * probability - money;
      if (!(gain > 0))
        continue;
      program.add_column(gain / scale_);
      program.add_entry(row, 1);
      if (stated_[i].main >= 0)
        program.add_entry(stated_[i].main, taken.main);
      if (stated_[i].other >= 0)
        program.add_entry(stated_[i].other, taken.other);
      if (stated_power_ >= 0)
        program.add_entry(stated_power_, taken.added_joules);
    }
  }
  return program;
}

void Market::solved(Instant now, const std::vector<double>& duals) {
  prices_.clear();
  if (duals.empty())
    return;
  solved_at_ = now;
  const auto price_of = [&](int row) {
    return row < 0 ? 0 : rounded(duals.at(static_cast<std::size_t>(row)) * scale_);
  };
  for (const Rows& rows : stated_)
    prices_.push_back({price_of(rows.main), price_of(rows.other)});
  power_price_ = price_of(stated_power_);
}

bool Market::has_prices(Instant now) const {
  return !prices_.empty() && now - *solved_at_ < kTooOld;
}

// What usage() asks of it, which is nothing but on slots.
Forecast Market::alone(Instant now, PoolId pool, const Request& request) const {
  if (perf_.pool(pool).kind != perf::ServingKind::kSlotted)
    return {};
  return predictor_.forecast_alone(now, request, pool);
}

double Market::price(Instant now, PoolId pool, const Request& request) const {
  if (!has_prices(now))
    return 0;
  const Prices& prices = prices_[pool.number()];
  if (prices.main == 0 && prices.other == 0)
    return 0;
  const Usage taken = usage(pool, request, alone(now, pool, request));
  return prices.main * taken.main + prices.other * taken.other;
}

std::optional<double> Market::unit_price(Instant now, PoolId pool) const {
  if (!has_prices(now))
    return std::nullopt;
  return prices_.at(pool.number()).main;
}

double Market::power_price(Instant now, PoolId pool, const Request& request) const {
  if (!has_prices(now) || power_price_ == 0)
    return 0;
  return power_price_ * usage(pool, request, alone(now, pool, request)).added_joules;
}

}  // namespace medley::sched
