// `medley plan --from-usage`: what to add, move or switch off in a fleet that serves.
#pragma once

#include <cstdio>
#include <string>

namespace medley::cli {

struct PlanUsageOptions {
  std::string usage;    // what `medley serve --usage` wrote
  std::string fleet;    // the fleet file that was served
  std::string asked;    // requirements file; empty: what the fleet file says
  std::string catalog;  // its folder; empty: data::default_catalog_folder()
  bool json = false;    // --output json
};

// Tables or JSON on `out`, prose on `err`. Exit status as of run_plan_requirements.
int run_plan_usage(const PlanUsageOptions& options, std::FILE* out, std::FILE* err);

}  // namespace medley::cli
