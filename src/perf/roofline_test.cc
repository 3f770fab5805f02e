#include "perf/roofline.h"

#include <gtest/gtest.h>

#include <array>

namespace medley::perf {
namespace {

// Data-sheet figures of the catalogue's h100_sxm.
Accelerator h100() {
  Accelerator device;
  device.id = "h100_sxm";
  device.memory = {{"hbm3", Bytes(85.9e9), BytesPerSecond(3350e9)}};
  device.peak = {{Precision::kBf16, FlopsPerSecond(989e12)},
                 {Precision::kFp8, FlopsPerSecond(1978e12)}};
  device.link = BytesPerSecond(450e9);
  return device;
}

Model dense(double parameters, int layers, int hidden_size, int heads) {
  Model model;
  model.id = "dense";
  model.parameters = model.active_parameters = parameters;
  model.layers = layers;
  model.hidden_size = hidden_size;
  model.heads = heads;
  model.kv_heads = 8;
  model.head_size = 128;
  model.kv_numbers_per_token_and_layer = 2 * 8 * 128;
  return model;
}

// Fitted on vLLM (hardware.md 2.2).
RooflineConstants h100_bf16() {
  return {.e_mem = 0.8,
          .e_comp = 0.6,
          .e_pre = 0.6,
          .t_layer_s = 20e-6,
          .t_allreduce_s = 10e-6,
          .t_seq_s = 70e-6};
}
RooflineConstants h100_fp8() {
  return {.e_mem = 0.6,
          .e_comp = 0.4,
          .e_pre = 0.4,
          .t_layer_s = 0,
          .t_allreduce_s = 30e-6,
          .t_seq_s = 70e-6};
}

RooflineModel model_of(const Accelerator& device, const Model& model, Precision precision,
                       int devices, const RooflineConstants& constants,
                       const PowerLaw& power = {}) {
  return RooflineModel::make({.accelerator = device,
                              .model = model,
                              .precision = precision,
                              .devices = devices,
                              .constants = constants,
                              .power = power})
      .value();
}

StepShape decodes(long long count, long long context) {
  return {.decodes = count,
          .decode_context = count * context,
          .decode_context_min = context,
          .decode_context_max = context};
}

double decode_ms(const RooflineModel& model, long long batch, long long context) {
  return model.step(decodes(batch, context)).time.value() * 1e3;
}

TEST(Roofline, GivesThePublishedFitsOfQwen332BOnTwoH100) {
  const RooflineModel model =
      model_of(h100(), dense(32.8e9, 64, 5120, 64), Precision::kBf16, 2, h100_bf16());
  const long long context = 200 + 632 / 2;  // how the constants were fitted: c = 200 + output/2
  EXPECT_NEAR(decode_ms(model, 8, context), 15.6, 0.05);
  EXPECT_NEAR(decode_ms(model, 64, context), 21.1, 0.05);
  EXPECT_NEAR(decode_ms(model, 256, context), 39.9, 0.05);
}

TEST(Roofline, GivesThePublishedFitsOfLlama405BInFp8OnEightH100) {
  const RooflineModel model =
      model_of(h100(), dense(405e9, 126, 16384, 128), Precision::kFp8, 8, h100_fp8());
  const long long context = 200 + 366 / 2;
  EXPECT_NEAR(decode_ms(model, 8, context), 33.7, 0.05);
  EXPECT_NEAR(decode_ms(model, 64, context), 40.1, 0.05);
  EXPECT_NEAR(decode_ms(model, 255, context), 66.3, 0.1);  // 255.2 resident on average
}

TEST(Roofline, ChargesAPromptForItsArithmeticAndItsCausalAttention) {
  RooflineConstants constants{.e_mem = 1, .e_comp = 1, .e_pre = 0.5};
  const Model model = dense(1e9, 10, 1024, 8);
  const RooflineModel roofline = model_of(h100(), model, Precision::kBf16, 1, constants);
  const std::array chunk = {PrefillChunk{.tokens = 512, .context = 1024}};
  const double kappa = 2.0 * 8 * 128 * 10 * 2;
  const double memory = (2e9 + 512 * kappa) / 3350e9;
  const double prefill = (2e9 * 512 + 4.0 * 10 * 1024 * 512 * (1024 + 256)) / 989e12 / 0.5;
  EXPECT_NEAR(roofline.step({.chunks = chunk}).time.value(), memory + prefill, 1e-12);
}

TEST(Roofline, ReadsOnlyTheExpertsThatTheBatchTouches) {
  Model model = dense(10e9, 10, 1024, 8);
  model.active_parameters = 3e9;
  model.experts = 8;
  model.experts_per_token = 2;
  model.expert_layers = 10;
  model.expert_parameters = 1e8;  // 8 G of the 10 G
  const RooflineModel roofline =
      model_of(h100(), model, Precision::kBf16, 1, {.e_mem = 1, .e_comp = 1, .e_pre = 1});
  const auto moved = [&](long long batch) {
    const StepShape shape = decodes(batch, 0);
    return roofline.utilisation(shape).mbu * roofline.step(shape).time.value() * 3350e9;
  };
  EXPECT_NEAR(moved(1), 2 * (2e9 + 8e9 * 0.25), 1);
  EXPECT_NEAR(moved(2), 2 * (2e9 + 8e9 * (1 - 0.75 * 0.75)), 1);
  EXPECT_NEAR(moved(1000), 2 * 10e9, 1);
}

TEST(Roofline, DrawsWhatThePowerLawSaysUpToItsCap) {
  const PowerLaw power{
      .intercept_w = 420, .per_mfu_w = 800, .cap_w = 700, .idle_w = 75, .context_extra_w = 38};
  const RooflineModel model =
      model_of(h100(), dense(32.8e9, 64, 5120, 64), Precision::kBf16, 2, h100_bf16(), power);
  const StepShape small = decodes(8, 500);
  const StepCost cost = model.step(small);
  const double mfu = 2 * 32.8e9 * 8 / (cost.time.value() * 2 * 989e12);
  EXPECT_NEAR(model.utilisation(small).mfu, mfu, 1e-12);
  EXPECT_NEAR(cost.energy.value(), 2 * (420 + 800 * mfu) * cost.time.value(), 1e-9);

  const std::array prompt = {PrefillChunk{.tokens = 8192, .context = 0}};
  const StepCost full = model.step({.chunks = prompt});
  EXPECT_NEAR(full.energy / full.time / Watts(1), 1400, 1e-9);
  EXPECT_DOUBLE_EQ(model.idle_power().value(), 226);
}

TEST(Roofline, MultipliesNarrowWeightsInTheNextKnownFormat) {
  Accelerator device = h100();
  EXPECT_EQ(arithmetic_peak(device, Precision::kFp8), FlopsPerSecond(1978e12));
  EXPECT_EQ(arithmetic_peak(device, Precision::kInt4), FlopsPerSecond(989e12));
  EXPECT_EQ(arithmetic_peak(device, Precision::kFp4), FlopsPerSecond(1978e12));
  EXPECT_EQ(arithmetic_peak(device, Precision::kFp16), FlopsPerSecond(989e12));
  EXPECT_EQ(arithmetic_peak(device, Precision::kFp32), std::nullopt);
}

TEST(Roofline, LeavesArithmeticOutWhereNoPeakIsKnownAndRefusesWithoutBandwidth) {
  Accelerator device = h100();
  device.peak.clear();
  const Model model = dense(1e9, 10, 1024, 8);
  const RooflineConstants constants{.e_mem = 0.5};
  const RooflineModel roofline = model_of(device, model, Precision::kBf16, 1, constants);
  EXPECT_FALSE(roofline.compute_known());
  EXPECT_NEAR(roofline.step(decodes(1, 0)).time.value(), 2e9 / 3350e9 / 0.5, 1e-12);

  device.memory[0].bandwidth.reset();
  const auto refused =
      RooflineModel::make({device, model, Precision::kBf16, 1, constants, PowerLaw{}});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message, "the memory bandwidth of h100_sxm is unknown");
}

}  // namespace
}  // namespace medley::perf
