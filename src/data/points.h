// Measured points that step models are fitted to and held against.
//
// Two forms: YAML files with `validation_points:` (group -> list of points; the keys of each group
// are those of the table in points.cc) and CSV tables of serving runs, one row a configuration. A
// published time, rate or power is always positive; every error names file, line and field.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace medley::data {

// One point of a YAML file, as written.
struct Point {
  std::string group;
  std::size_t index = 0;  // within its group
  int line = 0;
  std::map<std::string, std::string, std::less<>> texts;
  std::map<std::string, double, std::less<>> numbers;

  // Precondition for number(): the group requires it, or has() was asked.
  bool has(std::string_view key) const { return numbers.count(key) > 0; }
  double number(std::string_view key) const;
  std::optional<double> maybe(std::string_view key) const;
  const std::string& text(std::string_view key) const;  // empty where absent
};

struct PointsFile {
  std::string file, as_of;
  std::vector<Point> points;  // in file order
};

Result<PointsFile> read_points(const std::string& path);
Result<PointsFile> parse_points(std::string_view text, std::string name);

// The devices that do one part of the work, as stated; 0 where the cell is empty.
struct ServingSide {
  int tensor = 0, pipeline = 0, attention_groups = 0, moe_tensor = 0, moe_expert = 0;
  int workers = 0;   // copies of the above; disaggregated rows only
  double batch = 0;  // of one attention group
};

// A serving run in steady state: `sessions` clients, each sending its next request when the last
// one is answered.
struct ServingRow {
  int line = 0;
  std::string id, system, backend, backend_version, model, precision;
  bool disaggregated = false;  // prompts and answers on different devices
  long long prompt_tokens = 0, output_tokens = 0;
  ServingSide whole;            // of aggregated rows
  ServingSide prefill, decode;  // of disaggregated ones
  double sessions = 0;          // 0 where the cell is empty
  double ttft_s = 0, tpot_s = 0;
  std::string measured;  // when, as written
};

// By its name: .csv and .csv.gz are tables of serving runs, all else is YAML.
bool is_table(std::string_view path);

// The header must be known column by column: an unknown one is an error that names the nearest.
Result<std::vector<ServingRow>> read_serving_rows(const std::string& path);
Result<std::vector<ServingRow>> parse_serving_rows(std::string text, std::string name);

}  // namespace medley::data
