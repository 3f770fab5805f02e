#include "data/job_scenario_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>

#include "base/nearest.h"
#include "data/csv.h"
#include "data/json_fields.h"
#include "data/yaml.h"

namespace medley::data {
namespace {

constexpr Whole kDevices{.min = 0, .max = 1'000'000};
constexpr Whole kGang{.min = 1, .max = 1'000'000};
constexpr Bounds kSteps{.max = 1e15};
constexpr Bounds kSpeed{.max = 1e12};
constexpr Bounds kTime{.max = 1e10};
constexpr std::size_t kMostJobs = 100'000;

using Job = JobScenario::Job;

// Speeds by type name, in the order of the cluster. A type that is left out cannot run the job.
Result<std::vector<double>> read_speeds(const Node& node, const JobScenario& scenario) {
  std::vector<double> speeds(scenario.types.size(), 0);
  MEDLEY_TRY(const auto entries, node.entries());
  for (const auto& [type, value] : entries) {
    const auto found = std::find(scenario.types.begin(), scenario.types.end(), type);
    if (found == scenario.types.end())
      return value.key_error(
          fmt::format("the cluster has no '{}'{}", type, suggestion(type, scenario.types)));
    MEDLEY_TRY(speeds[static_cast<std::size_t>(found - scenario.types.begin())],
               value.number(kSpeed));
  }
  return speeds;
}

Error runs_nowhere(const std::string& where, const Job& job, const JobScenario& scenario) {
  return {
      ErrorCode::kInvalid,
      fmt::format("{}: job '{}' takes {} devices of one type at once: no type of the cluster ({}) "
                  "has as many and a speed for it",
                  where, job.name, job.gang, fmt::join(scenario.types, ", ")),
      {}};
}

bool runs_somewhere(const Job& job, const JobScenario& scenario) {
  for (std::size_t t = 0; t < scenario.types.size(); ++t) {
    if (job.steps_per_s[t] > 0 && scenario.count[t] >= job.gang)
      return true;
  }
  return false;
}

Result<Job> read_job(const Node& node, const JobScenario& scenario) {
  Fields fields(node);
  Job job;
  job.name = fields.text("name", fmt::format("job-{}", scenario.jobs.size()));
  job.gang = static_cast<int>(fields.whole("gang", 1, kGang));
  job.total_steps = fields.required_number("total_steps", kSteps);
  job.arrived_s = fields.seconds("arrived_s", 0, kTime);
  if (const auto speeds = fields.required("steps_per_s"))
    fields.take(job.steps_per_s, read_speeds(*speeds, scenario));
  MEDLEY_TRY_STATUS(fields.finish());
  if (!runs_somewhere(job, scenario))
    return runs_nowhere(fmt::format("{}:{}", node.file(), node.line()), job, scenario);
  return job;
}

// Gavel's: a row a job, and its measured steps/s by type, job type and gang in a JSON file.
Status read_gavel(const std::string& path, const std::string& speeds_path, JobScenario& scenario) {
  MEDLEY_TRY(const CsvTable table, read_csv(path));
  MEDLEY_TRY(const auto types, table.texts("job_type"));
  MEDLEY_TRY(const auto gangs, table.wholes("scale_factor"));
  MEDLEY_TRY(const auto steps, table.numbers("total_steps"));
  MEDLEY_TRY(const auto arrivals, table.numbers("arrival_s"));
  MEDLEY_TRY(const boost::json::value root, read_json(speeds_path));
  const JsonField speeds(root, speeds_path);
  std::vector<JsonField> by_type;
  for (const std::string& type : scenario.types) {
    MEDLEY_TRY(JsonField of_type, speeds.member(type));
    by_type.push_back(std::move(of_type));
  }
  if (table.rows() > kMostJobs)
    return Error{ErrorCode::kInvalid, fmt::format("{}: more than {} jobs", path, kMostJobs), {}};
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const auto wrong = [&](std::string_view what, double value) {
      return Error{
          ErrorCode::kInvalid, fmt::format("{}: {}, got {}", table.where(row), what, value), {}};
    };
    if (gangs[row] < kGang.min || gangs[row] > kGang.max)
      return wrong("scale_factor: expected a whole number from 1", static_cast<double>(gangs[row]));
    if (!(steps[row] >= 0 && steps[row] <= kSteps.max))
      return wrong("total_steps: expected a number from 0", steps[row]);
    if (!(arrivals[row] >= 0 && arrivals[row] <= kTime.max))
      return wrong("arrival_s: expected a number from 0", arrivals[row]);
    Job job{fmt::format("{} {}", row, types[row]),
            static_cast<int>(gangs[row]),
            steps[row],
            arrivals[row],
            {}};
    // Gavel's keys are Python's tuples.
    const std::string key = fmt::format("('{}', {})", types[row], gangs[row]);
    for (const JsonField& of_type : by_type) {
      const Result<JsonField> entry = of_type.member(key);
      if (!entry.ok()) {
        job.steps_per_s.push_back(0);
        continue;
      }
      MEDLEY_TRY(const JsonField alone, entry->member("null"));
      MEDLEY_TRY(const double speed, alone.number(0, kSpeed.max));
      job.steps_per_s.push_back(speed);
    }
    if (!runs_somewhere(job, scenario))
      return runs_nowhere(table.where(row), job, scenario);
    scenario.jobs.push_back(std::move(job));
  }
  return Done{};
}

Status read_jobs(const Node& node, const std::string& trace, JobScenario& scenario) {
  if (node.is_list()) {
    if (!trace.empty())
      return node.key_error("stand here themselves: no --trace in their place");
    MEDLEY_TRY(const std::vector<Node> items, node.items());
    for (const Node& item : items) {
      MEDLEY_TRY(Job job, read_job(item, scenario));
      scenario.jobs.push_back(std::move(job));
    }
    return Done{};
  }
  Fields fields(node);
  std::string path = fields.required_text("path");
  std::string speeds = fields.required_text("speeds");
  const std::vector<std::string> formats = {"gavel"};
  fields.required_choice("format", formats);
  MEDLEY_TRY_STATUS(fields.finish());
  if (trace.empty()) {
    path = node.resolve(path);
    speeds = node.resolve(speeds);
  } else {
    path = trace;
    speeds = (std::filesystem::path(trace).parent_path() / std::filesystem::path(speeds).filename())
                 .string();
  }
  return read_gavel(path, speeds, scenario);
}

}  // namespace

bool is_job_scenario(const std::string& path) {
  const Result<Node> node = read_yaml(path);
  return node.ok() && node->is_map() && node->find("jobs").has_value();
}

Result<JobScenario> read_job_scenario(const std::string& path, const std::string& trace) {
  MEDLEY_TRY(const Node node, read_yaml(path));
  Fields fields(node);
  JobScenario scenario;
  scenario.file = path;
  scenario.name = fields.text("name", std::filesystem::path(path).stem().string());
  scenario.round_s = fields.seconds("round_s", scenario.round_s, {.max = 1e7, .above_min = true});
  scenario.move_s = fields.seconds("move_s", 0, {.max = 1e7});
  if (const auto cluster = fields.required("cluster")) {
    MEDLEY_TRY(const auto entries, cluster->entries());
    for (const auto& [type, value] : entries) {
      MEDLEY_TRY(const long long count, value.whole(kDevices));
      scenario.types.push_back(type);
      scenario.count.push_back(static_cast<int>(count));
    }
  }
  if (const auto jobs = fields.required("jobs"); jobs && !fields.failed()) {
    if (const Status read = read_jobs(*jobs, trace, scenario); !read.ok())
      fields.fail(read.error());
  }
  if (const auto expected = fields.child("expected")) {
    if (const Status read = read_expected(*expected, scenario.expected); !read.ok())
      fields.fail(read.error());
  }
  MEDLEY_TRY_STATUS(fields.finish());
  if (scenario.jobs.empty())
    return node.error("jobs: expected at least one");
  if (scenario.move_s >= scenario.round_s)
    return node.error("move_s: expected less than round_s, or a job that moves does nothing");
  return scenario;
}

}  // namespace medley::data
