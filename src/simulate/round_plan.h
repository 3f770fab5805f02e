// Which training jobs run where in each round, so that the last one ends soon.
//
// Rounds are planned twice. First how many rounds each job spends on each device type: an integer
// program that makes the last round come as early as it can (Gavel's makespan policy, in whole
// rounds). Then, round by round, which of these to run now: another, that leaves no job and no type
// with more to do than there are rounds left.
#pragma once

#include <vector>

#include "base/result.h"
#include "solve/integer_solver.h"

namespace medley::simulate {

struct RoundJob {
  int gang = 1;               // whole devices of one type
  double steps = 0;           // left to do
  std::vector<double> speed;  // steps of a whole round, by type; 0: cannot run there
  int last_type = -1;         // where it ran in the last round; -1: nowhere
};

// Rounds of each job on each type.
using RoundCounts = std::vector<std::vector<int>>;

// Takes away what the job does not need, on its slowest types first.
void trim_rounds(const RoundJob& job, std::vector<int>& rounds);

// Enough rounds for every job. Errors: those of the solver.
Result<RoundCounts> plan_rounds(const std::vector<RoundJob>& jobs, const std::vector<int>& devices,
                                solve::IntegerSolver& solver);

// The type each job runs on in the next round, -1 for none: of the rounds planned, and then
// whatever else finds devices idle. `move_share` of a round is lost by a job that runs elsewhere
// than in the last one.
Result<std::vector<int>> next_round(const std::vector<RoundJob>& jobs,
                                    const std::vector<int>& devices, const RoundCounts& planned,
                                    double move_share, solve::IntegerSolver& solver);

}  // namespace medley::simulate
