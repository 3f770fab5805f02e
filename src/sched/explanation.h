// Why a request went where it went: what placement saw when it decided. Only gathered when a log is
// asked for.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "domain/request.h"
#include "sched/decision.h"

namespace medley::sched {

// Why a pool was not a candidate.
enum class Forbidden {
  kNo,
  kModel,
  kZone,
  kContext,
  kLost,
  kQuota,
  kFull,
  kInTheWay,
  kDearer,
  kCostly,
  kSlow,
  kNotAsked
};
std::string_view name_of(Forbidden forbidden);

// One pool's best replica at that moment.
struct Candidate {
  PoolId pool;
  std::optional<ReplicaId> replica;
  Forbidden forbidden = Forbidden::kNo;
  // Empty where forbidden, or where the policy in use predicts nothing.
  std::optional<double> ttft_s, tpot_s;    // predicted; ttft counts from arrival
  std::optional<double> probability;       // that the targets are kept
  std::optional<double> money, joules;     // of this request there
  std::optional<long long> cached_tokens;  // of its prompt, that the replica is believed to have
  std::optional<double> score;
  // The chances that make up the probability, where there is such a target.
  std::optional<double> ttft_probability, tpot_probability;
  // Of medley's score: worth − money − residents − later − toll. Also where it is forbidden as too
  // dear, of the replica that came nearest.
  std::optional<double> worth, residents, later, toll;
  std::optional<double> power;  // of the toll, what the site's power is short of; empty: of nothing
  bool tried = false;           // not known yet, and idle: what it is likely to keep counts as kept
  // Where there are prices: of a unit of what is scarce in the pool ("priced_by" of the log), and
  // what this request would pay for all that it takes there were the replica full.
  std::optional<double> unit_price, full_price;
  // What it lacks to the one that was chosen, in money; and of the runner-up what would have made
  // up for it, each alone: a looser target of this request, a lower price. Empty where that would
  // not.
  std::optional<double> lacks, wins_at_ttft_s, wins_at_tpot_s, wins_at_unit_price;
  std::optional<double> wins_at_power;  // what `power` would be at that lower price of power
};

enum class Outcome { kDispatched, kQueued, kRejected, kPreempted };

// What stands before work of its own kind that comes now.
enum class Ahead { kNothing, kItsKind, kAnothersTurn };
std::string_view name_of(Ahead ahead);  // kNothing: empty

struct Explanation {
  Instant at;
  Request request;  // with the targets that were used
  Outcome outcome = Outcome::kDispatched;
  std::optional<ReplicaId> chosen;
  std::optional<RejectReason> reason;
  // Whether scarcity had prices at that moment; empty where the policy goes by none.
  std::optional<bool> priced;
  std::vector<Candidate> candidates;  // by pool
  // Of work that waits without having been weighed: what it waits behind.
  Ahead behind = Ahead::kNothing;
  // Seconds of prompts that its tenant left free on replicas with work, since it had more than its
  // share lately.
  double left_free_s = 0;
};

class ExplanationSink {
 public:
  virtual ~ExplanationSink() = default;
  virtual void explain(const Explanation& explanation) = 0;
};

}  // namespace medley::sched
