// The figures that a prediction of `medley perf show` follows from, each with its sources.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data/catalog.h"

namespace medley::cli {

struct Figure {
  std::string_view group;  // "device", "constants", "power", "model" or "format"
  std::string name;
  std::string value;              // with its unit; "unknown" where it is
  std::string confidence;         // a letter of catalog/README.md; empty: ungraded or unknown
  std::vector<std::string> from;  // keys of the group's sources; empty: no source
};

// Times that are zero stand in one row. Power figures are those of one device.
std::vector<Figure> figures_behind(const data::Catalog& catalog, const Accelerator& accelerator,
                                   const Model& model, const data::NumberFormat& format,
                                   const StepConstants& constants);

// The table that explains the keys of a group's figures.
const data::SourceTable& sources_of_group(const data::Catalog& catalog, std::string_view group);

}  // namespace medley::cli
