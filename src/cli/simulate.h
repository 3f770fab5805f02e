// `medley simulate`: a scenario replayed in virtual time.
#pragma once

#include <cstdio>
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
};

// Tables or JSON on `out`, prose on `err`. Exit status: 0 answered, 2 unusable input, 6 an
// `expected:` figure of the scenario was missed.
int run_simulate(const SimulateOptions& options, std::FILE* out, std::FILE* err);

}  // namespace medley::cli
