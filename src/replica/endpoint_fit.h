// Step constants of an endpoint, from what its requests saw of it: those with which a virtual
// replica that replays the run shows the same times.
//
// Replaying takes care of what formulas for isolated requests leave out: answers of a burst that
// end early, prompts that slow down the decodes beside them, requests that wait for a place.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "domain/step_constants.h"
#include "perf/observation.h"
#include "replica/replica.h"

namespace medley::replica {

// One run of a timetable. Requests of one block were sent together; runs of the same timetable have
// the same blocks. A negative block is replayed and not fitted to.
struct EndpointRun {
  std::vector<perf::Observation> seen;  // sorted by sent_s
  std::vector<int> block;               // as `seen`
};

struct EndpointLimits {
  int max_running = 1;           // answers at once
  long long chunk_tokens = 384;  // prompt tokens of one step
};

struct EndpointFit {
  LinearConstants constants;              // the error bars are left to who checks them
  std::optional<double> request_s;        // beside the steps: network, gateway, client; empty: too
                                          // little to be told from a step
  double rms = 0;                         // of ln(replayed / seen) over the blocks' means
  std::vector<std::string> unidentified;  // constants that these runs do not tell
};

// Least squares of ln(replayed / seen), over mean TTFT and mean TPOT of each block, the median run
// of each. Fails when the fit does not converge, there are too few blocks, or no answer shows a
// time per token.
Result<EndpointFit> fit_endpoint(const std::vector<EndpointRun>& runs,
                                 const EndpointLimits& limits);

// What requests of these times and lengths would see, `request_s` included.
std::vector<perf::Observation> replay_endpoint(const std::vector<perf::Observation>& requests,
                                               const LinearConstants& constants, double request_s,
                                               const EndpointLimits& limits);

// How far off what was foretold is, of ln(seen / foretold): two thirds are off by less. Around what
// was foretold, so that one that is always too low is not taken for exact, and without the few that
// something else disturbed.
double error_bar(std::vector<double> log_ratios);

// The most answers that were under way at once: first token seen, last one not yet.
int most_decoding(const std::vector<perf::Observation>& seen);

}  // namespace medley::replica
