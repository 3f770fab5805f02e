#include "sched/quota.h"

#include <algorithm>

#include "base/plant.h"

namespace medley::sched {

void Quotas::forget_old(Instant now, Spent& spent) {
  while (!spent.minute.empty() && spent.minute.front().first + std::chrono::minutes(1) <= now) {
    spent.tokens -= spent.minute.front().second;
    spent.minute.pop_front();
  }
  while (!spent.day.empty() && spent.day.front() + std::chrono::hours(24) <= now)
    spent.day.pop_front();
}

bool Quotas::has_room(Instant now, PoolId pool, long long tokens) {
  const std::optional<Metered>& metered = fleet_.pool(pool).metered;
  if (!metered)
    return true;
  Spent& spent = spent_[pool.number()];
  forget_old(now, spent);
  if (metered->tokens_per_minute && spent.tokens + tokens > *metered->tokens_per_minute)
    return false;
  return !metered->requests_per_day ||
         static_cast<long long>(spent.day.size()) < *metered->requests_per_day;
}

bool Quotas::can_ever(PoolId pool, long long tokens) const {
  const std::optional<Metered>& metered = fleet_.pool(pool).metered;
  return !metered || !metered->tokens_per_minute || tokens <= *metered->tokens_per_minute;
}

Instant Quotas::room_at(Instant now, PoolId pool, long long tokens) {
  const std::optional<Metered>& metered = fleet_.pool(pool).metered;
  if (!metered)
    return now;
  Spent& spent = spent_[pool.number()];
  forget_old(now, spent);
  Instant at = now;
  if (metered->tokens_per_minute) {
    long long left = spent.tokens;
    for (auto entry = spent.minute.begin();
         entry != spent.minute.end() && left + tokens > *metered->tokens_per_minute; ++entry) {
      left -= entry->second;
      at = entry->first + std::chrono::minutes(1);
    }
  }
  if (metered->requests_per_day) {
    const auto over =
        static_cast<long long>(spent.day.size()) - *metered->requests_per_day;  // 0: spent
    if (over >= 0)
      at = std::max(at, spent.day.at(static_cast<std::size_t>(over)) + std::chrono::hours(24));
  }
  return at;
}

double Quotas::spent_share(Instant now, PoolId pool) const {
  const std::optional<Metered>& metered = fleet_.pool(pool).metered;
  if (!metered || !metered->tokens_per_minute)
    return 0;
  const Spent& spent = spent_[pool.number()];
  long long tokens = spent.tokens;
  for (const auto& [at, of_it] : spent.minute) {
    if (at + std::chrono::minutes(1) > now)
      break;
    tokens -= of_it;
  }
  return static_cast<double>(tokens) / static_cast<double>(*metered->tokens_per_minute);
}

void Quotas::spend(Instant now, PoolId pool, long long tokens) {
  const std::optional<Metered>& metered = fleet_.pool(pool).metered;
  if (!metered)
    return;
  Spent& spent = spent_[pool.number()];
  if (metered->tokens_per_minute) {
    spent.minute.emplace_back(now, tokens);
    spent.tokens += tokens;
  }
  if (metered->requests_per_day)
    spent.day.push_back(now);
}

void Quotas::correct(Instant spent_at, PoolId pool, long long tokens, long long actual) {
  Spent& spent = spent_[pool.number()];
  // In order of time; what left the window since needs no correction.
  auto entry = std::lower_bound(spent.minute.begin(), spent.minute.end(), spent_at,
                                [](const auto& e, Instant at) { return e.first < at; });
  while (entry != spent.minute.end() && entry->first == spent_at && entry->second != tokens)
    ++entry;
  if (entry == spent.minute.end() || entry->first != spent_at)
    return;
  entry->second = actual;
  spent.tokens += actual - tokens;
}

void Quotas::refund(Instant spent_at, PoolId pool, long long tokens) {
  correct(spent_at, pool, tokens, 0);
  Spent& spent = spent_[pool.number()];
  const auto entry = std::lower_bound(spent.day.begin(), spent.day.end(), spent_at);
  if (entry != spent.day.end() && *entry == spent_at)
    spent.day.erase(entry);
  if (planted(Bug::kQuotaRefundedTwice) && !spent.day.empty())
    spent.day.pop_back();
}

}  // namespace medley::sched
