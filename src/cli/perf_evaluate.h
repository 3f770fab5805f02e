// Published points against the step models: constants fitted with and without each point.
//
// A point is predicted twice. Left out: by constants fitted without any point of its (model,
// device), in three steps, each starting from the one before: all devices, then its device, then
// its device at its precision; the first starts from others' figures or round numbers where the
// catalogue's default lies near these points, else from that. In sample: by constants fitted on all
// points of its device and precision, which is what `medley perf fit` writes. Pure but for what the
// catalogue holds.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/catalog.h"
#include "data/points.h"
#include "perf/calibrate.h"

namespace medley::cli {

// A published figure with what the models say of it.
struct FigureCheck {
  std::string name;  // the point's field
  double published = 0;
  std::optional<double> left_out, in_sample;
  std::string unknown;  // why there is no prediction
  bool asked = true;    // false: shown beside the asked ones (watts)
};

struct PointCheck {
  std::string group, device_class, device, precision, model;
  std::size_t index = 0;
  int line = 0;
  std::vector<FigureCheck> figures;
};

// What a fit of all points of one device and precision found.
struct GroupFit {
  enum class Law { kRoofline, kPower, kDataflow };
  Law law = Law::kRoofline;
  std::string group, device_class, device, precision, engine, engine_version;
  std::vector<std::string> names;  // of the constants, in the order of fit.found
  perf::Fit fit;
  perf::Constants constants;        // kRoofline
  PowerLaw power;                   // kPower
  DataflowConstants dataflow;       // kDataflow
  std::vector<std::string> points;  // "ml_energy[3]"
  std::vector<int> lines;           // of a table of serving runs, in its place
  double in_sample = 0;             // mean relative error of the times it was fitted on
  std::optional<double> left_out;   // the same with the point's (model, device) left out
  std::vector<std::string> unidentified() const;
  std::vector<std::string> unfelt() const;  // no point depends on them
};

struct Evaluation {
  std::vector<PointCheck> points;  // in file order
  std::vector<GroupFit> fits;
};

Evaluation evaluate(const data::PointsFile& file, const data::Catalog& catalog);

// The constants a fit starts from: those of the catalogue for any device of that kind.
StepConstants class_default(const data::Catalog& catalog, AcceleratorKind kind);

}  // namespace medley::cli
