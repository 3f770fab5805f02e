#include "engine/conformance.h"
#include "engine/emulated/emulated_engine.h"
#include "engine/manual_loop.h"
#include "perf/linear.h"

namespace medley::engine {
namespace {

// A small machine: 10 ms a step and room for 600 tokens of context.
class EmulatedSubject final : public Subject {
 public:
  EmulatedSubject() {
    pool_.name = "emulated";
    pool_.device = "slow_chip";
    pool_.batching.max_running = 8;
    model_.kind = perf::ServingKind::kBatched;
    model_.steps = std::make_shared<perf::LinearModel>(
        LinearConstants{.step_s = 0.01, .prompt_token_s = 1e-4}, PowerLaw{});
    model_.max_running = 8;
    model_.kv_tokens = 640;
    model_.max_context = 600;
    model_.chunk_tokens = 384;
    pool_.batching.kv_blocks = 40;
    auto made = make_engine({loop_, pool_, model_, ReplicaId(3), 0, 7});
    MEDLEY_CHECK(made.ok(), made.ok() ? "" : made.error().message);
    engine_ = std::move(*made);
  }
  Engine& engine() override { return *engine_; }
  bool pump() override {
    if (loop_.run_ready())
      return true;
    const auto next = loop_.next_timer();
    if (!next)
      return false;
    loop_.advance_to(*next);
    return true;
  }
  void drain() override { loop_.run_until_idle(); }
  void destroy_engine() override { engine_.reset(); }

 private:
  ManualLoop loop_;
  Pool pool_;
  perf::PoolModel model_;
  std::unique_ptr<Engine> engine_;
};

INSTANTIATE_TEST_SUITE_P(Emulated, EngineConformance,
                         testing::Values(ConformanceCase{
                             .name = "emulated",
                             .make =
                                 [](std::string&) { return std::make_unique<EmulatedSubject>(); },
                             .too_many_words = 700,
                         }),
                         name_of_case);

}  // namespace
}  // namespace medley::engine
