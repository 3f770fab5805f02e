// The file that `medley perf measure` writes and that a pool names by `measured:`: how fast one
// deployment was seen to be.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "domain/step_constants.h"

namespace medley::data {

struct Measured {
  std::string endpoint, model;  // what was measured
  std::string command, date;    // how and when: provenance, shown and never acted on
  LinearConstants constants;
  // Network, gateway and client, beside the steps: not part of the constants. Empty: too little to
  // be told.
  std::optional<double> request_s;
  int most_running = 0;        // answers seen at once
  bool limit_seen = false;     // more were asked for: the deployment runs no more at once
  long long chunk_tokens = 0;  // prompt tokens a step was taken to have at most
};

// Errors name file, line and field.
Result<Measured> read_measured(const std::string& path);
Result<Measured> parse_measured(std::string_view text, std::string name);
// What read_measured reads. Control characters in texts are left out.
std::string to_yaml(const Measured& measured);

}  // namespace medley::data
