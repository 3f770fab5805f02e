#include "data/model_facts.h"

#include <fmt/format.h>

#include <filesystem>

#include "data/gguf.h"
#include "data/model_config.h"

namespace medley::data {

Result<ModelFacts> model_facts(const std::string& reference, const Catalog& catalog,
                               const std::string& base_folder) {
  namespace fs = std::filesystem;
  const auto from_base = [&] {
    const fs::path given(reference);
    return given.is_absolute() ? given : (fs::path(base_folder) / given).lexically_normal();
  };
  const auto from_gguf = [](const fs::path& path, std::string id) -> Result<ModelFacts> {
    MEDLEY_TRY(const Gguf gguf, read_gguf(path.string()));
    ModelFacts facts;
    MEDLEY_TRY(facts.model, gguf_model(gguf, path.string()));
    facts.model.id = std::move(id);
    facts.gguf_path = path.string();
    return facts;
  };
  const auto from_config = [](const fs::path& path, std::string id) -> Result<ModelFacts> {
    ModelFacts facts;
    MEDLEY_TRY(facts.model, read_model_config(path.string()));
    facts.model.id = std::move(id);
    return facts;
  };

  if (reference == "builtin")
    return from_gguf(fs::path(catalog.folder()) / "builtin" / "builtin.gguf", reference);
  if (reference.ends_with(".gguf"))
    return from_gguf(from_base(), from_base().stem().string());
  if (reference.ends_with(".json")) {
    // Every model's is called config.json: its folder says which one it is.
    const fs::path path = from_base();
    const fs::path parent = path.parent_path().filename();
    return from_config(path, path.stem() == "config" && !parent.empty() && parent != "."
                                 ? parent.string()
                                 : path.stem().string());
  }
  if (catalog.has_model(reference))
    return ModelFacts{*catalog.model(reference), {}};
  std::error_code failure;
  if (fs::exists(from_base() / "config.json", failure)) {
    return from_config(from_base() / "config.json", from_base().filename().string());
  }
  Error error = catalog.model(reference).error();
  error.message += " (a file is named by its ending, .gguf or .json)";
  return error;
}

}  // namespace medley::data
