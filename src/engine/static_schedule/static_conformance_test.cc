#include "engine/conformance.h"
#include "engine/static_schedule/testing.h"

namespace medley::engine {
namespace {

using static_schedule::EngineRig;

class StaticSubject final : public Subject {
 public:
  explicit StaticSubject(const std::string& model_path) : rig_(model_path) {
    auto made = rig_.make();
    MEDLEY_CHECK(made.ok(), made.ok() ? "" : made.error().message);
    engine_ = std::move(made).value();
  }
  Engine& engine() override { return *engine_; }
  bool pump() override { return rig_.pump(); }
  void drain() override { rig_.loop.run_ready(); }
  void destroy_engine() override { engine_.reset(); }

 private:
  EngineRig rig_;
  std::unique_ptr<Engine> engine_;
};

std::unique_ptr<Subject> subject_of(const std::optional<std::string>& model_path) {
  return model_path ? std::make_unique<StaticSubject>(*model_path) : nullptr;
}

INSTANTIATE_TEST_SUITE_P(
    StaticSchedule, EngineConformance,
    testing::Values(
        ConformanceCase{
            .name = "static_stories260K",
            .make =
                [](auto& why_not) { return subject_of(static_schedule::stories_model(why_not)); },
            .too_many_words = 600},
        ConformanceCase{
            .name = "static_builtin",
            .make =
                [](auto& why_not) { return subject_of(static_schedule::builtin_model(why_not)); },
            .too_many_words = 5000}),
    name_of_case);

}  // namespace
}  // namespace medley::engine
