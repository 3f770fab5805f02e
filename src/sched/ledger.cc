#include "sched/ledger.h"

#include <algorithm>

#include "base/check.h"
#include "base/plant.h"

namespace medley::sched {
namespace {

long long expected_context(const Resident& resident) {
  const long long prompt = resident.request.prompt_tokens.count();
  return prompt + (resident.reserved_tokens - prompt) / 2;
}

}  // namespace

void ReplicaAccount::hold(const Resident& resident) {
  ++prefilling;
  pending_prompt_tokens += resident.request.prompt_tokens.count();
  pending_cached_tokens += resident.cached_tokens;
  ++by_class[index_of(resident.request.service_class)];
  if (resident.own_tpot)
    own_tpots.push_back({resident.request.service_class, resident.request.targets.tpot});
  reserved_tokens += resident.reserved_tokens;
  dispatched_at_sum_s += to_seconds(resident.dispatched_at - Instant{}).value();
}

void ReplicaAccount::begin_decoding(const Resident& resident) {
  --prefilling;
  ++decoding;
  pending_prompt_tokens -= resident.request.prompt_tokens.count();
  pending_cached_tokens -= resident.cached_tokens;
  decode_context += expected_context(resident);
}

void ReplicaAccount::forget_all(const ReplicaAccount& some) {
  prefilling -= some.prefilling;
  decoding -= some.decoding;
  pending_prompt_tokens -= some.pending_prompt_tokens;
  pending_cached_tokens -= some.pending_cached_tokens;
  reserved_tokens -= some.reserved_tokens;
  decode_context -= some.decode_context;
  for (std::size_t i = 0; i < by_class.size(); ++i)
    by_class[i] -= some.by_class[i];
  for (const OwnTpot& own : some.own_tpots) {
    const auto found = std::find(own_tpots.begin(), own_tpots.end(), own);
    MEDLEY_CHECK(found != own_tpots.end());
    own_tpots.erase(found);
  }
  dispatched_at_sum_s -= some.dispatched_at_sum_s;
}

void ReplicaAccount::forget(const Resident& resident) {
  if (resident.first_token_at) {
    --decoding;
    decode_context -= expected_context(resident);
  } else {
    --prefilling;
    pending_prompt_tokens -= resident.request.prompt_tokens.count();
    pending_cached_tokens -= resident.cached_tokens;
  }
  --by_class[index_of(resident.request.service_class)];
  if (resident.own_tpot) {
    const auto found =
        std::find(own_tpots.begin(), own_tpots.end(),
                  OwnTpot{resident.request.service_class, resident.request.targets.tpot});
    MEDLEY_CHECK(found != own_tpots.end());
    own_tpots.erase(found);
  }
  if (!planted(Bug::kRoomLeak) || resident.first_token_at)
    reserved_tokens -= resident.reserved_tokens;
  dispatched_at_sum_s -= to_seconds(resident.dispatched_at - Instant{}).value();
}

double ReplicaAccount::mean_age_s(Instant now) const {
  return to_seconds(now - Instant{}).value() - dispatched_at_sum_s / outstanding();
}

Ledger::Ledger(const Fleet& fleet, PrefixIndex prefixes) : prefixes_(std::move(prefixes)) {
  for (std::size_t pool = 0; pool < fleet.pools.size(); ++pool) {
    first_.emplace_back(replicas_.size());
    live_.push_back(fleet.pools[pool].replicas);
    for (int i = 0; i < fleet.pools[pool].replicas; ++i) {
      changed_.emplace_back(replicas_.size());
      replicas_.push_back({.id = ReplicaId(replicas_.size()), .pool = PoolId(pool)});
    }
  }
  is_changed_.assign(replicas_.size(), true);
  movable_.resize(replicas_.size());
  held_by_movable_.resize(replicas_.size());
  for (const ServiceClass service_class : kServiceClasses)
    tpot_of_class_[index_of(service_class)] = fleet.policy(service_class).targets.tpot;
}

ReplicaAccount& Ledger::replica(ReplicaId id) {
  ReplicaAccount& account = replicas_.at(id.number());
  if (!is_changed_[id.number()]) {
    is_changed_[id.number()] = true;
    changed_.push_back(id);
  }
  return account;
}

void Ledger::take_changed(std::vector<ReplicaId>& changed) const {
  changed.clear();
  changed.swap(changed_);
  for (const ReplicaId id : changed)
    is_changed_[id.number()] = false;
}

void Ledger::set_live(ReplicaId id, bool live) {
  ReplicaAccount& account = replica(id);
  if (account.live == live)
    return;
  account.live = live;
  live_.at(account.pool.number()) += live ? 1 : -1;
  if (!live)
    prefixes_.lost(id);
}

const Resident* Ledger::find(RequestId request) const {
  const auto found = residents_.find(request);
  return found == residents_.end() ? nullptr : &found->second;
}

void Ledger::dispatched(Resident resident) {
  ReplicaAccount& account = replica(resident.replica);
  const ServiceClass service_class = resident.request.service_class;
  resident.own_tpot = resident.request.targets.tpot != tpot_of_class_[index_of(service_class)];
  resident.cached_tokens = prefixes_.cached_tokens(resident.request, resident.replica);
  prefixes_.dispatched(resident.request, resident.replica, resident.reserved_tokens);
  account.hold(resident);
  ++account.dispatched_since_signal;
  const RequestId id = resident.request.id;
  const auto [held, is_new] = residents_.emplace(id, std::move(resident));
  MEDLEY_CHECK(is_new, "a request is dispatched twice");
  if (is_interactive(service_class))
    return;
  movable_[held->second.replica.number()].push_back(&held->second);
  held_by_movable_[held->second.replica.number()].hold(held->second);
}

ReplicaAccount Ledger::without_movable(ReplicaId id) const {
  ReplicaAccount rest = replica(id);
  rest.forget_all(held_by_movable_.at(id.number()));
  return rest;
}

void Ledger::no_longer_movable(const Resident& resident) {
  std::vector<const Resident*>& here = movable_[resident.replica.number()];
  const auto found = std::find(here.begin(), here.end(), &resident);
  if (found == here.end())
    return;
  here.erase(found);
  held_by_movable_[resident.replica.number()].forget(resident);
}

void Ledger::first_token(RequestId request, Instant at) {
  Resident& resident = residents_.at(request);
  MEDLEY_CHECK(!resident.first_token_at.has_value());
  if (resident.request.service_class != ServiceClass::kBatch || resident.request.streamed)
    no_longer_movable(resident);
  else
    held_by_movable_[resident.replica.number()].begin_decoding(resident);
  resident.first_token_at = at;
  replica(resident.replica).begin_decoding(resident);
}

Resident Ledger::remove(RequestId request) {
  const auto found = residents_.find(request);
  MEDLEY_CHECK(found != residents_.end());
  no_longer_movable(found->second);
  Resident resident = std::move(found->second);
  residents_.erase(found);
  ReplicaAccount& account = replica(resident.replica);
  account.forget(resident);
  ++account.left_since_signal;
  prefixes_.left(request, resident.replica);
  return resident;
}

}  // namespace medley::sched
