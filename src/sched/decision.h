// What the core asks for. Being turned away is an answer, not an error.
#pragma once

#include <optional>
#include <string_view>
#include <variant>

#include "base/linear_program.h"
#include "domain/ids.h"
#include "domain/service_class.h"
#include "domain/token_window.h"

namespace medley::sched {

enum class RejectReason {
  kNoLawfulPool,  // label and zone leave no pool that has the model
  kTooLong,       // the prompt and a token of answer fit no lawful pool's context or quota
  kNoReplica,     // every lawful replica is lost
  kSaturated,     // the targets cannot be kept, or the backlog is full
  kTimedOut,      // waited until its targets were out of reach
};
std::string_view name_of(RejectReason reason);

struct Dispatch {
  RequestId request;
  ReplicaId replica;
  std::optional<TokenWindow> window = std::nullopt;  // promised to the client (promise.h)
};
struct Reject {
  RequestId request;
  RejectReason reason;
  Duration retry_after;
};
struct Cancel {
  RequestId request;
  ReplicaId replica;
};  // stop it on that replica
// Stop it on that replica, whose room guaranteed work needs: it waits in the core again, and starts
// over when it is dispatched next. Only what no client has seen a token of; nothing more is told of
// what that replica made of it.
struct Preempt {
  RequestId request;
  ReplicaId replica;
};
// One alarm clock: replaces the alarm asked for before.
struct WakeAt {
  Instant at;
};

// Solve it and answer PricesSolved, whenever that is done: off the path of decisions.
struct SolvePrices {
  LinearProgram program;
};

using Decision = std::variant<Dispatch, Reject, Cancel, Preempt, WakeAt, SolvePrices>;

}  // namespace medley::sched
