// Small fleets with made-up speeds, for tests of the core and of what drives it.
#pragma once

#include <string>
#include <vector>

#include "domain/fleet.h"
#include "perf/perf_model.h"
#include "perf/step_run.h"

namespace medley::sched {

// A step takes `fixed_s`, and more by sequence and by prompt token. Draws a constant 100 W.
class LinearSteps final : public perf::StepModel {
 public:
  LinearSteps(double fixed_s, double per_sequence_s, double per_prompt_token_s)
      : fixed_s_(fixed_s),
        per_sequence_s_(per_sequence_s),
        per_prompt_token_s_(per_prompt_token_s) {}
  perf::StepCost step(const perf::StepShape& shape) const override {
    const double seconds = fixed_s_ + per_sequence_s_ * static_cast<double>(shape.decodes) +
                           per_prompt_token_s_ * static_cast<double>(shape.prefill_tokens());
    return {Seconds(seconds), Joules(100 * seconds)};
  }
  std::optional<perf::StepCost> run(const perf::StepShape& first, long long steps) const override {
    return perf::sum_of_linear_pieces(*this, first, steps);
  }
  Watts idle_power() const override { return Watts(50); }

 private:
  double fixed_s_, per_sequence_s_, per_prompt_token_s_;
};

struct TestPool {
  std::string name;
  std::string zone = "here";
  int replicas = 1;
  int max_running = 8;
  long long kv_tokens = 100'000;
  long long max_context = 8'192;
  double step_s = 0.005;
  perf::ServingKind kind = perf::ServingKind::kBatched;
  Metered metered{};  // of kMetered
};

struct TestFleet {
  Fleet fleet;
  perf::PerfModel perf;
};

// Labels: "public" anywhere, "internal" in here and edge, "restricted" in here only. One offer,
// "chat", that every pool answers for every class.
inline TestFleet make_test_fleet(const std::vector<TestPool>& pools) {
  TestFleet made;
  made.fleet.site.zone = "here";
  made.fleet.site.tariff_per_kwh.fill(0.2);
  made.fleet.labels = {
      {"public", true, {}}, {"internal", false, {"here", "edge"}}, {"restricted", false, {"here"}}};
  made.fleet.default_label = LabelId(1);
  Offer offer{"chat", {}};
  for (const TestPool& wanted : pools) {
    for (auto& of_class : offer.pools)
      of_class.push_back(PoolId(made.fleet.pools.size()));
    Pool pool;
    pool.name = wanted.name;
    pool.device = wanted.kind == perf::ServingKind::kMetered ? "metered" : "test_device";
    pool.model.id = "chat";
    pool.zone = wanted.zone;
    pool.replicas = wanted.replicas;
    pool.batching.max_running = wanted.max_running;
    pool.batching.chunk_tokens = 256;
    pool.batching.kv_blocks = wanted.kv_tokens / pool.batching.block_tokens;
    perf::PoolModel model;
    model.kind = wanted.kind;
    model.max_running = wanted.max_running;
    model.kv_tokens = *pool.batching.kv_blocks * pool.batching.block_tokens;
    model.max_context = wanted.max_context;
    if (wanted.kind == perf::ServingKind::kMetered) {
      pool.metered = wanted.metered;
    } else {
      model.chunk_tokens =
          wanted.kind == perf::ServingKind::kBatched ? pool.batching.chunk_tokens : 0;
      model.steps = std::make_shared<LinearSteps>(wanted.step_s, wanted.step_s / 100, 2e-5);
    }
    made.fleet.pools.push_back(std::move(pool));
    made.perf.pools.push_back(std::move(model));
  }
  made.fleet.offers = {offer};
  return made;
}

}  // namespace medley::sched
