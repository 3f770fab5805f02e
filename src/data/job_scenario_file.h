// Scenarios of training jobs: a cluster, jobs, and rounds of whole devices (docs/simulate.md).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "data/scenario_file.h"

namespace medley::data {

struct JobScenario {
  struct Job {
    std::string name;
    int gang = 1;  // devices of one type that it takes at once
    double total_steps = 0;
    double arrived_s = 0;
    std::vector<double>
        steps_per_s;  // of the whole gang, by type of the cluster; 0: cannot run there
  };
  std::string name, file;
  std::vector<std::string> types;  // of the cluster
  std::vector<int> count;          // devices, by type
  double round_s = 360;
  double move_s =
      0;  // of a round, lost by a job that begins it elsewhere than it ended its last one
  std::vector<Job> jobs;
  std::map<std::string, Expected> expected;  // as of Scenario
};

// Whether the scenario is one of jobs: it has the key `jobs`. A file that cannot be read is not.
bool is_job_scenario(const std::string& path);

// `trace` stands in place of the file of the jobs, where it is not empty; the speeds are beside it
// then. Every job can run on some type of the cluster. Errors name file, line and what would be
// right.
Result<JobScenario> read_job_scenario(const std::string& path, const std::string& trace);

}  // namespace medley::data
