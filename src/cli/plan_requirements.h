// `medley plan FILE`: the cheapest fleet for a requirements file, proved by simulation.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "data/catalog.h"
#include "data/requirements_file.h"
#include "plan/proof.h"

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

// What cannot be together, how that is known and what would help, JSON on `out` where it was asked
// for, when no fleet can do `what`. `proven`: as of plan::conflict_in(). Exit status 3; 1 or 2
// where the conflict could not be found.
int tell_conflict(const data::Requirements& requirements, const plan::Proven* proven,
                  const data::Catalog& catalog, std::string_view what, bool json, std::FILE* out,
                  std::FILE* err);

}  // namespace medley::cli
