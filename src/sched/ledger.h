// The core's own account of every replica: what it dispatched there, and what it heard of it since.
//
// The primary state of the fleet. Reports of engines calibrate it; they do not replace it.
#pragma once

#include <optional>
#include <unordered_map>
#include <vector>

#include "domain/fleet.h"
#include "domain/load_signal.h"
#include "domain/request.h"
#include "perf/perf_model.h"
#include "sched/prefix_index.h"

namespace medley::sched {

// A request that a replica holds.
struct Resident {
  Request request;  // with the targets that apply
  ReplicaId replica;
  Instant dispatched_at;
  std::optional<Instant> first_token_at;
  long long reserved_tokens = 0;  // prompt and expected answer, in the KV cache
  // Predicted when it was dispatched, counted from the dispatch; absent where the policy predicts
  // nothing.
  std::optional<double> ttft_from_dispatch_s, tpot_s;
  std::vector<ReplicaId> failed_on;  // as Waiting's, which it was before
  int failures = 0;
  int preemptions = 0;
  double model_ttft_s = 0, model_tpot_s = 0;  // the same by the model alone, uncorrected
  double ttft_ratio = 1;                      // the correction's: observed to predicted
  double load_error = 0;                      // and how uncertain it was what others had there
  double money = 0;                           // predicted with them
  // The ledger's to fill in: what is cached of its prompt, and whether its target for a time per
  // token is another than its class's.
  long long cached_tokens = 0;
  bool own_tpot = false;

  long long tokens_to_prefill() const { return request.prompt_tokens.count() - cached_tokens; }
};

// What is believed to be on a replica that medley did not send there (outside.h).
struct OutsideLoad {
  int decoding = 0, prefilling = 0;
  long long decode_context = 0, pending_prompt_tokens = 0;
  double prompt_tokens_per_s = 0;  // that keep coming
  double deviation = 0;            // standard, of the number of sequences

  int sequences() const { return decoding + prefilling; }
  bool operator==(const OutsideLoad&) const = default;
};

struct ReplicaAccount {
  std::optional<ReplicaId> id;  // empty: one that is only imagined
  PoolId pool;
  bool live = true;                     // changed by set_live() only
  int prefilling = 0;                   // dispatched, no first token yet
  int decoding = 0;                     // first token out
  long long pending_prompt_tokens = 0;  // of the prefilling ones
  long long pending_cached_tokens = 0;  // of these, what need not be computed
  long long reserved_tokens = 0;
  long long decode_context =
      0;  // expected context of the decoding ones: prompt and half the answer
  std::array<int, kServiceClassCount> by_class{};
  // Of those whose target for a time per token is not their class's.
  struct OwnTpot {
    ServiceClass service_class;
    std::optional<Duration> target;
    bool operator==(const OwnTpot&) const = default;
  };
  std::vector<OwnTpot> own_tpots;
  double dispatched_at_sum_s = 0;    // over medley's own, of their dispatches' instants
  Instant prefill_free_at;           // when the prompts dispatched so far are expected to be done
  Instant first_token_due;           // when the next first token is expected at the latest, if any
  std::optional<LoadSignal> signal;  // the last report
  int dispatched_since_signal = 0, left_since_signal = 0;
  OutsideLoad outside;

  // Of medley's own.
  int outstanding() const { return prefilling + decoding; }
  // With what others have there.
  int sequences() const { return outstanding() + outside.sequences(); }
  long long context() const { return decode_context + outside.decode_context; }
  long long prompt_tokens_ahead() const {
    return pending_prompt_tokens + outside.pending_prompt_tokens;
  }
  long long tokens_taken() const {
    return reserved_tokens + outside.decode_context + outside.pending_prompt_tokens;
  }
  // Of medley's own.
  long long tokens_to_prefill() const { return pending_prompt_tokens - pending_cached_tokens; }
  // How long medley's own have been there, a mean. Precondition: there are some.
  double mean_age_s(Instant now) const;
  // It comes, and its first token does. prefill_free_at stays, here and below.
  void hold(const Resident& resident);
  void begin_decoding(const Resident& resident);
  // It leaves, at whatever stage it is; all leave that `some` holds.
  void forget(const Resident& resident);
  void forget_all(const ReplicaAccount& some);
};

class Ledger {
 public:
  explicit Ledger(const Fleet& fleet, PrefixIndex prefixes = {});
  Ledger(Ledger&&) = default;  // no copies: movable_ points to residents

  const std::vector<ReplicaAccount>& replicas() const { return replicas_; }
  const ReplicaAccount& replica(ReplicaId id) const { return replicas_.at(id.number()); }
  ReplicaAccount& replica(ReplicaId id);
  // Replicas whose account may have changed since the last call, each once; at first, all of them.
  // For the policy, which may keep an index over them (const: no account changes by it).
  void take_changed(std::vector<ReplicaId>& changed) const;
  // Replicas of a pool are consecutive: [first, first + count).
  ReplicaId first_replica(PoolId pool) const { return first_.at(pool.number()); }

  const Resident* find(RequestId request) const;
  std::size_t size() const { return residents_.size(); }

  // Of the replica's residents those of patient classes that may start over, since no client has
  // seen a token of them; in the order of their dispatches.
  const std::vector<const Resident*>& movable(ReplicaId id) const {
    return movable_.at(id.number());
  }
  // The replica without them.
  ReplicaAccount without_movable(ReplicaId id) const;
  // Tokens of the prompt that the replica is believed to have, and need not compute.
  long long cached_tokens(const Request& request, ReplicaId replica) const {
    return prefixes_.cached_tokens(request, replica);
  }
  // Of the pool's replicas, the one that has the most of the prompt cached; empty where none has
  // any.
  std::optional<ReplicaId> warmest(const Request& request, PoolId pool, int replicas) const {
    return prefixes_.warmest(request, first_replica(pool), static_cast<std::uint64_t>(replicas));
  }

  // Replicas of a pool that are not lost.
  int live(PoolId pool) const { return live_.at(pool.number()); }
  void set_live(ReplicaId id, bool live);

  // Preconditions: the request is not held yet / is held.
  void dispatched(Resident resident);
  void first_token(RequestId request, Instant at);
  Resident remove(RequestId request);

 private:
  void no_longer_movable(const Resident& resident);

  std::vector<ReplicaAccount> replicas_;
  mutable std::vector<ReplicaId> changed_;
  mutable std::vector<bool> is_changed_;
  std::vector<ReplicaId> first_;
  std::vector<int> live_;                              // by pool
  std::vector<std::vector<const Resident*>> movable_;  // by replica
  std::vector<ReplicaAccount> held_by_movable_;        // likewise: what they hold together
  std::array<std::optional<Duration>, kServiceClassCount> tpot_of_class_{};
  std::unordered_map<RequestId, Resident> residents_;
  PrefixIndex prefixes_;
};

}  // namespace medley::sched
