// The figures of a trace as JSON, pictures and a page.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "chart/chart.h"
#include "data/trace.h"
#include "simulate/trace_fit.h"
#include "simulate/trace_stats.h"

namespace medley::simulate {

// One JSON value on one line (docs/trace.md lists its keys).
std::string to_json(const TraceStats& stats, data::TraceFormat format);
std::string to_json(const TraceFit& fit);

// Rate over time, tokens over time, dispersion by window, lengths.
std::vector<chart::Chart> trace_charts(const TraceStats& stats,
                                       std::span<const data::TraceRequest> requests);
// A page of its own; `name` is what the trace is called, `command` what made the page.
std::string trace_page(const TraceStats& stats, std::span<const data::TraceRequest> requests,
                       data::TraceFormat format, const std::string& name,
                       const std::string& command);

}  // namespace medley::simulate
