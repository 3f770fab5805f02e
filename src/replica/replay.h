// One virtual replica, alone, given requests whose times and lengths are known: what would each of
// them have seen?
#pragma once

#include <span>
#include <vector>

#include "perf/observation.h"
#include "replica/replica.h"

namespace medley::replica {

// Answers one observation a request, in order. Of `requests` the times of sending and the lengths
// are read. Preconditions: sorted by `sent_s`, each fits the replica, and the replica is empty.
std::vector<perf::Observation> replay(VirtualReplica& replica,
                                      std::span<const perf::Observation> requests);

}  // namespace medley::replica
