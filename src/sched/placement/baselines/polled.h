// Accounts of replicas as a gateway sees them that asks for loads every so often: as of its last
// poll.
//
// Polls are due at whole multiples of the interval. A policy looks only when a request comes, so a
// snapshot is taken with the first request at or after its time: fresher than published by no more
// than the gap between two requests.
#pragma once

#include <vector>

#include "sched/placement/placement.h"

namespace medley::sched {

class Polled {
 public:
  // An interval of zero: live.
  explicit Polled(Duration interval) : interval_(interval) {}

  bool is_live() const { return interval_ == Duration::zero(); }
  // Polls if a poll is due, and says so. Live signals are as fresh as can be without it: false.
  bool poll(const View& view);
  // Precondition: poll() was called.
  const ReplicaAccount& seen(const View& view, ReplicaId replica) const {
    return is_live() ? view.ledger.replica(replica) : accounts_.at(replica.number());
  }

 private:
  Duration interval_;
  std::optional<Instant> next_;
  std::vector<ReplicaAccount> accounts_;
};

}  // namespace medley::sched
