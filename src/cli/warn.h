// Warnings of what a fleet cannot keep whatever comes, one line each.
#pragma once

#include <cstdio>

#include "domain/fleet.h"
#include "perf/perf_model.h"

namespace medley::cli {

void warn_of_impossible(const Fleet& fleet, const perf::PerfModel& perf, std::FILE* err);

}  // namespace medley::cli
