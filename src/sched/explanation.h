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
  kDearer,
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
  std::optional<double> ttft_s, tpot_s;  // predicted; ttft counts from arrival
  std::optional<double> probability;     // that the targets are kept
  std::optional<double> money, joules;   // of this request there
  std::optional<double> score;
};

enum class Outcome { kDispatched, kQueued, kRejected, kPreempted };

struct Explanation {
  Instant at;
  Request request;  // with the targets that were used
  Outcome outcome = Outcome::kDispatched;
  std::optional<ReplicaId> chosen;
  std::optional<RejectReason> reason;
  std::vector<Candidate> candidates;  // by pool
};

class ExplanationSink {
 public:
  virtual ~ExplanationSink() = default;
  virtual void explain(const Explanation& explanation) = 0;
};

}  // namespace medley::sched
