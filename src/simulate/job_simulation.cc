#include "simulate/job_simulation.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <limits>
#include <numeric>

#include "data/json.h"
#include "simulate/round_plan.h"
#include "simulate/training_shares.h"

namespace medley::simulate {
namespace {

namespace json = boost::json;
using data::JobScenario;

// What a job still lacks when it is done but for rounding.
constexpr double kAlmost = 1e-9;

// All jobs from the beginning, in parts of devices; and each alone from its arrival.
Result<double> bound_of(const JobScenario& scenario) {
  TrainingCase given;
  given.count = scenario.count;
  given.objective = TrainingObjective::kMakespan;
  double alone = 0;
  for (const JobScenario::Job& job : scenario.jobs) {
    given.jobs.push_back({job.gang, job.total_steps, job.steps_per_s});
    double best = 0;
    for (std::size_t t = 0; t < scenario.count.size(); ++t)
      best = std::max(best, scenario.count[t] >= job.gang ? job.steps_per_s[t] : 0);
    alone = std::max(alone, job.arrived_s + job.total_steps / best);
  }
  MEDLEY_TRY(const TrainingShares shares, best_training_shares(given));
  return std::max(alone, shares.bound);
}

class Rounds {
 public:
  explicit Rounds(const JobScenario& scenario) : scenario_(scenario) {
    report_.jobs.resize(scenario.jobs.size());
    for (std::size_t j = 0; j < scenario.jobs.size(); ++j) {
      const JobScenario::Job& job = scenario.jobs[j];
      RoundJob round_job{.gang = job.gang, .steps = job.total_steps, .speed = {}};
      for (const double speed : job.steps_per_s)
        round_job.speed.push_back(speed * scenario.round_s);
      left_.push_back(std::move(round_job));
      report_.jobs[j].rounds.assign(scenario.types.size(), 0);
      if (job.total_steps <= 0)
        report_.jobs[j].finished_s = job.arrived_s;
    }
  }

  Result<JobReport> run() {
    for (double round = 0;; ++round) {
      const double start = round * scenario_.round_s;
      if (const double next = admit(start); active_.empty()) {
        if (next == std::numeric_limits<double>::infinity())
          break;
        round = std::max(round, std::ceil(next / scenario_.round_s) - 1);
        continue;
      }
      MEDLEY_TRY_STATUS(run_round(start));
    }
    MEDLEY_TRY(report_.bound_s, bound_of(scenario_));
    finish();
    return report_;
  }

 private:
  // Takes in who has arrived; answers when the next one will.
  double admit(double start) {
    double next = std::numeric_limits<double>::infinity();
    for (std::size_t j = 0; j < left_.size(); ++j) {
      if (left_[j].steps <= 0 || std::find(active_.begin(), active_.end(), j) != active_.end())
        continue;
      if (scenario_.jobs[j].arrived_s > start) {
        next = std::min(next, scenario_.jobs[j].arrived_s);
        continue;
      }
      active_.push_back(j);
      planned_.clear();  // for others
    }
    return next;
  }

  Status run_round(double start) {
    std::vector<RoundJob> jobs;
    for (const std::size_t j : active_)
      jobs.push_back(left_[j]);
    const bool all_planned =
        planned_.size() == active_.size() &&
        std::all_of(planned_.begin(), planned_.end(), [](const std::vector<int>& rounds) {
          return std::accumulate(rounds.begin(), rounds.end(), 0) > 0;
        });
    if (!all_planned) {
      MEDLEY_TRY(planned_, plan_rounds(jobs, scenario_.count, *planner_));
    }
    MEDLEY_TRY(const std::vector<int> chosen,
               next_round(jobs, scenario_.count, planned_, scenario_.move_s / scenario_.round_s,
                          *chooser_));
    ++report_.rounds;
    for (std::size_t i = 0; i < active_.size(); ++i)
      advance(active_[i], chosen[i], start, planned_[i]);
    for (std::size_t i = active_.size(); i-- > 0;) {
      if (left_[active_[i]].steps > 0)
        continue;
      active_.erase(active_.begin() + static_cast<std::ptrdiff_t>(i));
      planned_.erase(planned_.begin() + static_cast<std::ptrdiff_t>(i));
    }
    return Done{};
  }

  void advance(std::size_t j, int type, double start, std::vector<int>& planned) {
    RoundJob& job = left_[j];
    JobReport::Job& told = report_.jobs[j];
    const bool began = std::accumulate(told.rounds.begin(), told.rounds.end(), 0) > 0;
    const int before = job.last_type;
    job.last_type = type;
    if (type < 0)
      return;
    const auto t = static_cast<std::size_t>(type);
    const bool moved = began && before != type;
    told.moves += moved ? 1 : 0;
    ++told.rounds[t];
    const double lost = moved ? scenario_.move_s : 0;
    const double speed = scenario_.jobs[j].steps_per_s[t];
    const double needed = lost + job.steps / speed;
    const double ran = std::min(scenario_.round_s, needed);
    busy_s_ += ran * job.gang;
    job.steps -= speed * (ran - lost);
    planned[t] = std::max(0, planned[t] - 1);
    if (needed <= scenario_.round_s * (1 + kAlmost)) {
      job.steps = 0;
      told.finished_s = start + needed;
      return;
    }
    trim_rounds(job, planned);
  }

  void finish() {
    double sum = 0;
    for (std::size_t j = 0; j < report_.jobs.size(); ++j) {
      report_.makespan_s = std::max(report_.makespan_s, report_.jobs[j].finished_s);
      sum += report_.jobs[j].finished_s - scenario_.jobs[j].arrived_s;
    }
    report_.completion_s = sum / static_cast<double>(report_.jobs.size());
    const double devices = std::accumulate(scenario_.count.begin(), scenario_.count.end(), 0.0);
    if (report_.makespan_s > 0)
      report_.use = busy_s_ / (devices * report_.makespan_s);
  }

  const JobScenario& scenario_;
  // The bound on a plan is bound_of(), so that nobody need prove one here.
  const std::unique_ptr<solve::IntegerSolver> planner_ =
      solve::make_integer_solver(solve::IntegerMethod::kCbc);
  const std::unique_ptr<solve::IntegerSolver> chooser_ =
      solve::make_integer_solver(solve::IntegerMethod::kBranchAndBound);
  std::vector<RoundJob> left_;       // by job
  std::vector<std::size_t> active_;  // jobs that have arrived and are not done
  RoundCounts planned_;              // of the active ones
  double busy_s_ = 0;                // device-seconds
  JobReport report_;
};

}  // namespace

Result<JobReport> simulate_jobs(const JobScenario& scenario) { return Rounds(scenario).run(); }

std::string to_json(const JobReport& report, const JobScenario& scenario) {
  json::array jobs;
  for (std::size_t j = 0; j < report.jobs.size(); ++j) {
    json::object rounds;
    for (std::size_t t = 0; t < scenario.types.size(); ++t) {
      if (report.jobs[j].rounds[t] > 0)
        rounds[scenario.types[t]] = report.jobs[j].rounds[t];
    }
    jobs.push_back(json::object{{"name", scenario.jobs[j].name},
                                {"arrived_s", scenario.jobs[j].arrived_s},
                                {"finished_s", report.jobs[j].finished_s},
                                {"rounds", rounds},
                                {"moves", report.jobs[j].moves}});
  }
  const auto moves =
      std::accumulate(report.jobs.begin(), report.jobs.end(), 0,
                      [](int sum, const JobReport::Job& job) { return sum + job.moves; });
  return data::json_pretty(json::object{{"name", scenario.name},
                                        {"jobs", report.jobs.size()},
                                        {"makespan_s", report.makespan_s},
                                        {"bound_s", report.bound_s},
                                        {"completion_s", report.completion_s},
                                        {"use", report.use},
                                        {"rounds", report.rounds},
                                        {"moves", moves},
                                        {"each", jobs}});
}

}  // namespace medley::simulate
