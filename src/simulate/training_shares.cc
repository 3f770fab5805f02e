#include "simulate/training_shares.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/linear_program.h"
#include "solve/linear_solver.h"

namespace medley::simulate {
namespace {

using Status = TrainingShares::Status;

constexpr int kNone = -1;

double of_cluster(const TrainingCase& given, const TrainingJob& job) {
  double sum = 0;
  for (std::size_t t = 0; t < given.count.size(); ++t)
    sum += job.steps_per_s[t] * given.count[t];
  return sum;
}

bool counts_every_job(TrainingObjective objective) {
  return objective == TrainingObjective::kMaxMin || objective == TrainingObjective::kMakespan;
}

// What a full share of each type is worth to the job: for the first two objectives in units of what
// all jobs are to reach, for the others of the sum.
std::vector<double> worths(const TrainingCase& given, const TrainingJob& job) {
  double factor = 1;
  if (given.objective == TrainingObjective::kMaxMin) {
    double devices = 0;
    for (const int n : given.count)
      devices += n;
    factor = job.gang * devices / of_cluster(given, job);
  } else if (given.objective == TrainingObjective::kMakespan) {
    factor = 1 / job.total_steps;
  }
  std::vector<double> all;
  for (std::size_t t = 0; t < given.count.size(); ++t) {
    const double price =
        given.objective == TrainingObjective::kThroughputPerDollar && given.count[t] > 0
            ? given.cost_per_hour[t]
            : 1;
    all.push_back(given.count[t] > 0 ? job.steps_per_s[t] * factor / price : 0);
  }
  return all;
}

// Nothing of a job's work is left to do: it holds nothing up.
bool is_done(const TrainingCase& given, const TrainingJob& job) {
  return given.objective == TrainingObjective::kMakespan && job.total_steps == 0;
}

struct Stated {
  std::vector<std::vector<double>> worth;  // by job, by type, scaled
  std::vector<std::vector<int>> column;    // by job, by type; kNone
  double scale = 1;                        // of worth: what it was divided by
  LinearProgram program;
};

Stated state(const TrainingCase& given) {
  Stated stated;
  for (const TrainingJob& job : given.jobs)
    stated.worth.push_back(is_done(given, job) ? std::vector<double>(given.count.size(), 0)
                                               : worths(given, job));
  // In units in which the answer is about one, or tolerances of the solver would not be relative to
  // it.
  double most = 0, least = std::numeric_limits<double>::infinity();
  for (std::size_t j = 0; j < given.jobs.size(); ++j) {
    const double best = *std::max_element(stated.worth[j].begin(), stated.worth[j].end());
    most = std::max(most, best);
    if (!is_done(given, given.jobs[j]))
      least = std::min(least, best);
  }
  stated.scale = counts_every_job(given.objective) ? least : most;
  if (!(stated.scale > 0) || !std::isfinite(stated.scale))
    stated.scale = 1;

  LinearProgram& program = stated.program;
  std::vector<int> type_row(given.count.size(), kNone);
  for (std::size_t t = 0; t < given.count.size(); ++t) {
    if (given.count[t] > 0)
      type_row[t] = program.add_row(given.count[t]);
  }
  std::vector<int> whole_row, level_row;
  for (const TrainingJob& job : given.jobs) {
    whole_row.push_back(program.add_row(1));
    level_row.push_back(
        counts_every_job(given.objective) && !is_done(given, job) ? program.add_row(0) : kNone);
  }
  if (counts_every_job(given.objective)) {
    program.add_column(1);  // the level that all reach
    for (const int row : level_row) {
      if (row != kNone)
        program.add_entry(row, 1);
    }
  }
  for (std::size_t j = 0; j < given.jobs.size(); ++j) {
    stated.column.emplace_back(given.count.size(), kNone);
    for (std::size_t t = 0; t < given.count.size(); ++t) {
      double& worth = stated.worth[j][t];
      worth /= stated.scale;
      if (!(worth > 0))
        continue;
      stated.column[j][t] = static_cast<int>(program.columns());
      program.add_column(counts_every_job(given.objective) ? 0 : worth);
      program.add_entry(type_row[t], given.jobs[j].gang);
      program.add_entry(whole_row[j], 1);
      if (level_row[j] != kNone)
        program.add_entry(level_row[j], -worth);
    }
  }
  return stated;
}

// In the units of the program. Shares are at most one and so the level is at most what its slowest
// job reaches alone: with that, any prices prove a bound.
double proven(const Stated& stated, const LinearSolution& solution) {
  const LinearProgram& program = stated.program;
  double bound = 0;
  for (std::size_t r = 0; r < program.rows(); ++r)
    bound += program.limit[r] * std::max(0.0, solution.dual[r]);
  for (std::size_t c = 0; c < program.columns(); ++c) {
    double worth = program.gain[c];
    for (int e = program.start[c]; e < program.start[c + 1]; ++e)
      worth -=
          program.amount[static_cast<std::size_t>(e)] *
          std::max(
              0.0,
              solution.dual[static_cast<std::size_t>(program.row[static_cast<std::size_t>(e)])]);
    // A level is about one by the units chosen in state(): the least of the jobs' best.
    bound += std::max(0.0, worth);
  }
  return bound;
}

// Shares that keep to all limits exactly, whatever the solver's tolerance.
void keep_to_limits(const TrainingCase& given, std::vector<std::vector<double>>& shares) {
  for (std::vector<double>& share : shares) {
    double sum = 0;
    for (const double x : share)
      sum += x;
    for (double& x : share)
      x /= std::max(1.0, sum);
  }
  for (std::size_t t = 0; t < given.count.size(); ++t) {
    double used = 0;
    for (std::size_t j = 0; j < shares.size(); ++j)
      used += given.jobs[j].gang * shares[j][t];
    for (std::vector<double>& share : shares)
      share[t] *= used > given.count[t] ? given.count[t] / used : 1;
  }
}

}  // namespace

Result<TrainingShares> best_training_shares(const TrainingCase& given) {
  TrainingShares answer;
  if (counts_every_job(given.objective)) {
    for (std::size_t j = 0; j < given.jobs.size(); ++j) {
      if (!is_done(given, given.jobs[j]) && of_cluster(given, given.jobs[j]) <= 0)
        answer.infeasible_jobs.push_back(j);
    }
    if (!answer.infeasible_jobs.empty())
      return answer;
  }
  if (std::all_of(given.jobs.begin(), given.jobs.end(),
                  [&](const TrainingJob& job) { return is_done(given, job); })) {
    answer.status = Status::kOptimal;
    answer.shares.assign(given.jobs.size(), std::vector<double>(given.count.size(), 0));
    return answer;
  }
  const Stated stated = state(given);
  MEDLEY_TRY(const LinearSolution solution, solve::make_linear_solver()->solve(stated.program));
  for (std::size_t j = 0; j < given.jobs.size(); ++j) {
    answer.shares.emplace_back(given.count.size(), 0);
    for (std::size_t t = 0; t < given.count.size(); ++t) {
      if (const int column = stated.column[j][t]; column != kNone)
        answer.shares[j][t] = solution.x[static_cast<std::size_t>(column)];
    }
  }
  keep_to_limits(given, answer.shares);

  double sum = 0, least = std::numeric_limits<double>::infinity();
  for (std::size_t j = 0; j < given.jobs.size(); ++j) {
    double reached = 0;
    for (std::size_t t = 0; t < given.count.size(); ++t)
      reached += stated.worth[j][t] * answer.shares[j][t];
    sum += reached;
    if (!is_done(given, given.jobs[j]))
      least = std::min(least, reached);
  }
  double reached = counts_every_job(given.objective) ? least : sum;
  double bound = proven(stated, solution);
  const bool agrees = !(bound - reached > kTrainingGap * reached);
  answer.status = agrees ? Status::kOptimal : Status::kFeasible;
  reached *= stated.scale;
  bound *= stated.scale;
  answer.objective = given.objective == TrainingObjective::kMakespan ? 1 / reached : reached;
  answer.bound = given.objective == TrainingObjective::kMakespan ? 1 / bound : bound;
  return answer;
}

}  // namespace medley::simulate
