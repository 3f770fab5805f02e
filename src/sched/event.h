// What the core is told. Plain values; the driver stamps the time.
#pragma once

#include <variant>
#include <vector>

#include "domain/load_signal.h"
#include "domain/request.h"

namespace medley::sched {

struct RequestArrived {
  Request request;
};
struct FirstTokenEmitted {
  RequestId request;
};
// `complete` is false when it broke after its first token, or was refused for good before: it is
// over, but tells nothing of lengths and speeds.
struct RequestFinished {
  RequestId request;
  Tokens generated;
  bool complete = true;
};
// The client left, after so many tokens.
struct RequestCancelled {
  RequestId request;
  Tokens generated{0};
};
// The engine refused or broke before the first token was relayed; the core may place it elsewhere.
// After the first token the driver reports RequestFinished with what was generated and tells the
// client of the failure.
struct DispatchFailed {
  RequestId request;
  // Its own failure took the replica out, as was told before: it must not go back there.
  bool lost_its_replica = false;
};
// Everything it held is gone. The driver then tells each of its requests' fate, in id order:
// DispatchFailed before the first token, RequestFinished after it.
struct ReplicaLost {
  ReplicaId replica;
};
struct ReplicaReturned {
  ReplicaId replica;
};  // empty and ready
struct LoadReported {
  ReplicaId replica;
  LoadSignal signal;
};
struct AlarmRang {};
// Of the program asked for last: a price for each of its rows, or none where it was not solved. The
// core then decides without prices until it has others.
struct PricesSolved {
  std::vector<double> duals;
};

using Event = std::variant<RequestArrived, FirstTokenEmitted, RequestFinished, RequestCancelled,
                           DispatchFailed, ReplicaLost, ReplicaReturned, LoadReported, AlarmRang,
                           PricesSolved>;

}  // namespace medley::sched
