// What `medley serve --usage FILE` records, and `medley plan --from-usage FILE` reads: traffic,
// promises kept, and what was learned of the pools' speed, in spans of minutes. No content.
//
// One JSON object a line, appended: a file grows over restarts. docs/serve.md lists the keys.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "data/workload_file.h"

namespace medley::data {

// How many lengths fell into each range; ranges are a quarter of an octave wide, so that a file
// does not grow with traffic.
struct LengthCounts {
  std::map<long long, long long> up_to;  // by the longest of the range, in tokens
  double sum = 0;                        // of all lengths, exactly

  long long count() const;
  double mean() const { return count() > 0 ? sum / static_cast<double>(count()) : 0; }
  void add(long long tokens);
  void add(const LengthCounts& more);
  // Even within each range. Precondition: count() > 0.
  LengthLaw law() const;
};

// The requests of one class, label and name asked for.
struct UsageKind {
  std::string service_class, label, model;
  long long arrived = 0;
  // Those that ended in the span. A request keeps its promise when it meets each of its targets.
  long long completed = 0, kept = 0, rejected = 0, failed = 0, cancelled = 0;
  long long own_targets = 0;                  // arrived with targets of their own
  LengthCounts prompt_tokens, output_tokens;  // of all that ended; of whole answers
  // Between arrivals: their number, sum and sum of squares.
  double gaps = 0, gap_sum_s = 0, gap_sum_s2 = 0;

  // Cancelled ones left out: whether they would have been kept nobody knows.
  long long judged() const { return completed + rejected + failed; }
  void add(const UsageKind& more);
};

struct UsagePool {
  std::string name, device, model;
  int replicas = 0, up = 0;  // of the fleet file; not lost when the span ended
  long long completed = 0;
  std::optional<double> joules, money;  // of the requests that ended there; unknown where empty
  // Observed by what the step model said, as learned by the scheduler; empty before the first one.
  std::optional<double> ttft_ratio, tpot_ratio;
};

struct UsageSpan {
  long long from_unix_s = 0;
  int hour = 0;  // of the day where `serve` ran, by its clock
  double seconds = 0;
  std::vector<UsageKind> kinds;
  std::vector<UsagePool> pools;
};

// Without the line's end.
std::string usage_line(const UsageSpan& span);

// In file order; at least one. Errors name file, line and key. A last line that was cut off, as by
// a machine that lost its power, is left out.
Result<std::vector<UsageSpan>> read_usage(const std::string& path);
Result<std::vector<UsageSpan>> parse_usage(std::string_view text, const std::string& name);

}  // namespace medley::data
