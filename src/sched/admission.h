// The hard filters at the door: may this pool have this request at all, whatever its load.
//
// Checked at every placement: arrival, retry and release from the backlog alike.
#pragma once

#include "domain/fleet.h"
#include "domain/request.h"
#include "perf/perf_model.h"
#include "sched/explanation.h"

namespace medley::sched {

// kModel: the offer does not name the pool for this class. kZone: the label may not be processed
// there. kContext: prompt and the least answer do not fit one sequence of the pool.
Forbidden forbidden_by_law(const Fleet& fleet, const perf::PerfModel& perf, const Request& request,
                           PoolId pool);

// Its own targets where it has any, else its class's.
Targets effective_targets(const Fleet& fleet, const Request& request);

}  // namespace medley::sched
