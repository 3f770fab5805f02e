// Measured serving runs against the step models: each model left out in turn per (system, backend).
//
// Predictions come from constants fitted on the aggregated rows without that model in that system
// and backend: first on all rows, then, from there, on those of the backend. Disaggregated rows are
// in no fit and are predicted by constants of all aggregated rows of their backend.
#pragma once

#include <string>
#include <vector>

#include "cli/perf_evaluate.h"
#include "data/catalog.h"
#include "data/points.h"

namespace medley::cli {

struct ServingFold {
  std::string system, backend, model;
  bool disaggregated = false;
  std::size_t rows = 0;
  // Relative errors, one a row.
  std::vector<double> tpot_left_out, ttft_left_out, tpot_in_sample, ttft_in_sample;
};

struct ServingEvaluation {
  std::vector<ServingFold> folds;
  std::size_t listed_twice = 0;                  // rows that repeat another row's very measurement
  std::size_t unknown = 0;                       // rows whose device or model the catalogue lacks
  std::vector<std::string> reasons;              // why, once each
  std::size_t repeated = 0;                      // rows of configurations measured more than once
  std::vector<double> tpot_spread, ttft_spread;  // their deviations from their own mean
};

ServingEvaluation evaluate(const std::vector<data::ServingRow>& rows, const data::Catalog& catalog);

// One fit of each device, backend and number format, on the aggregated rows of all versions. Its
// errors are the mean ones of the time per token; left out goes by model and needs two of them.
// `told` receives what was left aside and why.
std::vector<GroupFit> fit_serving(const std::vector<data::ServingRow>& rows,
                                  const data::Catalog& catalog, ServingEvaluation& told);

double median(std::vector<double> values);  // 0 where there is none

}  // namespace medley::cli
