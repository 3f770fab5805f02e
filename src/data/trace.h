// Request traces: when each request came, how long its prompt was and how long its answer.
//
// Formats and rules: docs/simulate.md ("Traces"). A torn line, a number that is none and an arrival
// before the one above are errors with file and line. CRLF and a missing last line end are
// ordinary.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/instant.h"
#include "base/quantity.h"
#include "base/result.h"
#include "domain/service_class.h"

namespace medley::data {

enum class TraceFormat { kAzure, kMooncake, kServegen, kVllmWorkload, kMedley };
std::string_view name_of(TraceFormat format);

struct TraceSpec {
  std::string path;
  TraceFormat format = TraceFormat::kAzure;
  double time_scale = 1;                        // every arrival is multiplied by it
  double start_s = 0;                           // and this added
  std::optional<long long> max_request_tokens;  // a prompt is cut so that prompt and output fit
};

struct TraceRequest {
  Instant arrived;        // to the nanosecond
  double arrived_s = 0;   // the same as the simulator's double: exact where the trace is
  Tokens prompt, output;  // at least 1 each
  // What only a trace of medley's own format says, the CSV that `simulate --requests-csv` writes:
  // columns class, label and model, where they are there. Empty: drawn from the scenario's mix.
  std::optional<ServiceClass> service_class;
  std::string label, model;
};

// Requests in file order, which is the order of arrival; a request's id is its place.
Result<std::vector<TraceRequest>> read_trace(const TraceSpec& spec);
// The same from memory; `spec.path` names it in errors.
Result<std::vector<TraceRequest>> parse_trace(std::string text, const TraceSpec& spec);

}  // namespace medley::data
