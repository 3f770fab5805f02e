#include "simulate/round_plan.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"

namespace medley::simulate {
namespace {

constexpr double kAlmost = 1e-9;  // of a round: what adding up may lose
// Of the number of rounds. One in two hundred is what a makespan may be too long by for the plan's
// sake.
constexpr double kPlanGap = 0.005;
constexpr double kPlanTime = 20, kRoundTime = 2;  // seconds; seldom reached
constexpr int kMostRounds = 1'000'000'000;

int rounds_for(double steps, double speed) {
  return static_cast<int>(std::min<double>(kMostRounds, std::ceil(steps / speed - kAlmost)));
}

// The least number of rounds in which all this fits, if every round could be packed.
int rounds_left(const std::vector<RoundJob>& jobs, const std::vector<int>& devices,
                const RoundCounts& planned) {
  int most = 0;
  std::vector<long long> busy(devices.size(), 0);
  for (std::size_t j = 0; j < jobs.size(); ++j) {
    most = std::max(most, std::accumulate(planned[j].begin(), planned[j].end(), 0));
    for (std::size_t t = 0; t < devices.size(); ++t)
      busy[t] += static_cast<long long>(jobs[j].gang) * planned[j][t];
  }
  for (std::size_t t = 0; t < devices.size(); ++t) {
    if (devices[t] > 0)
      most = std::max(most, static_cast<int>((busy[t] + devices[t] - 1) / devices[t]));
  }
  return most;
}

}  // namespace

void trim_rounds(const RoundJob& job, std::vector<int>& rounds) {
  double surplus = -job.steps;
  for (std::size_t t = 0; t < rounds.size(); ++t)
    surplus += rounds[t] * job.speed[t];
  std::vector<std::size_t> order(rounds.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return job.speed[a] < job.speed[b]; });
  for (const std::size_t t : order) {
    while (rounds[t] > 0 && surplus >= job.speed[t] - kAlmost * job.speed[t]) {
      --rounds[t];
      surplus -= job.speed[t];
    }
  }
}

Result<RoundCounts> plan_rounds(const std::vector<RoundJob>& jobs, const std::vector<int>& devices,
                                solve::IntegerSolver& solver) {
  IntegerProgram program;
  std::vector<int> type_row, job_row, step_row;
  for (std::size_t t = 0; t < devices.size(); ++t)
    type_row.push_back(program.add_row(-kUnlimited, 0));
  std::vector<double> best;
  double fallback_rounds = 0;
  for (const RoundJob& job : jobs) {
    best.push_back(*std::max_element(job.speed.begin(), job.speed.end()));
    fallback_rounds += std::ceil(job.steps / best.back());
    job_row.push_back(program.add_row(-kUnlimited, 0));
    step_row.push_back(program.add_row(job.steps / best.back(), kUnlimited));
  }
  program.add_column({.cost = 1, .most = fallback_rounds + 1, .whole = true});  // how many rounds
  for (std::size_t t = 0; t < devices.size(); ++t)
    program.add_entry(type_row[t], -devices[t]);
  for (const int row : job_row)
    program.add_entry(row, -1);
  std::vector<std::vector<int>> column(jobs.size(), std::vector<int>(devices.size(), -1));
  for (std::size_t j = 0; j < jobs.size(); ++j) {
    for (std::size_t t = 0; t < devices.size(); ++t) {
      if (!(jobs[j].speed[t] > 0) || devices[t] < jobs[j].gang)
        continue;
      column[j][t] = program.add_column(
          {.most = static_cast<double>(rounds_for(jobs[j].steps, jobs[j].speed[t])),
           .whole = true});
      program.add_entry(type_row[t], jobs[j].gang);
      program.add_entry(job_row[j], 1);
      program.add_entry(step_row[j], jobs[j].speed[t] / best[j]);
    }
  }
  IntegerOptions options;
  options.time_limit_s = kPlanTime;
  options.gap = kPlanGap;
  Result<IntegerSolution> solution = solver.solve(program, options);
  if (!solution.ok())
    return std::move(solution).error();
  if (solution->x.empty()) {  // in parts of rounds then, rounded up
    for (IntegerProgram::Column& one : program.column)
      one.whole = false;
    solution = solver.solve(program, options);
    if (!solution.ok())
      return std::move(solution).error();
    if (solution->x.empty())
      return Error{ErrorCode::kInternal, "no plan of rounds was found", {}};
  }
  RoundCounts rounds(jobs.size(), std::vector<int>(devices.size(), 0));
  for (std::size_t j = 0; j < jobs.size(); ++j) {
    for (std::size_t t = 0; t < devices.size(); ++t) {
      if (column[j][t] >= 0)
        rounds[j][t] =
            static_cast<int>(std::ceil(solution->x[static_cast<std::size_t>(column[j][t])] - 1e-6));
    }
    trim_rounds(jobs[j], rounds[j]);
  }
  return rounds;
}

Result<std::vector<int>> next_round(const std::vector<RoundJob>& jobs,
                                    const std::vector<int>& devices, const RoundCounts& planned,
                                    double move_share, solve::IntegerSolver& solver) {
  const int left = rounds_left(jobs, devices, planned);
  // What costs the horizon a round is dear, the rest says what is urgent.
  constexpr double kHorizon = 1000, kLeastStay = 0.02;
  IntegerProgram program;
  std::vector<int> type_row;
  for (std::size_t t = 0; t < devices.size(); ++t) {
    long long busy = 0;
    for (std::size_t j = 0; j < jobs.size(); ++j)
      busy += static_cast<long long>(jobs[j].gang) * planned[j][t];
    const long long spare = static_cast<long long>(devices[t]) * left - busy;
    // Devices of this round that must not idle, or the type has more to do than rounds are left.
    const int must = static_cast<int>(std::max<long long>(0, devices[t] - spare));
    type_row.push_back(program.add_row(-kUnlimited, devices[t]));
    const int busy_row = program.add_row(must, kUnlimited);
    MEDLEY_CHECK(busy_row == type_row.back() + 1);
    program.add_column({.cost = kHorizon, .most = static_cast<double>(must)});
    program.add_entry(busy_row, 1);
  }
  std::vector<std::vector<int>> column(jobs.size(), std::vector<int>(devices.size(), -1));
  for (std::size_t j = 0; j < jobs.size(); ++j) {
    const int rounds = std::accumulate(planned[j].begin(), planned[j].end(), 0);
    if (rounds == 0)
      continue;
    const int row = program.add_row(rounds == left ? 1 : 0, 1);
    if (rounds == left) {
      program.add_column({.cost = kHorizon * jobs[j].gang, .most = 1});
      program.add_entry(row, 1);
    }
    const double urgency = static_cast<double>(rounds) / left;
    for (std::size_t t = 0; t < devices.size(); ++t) {
      if (planned[j][t] == 0)
        continue;
      const double stay =
          jobs[j].last_type == static_cast<int>(t) ? std::max(kLeastStay, move_share) : 0;
      column[j][t] = program.add_column(
          {.cost = -jobs[j].gang * (0.1 + urgency + stay), .most = 1, .whole = true});
      program.add_entry(type_row[t], jobs[j].gang);
      program.add_entry(type_row[t] + 1, jobs[j].gang);
      program.add_entry(row, 1);
    }
  }
  IntegerOptions options;
  options.time_limit_s = kRoundTime;
  options.gap = 1e-3;
  MEDLEY_TRY(const IntegerSolution solution, solver.solve(program, options));

  std::vector<int> chosen(jobs.size(), -1);
  std::vector<int> idle = devices;
  for (std::size_t j = 0; j < jobs.size() && !solution.x.empty(); ++j) {
    for (std::size_t t = 0; t < devices.size(); ++t) {
      if (column[j][t] >= 0 && solution.x[static_cast<std::size_t>(column[j][t])] > 0.5) {
        chosen[j] = static_cast<int>(t);
        idle[t] -= jobs[j].gang;
      }
    }
  }
  // Devices that idle help whoever can use them, those with most rounds to go first.
  std::vector<std::size_t> order(jobs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::accumulate(planned[a].begin(), planned[a].end(), 0) >
           std::accumulate(planned[b].begin(), planned[b].end(), 0);
  });
  for (const std::size_t j : order) {
    if (chosen[j] >= 0 || jobs[j].steps <= 0)
      continue;
    for (std::size_t t = 0; t < devices.size(); ++t) {
      if (jobs[j].speed[t] > 0 && idle[t] >= jobs[j].gang &&
          (chosen[j] < 0 || jobs[j].speed[t] > jobs[j].speed[static_cast<std::size_t>(chosen[j])]))
        chosen[j] = static_cast<int>(t);
    }
    if (chosen[j] >= 0)
      idle[static_cast<std::size_t>(chosen[j])] -= jobs[j].gang;
  }
  return chosen;
}

}  // namespace medley::simulate
