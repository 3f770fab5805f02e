// `medley plan --cases` and `--training`: planning problems as other tools state them
// (docs/plan.md).
#pragma once

#include <cstdio>
#include <string>

namespace medley::cli {

struct PlanCasesOptions {
  std::string cases;        // fleet-mix cases; empty: none
  std::string training;     // training-share cases; empty: none
  double time_limit_s = 3;  // of each fleet-mix case
  bool json = false;        // --output json
};

// Exit status: 0 answered (infeasible is an answer), 1 without a solver, 2 unusable input.
int run_plan_cases(const PlanCasesOptions& options, std::FILE* out, std::FILE* err);

}  // namespace medley::cli
