// The report of a run as one HTML file: latencies, the fleet over time, queue, KV cache, energy and
// money. Nothing is loaded from elsewhere, no script runs; the same run gives the same bytes. Its
// size is bounded, however many the requests and replicas.
#pragma once

#include <string>

#include "simulate/report.h"
#include "simulate/timeline.h"

namespace medley::simulate {

// `report` with curves; `timeline` and `result` of the same run; `command` is what made it.
std::string to_html(const Report& report, const Fleet& fleet, const Timeline& timeline,
                    const SimulationResult& result, const std::string& command);

}  // namespace medley::simulate
