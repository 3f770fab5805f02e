// An account of what a scheduler does, kept from outside and by the documents alone
// (docs/scheduling.md), and the invariants that hold at every event.
//
// It is told each event before the scheduler is, each decision in order, and looks at the
// scheduler's own books after that. It reads nothing of the scheduler but what it says.
#pragma once

#include <deque>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "sched/scheduler.h"

namespace medley::sched {

struct Violation {
  std::string_view check;  // the invariant's name
  std::string what;
};

class ShadowBooks {
 public:
  // Both must outlive it.
  ShadowBooks(const Fleet& fleet, const perf::PerfModel& perf);

  void before(Instant now, const Event& event);
  void decided(Instant now, const Decision& decision);
  void after(Instant now, const Event& event, const Scheduler& scheduler);

  // The first one; what follows it is not to be trusted.
  const std::optional<Violation>& violation() const { return violation_; }
  void violated(std::string_view check, std::string what);

  bool lawful(const Request& request, PoolId pool) const;
  bool is_waiting(RequestId request) const { return state_of(request) == State::kWaiting; }
  bool is_over(RequestId request) const { return state_of(request) == State::kOver; }
  std::optional<ReplicaId> held_by(RequestId request) const;
  bool is_live(ReplicaId replica) const { return replicas_[replica.number()].live; }
  // Of a replica, in order of their ids.
  std::vector<RequestId> residents(ReplicaId replica) const;
  const std::set<RequestId>& waiting() const { return waiting_; }
  long long in_flight() const { return in_flight_; }
  int outstanding(ReplicaId replica) const { return replicas_[replica.number()].outstanding(); }

 private:
  enum class State { kUnknown, kWaiting, kInFlight, kOver };
  struct Entry {
    Request request;  // with the targets that apply
    State state = State::kUnknown;
    std::optional<ReplicaId> replica;
    bool first_token = false;
    Instant dispatched_at;
    std::vector<ReplicaId> failed_on;
    int failures = 0, preemptions = 0;
    bool came_back() const { return failures + preemptions > 0; }
    Instant useless_at = Instant::max();  // when the first of its targets is missed
  };
  struct Replica {
    PoolId pool;
    bool live = true;
    int prefilling = 0, decoding = 0;
    long long pending_prompts = 0, prompts = 0;
    std::set<RequestId> residents;
    std::optional<int> reported_waiting;
    int sent_since_report = 0;
    Instant idle_since{};
    int outstanding() const { return prefilling + decoding; }
  };
  // What a dispatch to a metered pool costs its quota: no less than `least`, no more than `most`.
  struct Spent {
    Instant at;
    RequestId request;
    long long least = 0, most = 0;
  };

  State state_of(RequestId request) const;
  Entry* entry(RequestId request);
  ClassStats& count(const Entry& entry);
  void leave(Entry& entry, Instant now);
  void stops_waiting(const Entry& entry);
  void starts_waiting(const Entry& entry);
  void on_dispatch(Instant now, const Dispatch& dispatch);
  void on_reject(Instant now, const Reject& reject);
  void on_preempt(Instant now, const Preempt& preempt);
  void check_quota(Instant now, const Entry& entry, PoolId pool);
  void check_load(const Entry& entry, ReplicaId chosen);
  void check_window(const Entry& entry, const Replica& replica);
  void check_price(Instant now, const Entry& entry, ReplicaId chosen);
  static Instant half_way_to_expiry(const Entry& entry);
  void check_program(const LinearProgram& program);
  void check_starving(Instant now);
  void refund(const Entry& entry, PoolId pool);
  // Live, lawful, not one that failed it, and empty; a metered one with room in its quota whatever
  // the length of the answers.
  bool idle_for(Instant now, const Entry& entry, ReplicaId id);
  bool may_bill_too_much(const Entry& entry, PoolId pool) const;
  // Lawful, its context is enough, and it did not fail the request: whatever else it holds.
  bool may_have(const Entry& entry, ReplicaId replica) const;
  bool context_holds(const Request& request, PoolId pool) const;
  static bool failed_on(const Entry& entry, ReplicaId replica);
  bool quota_surely_free(Instant now, const Entry& entry, PoolId pool);
  bool answer_fits(const Request& request, PoolId pool) const;
  long long load_of(const Replica& replica) const;
  std::string name(const Entry& entry) const;

  const Fleet& fleet_;
  const perf::PerfModel& perf_;
  const bool plain_medley_;     // the whole of medley's own policy
  const bool plain_simple_;     // a baseline as it is
  std::vector<Entry> entries_;  // by request number
  std::vector<Replica> replicas_;
  std::vector<ReplicaId> first_;          // of a pool
  std::vector<std::deque<Spent>> spent_;  // by pool
  std::vector<bool> pool_observed_;       // a first token or an end was told of it
  std::array<ClassStats, kServiceClassCount> counts_{};
  std::array<long long, kServiceClassCount> waiting_fresh_{};  // that were never dispatched
  std::set<RequestId> waiting_;
  std::set<std::pair<Instant, RequestId>>
      useless_;  // of those that wait: when their targets are missed
  long long in_flight_ = 0;
  std::optional<Instant> alarm_;
  bool prices_told_ = false;
  std::optional<ReplicaId> made_room_;  // a dispatch of guaranteed work there is still to come
  std::optional<RequestId> to_cancel_;  // this event's Cancel is still to come
  std::optional<RequestId> touched_;    // the request that this event is about
  std::optional<Violation> violation_;
};

}  // namespace medley::sched
