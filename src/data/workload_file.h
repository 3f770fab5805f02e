// Workloads: requests made up from a seed, in place of a trace. docs/simulate.md ("workload") lists
// the keys; docs/trace.md says how `medley trace fit` fills them from a trace.
//
// A workload is one stream of requests or several that are merged by time. It stands in a scenario
// (`workload:`) or in a file of its own, which a scenario names (`workload: chat.yaml`,
// `workload: {from: chat.yaml, scale: 2}`).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "data/yaml.h"
#include "domain/service_class.h"

namespace medley::data {

// A distribution by its quantiles: (share of the values at or below, value), the shares ascending
// from 0 to 1, the values never falling, linear between.
struct Quantiles {
  std::vector<std::pair<double, double>> points;
  bool empty() const { return points.empty(); }
  // Precondition: not empty, share in [0, 1].
  double at(double share) const;
};

// Lengths in tokens, rounded, from 1 to `max`: by quantiles where these are given, else drawn
// log-normally; sigma 0 is always the median.
struct LengthLaw {
  double median = 1, sigma = 0;
  long long max = 1 << 20;
  Quantiles quantiles;
};

// The law of answers to prompts of at most `up_to` tokens (and longer than the range before).
struct OutputRange {
  long long up_to = 0;  // of the last one: no bound
  LengthLaw tokens;
};

inline constexpr double kMostSwingCv = 10;    // of all swings together
inline constexpr double kLongestSwing = 1e6;  // seconds

// The rate wanders: a log-normal factor of mean 1 and this coefficient of variation, drawn anew
// every so many seconds. Several multiply.
struct RateSwing {
  double every_s = 1, cv = 0;
};

struct ArrivalLaw {
  // Coefficient of variation of the gaps while the rate stands still: 1 is Poisson, 0 a metronome,
  // between and beyond Gamma-distributed gaps.
  double gap_cv = 1;
  std::vector<RateSwing> swings;
  // Rate over time, repeated: factors of mean 1, each for `shape_every_s` seconds. Empty: flat.
  std::vector<double> shape;
  double shape_every_s = 0;
  double tick_s = 0;  // arrivals are noted at multiples of it, rounded down; 0: as they come
};

// How often and how much prompts of at most `up_to` tokens repeat the beginning of an earlier one.
struct TurnRange {
  long long up_to = 0;  // of the last one: no bound
  double share = 0;     // of such prompts
  Quantiles part;       // of the prompt's tokens that are repeated, 0 to 1
};

struct PrefixLaw {
  long long common_tokens = 0;   // every prompt begins with the same ones
  std::vector<TurnRange> turns;  // conversations that go on
  Quantiles age_s;               // how long ago the repeated prompt came
};

// Requests of one kind. Ends at the first limit.
struct WorkloadStream {
  std::optional<long long> requests;
  std::optional<double> for_s;
  double start_s = 0;  // its first instant
  double rate_per_s = 1;
  ArrivalLaw arrivals;
  LengthLaw prompt_tokens;
  std::vector<OutputRange> output_tokens;  // one or more
  std::optional<PrefixLaw> prefix;
  // What the stream says of its requests; empty: drawn from the scenario's mix.
  std::optional<ServiceClass> service_class;
  std::string label, model, tenant;
  long long priority = 0;
};

struct WorkloadSpec {
  std::vector<WorkloadStream> streams;  // one or more
};

// What the values of a stream must be, taken together; the error's param is the key. The reader
// asks it, and so must whoever changes a stream or makes one up: beyond these bounds a generator
// might not end, and no file could say the same.
Status within_bounds(const WorkloadStream& stream);

// A map (one stream), a list of maps, or the path of a workload file.
Result<WorkloadSpec> read_workload(const Node& node);
Result<WorkloadSpec> read_workload_file(const std::string& path);
// From memory; `name` stands for the file.
Result<WorkloadSpec> parse_workload(std::string_view text, const std::string& name);

// {quantiles}, {median, sigma, max}, or one number for a fixed length.
Result<LengthLaw> read_lengths(const Node& node);
// The same, or `by_prompt`.
Result<std::vector<OutputRange>> read_outputs(const Node& node);
// As YAML in one line; the readers above read the same from it, numbers to six digits.
std::string to_yaml(const LengthLaw& law);
std::string to_yaml(const std::vector<OutputRange>& outputs);

// The keys of one stream, one a line; read_workload reads the same stream from it, numbers to six
// digits.
std::string to_yaml(const WorkloadStream& stream);

}  // namespace medley::data
