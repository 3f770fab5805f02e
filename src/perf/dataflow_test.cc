#include "perf/dataflow.h"

#include <gtest/gtest.h>

#include <array>

namespace medley::perf {
namespace {

Accelerator groq() {
  Accelerator device;
  device.id = "groq_lpu_v1";
  device.kind = AcceleratorKind::kLpu;
  device.memory = {{"sram", Bytes(0.23e9), BytesPerSecond(80e12)}};
  device.weight_feed = BytesPerSecond(18.432e12);
  return device;
}

// Starting values of hardware.md 1.3.
DataflowConstants groq_constants() { return {.t_layer_s = 41e-6, .moe_extra_layer_s = 14e-6}; }

Model model_of(double parameters, double active, int layers, bool mixture = false) {
  Model model;
  model.id = "model";
  model.parameters = parameters;
  model.active_parameters = active;
  model.layers = layers;
  model.kv_heads = 8;
  model.head_size = 128;
  model.kv_numbers_per_token_and_layer = 2 * 8 * 128;
  if (mixture)
    model.experts = 128;
  return model;
}

Model llama2_70b() { return model_of(68.976648192e9, 68.976648192e9, 80); }

DataflowModel dataflow(const Model& model, int chips = 0) {
  return DataflowModel::make({.accelerator = groq(),
                              .model = model,
                              .precision = Precision::kInt8,
                              .chips = chips,
                              .constants = groq_constants()})
      .value();
}

double tokens_per_s(const Model& model) { return 1 / dataflow(model).token_time().value(); }

TEST(Dataflow, GivesTheTableOfPublishedSpeeds) {
  EXPECT_NEAR(tokens_per_s(model_of(6.74e9, 6.74e9, 32)), 749, 0.6);       // Llama-2-7B
  EXPECT_NEAR(tokens_per_s(model_of(69e9, 69e9, 80)), 285, 0.6);           // Llama-2-70B
  EXPECT_NEAR(tokens_per_s(model_of(8.03e9, 8.03e9, 32)), 747, 0.6);       // Llama-3.1-8B
  EXPECT_NEAR(tokens_per_s(model_of(70.6e9, 70.6e9, 80)), 284, 0.6);       // Llama-3.1-70B
  EXPECT_NEAR(tokens_per_s(model_of(9.24e9, 9.24e9, 42)), 570, 0.6);       // Gemma-2-9B
  EXPECT_NEAR(tokens_per_s(model_of(117e9, 5.1e9, 36, true)), 501, 0.6);   // gpt-oss-120B
  EXPECT_NEAR(tokens_per_s(model_of(20.9e9, 3.6e9, 24, true)), 751, 0.6);  // gpt-oss-20B
}

TEST(Dataflow, HoldsFortySevenFullStreamsOfLlama270BOn576Chips) {
  const DataflowModel model = dataflow(llama2_70b(), 576);
  EXPECT_EQ(model.stages(), 36);
  EXPECT_EQ(model.slots(4096), 47);
  EXPECT_EQ(model.slots(2048), 94);
  EXPECT_EQ(model.slots(1024), 189);
  EXPECT_EQ(model.slots(512), 378);
  EXPECT_EQ(model.slots(16), 36 * 20) << "more streams than a weight pass of each stage can share";
  EXPECT_EQ(model.kv_tokens(), 193796);
}

TEST(Dataflow, NeedsAsManyChipsAsTheShareOfSramForWeightsAllows) {
  EXPECT_EQ(chips_needed(groq(), llama2_70b(), Precision::kInt8, groq_constants()), 577);
  EXPECT_EQ(dataflow(llama2_70b()).chips(), 577);
}

TEST(Dataflow, TakesOneTokenTimeHoweverManyDecodesThereAre) {
  const DataflowModel model = dataflow(llama2_70b(), 576);
  const StepCost one = model.step({.decodes = 1});
  const StepCost many = model.step({.decodes = 47, .decode_context = 47 * 4096});
  EXPECT_EQ(one.time, model.token_time());
  EXPECT_EQ(many.time, one.time);
  EXPECT_EQ(many.energy, one.energy) << "an empty slot burns what a filled one does";
  EXPECT_NEAR(one.energy.value(), 576 * 240 * one.time.value(), 1e-9);
  EXPECT_EQ(model.idle_power().value(), 576 * 240);
}

TEST(Dataflow, KeepsThePrefillLaneBusyOneStageTimeAPass) {
  const DataflowModel model = dataflow(llama2_70b(), 576);
  const std::array prompt = {PrefillChunk{.tokens = 101}};
  EXPECT_NEAR(model.step({.chunks = prompt}).time.value(), 6 * model.token_time().value() / 36,
              1e-15);
}

TEST(Dataflow, TakesThePrefillRateThatSomebodyStates) {
  const auto model = DataflowModel::make({.accelerator = groq(),
                                          .model = llama2_70b(),
                                          .precision = Precision::kInt8,
                                          .chips = 576,
                                          .constants = groq_constants(),
                                          .prefill_tokens_per_s = 20000});
  ASSERT_TRUE(model.ok());
  const std::array prompt = {PrefillChunk{.tokens = 1000}, PrefillChunk{.tokens = 500}};
  EXPECT_NEAR(model->step({.chunks = prompt}).time.value(), 0.075, 1e-15);
  EXPECT_EQ(model->step({.decodes = 3}).time, dataflow(llama2_70b(), 576).token_time())
      << "decodes keep their own time";
}

TEST(Dataflow, SaysHowManyChipsAModelNeedsThatDoesNotFit) {
  const auto refused = DataflowModel::make({.accelerator = groq(),
                                            .model = llama2_70b(),
                                            .precision = Precision::kInt8,
                                            .chips = 64,
                                            .constants = groq_constants()});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message,
            "model at int8 needs 69.0 GB, 64 x groq_lpu_v1 gives 14.7 GB; chips 577 would fit with "
            "room for KV cache");
}

}  // namespace
}  // namespace medley::perf
