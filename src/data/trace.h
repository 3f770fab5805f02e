// Request traces: when each request came, how long its prompt was and how long its answer.
//
// Formats and rules: docs/simulate.md ("Traces"). A torn line, a number that is none and an arrival
// before the one above are errors with file and line. CRLF and a missing last line end are
// ordinary.
#pragma once

#include <cstddef>
#include <cstdint>
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
inline constexpr int kTraceFormatCount = 5;
std::string_view name_of(TraceFormat format);
std::optional<TraceFormat> trace_format_named(std::string_view name);
// From the first line: a JSON object is mooncake's, a CSV tells itself by its columns. `name`
// stands for the file in the error.
Result<TraceFormat> trace_format_of(std::string_view text, const std::string& name);

struct TraceSpec {
  std::string path;
  std::optional<TraceFormat> format = std::nullopt;  // empty: the first line tells
  double time_scale = 1;                             // every arrival is multiplied by it
  double start_s = 0;                                // and this added
  std::optional<long long> max_request_tokens;  // a prompt is cut so that prompt and output fit
  // What a scenario says for who has not got the file: its name below $MEDLEY_SHARED, and where it
  // can be had.
  std::string shared = "", origin = "";
};

struct TraceRequest {
  Instant arrived;        // to the nanosecond
  double arrived_s = 0;   // the same as the simulator's double: exact where the trace is
  Tokens prompt, output;  // at least 1 each
  // What only a trace of medley's own format says, the CSV that `simulate --requests-csv` writes:
  // columns class, label, model, tenant and priority, where they are there. Empty: drawn from the
  // scenario's mix.
  std::optional<ServiceClass> service_class;
  std::string label, model;
  // What the prompt has in common with an earlier one: its first `prefix_tokens` tokens are those
  // of the row `prefix_of`, the latest with all of them. Known of mooncake's hash_ids and of
  // medley's columns prefix_of and prefix_tokens; 0 tokens: nothing in common, or unknown.
  std::uint32_t prefix_of = 0;
  Tokens prefix;
  std::string tenant;  // as label and model
  long long priority = 0;
};

// Whether a trace of this kind says what prompts have in common.
bool tells_prefixes(TraceFormat format, const std::vector<TraceRequest>& requests);

// Several copies of a trace upon one another, each turned on a circle of `wrap_s` seconds of the
// trace's own time by an offset of its own, so that their peaks do not coincide.
struct TraceCopies {
  int count = 1;
  double wrap_s = 1;
};

// Requests in file order, which is the order of arrival; a request's id is its place.
Result<std::vector<TraceRequest>> read_trace(const TraceSpec& spec);
inline constexpr std::size_t kMaxTraceBytes = std::size_t{4} << 30;  // of text, unpacked
// The same from memory; `spec.path` names it in errors.
Result<std::vector<TraceRequest>> parse_trace(std::string text, const TraceSpec& spec);

}  // namespace medley::data
