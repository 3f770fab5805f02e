// The catalogue: accelerators, models and step constants, as catalog/*.yaml states them.
//
// Reads what the files say and adds nothing: an unknown figure stays empty. Names are looked up
// without regard to case and with '-' and '_' alike, by id or by alias.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "domain/accelerator.h"
#include "domain/model.h"
#include "domain/step_constants.h"

namespace medley::data {

using SourceTable = std::map<std::string, std::string>;  // key -> what was read

// A number format by its published name, which may be finer than our Precision (q4_k_m is a 4-bit
// one).
struct NumberFormat {
  std::string id;
  std::vector<std::string> aliases;
  Precision precision = Precision::kBf16;  // the nearest of ours
  double weight_bytes_per_parameter = 2;   // block scales included
  std::vector<Precision> computes_as;      // in order of preference
  std::string confidence;
  std::vector<std::string> sources;
};

// One entry's further facts, as they stand in the file: ("system.devices_per_rack", "72").
using Facts = std::vector<std::pair<std::string, std::string>>;

class Catalog {
 public:
  const std::vector<Accelerator>& accelerators() const { return accelerators_; }
  const std::vector<Model>& models() const { return models_; }
  const std::vector<NumberFormat>& number_formats() const { return formats_; }
  const std::string& as_of() const { return as_of_; }
  const std::string& folder() const { return folder_; }

  // By id or alias. The error is kNotFound and names the nearest id or alias.
  Result<Accelerator> accelerator(std::string_view name) const;
  Result<Model> model(std::string_view name) const;
  Result<NumberFormat> number_format(std::string_view name) const;
  bool has_accelerator(std::string_view name) const;
  bool has_model(std::string_view name) const;

  // Every value of an entry, flattened; the sources stay keys. Empty for an unknown id.
  const Facts& accelerator_facts(const std::string& id) const;
  const Facts& model_facts(const std::string& id) const;
  // The keys of those sources of an accelerator that may stand behind its figures of a group:
  // memory, compute, link, power, price, engines or speed.
  std::vector<std::string> sources_of(const Accelerator& accelerator, std::string_view group) const;
  const SourceTable& accelerator_sources() const { return accelerator_sources_; }
  const SourceTable& model_sources() const { return model_sources_; }
  const SourceTable& constant_sources() const { return constant_sources_; }

  // The constants to use (rules: catalog/README.md, "Look-up of step constants"). What the question
  // leaves empty fits everything, and bf16 and fp16 are one:
  //   the first entry of the device whose engine, engine version and precision fit;
  //   else the same with the version ignored;
  //   else the default of the device's kind. None at all: law is kNone.
  // The kind's default also decides which step model a device gets. Power goes by device, then by
  // kind.
  StepConstants constants_for(const Accelerator& accelerator, std::string_view engine,
                              Precision precision, std::string_view engine_version = {}) const;

 private:
  friend class CatalogReader;
  struct Names {
    std::map<std::string, std::size_t> index;  // folded name -> place
    std::vector<std::string> ids, all;         // for suggestions; all: with aliases
  };
  // What an entry of step_constants.yaml fits; unset fits all.
  struct Key {
    std::string device, engine, engine_version;
    AcceleratorKind kind = AcceleratorKind::kGpu;
    std::optional<Precision> precision;
    bool only_if_asked = false;  // for questions that name its engine version
  };
  struct ConstantsEntry {
    Key key;
    StepConstants constants;  // roofline or dataflow filled, power not
  };
  struct PowerEntry {
    Key key;
    PowerLaw watts;
    std::string source, confidence;
    bool of_tdp = false;           // watts are shares of the TDP
    std::optional<Range> fixed_w;  // drawn while in service
    double fixed_typical_w = 0;
  };

  void fill_power(StepConstants& constants, const Accelerator& accelerator) const;

  std::string as_of_, folder_;
  std::vector<Accelerator> accelerators_;
  std::vector<Model> models_;
  std::vector<NumberFormat> formats_;
  Names accelerator_names_, model_names_, format_names_;
  std::map<std::string, Facts> accelerator_facts_, model_facts_;
  SourceTable accelerator_sources_, model_sources_, constant_sources_;
  std::map<std::string, std::vector<std::string>> partial_sources_;  // accelerator source -> groups
  std::vector<ConstantsEntry> roofline_, dataflow_;
  std::vector<PowerEntry> power_;
};

// Reads accelerators.yaml, models.yaml and step_constants.yaml of a folder; empty: the default one.
Result<Catalog> read_catalog(const std::string& folder);
// $MEDLEY_CATALOG, else the folder of the source tree or installation this was built for.
std::string default_catalog_folder();

}  // namespace medley::data
