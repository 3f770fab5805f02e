// `medley perf`: the step models held against measurements (check), fitted to them (fit) and shown
// (show); published speeds held against compiled schedules (schedule).
#pragma once

#include <cstdio>
#include <optional>
#include <string>

#include "data/catalog.h"
#include "data/points.h"

namespace medley::cli {

struct PerfCheckOptions {
  std::string points;   // a validation_points YAML file or a CSV of serving rows
  std::string catalog;  // folder; empty: data::default_catalog_folder()
  bool json = false;
};
// Exit status: 0 answered, 2 unusable input.
int run_perf_check(const PerfCheckOptions& options, std::FILE* out, std::FILE* err);

struct PerfFitOptions {
  std::string points, out, date, catalog;
  bool keep_unidentified = false;
};
// Writes to `out` the fits that converged and whose constants are identified; names the others on
// `err`. Exit status: 0 all written, 1 some refused, 2 unusable input.
int run_perf_fit(const PerfFitOptions& options, std::FILE* out, std::FILE* err);

struct PerfShowOptions {
  std::string model, device, engine, precision, catalog;
  std::string svg;  // picture; empty: none
  int devices = 0;  // 0: one, or the chips that hold the weights
  bool json = false;
};
// Exit status: 0 answered, 2 unusable input or a figure that is missing, 4 no such model or device.
int run_perf_show(const PerfShowOptions& options, std::FILE* out, std::FILE* err);

struct PerfScheduleOptions {
  std::string points, target = "groqchip1", catalog;
  bool json = false;
};
// Published speeds of statically scheduled chips against compiled schedules: which share of the
// time of a token they explain. Exit status: 0 answered, 2 unusable input, 4 no such target.
int run_perf_schedule(const PerfScheduleOptions& options, std::FILE* out, std::FILE* err);
// Of the same, the seconds a layer that published speeds show beyond the schedules compiled for
// that device. Empty: no target describes it, or no dense point
// compiles for it.
std::optional<double> beyond_schedule_layer_s(const data::PointsFile& points,
                                              const data::Catalog& catalog,
                                              const std::string& device);

}  // namespace medley::cli
