// A generator fitted to a trace: the workload whose requests look like the trace's.
//
// docs/trace.md ("fit") says what is fitted and what is lost. In short: the rate over time as a
// shape that repeats; the unevenness left after it as gaps or as a wandering rate, whichever comes
// nearest to the trace's dispersion over all window lengths; lengths by their quantiles, answers
// apart for ranges of prompts; what prompts have in common with earlier ones.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "data/trace.h"
#include "data/workload_file.h"
#include "simulate/trace_stats.h"

namespace medley::simulate {

// A way to make arrivals, and how far its dispersion is from the trace's: the root mean square of
// the logarithms of the ratios over the windows, as a factor less 1 (0.1: 10 % off).
struct ArrivalCandidate {
  // "poisson", "constant gaps", "gamma gaps", "wandering rate", "gamma gaps, wandering rate"
  std::string name;
  data::ArrivalLaw law;
  double error = 0;            // infinite where nothing could be compared
  bool within_chance = false;  // no farther off than traces of the same law are from one another
  bool chosen = false;
};

// A figure of the trace beside the same of traces generated from the fit.
struct FitFigure {
  std::string name;
  double trace = 0;
  double mean = 0, least = 0, most = 0;  // over the generated ones
};

struct TraceFit {
  data::WorkloadStream workload;
  std::vector<ArrivalCandidate> candidates;
  std::vector<FitFigure> figures;
  int generated = 0;  // how many traces the figures are of
};

// Fails with fewer than 100 requests, or when all came at one instant. Deterministic: its own draws
// are seeded.
Result<TraceFit> fit_trace(std::span<const data::TraceRequest> requests, const TraceStats& stats);

}  // namespace medley::simulate
