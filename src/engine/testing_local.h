// For tests of engines that compute on this machine: where the models are, and an engine with a
// hand-driven loop around it.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/result.h"
#include "data/testing_shared.h"
#include "engine/engine.h"
#include "engine/manual_loop.h"

namespace medley::engine {

// Empty with a reason where the file is not there. Tests run in the top folder.
inline std::optional<std::string> existing(const std::string& path, std::string& why_not) {
  if (std::filesystem::exists(path))
    return path;
  why_not = path + " is not there (set MEDLEY_SHARED)";
  return std::nullopt;
}
inline std::optional<std::string> stories_model(std::string& why_not) {
  return existing(data::shared_folder() + "/models/stories260K.gguf", why_not);
}
// The model that comes with medley.
inline std::optional<std::string> builtin_model(std::string& why_not) {
  return existing("catalog/builtin/builtin.gguf", why_not);
}

struct EngineRig {
  EngineRig(EngineType type, std::string model_path, int slots = 8, int threads = 1) {
    pool.name = "test";
    pool.device = "this_machine";
    pool.model_path = std::move(model_path);
    pool.engine.type = type;
    pool.engine.threads = threads;
    pool.slots = slots;
  }

  Result<std::unique_ptr<Engine>> make() {
    return make_engine({.loop = loop, .pool = pool, .model = model, .replica = ReplicaId(0)});
  }
  // Lets happen what is there, or what has its time next, or what another thread posts. False:
  // nothing came for 20 s, the engine hangs.
  bool pump() {
    if (loop.run_ready())
      return true;
    if (const auto next = loop.next_timer()) {
      loop.advance_to(*next);
      return true;
    }
    if (!loop.wait_for_post(std::chrono::seconds(20)))
      return false;
    loop.run_ready();
    return true;
  }

  ManualLoop loop;
  Pool pool;
  perf::PoolModel model;
};

}  // namespace medley::engine
