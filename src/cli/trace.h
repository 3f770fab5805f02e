// `medley trace info|fit|generate`: what a trace is like, a workload that is like it, and traces
// made from a workload. docs/trace.md.
#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

namespace medley::cli {

struct TraceOptions {
  enum class Action { kInfo, kFit, kGenerate };
  Action action = Action::kInfo;
  std::string file;                   // trace, or workload for kGenerate
  std::string format;                 // of the trace; empty: told by its first line
  bool json = false;                  // --output json
  std::string svg;                    // info: picture; empty: none
  std::string report;                 // info: HTML; empty: none
  std::string out;                    // fit: workload file; generate: CSV, gzip is not written
  std::optional<long long> requests;  // generate: in place of the workload's limits
  std::string for_time;               // generate: "24h", in place of the workload's limits
  double scale = 1;                   // generate: of every rate
  std::uint64_t seed = 1;             // generate
};

// Tables or JSON on `out`, prose on `err`. Exit status: 0 done, 1 a file could not be written to
// its end, 2 unusable input or a file that cannot be opened.
int run_trace(const TraceOptions& options, std::FILE* out, std::FILE* err);

}  // namespace medley::cli
