#include "simulate/job_simulation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <numeric>

#include "base/prng.h"

namespace medley::simulate {
namespace {

using data::JobScenario;

JobScenario two_jobs() {
  JobScenario scenario;
  scenario.types = {"fast", "slow"};
  scenario.count = {1, 1};
  scenario.round_s = 100;
  scenario.jobs = {{"a", 1, 4000, 0, {4, 1}}, {"b", 1, 3000, 0, {2, 1}}};
  return scenario;
}

JobReport run(const JobScenario& scenario) {
  const Result<JobReport> report = simulate_jobs(scenario);
  EXPECT_TRUE(report.ok()) << (report.ok() ? "" : report.error().message);
  return report.ok() ? *report : JobReport{};
}

TEST(JobSimulation, SharesTheFastDeviceInWholeRounds) {
  // In parts of rounds both end at 1857 s. In whole ones one of them takes a round more.
  const JobReport report = run(two_jobs());
  EXPECT_NEAR(report.bound_s, 13000.0 / 7, 1e-3);
  EXPECT_GE(report.makespan_s, report.bound_s);
  EXPECT_LE(report.makespan_s, 2000);
  for (std::size_t j = 0; j < 2; ++j)
    EXPECT_GT(report.jobs[j].finished_s, 1500);
}

TEST(JobSimulation, AJobEndsWithinItsRound) {
  JobScenario scenario = two_jobs();
  scenario.jobs = {{"a", 1, 1030, 0, {4, 0}}};
  const JobReport report = run(scenario);
  EXPECT_DOUBLE_EQ(report.makespan_s, 257.5);
  EXPECT_EQ(report.rounds, 3);
  EXPECT_EQ(report.jobs[0].rounds, (std::vector<int>{3, 0}));
  EXPECT_DOUBLE_EQ(report.use, 0.5);
}

TEST(JobSimulation, AMoveCostsWhatIsSaid) {
  JobScenario scenario = two_jobs();
  const double without = run(scenario).makespan_s;
  scenario.move_s = 20;
  const JobReport with = run(scenario);
  EXPECT_GE(with.makespan_s, without);
  for (std::size_t j = 0; j < 2; ++j) {
    double steps = -20 * with.jobs[j].moves * scenario.jobs[j].steps_per_s[0];  // at most
    for (std::size_t t = 0; t < 2; ++t)
      steps += with.jobs[j].rounds[t] * 100 * scenario.jobs[j].steps_per_s[t];
    EXPECT_GE(with.jobs[j].rounds[0] * 400 + with.jobs[j].rounds[1] * 100, 0);
    EXPECT_GE(steps + 20 * 4 * with.jobs[j].moves, scenario.jobs[j].total_steps * (1 - 1e-9));
  }
}

TEST(JobSimulation, NobodyRunsBeforeItArrives) {
  JobScenario scenario = two_jobs();
  scenario.jobs[1].arrived_s = 5050;
  scenario.jobs.push_back({"nothing to do", 1, 0, 30, {1, 1}});
  const JobReport report = run(scenario);
  EXPECT_DOUBLE_EQ(report.jobs[0].finished_s, 1000);
  EXPECT_DOUBLE_EQ(report.jobs[1].finished_s, 5100 + 1500);  // rounds begin at whole multiples
  EXPECT_DOUBLE_EQ(report.jobs[2].finished_s, 30);
}

// Devices are never shared, gangs are whole, work is done exactly, and the end is near the bound.
TEST(JobSimulation, KeepsItsLawsOnRandomClusters) {
  Prng prng(5);
  for (int round = 0; round < 3; ++round) {
    SCOPED_TRACE(round);
    JobScenario scenario;
    scenario.types = {"x", "y", "z"};
    scenario.round_s = 60;
    for (int t = 0; t < 3; ++t)
      scenario.count.push_back(static_cast<int>(4 * (1 + prng.below(3))));
    for (int j = 0; j < 20; ++j) {
      JobScenario::Job job{"job",
                           1 << prng.below(3),
                           1 + prng.uniform() * 30000,
                           prng.below(3) == 0 ? prng.uniform() * 3000 : 0,
                           {}};
      for (int t = 0; t < 3; ++t)
        job.steps_per_s.push_back(t > 0 && prng.below(4) == 0 ? 0 : 1 + prng.uniform() * 9);
      scenario.jobs.push_back(job);
    }
    const JobReport report = run(scenario);
    double most = 0, work = 0;
    for (std::size_t j = 0; j < scenario.jobs.size(); ++j) {
      const JobScenario::Job& job = scenario.jobs[j];
      const JobReport::Job& told = report.jobs[j];
      const int rounds = std::accumulate(told.rounds.begin(), told.rounds.end(), 0);
      double steps = 0;
      for (std::size_t t = 0; t < 3; ++t) {
        steps += told.rounds[t] * 60 * job.steps_per_s[t];
        EXPECT_TRUE(told.rounds[t] == 0 || job.steps_per_s[t] > 0);
        work += told.rounds[t] * job.gang;
      }
      EXPECT_GE(steps, job.total_steps * (1 - 1e-9));
      EXPECT_GE(told.finished_s, job.arrived_s + 60 * (rounds - 1));
      most = std::max(most, told.finished_s);
    }
    EXPECT_DOUBLE_EQ(report.makespan_s, most);
    EXPECT_GE(report.makespan_s, report.bound_s * (1 - 1e-9));
    EXPECT_LE(report.use, 1 + 1e-9);
    const int devices = std::accumulate(scenario.count.begin(), scenario.count.end(), 0);
    EXPECT_LE(work, static_cast<double>(report.rounds) * devices);
    EXPECT_EQ(to_json(report, scenario), to_json(run(scenario), scenario));
  }
}

}  // namespace
}  // namespace medley::simulate
