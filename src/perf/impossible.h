// Promises that a fleet cannot keep whatever comes, for whoever loads it to be warned of.
//
// They are no errors: a class that nobody asks for may stand in a file, such requests may be
// welcome late, and how fast a pool is may be a guess. Each one that comes is answered by itself:
// late, or refused with its reason (docs/scheduling.md).
#pragma once

#include <string>
#include <vector>

#include "domain/fleet.h"
#include "perf/perf_model.h"

namespace medley::perf {

// One sentence each, in the order of classes, then labels:
//   - a class whose targets not even an idle pool that it is offered keeps, for a prompt of one
//     token;
//   - a class whose value is less than the money that a typical request costs on each pool that it
//     is offered, energy in steps as full as can be: it would hardly be worth serving;
//   - a label that lists zones, in none of which a pool stands. One that lists none means it.
std::vector<std::string> impossible(const Fleet& fleet, const PerfModel& perf);

}  // namespace medley::perf
