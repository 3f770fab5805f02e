// What others send to the replicas past medley, as far as their engines' reports of load reveal it.
//
// What an engine reports beyond what the ledger has there is others'. A report is worth less the
// older it is: with the mean m and the variance v of what others have on a replica of the pool, and
// the variance q a second by which that changes, a report of x that is a seconds old says
//
//     m + w·(x − m) with variance (1 − w)·v,  w = v / (v + q·a)
//
// m, v and q are running means over the pool's reports (for a random walk about a mean this is the
// estimate of least error). Without any report, replicas that say `shared` are taken to hold as
// many of others as of medley's own, give or take as many: a missing signal is not idle. Where
// nobody ever reported more than the ledger has, and the pool is not shared, nothing is believed
// and nothing changes.
//
// What others have there is taken to be of the shape that medley's own requests had in that pool.
#pragma once

#include <optional>
#include <vector>

#include "domain/fleet.h"
#include "perf/perf_model.h"
#include "sched/ledger.h"

namespace medley::sched {

class OutsideTraffic {
 public:
  // All three must outlive it.
  OutsideTraffic(const Fleet& fleet, const perf::PerfModel& perf, Ledger& ledger);

  // A report that is older than the last one, or lacks the number of running requests, tells
  // nothing. Call before the ledger's account forgets what left since the last report.
  void reported(Instant now, ReplicaId replica, const LoadSignal& signal);
  void lost(ReplicaId replica);  // what was reported of it
  // One of medley's own, of the shape that others' are taken to have.
  void finished(const Resident& resident, Instant at, Tokens generated);

  // Rolls ReplicaAccount::outside forward to now, a few times a second.
  void refresh(Instant now);

 private:
  struct Pool {
    bool tracked = false;  // neither rented nor without a step model
    bool shared = false;   // may have others without a report
    bool seen = false;     // others' requests were reported
    double most = 0;       // sequences that a replica can hold
    long long reports = 0;
    double running = 0, waiting = 0;        // means of what others have on a replica
    double variance = 0, drift_per_s = 0;   // v and q
    double prompt_tokens = 0, context = 0;  // of a request
    double decodes_for_s = 0;               // from its first token to its end; 0: unknown
    long long finished = 0;
  };
  struct Replica {
    std::optional<Instant> as_of;
    double running = 0, waiting = 0;
  };
  OutsideLoad at(Instant now, const ReplicaAccount& account) const;

  Ledger& ledger_;
  std::vector<Pool> pools_;
  std::vector<Replica> replicas_;
  std::optional<Instant> refreshed_at_;
  bool any_ = false;    // a pool has others, or may have
  bool fresh_ = false;  // a report came since the last refresh
};

}  // namespace medley::sched
