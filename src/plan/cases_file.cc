#include "plan/cases_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <optional>

#include "base/nearest.h"
#include "data/json_fields.h"

namespace medley::plan {
namespace {

using data::JsonField;
using simulate::kTrainingObjectives;
using simulate::TrainingCase;
using simulate::TrainingJob;
using simulate::TrainingObjective;

constexpr double kMost = 1e12;  // of rates, prices and throughputs: beyond, a unit is wrong
constexpr std::int64_t kMostSlices = 10'000;
constexpr std::int64_t kMostDevices = 1'000'000;
constexpr std::size_t kMostBuckets = 65'536, kMostTypes = 1'000;
constexpr double kMostInstances = 1e9;

Error invalid(const JsonField& field, std::string_view what) {
  return {ErrorCode::kInvalid, fmt::format("{}: {}", field.where(), what), field.where()};
}

// One row after the other.
Result<std::vector<double>> read_grid(const JsonField& field, std::size_t rows, std::size_t columns,
                                      double most) {
  MEDLEY_TRY(const std::vector<JsonField> lines, field.items());
  if (lines.size() != rows)
    return invalid(field, fmt::format("expected {} rows as in workload_distribution, got {}", rows,
                                      lines.size()));
  std::vector<double> grid;
  for (const JsonField& line : lines) {
    MEDLEY_TRY(const std::vector<JsonField> cells, line.items());
    if (cells.size() != columns)
      return invalid(line, fmt::format("expected {} columns as in the first row of "
                                       "workload_distribution, got {}",
                                       columns, cells.size()));
    for (const JsonField& cell : cells) {
      MEDLEY_TRY(const double value, cell.number(0, most));
      grid.push_back(value);
    }
  }
  return grid;
}

Result<FleetMixTable> read_fleet_mix_table(const JsonField& field,
                                           std::vector<std::string>& warnings) {
  FleetMixTable table;
  MEDLEY_TRY(const JsonField shares, field.member("workload_distribution"));
  MEDLEY_TRY(const std::vector<JsonField> rows, shares.items());
  if (rows.empty())
    return invalid(shares, "expected at least one row");
  MEDLEY_TRY(const std::vector<JsonField> first_row, rows.front().items());
  if (first_row.empty() || first_row.size() > kMostBuckets / rows.size())
    return invalid(shares, fmt::format("expected 1 to {} buckets", kMostBuckets));
  table.columns = static_cast<int>(first_row.size());
  MEDLEY_TRY(table.share, read_grid(shares, rows.size(), first_row.size(), kMost));
  const double sum = std::accumulate(table.share.begin(), table.share.end(), 0.0);
  if (sum <= 0)
    return invalid(shares, "no bucket has a share");
  if (std::abs(sum - 1) > 1e-3)
    warnings.push_back(
        fmt::format("{}: the shares add up to {:.4g}, not to 1; they are taken as "
                    "they stand",
                    shares.where(), sum));

  MEDLEY_TRY(const JsonField types, field.member("gpu_info"));
  MEDLEY_TRY(const auto members, types.members());
  if (members.empty() || members.size() > kMostTypes)
    return invalid(types, fmt::format("expected 1 to {} device types", kMostTypes));
  for (const auto& [name, member] : members) {
    FleetMixTable::Type type;
    type.name = name;
    MEDLEY_TRY(const JsonField cost, member.member("cost"));
    MEDLEY_TRY(type.cost_per_hour, cost.number(0, kMost));
    MEDLEY_TRY(const JsonField throughput, member.member("tputs"));
    MEDLEY_TRY(type.throughput, read_grid(throughput, rows.size(), first_row.size(), kMost));
    table.types.push_back(std::move(type));
  }
  return table;
}

// The index of the table that a case names.
Result<std::size_t> read_table_name(const JsonField& entry, const std::vector<std::string>& names) {
  MEDLEY_TRY(const JsonField field, entry.member("table"));
  MEDLEY_TRY(const std::string name, field.text());
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end())
    return invalid(field, fmt::format("no table '{}'{}", name, suggestion(name, names)));
  return static_cast<std::size_t>(found - names.begin());
}

Result<std::string> read_id(const JsonField& entry) {
  MEDLEY_TRY(const JsonField field, entry.member("id"));
  return field.text();
}

Result<double> read_above_zero(const JsonField& entry, std::string_view name) {
  MEDLEY_TRY(const JsonField field, entry.member(name));
  MEDLEY_TRY(const double value, field.number(0, kMost));
  if (value == 0)
    return field.wrong("a number above 0");
  return value;
}

// Of requests. Of less than one in eleven days no whole instance follows.
Result<double> read_rate(const JsonField& entry) {
  MEDLEY_TRY(const JsonField field, entry.member("total_request_rate"));
  return field.number(1e-6, kMost);
}

struct Root {
  std::vector<std::string> names;
  std::vector<JsonField> tables;
  std::vector<JsonField> cases;
};

Result<Root> read_root(const boost::json::value& value, const std::string& path) {
  const JsonField field(value, path);
  Root root;
  MEDLEY_TRY(const JsonField tables, field.member("tables"));
  MEDLEY_TRY(const auto members, tables.members());
  for (const auto& [name, member] : members) {
    root.names.push_back(name);
    root.tables.push_back(member);
  }
  MEDLEY_TRY(const JsonField cases, field.member("cases"));
  MEDLEY_TRY(root.cases, cases.items());
  return root;
}

struct RawJob {
  int gang;
  double total_steps;
  std::map<std::string, double, std::less<>> steps_per_s;
  std::string where;
};

Result<RawJob> read_job(const JsonField& field) {
  RawJob job;
  job.where = field.where();
  MEDLEY_TRY(const JsonField gang, field.member("gang"));
  MEDLEY_TRY(const std::int64_t devices, gang.whole(1, kMostDevices));
  job.gang = static_cast<int>(devices);
  MEDLEY_TRY(const JsonField steps, field.member("total_steps"));
  MEDLEY_TRY(job.total_steps, steps.number(0, kMost));
  MEDLEY_TRY(const JsonField speeds, field.member("steps_per_s"));
  MEDLEY_TRY(const auto members, speeds.members());
  for (const auto& [name, member] : members) {
    MEDLEY_TRY(job.steps_per_s[name], member.number(0, kMost));
  }
  return job;
}

Result<TrainingCases::Case> read_training_case(const JsonField& entry,
                                               const std::vector<std::string>& names,
                                               const std::vector<std::vector<RawJob>>& tables) {
  TrainingCases::Case read;
  TrainingCase& given = read.given;
  MEDLEY_TRY(read.id, read_id(entry));
  MEDLEY_TRY(const std::size_t table, read_table_name(entry, names));

  MEDLEY_TRY(const JsonField objective, entry.member("objective"));
  MEDLEY_TRY(const std::string name, objective.text());
  const auto found =
      std::find(std::begin(kTrainingObjectives), std::end(kTrainingObjectives), name);
  if (found == std::end(kTrainingObjectives)) {
    const std::vector<std::string> all(std::begin(kTrainingObjectives),
                                       std::end(kTrainingObjectives));
    return invalid(objective, fmt::format("no objective '{}'{}", name, suggestion(name, all)));
  }
  given.objective = static_cast<TrainingObjective>(found - std::begin(kTrainingObjectives));

  MEDLEY_TRY(const JsonField cluster, entry.member("cluster"));
  MEDLEY_TRY(const auto members, cluster.members());
  for (const auto& [type, member] : members) {
    MEDLEY_TRY(const std::int64_t count, member.whole(0, kMostDevices));
    read.types.push_back(type);
    given.count.push_back(static_cast<int>(count));
  }
  if (given.objective == TrainingObjective::kThroughputPerDollar) {
    MEDLEY_TRY(const JsonField costs, entry.member("cost_per_hour"));
    for (std::size_t t = 0; t < read.types.size(); ++t) {
      double cost = 0;
      if (given.count[t] > 0) {
        MEDLEY_TRY(cost, read_above_zero(costs, read.types[t]));
      }
      given.cost_per_hour.push_back(cost);
    }
  }
  for (const RawJob& raw : tables[table]) {
    TrainingJob job{raw.gang, raw.total_steps, {}};
    for (std::size_t t = 0; t < read.types.size(); ++t) {
      const auto speed = raw.steps_per_s.find(read.types[t]);
      if (speed == raw.steps_per_s.end() && given.count[t] > 0) {
        std::vector<std::string> known;
        for (const auto& [type, value] : raw.steps_per_s)
          known.push_back(type);
        return invalid(cluster,
                       fmt::format("'{}' has no steps_per_s at {} (0 would say that it "
                                   "cannot run there){}",
                                   read.types[t], raw.where, suggestion(read.types[t], known)));
      }
      job.steps_per_s.push_back(speed == raw.steps_per_s.end() ? 0 : speed->second);
    }
    given.jobs.push_back(std::move(job));
  }
  return read;
}

Result<FleetMixCases> fleet_mix_cases_of(const boost::json::value& value, const std::string& path) {
  MEDLEY_TRY(const Root root, read_root(value, path));
  FleetMixCases read;
  for (const JsonField& table : root.tables) {
    MEDLEY_TRY(FleetMixTable one, read_fleet_mix_table(table, read.warnings));
    read.tables.push_back(std::move(one));
  }
  for (const JsonField& entry : root.cases) {
    FleetMixCases::Case one;
    MEDLEY_TRY(one.id, read_id(entry));
    MEDLEY_TRY(one.table, read_table_name(entry, root.names));
    MEDLEY_TRY(one.demand.requests_per_s, read_rate(entry));
    MEDLEY_TRY(const JsonField slices, entry.member("slice_factor"));
    MEDLEY_TRY(const std::int64_t count, slices.whole(1, kMostSlices));
    one.demand.slices = static_cast<int>(count);
    // A load that no count of instances could hold is a throughput in a wrong unit.
    const FleetMixTable& table = read.tables[one.table];
    for (const FleetMixTable::Type& type : table.types) {
      for (std::size_t b = 0; b < table.share.size(); ++b) {
        if (type.throughput[b] > 0 &&
            one.demand.requests_per_s * table.share[b] > kMostInstances * type.throughput[b])
          return invalid(entry, fmt::format("bucket [{}, {}] alone would take more than {:.0e} "
                                            "instances of {}",
                                            b / static_cast<std::size_t>(table.columns),
                                            b % static_cast<std::size_t>(table.columns),
                                            kMostInstances, type.name));
      }
    }
    read.cases.push_back(std::move(one));
  }
  return read;
}

Result<TrainingCases> training_cases_of(const boost::json::value& value, const std::string& path) {
  MEDLEY_TRY(const Root root, read_root(value, path));
  std::vector<std::vector<RawJob>> tables;
  for (const JsonField& table : root.tables) {
    MEDLEY_TRY(const JsonField jobs, table.member("jobs"));
    MEDLEY_TRY(const std::vector<JsonField> items, jobs.items());
    if (items.empty())
      return invalid(jobs, "expected at least one job");
    tables.emplace_back();
    for (const JsonField& item : items) {
      MEDLEY_TRY(RawJob job, read_job(item));
      tables.back().push_back(std::move(job));
    }
  }
  TrainingCases read;
  for (const JsonField& entry : root.cases) {
    MEDLEY_TRY(TrainingCases::Case one, read_training_case(entry, root.names, tables));
    read.cases.push_back(std::move(one));
  }
  return read;
}

}  // namespace

Result<FleetMixCases> read_fleet_mix_cases(const std::string& path) {
  MEDLEY_TRY(const boost::json::value value, data::read_json(path));
  return fleet_mix_cases_of(value, path);
}

Result<FleetMixCases> parse_fleet_mix_cases(std::string_view text, const std::string& name) {
  MEDLEY_TRY(const boost::json::value value, data::parse_json(text, name));
  return fleet_mix_cases_of(value, name);
}

Result<TrainingCases> read_training_cases(const std::string& path) {
  MEDLEY_TRY(const boost::json::value value, data::read_json(path));
  return training_cases_of(value, path);
}

Result<TrainingCases> parse_training_cases(std::string_view text, const std::string& name) {
  MEDLEY_TRY(const boost::json::value value, data::parse_json(text, name));
  return training_cases_of(value, name);
}

}  // namespace medley::plan
