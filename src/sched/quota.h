// What may still be sent to metered services: tokens in the running minute, requests in the running
// day.
#pragma once

#include <deque>
#include <vector>

#include "domain/fleet.h"
#include "domain/request.h"

namespace medley::sched {

class Quotas {
 public:
  explicit Quotas(const Fleet& fleet) : fleet_(fleet), spent_(fleet.pools.size()) {}
  // Whether `tokens` more, in one request, stay within the pool's quota at `now`. True for owned
  // pools.
  bool has_room(Instant now, PoolId pool, long long tokens);
  // False: even an untouched minute has no room for it.
  bool can_ever(PoolId pool, long long tokens) const;
  // When `tokens` more, in one request, will be within the quota, if nothing else is sent there
  // meanwhile. Precondition: can_ever().
  Instant room_at(Instant now, PoolId pool, long long tokens);
  // Of a rented service's minute, how much is spent: 0 to 1; 0 where it has no such quota.
  double spent_share(Instant now, PoolId pool) const;
  void spend(Instant now, PoolId pool, long long tokens);
  // What was spent at `spent_at` turned out to be `actual` instead of `tokens`.
  void correct(Instant spent_at, PoolId pool, long long tokens, long long actual);
  // What was spent at `spent_at` served nothing: its request of the day comes back, too.
  void refund(Instant spent_at, PoolId pool, long long tokens);

 private:
  struct Spent {
    std::deque<std::pair<Instant, long long>> minute;
    long long tokens = 0;
    std::deque<Instant> day;
  };
  void forget_old(Instant now, Spent& spent);

  const Fleet& fleet_;
  std::vector<Spent> spent_;  // by pool
};

}  // namespace medley::sched
