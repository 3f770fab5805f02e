#include "cli/plan_cases.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <optional>

#include "cli/table.h"
#include "data/json.h"
#include "plan/cases_file.h"

namespace medley::cli {
namespace {

namespace json = boost::json;
using plan::FleetMix;
using plan::FleetMixCases;
using plan::FleetMixTable;
using plan::TrainingCases;
using simulate::TrainingShares;

int complain(const Error& error, std::FILE* err) {
  fmt::print(err, "medley plan: {}\n", printable(error.message));
  return error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kInternal ? 1 : 2;
}

template <typename Status>
const char* name_of(Status status) {
  switch (status) {
    case Status::kOptimal:
      return "optimal";
    case Status::kFeasible:
      return "feasible";
    case Status::kInfeasible:
      return "infeasible";
  }
  return "";
}

json::array bucket_of(const FleetMixTable& table, std::size_t bucket) {
  const auto columns = static_cast<std::size_t>(table.columns);
  return {bucket / columns, bucket % columns};
}

json::object to_json(const FleetMixCases::Case& one, const FleetMixTable& table,
                     const FleetMix& mix) {
  const bool answered = mix.status != FleetMix::Status::kInfeasible;
  json::object counts, single;
  for (std::size_t t = 0; t < table.types.size(); ++t) {
    if (mix.count[t] > 0)
      counts[table.types[t].name] = mix.count[t];
    const std::optional<double>& cost = mix.single_type_cost[t];
    single[table.types[t].name] = cost ? json::value(*cost) : json::value(nullptr);
  }
  json::array assignment, infeasible;
  for (const FleetMix::Part& part : mix.assignment) {
    assignment.push_back(json::object{{"bucket", bucket_of(table, part.bucket)},
                                      {"type", table.types[part.type].name},
                                      {"slices", part.slices}});
  }
  for (const std::size_t bucket : mix.infeasible_buckets)
    infeasible.push_back(bucket_of(table, bucket));
  const auto figure = [&](double value) {
    return answered ? json::value(value) : json::value(nullptr);
  };
  return {{"id", one.id},
          {"status", name_of(mix.status)},
          {"cost_per_hour", figure(mix.cost_per_hour)},
          {"lower_bound", figure(mix.lower_bound)},
          {"mix", counts},
          {"assignment", assignment},
          {"single_type_cost", single},
          {"infeasible_buckets", infeasible},
          {"confirmed", mix.confirmed},
          {"solve_seconds", mix.solve_seconds}};
}

void add_row(const FleetMixCases::Case& one, const FleetMixTable& table, const FleetMix& mix,
             Table& rows) {
  const std::string time = fmt::format("{:.1f}", mix.solve_seconds * 1e3);
  if (mix.status == FleetMix::Status::kInfeasible) {
    std::vector<std::string> buckets;
    for (const std::size_t bucket : mix.infeasible_buckets)
      buckets.push_back(json::serialize(bucket_of(table, bucket)));
    rows.add_row({one.id, name_of(mix.status), "-", "-",
                  fmt::format("no type serves {}", fmt::join(buckets, " ")), "-", "-", time});
    return;
  }
  std::vector<std::string> counts;
  std::optional<std::size_t> cheapest;
  for (std::size_t t = 0; t < table.types.size(); ++t) {
    if (mix.count[t] > 0)
      counts.push_back(fmt::format("{} x {}", mix.count[t], table.types[t].name));
    if (mix.single_type_cost[t] &&
        (!cheapest || *mix.single_type_cost[t] < *mix.single_type_cost[*cheapest]))
      cheapest = t;
  }
  std::string single = "none alone", premium = "-";
  if (cheapest) {
    const double cost = *mix.single_type_cost[*cheapest];
    single = fmt::format("{:.2f} {}", cost, table.types[*cheapest].name);
    if (mix.cost_per_hour > 0)
      premium = fmt::format("{:+.1f} %", 100 * (cost / mix.cost_per_hour - 1));
  }
  rows.add_row({one.id, name_of(mix.status), fmt::format("{:.2f}", mix.cost_per_hour),
                fmt::format("{:.2f}", mix.lower_bound), fmt::format("{}", fmt::join(counts, " + ")),
                single, premium, time});
}

int run_fleet_mixes(const PlanCasesOptions& options, std::FILE* out, std::FILE* err) {
  const Result<FleetMixCases> read = plan::read_fleet_mix_cases(options.cases);
  if (!read.ok())
    return complain(read.error(), err);
  for (const std::string& warning : read->warnings)
    fmt::print(err, "medley plan: {}\n", printable(warning));
  const auto solver = solve::make_integer_solver();
  json::array all;
  const Align right = Align::kRight;
  Table rows({{"case"},
              {"status"},
              {"$/h", right},
              {"at least", right},
              {"fleet"},
              {"cheapest of one type"},
              {"premium", right},
              {"ms", right}});
  for (const FleetMixCases::Case& one : read->cases) {
    const FleetMixTable& table = read->tables[one.table];
    const Result<FleetMix> mix =
        plan::cheapest_fleet_mix(table, one.demand, *solver, options.time_limit_s);
    if (!mix.ok())
      return complain({mix.error().code, fmt::format("{}: {}", one.id, mix.error().message), {}},
                      err);
    if (options.json) {
      all.push_back(to_json(one, table, *mix));
    } else {
      add_row(one, table, *mix, rows);
    }
  }
  if (options.json) {
    fmt::print(out, "{}", data::json_pretty(all));
  } else {
    fmt::print(out, "{}", rows.text());
  }
  return 0;
}

json::object to_json(const TrainingCases::Case& one, const TrainingShares& answer) {
  json::array shares, infeasible;
  for (const std::vector<double>& of_job : answer.shares) {
    json::object share;
    for (std::size_t t = 0; t < of_job.size(); ++t) {
      if (of_job[t] > 0)
        share[one.types[t]] = of_job[t];
    }
    shares.push_back(share);
  }
  for (const std::size_t job : answer.infeasible_jobs)
    infeasible.push_back(job);
  const auto figure = [&](double value) {
    return answer.status != TrainingShares::Status::kInfeasible ? json::value(value)
                                                                : json::value(nullptr);
  };
  return {{"id", one.id},
          {"status", name_of(answer.status)},
          {"objective", figure(answer.objective)},
          {"bound", figure(answer.bound)},
          {"shares", shares},
          {"infeasible_jobs", infeasible}};
}

// What each type spends its time on, of all devices of the type.
void add_row(const TrainingCases::Case& one, const TrainingShares& answer, Table& rows) {
  const simulate::TrainingCase& given = one.given;
  std::vector<std::string> cluster, busy;
  for (std::size_t t = 0; t < one.types.size(); ++t) {
    if (given.count[t] == 0)
      continue;
    cluster.push_back(fmt::format("{} {}", given.count[t], one.types[t]));
    double used = 0;
    for (std::size_t j = 0; j < answer.shares.size(); ++j)
      used += given.jobs[j].gang * answer.shares[j][t];
    busy.push_back(fmt::format("{} {:.0f} %", one.types[t], 100 * used / given.count[t]));
  }
  const bool answered = answer.status != TrainingShares::Status::kInfeasible;
  rows.add_row(
      {one.id,
       std::string(simulate::kTrainingObjectives[static_cast<std::size_t>(given.objective)]),
       name_of(answer.status),
       answered ? fmt::format("{:.6g}", answer.objective) : std::string("-"),
       std::to_string(given.jobs.size()), fmt::format("{}", fmt::join(cluster, " : ")),
       answered ? fmt::format("{}", fmt::join(busy, ", "))
                : fmt::format("no type runs job {}", fmt::join(answer.infeasible_jobs, ", "))});
}

int run_training(const PlanCasesOptions& options, std::FILE* out, std::FILE* err) {
  const Result<TrainingCases> read = plan::read_training_cases(options.training);
  if (!read.ok())
    return complain(read.error(), err);
  json::array all;
  const Align right = Align::kRight;
  Table rows({{"case"},
              {"objective"},
              {"status"},
              {"value", right},
              {"jobs", right},
              {"cluster"},
              {"busy"}});
  for (const TrainingCases::Case& one : read->cases) {
    const Result<TrainingShares> answer = simulate::best_training_shares(one.given);
    if (!answer.ok())
      return complain(
          {answer.error().code, fmt::format("{}: {}", one.id, answer.error().message), {}}, err);
    if (options.json) {
      all.push_back(to_json(one, *answer));
    } else {
      add_row(one, *answer, rows);
    }
  }
  if (options.json) {
    fmt::print(out, "{}", data::json_pretty(all));
  } else {
    fmt::print(out, "{}", rows.text());
  }
  return 0;
}

}  // namespace

int run_plan_cases(const PlanCasesOptions& options, std::FILE* out, std::FILE* err) {
  return options.cases.empty() ? run_training(options, out, err)
                               : run_fleet_mixes(options, out, err);
}

}  // namespace medley::cli
