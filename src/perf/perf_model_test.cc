#include "perf/perf_model.h"

#include <gtest/gtest.h>

#include <array>

#include "perf/linear.h"

namespace medley::perf {
namespace {

Model llama_70b() {
  Model model;
  model.id = "llama-3.1-70b";
  model.parameters = model.active_parameters = 70.6e9;
  model.layers = 80;
  model.hidden_size = 8192;
  model.heads = 64;
  model.kv_heads = 8;
  model.head_size = 128;
  model.kv_numbers_per_token_and_layer = 2048;
  model.max_context = 131072;
  return model;
}

Pool h100_pool() {
  Accelerator device;
  device.id = "h100_sxm";
  device.memory = {{"hbm3", Bytes(85.9e9), BytesPerSecond(3350e9)}};
  device.peak = {{Precision::kBf16, FlopsPerSecond(989e12)}};
  device.link = BytesPerSecond(450e9);
  Pool pool;
  pool.name = "x";
  pool.device = device.id;
  pool.accelerator = device;
  pool.model = llama_70b();
  pool.tensor_parallel = 4;
  return pool;
}

Pool lpu_pool() {
  Accelerator device;
  device.id = "groq_lpu_v1";
  device.kind = AcceleratorKind::kLpu;
  device.memory = {{"sram", Bytes(0.23e9), BytesPerSecond(80e12)}};
  device.weight_feed = BytesPerSecond(18.432e12);
  Pool pool;
  pool.name = "lpu";
  pool.device = device.id;
  pool.accelerator = device;
  pool.model = llama_70b();
  pool.precision = Precision::kInt8;
  pool.chips = 576;
  pool.constants.dataflow.t_layer_s = 41e-6;
  return pool;
}

TEST(PerfModel, CountsTheKvCacheThatIsLeftBesideTheWeights) {
  const Pool pool = h100_pool();
  const auto model = make_pool_model(pool);
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(model->kind, ServingKind::kBatched);
  const double left = 4 * 85.9e9 * 0.9 - 70.6e9 * 2;
  EXPECT_EQ(model->kv_tokens, static_cast<long long>(left / 327680 / 16) * 16);
  EXPECT_EQ(model->max_running, 256);
  EXPECT_EQ(model->chunk_tokens, 384);
  EXPECT_EQ(model->max_context, 131072);
  EXPECT_EQ(model->ttft_error, 0.2);
  EXPECT_EQ(model->tpot_error, 0.16);
}

TEST(PerfModel, TakesTheEnginesBlockCountWhereItIsGiven) {
  Pool pool = h100_pool();
  pool.batching.kv_blocks = 1000;
  pool.batching.watermark = 0.01;
  const auto model = make_pool_model(pool);
  EXPECT_EQ(model->kv_tokens, 16000);
  EXPECT_EQ(model->max_context, 990 * 16) << "the watermark stays free";
  pool.batching.kind = BatchingKind::kMixed;
  EXPECT_EQ(make_pool_model(pool)->max_context, 16000) << "it has none";
}

TEST(PerfModel, SaysWhichParallelismWouldFit) {
  Pool pool = h100_pool();
  pool.tensor_parallel = 1;
  const auto refused = make_pool_model(pool);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message,
            "pool 'x': llama-3.1-70b at bf16 needs 141.2 GB, 1 x h100_sxm gives 77.3 GB; "
            "tensor_parallel 2 would fit");
}

TEST(PerfModel, SaysWhatIsUnknownOfADevice) {
  Pool pool = h100_pool();
  pool.accelerator->peak.clear();
  EXPECT_EQ(make_pool_model(pool).error().message,
            "pool 'x': the peak of h100_sxm is unknown at bf16 and at every wider format");
  pool = h100_pool();
  pool.accelerator->memory[0].bandwidth.reset();
  EXPECT_EQ(make_pool_model(pool).error().message,
            "pool 'x': the memory bandwidth of h100_sxm is unknown");
  pool = h100_pool();
  pool.accelerator->memory[0].capacity.reset();
  EXPECT_EQ(make_pool_model(pool).error().message,
            "pool 'x': the memory size of h100_sxm is unknown; set batching.kv_blocks");
  pool.batching.kv_blocks = 100;
  EXPECT_TRUE(make_pool_model(pool).ok());
}

TEST(PerfModel, UsesTheErrorBarOfConstantsThatWereNeverMeasured) {
  Pool pool = h100_pool();
  pool.constants.class_default = true;
  pool.constants.error_bar = 0.5;
  EXPECT_EQ(make_pool_model(pool)->tpot_error, 0.5);
}

TEST(PerfModel, GivesAnLpuSlotsForATypicalContext) {
  const auto model = make_pool_model(lpu_pool());
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(model->kind, ServingKind::kSlotted);
  EXPECT_EQ(model->kv_tokens, static_cast<long long>((576 * 0.23e9 - 70.6e9) / 327680));
  EXPECT_EQ(model->max_running, model->kv_tokens / 4096);
  EXPECT_EQ(model->max_context, 131072);
  EXPECT_EQ(model->ttft_error, 0.03);
  Pool pool = lpu_pool();
  pool.slots = 12;
  EXPECT_EQ(make_pool_model(pool)->max_running, 12);
  pool.slots.reset();
  pool.max_context = 2048;
  EXPECT_EQ(make_pool_model(pool)->max_context, 2048);
  EXPECT_EQ(make_pool_model(pool)->max_running, model->kv_tokens / 2048) << "shorter, so more";
  pool.prefill_tokens_per_s = 1000;
  const std::array prompt = {PrefillChunk{.tokens = 500}};
  EXPECT_NEAR(make_pool_model(pool)->steps->step({.chunks = prompt}).time.value(), 0.5, 1e-12);
}

TEST(PerfModel, BoundsTheContextByWhatTheFleetStates) {
  Pool pool = h100_pool();
  const long long fits = make_pool_model(pool)->max_context;
  pool.max_context = 4096;
  EXPECT_EQ(make_pool_model(pool)->max_context, 4096);
  pool.max_context = fits + 1;
  EXPECT_EQ(make_pool_model(pool)->max_context, fits) << "a bound makes no room";
}

TEST(PerfModel, TimesThisMachineByWhatItsEngineMeasured) {
  Pool pool;
  pool.name = "here";
  pool.device = "this_machine";
  pool.model = llama_70b();
  pool.model.max_context = 1000;
  pool.batching.max_running = 4;
  pool.measured = LinearConstants{
      .step_s = 0.010, .decode_s = 0.002, .prompt_token_s = 0.002, .tpot_error = 0.05};
  pool.constants.power.intercept_w = 65;
  const auto model = make_pool_model(pool);
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(model->max_context, 1000);
  EXPECT_EQ(model->kv_tokens, 4 * 1008 + 16);
  const std::array chunk = {PrefillChunk{.tokens = 50}};
  const StepCost cost = model->steps->step({.chunks = chunk, .decodes = 3});
  EXPECT_DOUBLE_EQ(cost.time.value(), 0.010 + 0.006 + 0.1);
  EXPECT_DOUBLE_EQ(cost.energy.value(), 65 * cost.time.value());
  EXPECT_EQ(model->tpot_error, 0.05);
}

TEST(PerfModel, GivesStreamsInRotationSlotsAndAWindow) {
  Pool pool;
  pool.name = "here";
  pool.device = "this_machine";
  pool.model = llama_70b();
  pool.model.max_context = 1000;
  pool.slots = 4;
  pool.engine.type = EngineType::kStaticSchedule;
  pool.measured = in_rotation(0.010, 0.010, 4, 0.060);
  pool.measured->tpot_error = 0.05;
  const auto model = make_pool_model(pool);
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(model->kind, ServingKind::kSlotted);
  EXPECT_EQ(model->max_running, 4);
  EXPECT_EQ(model->kv_tokens, 4000);
  EXPECT_EQ(model->tpot_error, 0.05);
  for (const long long decodes : {1, 4})
    EXPECT_DOUBLE_EQ(model->steps->step({.decodes = decodes}).time.value(), 0.060);
  // Beside four tokens a window has room for two of a prompt, and alone a prompt has all of it.
  const std::array chunk = {PrefillChunk{.tokens = 50}};
  const auto lane_s = [&](long long decodes) {
    return model->steps->step({.chunks = chunk, .decodes = decodes}).time.value();
  };
  EXPECT_DOUBLE_EQ(lane_s(4), 0.060 * 26);
  EXPECT_DOUBLE_EQ(lane_s(3), 0.060 + 0.060 * 50 / 3);
  EXPECT_DOUBLE_EQ(lane_s(0), 0.010 * 50);
  // What nobody measured is guessed, by the same law.
  pool.measured.reset();
  const auto guess = make_pool_model(pool);
  ASSERT_TRUE(guess.ok());
  EXPECT_GT(guess->steps->step({.decodes = 1}).time.value(), 4 * 70e9 * 2 / 25e9);
}

TEST(PerfModel, TimesLongPromptsByWhoReadsThem) {
  Pool pool;
  pool.name = "here";
  pool.device = "this_machine";
  pool.model = llama_70b();
  pool.model.max_context = 1000;
  pool.slots = 4;
  pool.engine.type = EngineType::kStaticSchedule;
  pool.engine.prefill = PrefillSpec{.from_tokens = 50};
  pool.measured = in_rotation(0.010, 0.010, 4, 0.060);
  pool.measured_prefill = LinearConstants{.step_s = 0.020, .prompt_token_s = 0.001};
  const auto model = make_pool_model(pool);
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(model->kind, ServingKind::kSlotted);
  const auto prompt_s = [](const PoolModel& of, long long tokens) {
    const std::array chunk = {PrefillChunk{.tokens = tokens}};
    return of.steps->step({.chunks = chunk}).time.value();
  };
  EXPECT_DOUBLE_EQ(prompt_s(*model, 49), 49 * 0.010) << "by the rotation";
  // The last token is the rotation's.
  EXPECT_DOUBLE_EQ(prompt_s(*model, 50), 0.020 + 50 * 0.001 + 0.010);
  const std::array long_prompt = {PrefillChunk{.tokens = 50}};
  EXPECT_DOUBLE_EQ(model->steps->step({.chunks = long_prompt, .decodes = 3}).time.value(),
                   0.020 + 50 * 0.001 + 0.060 + 0.020)
      << "which has to share a window";
  EXPECT_DOUBLE_EQ(model->steps->step({.decodes = 4}).time.value(), 0.060);
  // Where nobody measured, both are guessed.
  pool.measured_prefill.reset();
  const auto guess = make_pool_model(pool);
  ASSERT_TRUE(guess.ok());
  EXPECT_GT(prompt_s(*guess, 100), 100 * 70e9 * 2 / 100e9);
}

TEST(InRotation, MakesAWindowOfTheTokensOfAllSlots) {
  EXPECT_DOUBLE_EQ(in_rotation(0.010, 0.010, 4).step_s, 0.060);
  EXPECT_DOUBLE_EQ(in_rotation(1e-6, 1e-6, 4).step_s, 0.5e-3) << "no shorter";
}

TEST(RotationModel, GivesAPromptAtLeastATokenAWindow) {
  const RotationModel model(
      {.step_s = 0.015, .decode_s = 0.010, .prompt_token_s = 0.010, .context_token_s = 0.001}, {});
  const auto lane_s = [&](PrefillChunk chunk, long long decodes) {
    return model.step({.chunks = {&chunk, 1}, .decodes = decodes}).time.value();
  };
  EXPECT_DOUBLE_EQ(lane_s({.tokens = 10}, 1), 0.015 + 10 * 0.015);
  EXPECT_DOUBLE_EQ(lane_s({.tokens = 10}, 2), 0.015 + 10 * 0.015) << "more than a window holds";
  EXPECT_DOUBLE_EQ(lane_s({.tokens = 10}, 0), 10 * (0.010 + 0.005)) << "the first ones are cheap";
  EXPECT_DOUBLE_EQ(lane_s({.tokens = 10, .context = 20}, 0), 10 * (0.010 + 0.025));
}

TEST(PerfModel, TimesADeviceAsMeasuredAndKeepsItsWatts) {
  Pool pool = h100_pool();
  const auto modelled = make_pool_model(pool);
  pool.measured = LinearConstants{.step_s = 0.050, .context_token_s = 1e-6};
  const auto measured = make_pool_model(pool);
  ASSERT_TRUE(modelled.ok() && measured.ok());
  const StepShape shape{.decodes = 4, .decode_context = 1000};
  const StepCost before = modelled->steps->step(shape), after = measured->steps->step(shape);
  EXPECT_DOUBLE_EQ(after.time.value(), 0.051);
  EXPECT_NEAR((after.energy / after.time).value(), (before.energy / before.time).value(), 1e-9);
  EXPECT_EQ(measured->kv_tokens, modelled->kv_tokens);
  EXPECT_EQ(measured->steps->idle_power().value(), modelled->steps->idle_power().value());
}

TEST(PerfModel, KnowsOfARentedServiceOnlyItsErrorBar) {
  Pool pool;
  pool.name = "burst";
  pool.device = "metered";
  pool.metered = Metered{};
  const auto model = make_pool_model(pool);
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(model->kind, ServingKind::kMetered);
  EXPECT_EQ(model->steps, nullptr);
  EXPECT_EQ(model->ttft_error, 0.5);
}

TEST(PerfModel, BuildsEveryPoolOfAFleetOrNamesTheOneThatFails) {
  Fleet fleet;
  fleet.pools = {h100_pool(), lpu_pool()};
  const auto model = make_perf_model(fleet);
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(model->pool(PoolId(1)).kind, ServingKind::kSlotted);
  fleet.pools[1].chips = 100;
  EXPECT_TRUE(
      make_perf_model(fleet).error().message.starts_with("pool 'lpu': llama-3.1-70b at int8"));
}

}  // namespace
}  // namespace medley::perf
