// Which share of its time each training job gets on each accelerator type.
//
// The policies are those of Narayanan et al., Heterogeneity-aware cluster scheduling policies for
// deep learning workloads (Gavel, OSDI 2020), as linear programs over shares.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace medley::simulate {

enum class TrainingObjective {
  kMaxMin,      // the least progress of a job, in multiples of an equal split of the cluster
  kMakespan,    // seconds until the last job ends
  kThroughput,  // steps/s of all jobs
  kThroughputPerDollar,
};
inline constexpr std::string_view kTrainingObjectives[] = {"max_min", "makespan", "throughput",
                                                           "throughput_per_dollar"};

struct TrainingJob {
  int gang = 1;  // devices it takes at once
  double total_steps = 0;
  std::vector<double>
      steps_per_s;  // of the whole gang, by type of the cluster; 0: cannot run there
};

struct TrainingCase {
  std::vector<int> count;             // by type: devices
  std::vector<double> cost_per_hour;  // by type; for kThroughputPerDollar alone
  std::vector<TrainingJob> jobs;
  TrainingObjective objective = TrainingObjective::kMaxMin;
};

struct TrainingShares {
  enum class Status { kOptimal, kFeasible, kInfeasible };
  Status status = Status::kInfeasible;
  double objective = 0;  // that the shares reach, recomputed from them
  double bound = 0;      // no shares reach more (kMakespan: less); from prices, by weak duality
  std::vector<std::vector<double>> shares;   // by job, by type
  std::vector<std::size_t> infeasible_jobs;  // those that no type of the cluster runs
};

// kOptimal: bound and objective agree to this, relative.
inline constexpr double kTrainingGap = 1e-6;

// Errors: those of solve::LinearSolver.
Result<TrainingShares> best_training_shares(const TrainingCase& given);

}  // namespace medley::simulate
