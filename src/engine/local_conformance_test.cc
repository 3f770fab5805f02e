// The engines that compute on this machine, with the models that there are.
#include "engine/conformance.h"
#include "engine/testing_local.h"

namespace medley::engine {
namespace {

class LocalSubject final : public Subject {
 public:
  // `prefill`: prompts of two tokens and more are read by another engine.
  LocalSubject(EngineType type, const std::string& model_path, bool prefill)
      : rig_(type, model_path, 4) {
    if (prefill)
      rig_.pool.engine.prefill = PrefillSpec{};
    auto made = rig_.make();
    MEDLEY_CHECK(made.ok(), made.ok() ? "" : made.error().message);
    engine_ = std::move(made).value();
  }
  Engine& engine() override { return *engine_; }
  bool pump() override { return rig_.pump(); }
  void drain() override { rig_.loop.run_until_idle(); }
  void destroy_engine() override { engine_.reset(); }

 private:
  EngineRig rig_;
  std::unique_ptr<Engine> engine_;
};

using FindModel = std::optional<std::string> (*)(std::string& why_not);

ConformanceCase with(EngineType type, std::string name, FindModel find, int too_many_words,
                     bool prefill = false) {
  return {.name = std::string(name_of(type)) + "_" + std::move(name),
          .make = [type, find, prefill](std::string& why_not) -> std::unique_ptr<Subject> {
            const std::optional<std::string> path = find(why_not);
            return path ? std::make_unique<LocalSubject>(type, *path, prefill) : nullptr;
          },
          .too_many_words = too_many_words};
}

INSTANTIATE_TEST_SUITE_P(
    Local, EngineConformance,
    testing::Values(
        with(EngineType::kLlamaEmbedded, "stories260K", stories_model, 600),
        with(EngineType::kLlamaEmbedded, "builtin", builtin_model, 5000),
        with(EngineType::kStaticSchedule, "stories260K", stories_model, 600),
        with(EngineType::kStaticSchedule, "builtin", builtin_model, 5000),
        with(EngineType::kStaticSchedule, "stories260K_prefilled", stories_model, 600, true),
        with(EngineType::kStaticSchedule, "builtin_prefilled", builtin_model, 5000, true)),
    name_of_case);

}  // namespace
}  // namespace medley::engine
