// `medley simulate`: a scenario replayed in virtual time.
#pragma once

#include <cstdio>
#include <optional>
#include <string>

namespace medley::cli {

struct SimulateOptions {
  std::string scenario;
  std::string catalog;       // its folder; empty: data::default_catalog_folder()
  bool json = false;         // --output json
  std::string requests_csv;  // one row a request; empty: none
  std::string report;        // HTML with pictures; empty: none
  std::string decisions;     // the decision log; empty: none
  std::string trace;         // in place of the scenario's trace file, same format; empty: as stated
  std::string placement;     // in place of the scenario's; empty: as stated
  // Policies to run side by side in place of one run: "medley,round_robin".
  std::optional<std::string> compare;
  std::optional<std::string> loads;  // of --compare: "0.5,1"; without, 1
  std::optional<std::string> seeds;  // of --compare: "11..20", "1,5"; without, the scenario's
  std::optional<std::string> prediction_error;  // put upon forecasts: "0.3"; without, none
  std::optional<std::string> prefill_error;     // put upon scheduled devices, as above
  std::optional<std::string> heard_every;       // seconds; of the arena
};

// Tables or JSON on `out`, prose on `err`. Exit status: 0 answered, 2 unusable input, 6 an
// `expected:` figure of the scenario was missed.
int run_simulate(const SimulateOptions& options, std::FILE* out, std::FILE* err);

}  // namespace medley::cli
