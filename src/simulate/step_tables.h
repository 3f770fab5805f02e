// Pools timed by somebody's measured tables (`step_times:` of a scenario) in place of a step model.
#pragma once

#include "base/result.h"
#include "perf/perf_model.h"

namespace medley::simulate {

// Reads the tables that `pool.table` names. Errors name the file, and the column or the format that
// is missing.
Result<perf::PoolModel> make_table_model(const Pool& pool);

}  // namespace medley::simulate
