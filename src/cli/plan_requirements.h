// `medley plan FILE`: the cheapest fleet for a requirements file, proved by simulation.
#pragma once

#include <cstdio>
#include <string>

namespace medley::cli {

struct PlanRequirementsOptions {
  std::string file;
  std::string catalog;      // its folder; empty: data::default_catalog_folder()
  bool json = false;        // --output json
  bool no_proof = false;    // the program alone
  bool no_compare = false;  // the chosen fleet alone
  std::string write_fleet;  // the chosen fleet as a fleet file; empty: none
  std::string report;       // HTML with pictures; empty: none
};

// Tables or JSON on `out`, prose on `err`. Exit status: 0 a plan that simulation agrees with,
// 1 a file could not be written, 2 unusable input, 3 no fleet can be, 6 simulation does not agree.
int run_plan_requirements(const PlanRequirementsOptions& options, std::FILE* out, std::FILE* err);

}  // namespace medley::cli
