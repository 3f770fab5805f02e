// What a pool's `model:` names: a catalogue id, a GGUF file, a Hugging Face config.json, or
// `builtin`.
#pragma once

#include <string>

#include "base/result.h"
#include "data/catalog.h"
#include "domain/model.h"

namespace medley::data {

struct ModelFacts {
  Model model;
  std::string gguf_path;  // the weights, where the reference is a GGUF file
};

// Reads the facts of a model:
//   "builtin"               the GGUF shipped with the catalogue (builtin/builtin.gguf)
//   "*.gguf", "*.json"      that file, from `base_folder` where relative
//   a folder                its config.json
//   anything else           a catalogue id or alias
// The model's id is the catalogue's, "builtin", or the file's (folder's) name without its ending.
Result<ModelFacts> model_facts(const std::string& reference, const Catalog& catalog,
                               const std::string& base_folder);

}  // namespace medley::data
