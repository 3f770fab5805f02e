// Training jobs on a mixed cluster, in rounds of whole devices (docs/simulate.md).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "data/job_scenario_file.h"

namespace medley::simulate {

struct JobReport {
  struct Job {
    double finished_s = 0;
    std::vector<int> rounds;  // by type
    int moves = 0;            // rounds begun elsewhere than the one before ended, but for the first
  };
  std::vector<Job> jobs;    // as in the scenario
  double makespan_s = 0;    // until the last job ends
  double bound_s = 0;       // no schedule ends sooner, of parts of devices and of rounds either
  double completion_s = 0;  // mean over jobs, from arrival
  double use = 0;           // share of all device-seconds until the end in which a job ran
  int rounds = 0;           // in which anything ran
};

// Every job runs to its end. Errors: those of the solvers.
Result<JobReport> simulate_jobs(const data::JobScenario& scenario);

std::string to_json(const JobReport& report, const data::JobScenario& scenario);

}  // namespace medley::simulate
