// For the tests of this folder: where the models are, and an engine with a hand-driven loop around
// it.
#pragma once

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/result.h"
#include "engine/conformance.h"
#include "engine/llama_embedded/llama_engine.h"
#include "engine/manual_loop.h"

namespace medley::engine::llama_embedded {

// The model of `shared/models/`; empty with a reason where the folder is not. Tests run in the top
// folder.
inline std::optional<std::string> stories_model(std::string& why_not) {
  const char* shared = std::getenv("MEDLEY_SHARED");
  const std::filesystem::path path =
      std::filesystem::path(shared != nullptr ? shared : "../shared") / "models/stories260K.gguf";
  if (std::filesystem::exists(path))
    return path.string();
  why_not = path.string() + " is not there (set MEDLEY_SHARED)";
  return std::nullopt;
}

// The model that comes with medley.
inline std::optional<std::string> builtin_model(std::string& why_not) {
  const std::filesystem::path path = "catalog/builtin/builtin.gguf";
  if (std::filesystem::exists(path))
    return path.string();
  why_not = path.string() + " is not there";
  return std::nullopt;
}

struct EngineRig {
  explicit EngineRig(std::string model_path, int sequences = 8) {
    pool.name = "test";
    pool.device = "this_machine";
    pool.model_path = std::move(model_path);
    pool.engine.type = EngineType::kLlamaEmbedded;
    pool.engine.threads = 1;
    pool.batching.max_running = sequences;
  }

  Result<std::unique_ptr<Engine>> make() {
    return make_llama_engine({.loop = loop, .pool = pool, .model = model, .replica = ReplicaId(0)});
  }
  // False: nothing came for 20 s, the engine hangs.
  bool pump() {
    if (!loop.wait_for_post(std::chrono::seconds(20)))
      return false;
    loop.run_ready();
    return true;
  }

  ManualLoop loop;
  Pool pool;
  perf::PoolModel model;
};

}  // namespace medley::engine::llama_embedded
