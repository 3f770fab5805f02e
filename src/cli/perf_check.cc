#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <map>
#include <set>

#include "cli/perf.h"
#include "cli/perf_evaluate.h"
#include "cli/perf_serving.h"
#include "cli/table.h"
#include "data/json.h"

namespace medley::cli {
namespace {

namespace json = boost::json;

constexpr int kUnusable = 2;

// Mean of relative errors, in percent.
struct Mape {
  double sum = 0;
  int count = 0;
  void add(double predicted, double published) {
    sum += std::abs(predicted / published - 1);
    ++count;
  }
  double percent() const { return 100 * sum / count; }
  std::string text() const { return count > 0 ? fmt::format("{:.1f}", percent()) : "-"; }
};

json::object to_json(const PointCheck& check) {
  json::object predicted, unknown;
  for (const FigureCheck& figure : check.figures) {
    if (!figure.asked)
      continue;
    predicted[figure.name] = figure.left_out ? json::value(*figure.left_out) : json::value(nullptr);
    if (!figure.unknown.empty())
      unknown[figure.name] = figure.unknown;
  }
  json::object point{{"group", check.group},
                     {"index", check.index},
                     {"device_class", check.device_class},
                     {"predicted", predicted}};
  if (!unknown.empty())
    point["unknown"] = unknown;
  return point;
}

json::object to_json(const GroupFit& fit) {
  json::object object{{"group", fit.group},          {"device_class", fit.device_class},
                      {"device", fit.device},        {"precision", fit.precision},
                      {"points", fit.points.size()}, {"converged", fit.fit.converged}};
  json::array unidentified;
  for (const std::string& name : fit.unidentified())
    unidentified.emplace_back(name);
  object["not_identified"] = unidentified;
  return object;
}

std::string as_json(const Evaluation& evaluation) {
  json::array points;
  std::map<std::string, std::map<std::string, Mape>> left_out, in_sample;
  for (const PointCheck& check : evaluation.points) {
    points.push_back(to_json(check));
    for (const FigureCheck& figure : check.figures) {
      if (!figure.left_out)
        continue;
      left_out[check.device_class][figure.name].add(*figure.left_out, figure.published);
      in_sample[check.device_class][figure.name].add(*figure.in_sample, figure.published);
    }
  }
  const auto table = [](const auto& mapes) {
    json::object object;
    for (const auto& [device_class, figures] : mapes) {
      json::object row;
      for (const auto& [name, mape] : figures)
        row[name] = mape.percent();
      object[device_class] = row;
    }
    return object;
  };
  json::array fits;
  for (const GroupFit& fit : evaluation.fits)
    fits.push_back(to_json(fit));
  return data::json_pretty(json::object{{"points", points},
                                        {"mape_percent", table(left_out)},
                                        {"mape_percent_in_sample", table(in_sample)},
                                        {"fits", fits}});
}

void print_table(const Evaluation& evaluation, std::FILE* out) {
  struct Row {
    std::string device_class, group, device, precision;
    bool operator<(const Row& o) const {
      return std::tie(device_class, group, device, precision) <
             std::tie(o.device_class, o.group, o.device, o.precision);
    }
  };
  struct Cell {
    int points = 0, unknown = 0;
    Mape in_sample, left_out;
  };
  std::map<Row, std::map<std::string, Cell>> rows;
  std::map<Row, std::vector<std::string>> order;
  const auto add = [&](const Row& row, const FigureCheck& figure) {
    auto& names = order[row];
    if (std::find(names.begin(), names.end(), figure.name) == names.end())
      names.push_back(figure.name);
    Cell& cell = rows[row][figure.name];
    ++cell.points;
    if (!figure.left_out) {
      ++cell.unknown;
      return;
    }
    cell.left_out.add(*figure.left_out, figure.published);
    cell.in_sample.add(*figure.in_sample, figure.published);
  };
  for (const PointCheck& check : evaluation.points) {
    for (const FigureCheck& figure : check.figures) {
      add({check.device_class, check.group, check.device, check.precision}, figure);
      // Models with and without experts apart, where a static schedule is what decides.
    }
  }
  const Align right = Align::kRight;
  Table table({{"class"},
               {"points of"},
               {"device"},
               {"precision"},
               {"figure"},
               {"points", right},
               {"unknown", right},
               {"in sample %", right},
               {"left out %", right}});
  std::string last;
  for (const auto& [row, cells] : rows) {
    if (!last.empty() && last != row.device_class + row.group)
      table.add_rule();
    last = row.device_class + row.group;
    bool first = true;
    for (const std::string& name : order[row]) {
      const Cell& cell = cells.at(name);
      table.add_row({first ? row.device_class : "", first ? row.group : "", first ? row.device : "",
                     first ? row.precision : "", name, std::to_string(cell.points),
                     std::to_string(cell.unknown), cell.in_sample.text(), cell.left_out.text()});
      first = false;
    }
  }
  fmt::print(out,
             "Mean relative error of constants fitted on all points of a device and precision (in "
             "sample),\nand of constants fitted without any point of the same model and device "
             "(left out)\n\n{}",
             table.text());

  std::map<std::pair<std::string, std::string>, Cell> totals;
  for (const PointCheck& check : evaluation.points) {
    for (const FigureCheck& figure : check.figures) {
      Cell& cell = totals[{check.device_class, figure.name}];
      ++cell.points;
      if (!figure.left_out) {
        ++cell.unknown;
        continue;
      }
      cell.left_out.add(*figure.left_out, figure.published);
      cell.in_sample.add(*figure.in_sample, figure.published);
    }
  }
  Table sums({{"class"},
              {"figure"},
              {"predicted", right},
              {"of", right},
              {"in sample %", right},
              {"left out %", right}});
  for (const auto& [key, cell] : totals) {
    sums.add_row({key.first, key.second, std::to_string(cell.points - cell.unknown),
                  std::to_string(cell.points), cell.in_sample.text(), cell.left_out.text()});
  }
  fmt::print(out, "\nby class (npu and cpu are reviewers' single runs)\n\n{}", sums.text());

  fmt::print(out, "\nconstants that the points of a group do not identify\n");
  bool any = false;
  for (const GroupFit& fit : evaluation.fits) {
    const std::vector<std::string> names = fit.unidentified();
    if (names.empty() && fit.fit.converged)
      continue;
    any = true;
    fmt::print(out, "  {} {}{}{}: {}{}\n", fit.group, fit.device,
               fit.precision.empty() ? "" : " " + fit.precision,
               fit.law == GroupFit::Law::kPower ? " power" : "",
               names.empty() ? "" : fmt::format("{}", fmt::join(names, ", ")),
               fit.fit.converged ? "" : " (the fit did not converge)");
  }
  if (!any)
    fmt::print(out, "  none\n");

  std::set<std::string> reasons;
  for (const PointCheck& check : evaluation.points) {
    for (const FigureCheck& figure : check.figures) {
      if (!figure.unknown.empty()) {
        reasons.insert(fmt::format("{} {}: {}", check.group,
                                   check.device.empty() ? check.model : check.device,
                                   figure.unknown));
      }
    }
  }
  if (!reasons.empty()) {
    fmt::print(out, "\nunknown, and out of the coverage\n");
    for (const std::string& reason : reasons)
      fmt::print(out, "  {}\n", printable(reason));
  }
}

std::string percent(const std::vector<double>& errors) {
  return errors.empty() ? "-" : fmt::format("{:.1f}", 100 * median(errors));
}

void append(std::vector<double>& all, const std::vector<double>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

void print_serving(const ServingEvaluation& evaluation, bool as_json, std::FILE* out) {
  const Align right = Align::kRight;
  json::array folds;
  json::object medians;
  std::string text;
  for (const bool disaggregated : {false, true}) {
    Table table({{"system"},
                 {"backend"},
                 {"model"},
                 {"rows", right},
                 {"TPOT in sample %", right},
                 {"TPOT left out %", right},
                 {"TTFT in sample %", right},
                 {"TTFT left out %", right}});
    ServingFold sum;
    std::vector<double> tpot_folds, ttft_folds;
    for (const ServingFold& fold : evaluation.folds) {
      if (fold.disaggregated != disaggregated)
        continue;
      table.add_row({fold.system, fold.backend, fold.model, std::to_string(fold.rows),
                     percent(fold.tpot_in_sample), percent(fold.tpot_left_out),
                     percent(fold.ttft_in_sample), percent(fold.ttft_left_out)});
      folds.push_back(json::object{{"system", fold.system},
                                   {"backend", fold.backend},
                                   {"model", fold.model},
                                   {"disaggregated", disaggregated},
                                   {"rows", fold.rows},
                                   {"tpot_percent", 100 * median(fold.tpot_left_out)},
                                   {"ttft_percent", 100 * median(fold.ttft_left_out)}});
      sum.rows += fold.rows;
      append(sum.tpot_in_sample, fold.tpot_in_sample);
      append(sum.tpot_left_out, fold.tpot_left_out);
      append(sum.ttft_in_sample, fold.ttft_in_sample);
      append(sum.ttft_left_out, fold.ttft_left_out);
      tpot_folds.push_back(median(fold.tpot_left_out));
      ttft_folds.push_back(median(fold.ttft_left_out));
    }
    if (table.rows() == 0)
      continue;
    table.add_rule();
    table.add_row({"all rows", "", "", std::to_string(sum.rows), percent(sum.tpot_in_sample),
                   percent(sum.tpot_left_out), percent(sum.ttft_in_sample),
                   percent(sum.ttft_left_out)});
    table.add_row(
        {"median of folds", "", "", "", "", percent(tpot_folds), "", percent(ttft_folds)});
    text += fmt::format("{}median relative errors, {}\n\n{}", text.empty() ? "" : "\n",
                        disaggregated ? "disaggregated rows (in no fit; in-sample does not apply)"
                                      : "aggregated rows, each model left out in turn",
                        table.text());
    medians[disaggregated ? "disaggregated" : "aggregated"] =
        json::object{{"rows", sum.rows},
                     {"tpot_percent", 100 * median(sum.tpot_left_out)},
                     {"ttft_percent", 100 * median(sum.ttft_left_out)}};
  }
  if (as_json) {
    fmt::print(out, "{}",
               data::json_pretty(json::object{
                   {"folds", folds},
                   {"median_percent", medians},
                   {"floor", json::object{{"rows", evaluation.repeated},
                                          {"tpot_percent", 100 * median(evaluation.tpot_spread)},
                                          {"ttft_percent", 100 * median(evaluation.ttft_spread)}}},
                   {"listed_twice", evaluation.listed_twice},
                   {"unknown", evaluation.unknown}}));
    return;
  }
  fmt::print(out, "{}", text);
  fmt::print(
      out,
      "\nthe floor: {} rows repeat a configuration (same version); they deviate from its mean "
      "by {} % TPOT and {} % TTFT (median)\n{} rows list a measurement again and count "
      "once\n",
      evaluation.repeated, percent(evaluation.tpot_spread), percent(evaluation.ttft_spread),
      evaluation.listed_twice);
  for (const std::string& reason : evaluation.reasons)
    fmt::print(out, "unknown: {}\n", printable(reason));
}

}  // namespace

int run_perf_check(const PerfCheckOptions& options, std::FILE* out, std::FILE* err) {
  const auto refuse = [&](const Error& error) {
    fmt::print(err, "medley perf check: {}\n", printable(error.message));
    return kUnusable;
  };
  const auto catalog = data::read_catalog(options.catalog);
  if (!catalog)
    return refuse(catalog.error());
  if (data::is_table(options.points)) {
    const auto rows = data::read_serving_rows(options.points);
    if (!rows)
      return refuse(rows.error());
    print_serving(evaluate(*rows, *catalog), options.json, out);
    return 0;
  }
  const auto points = data::read_points(options.points);
  if (!points)
    return refuse(points.error());
  const Evaluation evaluation = evaluate(*points, *catalog);
  if (options.json) {
    fmt::print(out, "{}", as_json(evaluation));
  } else {
    print_table(evaluation, out);
  }
  return 0;
}

}  // namespace medley::cli
