#include "sched/prefix_index.h"

#include <algorithm>
#include <utility>

namespace medley::sched {

PrefixIndex::PrefixIndex(const Fleet& fleet, const perf::PerfModel& perf) {
  const auto caches = [&](std::size_t pool) {
    return fleet.pools[pool].batching.prefix_caching &&
           perf.pools[pool].kind == perf::ServingKind::kBatched;
  };
  bool any = false;
  for (std::size_t pool = 0; pool < fleet.pools.size(); ++pool)
    any = any || caches(pool);
  for (std::size_t pool = 0; any && pool < fleet.pools.size(); ++pool) {
    for (int i = 0; i < fleet.pools[pool].replicas; ++i) {
      replicas_.emplace_back();
      replicas_.back().capacity = caches(pool) ? perf.pools[pool].kv_tokens : 0;
    }
  }
}

long long PrefixIndex::matched_tokens(const Request& request, const Replica& replica) {
  const auto blocks = static_cast<long long>(replica.cache.matched(request.prefix->blocks));
  return std::min(blocks * request.prefix->block_tokens, request.prompt_tokens.count() - 1);
}

std::optional<ReplicaId> PrefixIndex::warmest(const Request& request, ReplicaId first,
                                              std::uint64_t count) const {
  std::optional<ReplicaId> warmest;
  long long most = 0;
  for (std::uint64_t i = 0; request.prefix && i < count; ++i) {
    const ReplicaId replica(first.number() + i);
    if (const long long cached = cached_tokens(request, replica); cached > most) {
      most = cached;
      warmest = replica;
    }
  }
  return warmest;
}

void PrefixIndex::dispatched(const Request& request, ReplicaId replica, long long reserved_tokens) {
  if (replica.number() >= replicas_.size() || replicas_[replica.number()].capacity == 0)
    return;
  Replica& of = replicas_[replica.number()];
  Held held{request.prefix, 0, reserved_tokens};
  if (request.prefix) {
    const PrefixCache::Chain chain = request.prefix->blocks;
    const long long size = request.prefix->block_tokens;
    held.named = of.cache.matched(chain);
    of.taken += of.cache.idle_part(chain.first(held.named));
    of.cache.hold(chain.first(held.named));
    for (; held.named < chain.size() && of.cache.add(chain[held.named], size); ++held.named)
      of.taken += size;
    held.unnamed = std::max(0LL, reserved_tokens - static_cast<long long>(held.named) * size);
  }
  of.taken += held.unnamed;
  of.held.insert_or_assign(request.id, std::move(held));
  make_room(of);
}

void PrefixIndex::left(RequestId request, ReplicaId replica) {
  if (replica.number() >= replicas_.size())
    return;
  Replica& of = replicas_[replica.number()];
  const auto found = of.held.find(request);
  if (found == of.held.end())
    return;
  of.cache.leave(found->second.unnamed);
  of.taken -= found->second.unnamed;
  if (const Prefix& prefix = found->second.prefix)
    of.taken -= of.cache.release(std::span(prefix->blocks).first(found->second.named));
  of.held.erase(found);
  make_room(of);
}

void PrefixIndex::lost(ReplicaId replica) {
  if (replica.number() >= replicas_.size())
    return;
  Replica& of = replicas_[replica.number()];
  of.cache.clear();
  of.held.clear();
  of.taken = 0;
}

void PrefixIndex::make_room(Replica& replica) {
  replica.cache.shrink(replica.capacity - replica.taken);
}

}  // namespace medley::sched
