// What the core believes to be in the caches of the replicas: which beginnings of prompts need not
// be computed again.
//
// Approximate: it knows what was dispatched and what left, in the core's own books, and no more. A
// prompt counts as there from its dispatch, since prompts are computed in the order they come; what
// an answer adds takes room, but has no name. Bounded by the KV cache: as many tokens as the
// replica can hold, less what its requests reserve, the longest unused going first. It is kept only
// for batched pools that say `prefix_caching`.
#pragma once

#include <optional>
#include <unordered_map>
#include <vector>

#include "domain/fleet.h"
#include "domain/prefix_cache.h"
#include "domain/request.h"
#include "perf/perf_model.h"

namespace medley::sched {

class PrefixIndex {
 public:
  PrefixIndex() = default;  // knows of nothing
  PrefixIndex(const Fleet& fleet, const perf::PerfModel& perf);

  // Tokens of the prompt that the replica need not compute, one always excepted.
  long long cached_tokens(const Request& request, ReplicaId replica) const {
    if (!request.prefix || replica.number() >= replicas_.size())
      return 0;
    return matched_tokens(request, replicas_[replica.number()]);
  }

  // Of `count` replicas from `first` on, the one that need compute the least of the prompt; the
  // first of equals. Empty: all of it everywhere.
  std::optional<ReplicaId> warmest(const Request& request, ReplicaId first,
                                   std::uint64_t count) const;

  void dispatched(const Request& request, ReplicaId replica, long long reserved_tokens);
  // It ended, failed or was cancelled. Requests from before the replica was lost are ignored.
  void left(RequestId request, ReplicaId replica);
  void lost(ReplicaId replica);

 private:
  struct Held {
    Prefix prefix;
    std::size_t named = 0;  // blocks of it that it holds
    long long unnamed = 0;  // tokens that it reserves beside them
  };
  struct Replica {
    long long capacity = 0;  // tokens; 0: has no cache
    long long taken = 0;     // by requests that are there
    PrefixCache cache;
    std::unordered_map<RequestId, Held> held;
  };
  static long long matched_tokens(const Request& request, const Replica& replica);
  static void make_room(Replica& replica);

  std::vector<Replica> replicas_;  // empty: no pool has a cache
};

}  // namespace medley::sched
