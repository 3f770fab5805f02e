// The pools that a fleet could have, one for each way of putting a model on devices that may be
// had, and what each can do for every demand.
//
// Each is the text of a fleet file, read by the fleet reader and timed by the step model of its
// device: a plan contains nothing that `serve` and `simulate` would not read.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "data/requirements_file.h"
#include "perf/perf_model.h"
#include "plan/capacity.h"

namespace medley::plan {

struct PoolType {
  Pool pool;
  perf::PoolModel model;
  std::string text;                     // its keys in a fleet file, without `replicas`
  std::optional<std::size_t> device;    // of Requirements::devices …
  std::optional<std::size_t> service;   // … or of its services
  std::optional<std::size_t> standing;  // of Requirements::standing: it serves already
  int devices = 0;                      // of one replica; 0 for services
  double idle_w = 0, most_w = 0;        // of a replica's devices: model loaded; all at their TDP
  std::vector<Use> uses;                // by demand
};

struct PoolTypes {
  std::vector<PoolType> types;
  // What another one of the same devices, model and place beats in everything: left out of plans.
  std::vector<PoolType> beaten;
  // What cannot be, and why: "2 x h100_sxm, llama-3.1-405b" does not fit its memory.
  std::vector<std::pair<std::string, std::string>> refused;
};

// What was observed of a standing pool's speed holds for all of its model on its device, else for
// all of its device.
Result<PoolTypes> pool_types(const data::Requirements& requirements, const data::Catalog& catalog);

// Devices of one replica of a pool that has hardware of the catalogue.
int devices_of(const Pool& pool);

// A fleet file with so many replicas of each type; types with none are left out. `note` becomes its
// first lines, as comments.
std::string fleet_text(const data::Requirements& requirements, const std::vector<PoolType>& types,
                       const std::vector<int>& replicas, const std::string& note);

// Text as a YAML scalar that every reader takes for itself.
std::string quoted(std::string_view text);

}  // namespace medley::plan
