// Every shortcut against the sum it stands for: runs of all lengths over kinks and table edges.
#include "perf/step_run.h"

#include <gtest/gtest.h>

#include "base/prng.h"
#include "perf/linear.h"
#include "perf/roofline.h"
#include "perf/tables/splitwise.h"
#include "perf/tables/vidur.h"

namespace medley::perf {
namespace {

void expect_runs_equal_steps(const StepModel& model, long long longest_context) {
  Prng prng(3);
  for (int i = 0; i < 300; ++i) {
    StepShape first;
    first.decodes = 1 + static_cast<long long>(prng.below(200));
    first.decode_context =
        first.decodes + static_cast<long long>(prng.below(
                            static_cast<std::uint64_t>(first.decodes * longest_context)));
    first.decode_context_min = first.decode_context / first.decodes;
    first.decode_context_max = first.decode_context / first.decodes;
    const long long steps = 1 + static_cast<long long>(prng.log_normal(100, 1.5));
    double time = 0, energy = 0;
    long long extrapolated = 0;
    for (long long step = 0; step < steps; ++step) {
      const StepCost cost = model.step(later_step(first, step));
      time += cost.time.value();
      energy += cost.energy.value();
      extrapolated += cost.extrapolated;
    }
    const auto run = model.run(first, steps);
    ASSERT_TRUE(run.has_value());
    EXPECT_NEAR(run->time.value(), time, 1e-10 * time);
    EXPECT_NEAR(run->energy.value(), energy, 1e-10 * energy);
    EXPECT_EQ(run->extrapolated, extrapolated);
  }
}

// Bends from arithmetic to memory within the runs, and its power into the cap.
class Bending final : public StepModel {
 public:
  StepCost step(const StepShape& shape) const override {
    ++steps_asked;
    const auto context = static_cast<double>(shape.decode_context);
    const double seconds =
        0.01 + std::max(1e-6 * context, 1e-3 * static_cast<double>(shape.decodes));
    return {Seconds(seconds), Joules(std::min(100 * seconds, 0.5 + 3e-5 * context))};
  }
  std::optional<StepCost> run(const StepShape& first, long long steps) const override {
    return sum_of_linear_pieces(*this, first, steps);
  }
  Watts idle_power() const override { return {}; }
  mutable long long steps_asked = 0;
};

TEST(StepRuns, OfAModelThatBendsEqualItsSteps) { expect_runs_equal_steps(Bending(), 2000); }

TEST(StepRuns, TakeNoLongerForMoreSteps) {
  const Bending model;
  sum_of_linear_pieces(model, {.decodes = 10, .decode_context = 5000}, 1'000'000'000);
  EXPECT_LT(model.steps_asked, 200);
}

TEST(StepRuns, OfARooflineEqualItsSteps) {
  Accelerator accelerator;
  accelerator.memory = {
      {.tier = "hbm", .capacity = Bytes(80e9), .bandwidth = BytesPerSecond(3e12)}};
  accelerator.peak = {{Precision::kBf16, FlopsPerSecond(1e14)}};
  Model model;
  model.parameters = 8e9;
  model.layers = 32;
  model.hidden_size = 4096;
  model.kv_heads = 8;
  model.heads = 32;
  model.head_size = 128;
  const RooflineConstants constants{.t_fix_s = 1e-3, .t_layer_s = 1e-5};
  const PowerLaw power{.intercept_w = 200, .per_mfu_w = 300, .per_mbu_w = 600, .cap_w = 500};
  const auto roofline = RooflineModel::make({.accelerator = accelerator,
                                             .model = model,
                                             .precision = Precision::kBf16,
                                             .devices = 1,
                                             .constants = constants,
                                             .power = power});
  ASSERT_TRUE(roofline.ok()) << roofline.error().message;
  expect_runs_equal_steps(*roofline, 8000);
}

TEST(StepRuns, OfAMeasuredMachineEqualItsSteps) {
  expect_runs_equal_steps(LinearModel({.step_s = 0.01,
                                       .decode_s = 0.002,
                                       .chunk_s = 0.001,
                                       .prompt_token_s = 0.01,
                                       .context_token_s = 1e-6},
                                      {.intercept_w = 50}),
                          1000);
}

TEST(StepRuns, OfVidursTablesEqualTheirSteps) {
  VidurTables tables;
  for (long long from = 1; from < 200; from += 3) {
    tables.per_token.push_back({.num_tokens = from,
                                .add = 0.01 * static_cast<double>(from),
                                .attn_kv_cache_save = 0.02 * static_cast<double>(from)});
  }
  for (long long batch = 1; batch <= 128; ++batch) {
    for (long long kv = 0; kv <= 2048; kv += 64) {
      tables.decode.push_back(
          {batch, kv, 0.1 * static_cast<double>(batch) + 0.001 * static_cast<double>(kv)});
    }
  }
  tables.prefill = {{0, 1, 1}};
  expect_runs_equal_steps(**make_vidur_model(tables, 3), 2000);
}

TEST(StepRuns, OfSplitwisesMeasurementsEqualTheirSteps) {
  expect_runs_equal_steps(**make_splitwise_model({{100, 1, 10, 1}, {150, 1, 20, 2}}), 1000);
}

}  // namespace
}  // namespace medley::perf
