#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <vector>

#include "cli/perf.h"
#include "cli/table.h"
#include "data/catalog.h"
#include "data/json.h"
#include "data/points.h"
#include "lpu/chip/compile.h"
#include "lpu/verify/verify.h"

namespace medley::cli {
namespace {

namespace json = boost::json;
using namespace lpu::chip;

constexpr int kUnusable = 2, kNotFound = 4;
constexpr long long kContext = 4096;  // where a point says none

struct Row {
  std::string name, why;  // why there is no schedule
  bool experts = false;
  double layers = 0, published_s = 0, scheduled_s = 0;
  int chips = 0;
  long long context = 0;
  std::optional<double> in_sample_s, left_out_s;
};

// "Llama-2-7B 2k": the context, where the name ends so.
std::optional<long long> context_in(const std::string& name) {
  const std::size_t at = name.rfind(' ');
  if (at == std::string::npos || !name.ends_with('k'))
    return std::nullopt;
  const long long thousands = std::atoll(name.c_str() + at + 1);
  return thousands > 0 ? std::optional(thousands * 1024) : std::nullopt;
}

// Seconds a layer that schedules lack, least squares of the relative error of the time of a token,
// over the dense points but those called `without`.
std::optional<double> missing_per_layer(const std::vector<Row>& rows, const std::string& without) {
  double numerator = 0, denominator = 0;
  for (const Row& row : rows) {
    if (row.experts || !row.why.empty() || row.name == without)
      continue;
    const double per = row.layers / row.published_s;
    numerator += per * (1 - row.scheduled_s / row.published_s);
    denominator += per * per;
  }
  if (denominator == 0)
    return std::nullopt;
  return numerator / denominator;
}

// What each published point of these chips takes by its schedule.
std::vector<Row> rows_of(const data::PointsFile& points, const data::Catalog& catalog,
                         const Target& target) {
  std::vector<Row> rows;
  for (const data::Point& point : points.points) {
    if (point.group != "lpu_v1")
      continue;
    Row row{.name = point.text("model")};
    row.published_s = 1 / point.number("published_tok_s_user");
    row.layers = point.number("layers");
    Shape shape;
    const auto compiled = [&]() -> Result<Compiled> {
      MEDLEY_TRY(const Model model, catalog.model(row.name));
      row.experts = model.is_mixture();
      row.context = context_in(row.name).value_or(kContext);
      if (model.max_context)
        row.context = std::min(row.context, *model.max_context);
      MEDLEY_TRY(shape, shape_of(model));
      return compile(shape, target, {.context = row.context});
    }();
    if (!compiled) {
      row.why = compiled.error().message;
    } else if (const auto certificate = lpu::verify::verify(compiled->schedule, target, shape);
               !certificate.valid()) {
      row.why = "the verifier found: " + certificate.findings.front();
    } else {
      row.chips = compiled->schedule.chips();
      row.scheduled_s = target.seconds(static_cast<double>(compiled->schedule.token_cycles));
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace

std::optional<double> beyond_schedule_layer_s(const data::PointsFile& points,
                                              const data::Catalog& catalog,
                                              const std::string& device) {
  const auto accelerator = catalog.accelerator(device);
  if (!accelerator)
    return std::nullopt;
  const auto target = target_for(*accelerator, catalog.folder());
  return target ? missing_per_layer(rows_of(points, catalog, *target), "") : std::nullopt;
}

int run_perf_schedule(const PerfScheduleOptions& options, std::FILE* out, std::FILE* err) {
  const auto refuse = [&](const Error& error) {
    fmt::print(err, "medley perf schedule: {}\n", printable(error.message));
    return error.code == ErrorCode::kNotFound ? kNotFound : kUnusable;
  };
  const auto catalog = data::read_catalog(options.catalog);
  if (!catalog)
    return refuse(catalog.error());
  const auto target = find_target(options.target, *catalog);
  if (!target)
    return refuse(target.error());
  const auto points = data::read_points(options.points);
  if (!points)
    return refuse(points.error());

  std::vector<Row> rows = rows_of(*points, *catalog, *target);
  if (rows.empty()) {
    return refuse(
        {ErrorCode::kInvalid, fmt::format("{}: no points of group lpu_v1", options.points), {}});
  }
  const std::optional<double> missing = missing_per_layer(rows, "");
  double in_sample = 0, left_out = 0;
  int dense = 0;
  for (Row& row : rows) {
    if (!row.why.empty() || !missing)
      continue;
    row.in_sample_s = row.scheduled_s + row.layers * *missing;
    const auto without = row.experts ? missing : missing_per_layer(rows, row.name);
    if (without)
      row.left_out_s = row.scheduled_s + row.layers * *without;
    if (!row.experts) {
      ++dense;
      in_sample += std::abs(row.published_s / *row.in_sample_s - 1);
      left_out += row.left_out_s ? std::abs(row.published_s / *row.left_out_s - 1) : 0;
    }
  }
  if (dense > 0) {
    in_sample /= dense;
    left_out /= dense;
  }

  if (options.json) {
    json::array array;
    const auto maybe = [](const std::optional<double>& value) {
      return value ? json::value(*value) : json::value(nullptr);
    };
    for (const Row& row : rows) {
      const bool known = row.why.empty();
      array.push_back(
          json::object{{"model", row.name},
                       {"experts", row.experts},
                       {"published_s", row.published_s},
                       {"scheduled_s", known ? json::value(row.scheduled_s) : json::value(nullptr)},
                       {"explained", known ? json::value(row.scheduled_s / row.published_s)
                                           : json::value(nullptr)},
                       {"chips", known ? json::value(row.chips) : json::value(nullptr)},
                       {"context_tokens", row.context},
                       {"in_sample_s", maybe(row.in_sample_s)},
                       {"left_out_s", maybe(row.left_out_s)},
                       {"unknown", row.why}});
    }
    fmt::print(out, "{}",
               data::json_pretty(json::object{{"target", target->id},
                                              {"missing_s_per_layer", maybe(missing)},
                                              {"dense_points", dense},
                                              {"dense_error_in_sample", in_sample},
                                              {"dense_error_left_out", left_out},
                                              {"points", array}}));
    return 0;
  }
  const Align right = Align::kRight;
  Table table({{"point"},
               {"chips", right},
               {"context", right},
               {"published us", right},
               {"schedule us", right},
               {"explains", right},
               {"missing us a layer", right},
               {"with constant us", right},
               {"error", right},
               {"left out", right}});
  const auto percent = [](double share) { return fmt::format("{:+.1f} %", 100 * share); };
  for (const Row& row : rows) {
    if (!row.why.empty()) {
      table.add_row({row.name, "", "", fmt::format("{:.0f}", row.published_s * 1e6), "unknown"});
      continue;
    }
    // Errors are of the speed, as published.
    const auto error = [&](const std::optional<double>& predicted) {
      return predicted ? percent(row.published_s / *predicted - 1) : std::string("unknown");
    };
    table.add_row({row.name + (row.experts ? " (experts)" : ""), std::to_string(row.chips),
                   std::to_string(row.context), fmt::format("{:.0f}", row.published_s * 1e6),
                   fmt::format("{:.0f}", row.scheduled_s * 1e6),
                   fmt::format("{:.1f} %", 100 * row.scheduled_s / row.published_s),
                   fmt::format("{:.1f}", (row.published_s - row.scheduled_s) / row.layers * 1e6),
                   row.in_sample_s ? fmt::format("{:.0f}", *row.in_sample_s * 1e6) : "unknown",
                   error(row.in_sample_s), error(row.left_out_s)});
  }
  fmt::print(out, "{}\n", table.text());
  if (missing) {
    fmt::print(
        out,
        "One constant, fitted to the dense points: {:.1f} us a layer that the schedule does not "
        "need.\nMean error of the speed on {} dense points: {:.1f} % in sample, {:.1f} % left "
        "out. Points with experts took no part in the fit.\n",
        *missing * 1e6, dense, 100 * in_sample, 100 * left_out);
  }
  for (const Row& row : rows) {
    if (!row.why.empty())
      fmt::print(out, "{}: {}\n", row.name, printable(row.why));
  }
  return 0;
}

}  // namespace medley::cli
