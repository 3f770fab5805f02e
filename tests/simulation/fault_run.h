// A scheduler against a world that misbehaves, drawn from a seed: fleet, requests, options, faults.
//
// It drives sched::Scheduler itself and not through src/simulate, so that it can do what virtual
// replicas never would: die and come back in swizzled order, flap, stall, answer absurd lengths at
// absurd times, report falsely or nothing, tell of requests that are over, run out of quota, and
// let hours pass between two events. ShadowBooks watches every event. In the end all is healed, and
// what still waits must be served.
#pragma once

#include <cstdint>
#include <optional>

#include "base/digest.h"
#include "shadow_books.h"

namespace medley::sched {

inline constexpr std::uint64_t kFaultSeeds = 2000;  // the normal budget: from seed 1

struct FaultRun {
  std::optional<Violation> violation;
  Digest digest;
  // What happened, so that a test can see that the draws reach what it is about.
  long long events = 0, requests = 0, dispatched = 0, rejected = 0, cancelled = 0, retried = 0;
  long long preempted = 0;
  long long losses = 0, flaps = 0, stalls = 0, jumps = 0, reports = 0, strays = 0, probes = 0;
  long long prices = 0;
  long long most_waiting = 0;
};

// The same arguments give the same run. `explained`: with a sink for explanations, which must
// change nothing.
FaultRun run_with_faults(std::uint64_t seed, bool explained);

}  // namespace medley::sched
