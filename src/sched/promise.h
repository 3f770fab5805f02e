// Token-window promises: what can be vouched for on statically scheduled replicas, request by
// request (docs/decisions/0054-token-window-promises.md).
//
// Such a replica serves prompts one after the other in a lane of its own and gives every sequence
// in a slot a token each T, whatever its neighbours do (perf/dataflow.h). So what comes later can
// break nothing, and two things have to be known at dispatch: that a slot and the memory for the
// longest answer it may give are free for it, and how late the prompts ahead of it may end at
// worst.
//
//   every_token_within = T·e^kσ'
//   first_token_within = max over j of (s_j + Σp + (e^kσ − 1)·√Σp²) + T·e^kσ' − arrival
//
// T: a step with all slots filled and all memory used; the prompts: those not known to be done, its
// own last; s_j: when the j-th could enter the lane had it been free; the sums: over the j-th and
// those behind it; p: seconds in the lane by the step model, no less than what was observed against
// it; σ, σ': the pool's error bars of prefill and decode. Deviations of prompts are taken as
// log-normal and independent: one prompt alone exceeds its margin with the probability of k
// standard deviations, k = 6: 1 in 10⁹. Where the request's own target is nearer than that, the
// target is promised if k = 4.5 keeps it, 3 in 10⁶ at the most: else those whom a full lane can
// just serve in time, and few others, would go without.
#pragma once

#include <optional>
#include <vector>

#include "domain/token_window.h"
#include "sched/ledger.h"

namespace medley::sched {

// Follows every statically scheduled replica by what the scheduler dispatches and hears. Pure.
class Promises {
 public:
  // Both must outlive it.
  Promises(const perf::PerfModel& perf, const Ledger& ledger);

  // The ledger has just booked `resident`. Answers the window it may be promised: only to the class
  // that pays for guarantees, within the request's own targets, and at its first dispatch. What has
  // failed before was promised something already, which no second promise may cover up.
  std::optional<TokenWindow> dispatched(Instant now, const Resident& resident);
  void first_token(Instant now, const Resident& resident);
  // The ledger has just removed it: ended, broken, failed or cancelled.
  void left(Instant now, const Resident& resident);
  // Its lane is empty now; left() is still told of what it held.
  void lost(ReplicaId replica);

 private:
  struct Terms {      // of a pool
    Duration join{};  // from the lane to the first token at the least: T in an empty replica
    double margin = 0, least_margin = 0;  // e^kσ − 1
    Duration every_token{};               // whole microseconds, rounded up
  };
  struct Prompt {
    RequestId request;
    Instant since;  // it was there and, where it is the first, the lane was free for it
    double lane_s = 0;
  };
  struct Lane {
    std::vector<Prompt> prompts;  // in the order they are served, until their first token
    // No later than then there was room for all of them, and the lane was rid of who left from
    // within: it stays busy with such a prompt to its end.
    Instant open_since;
    long long most_tokens = 0;  // that all on board may come to hold
  };
  static bool crowded(const Lane& lane, const perf::PoolModel& model, int on_board);
  // The latest end of the first `count` prompts.
  static Instant latest_end(const Lane& lane, double margin, std::size_t count);

  const perf::PerfModel& perf_;
  const Ledger& ledger_;
  std::vector<Terms> terms_;  // by pool
  std::vector<Lane> lanes_;   // by replica
};

}  // namespace medley::sched
