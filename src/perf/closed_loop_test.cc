#include "perf/closed_loop.h"

#include <gtest/gtest.h>

#include "perf/calibrate.h"

namespace medley::perf {
namespace {

RooflineModel eight_layers(int devices, int groups = 1, int stages = 1) {
  Accelerator device;
  device.id = "device";
  device.memory = {{"hbm", Bytes(80e9), BytesPerSecond(1e12)}};
  device.peak = {{Precision::kBf16, FlopsPerSecond(1e15)}};
  device.link = BytesPerSecond(1e11);
  Model model;
  model.id = "model";
  model.parameters = model.active_parameters = 8e9;
  model.layers = 8;
  model.hidden_size = 4096;
  model.heads = 32;
  model.kv_heads = 8;
  model.head_size = 128;
  model.kv_numbers_per_token_and_layer = 2048;
  const RooflineConstants constants;
  return RooflineModel::make({.accelerator = device,
                              .model = model,
                              .precision = Precision::kBf16,
                              .devices = devices,
                              .constants = constants,
                              .power = PowerLaw{},
                              .attention_groups = groups,
                              .stages = stages})
      .value();
}

const RooflineConstants kConstants{.e_mem = 1, .e_comp = 1, .e_pre = 1};

TEST(ClosedLoop, OneSessionPaysItsStepAndItsOwnPrompt) {
  const LoopTerms terms = loop_terms(eight_layers(1), {1000, 100, 1});
  const LoopTimes times = loop_times(terms, kConstants, {1, 0.5, 0, 0});
  EXPECT_DOUBLE_EQ(times.tpot.value(), times.step.value());
  EXPECT_NEAR(times.ttft.value(), terms.prompt.prompt.value(), 1e-12);
}

TEST(ClosedLoop, EveryOtherPromptIsMetOnceACycle) {
  const LoopTerms terms = loop_terms(eight_layers(1), {1000, 100, 9});
  const double prompt = terms.prompt.prompt.value();
  for (const double burst : {0.0, 0.3, 0.9}) {
    const LoopTimes times = loop_times(terms, kConstants, {1, burst, 0, 0});
    const double met = (times.tpot - times.step).value() * 100 + times.ttft.value() - prompt;
    EXPECT_NEAR(met, 8 * prompt, 1e-9) << burst;
  }
}

TEST(ClosedLoop, WhoDoesNotFitTheCacheWaitsForIt) {
  const LoopTerms terms = loop_terms(eight_layers(1), {100000, 1000, 100});
  EXPECT_LT(terms.resident, 100);
  EXPECT_GT(terms.resident, 1);
  const LoopTimes times = loop_times(terms, kConstants, {});
  EXPECT_GT(times.ttft.value(), times.tpot.value() * 1000 * (100 / terms.resident - 1));
  EXPECT_DOUBLE_EQ(loop_terms(eight_layers(1), {100000, 1000, 100, true}).resident, 100);
}

TEST(RooflineModel, PipelineStagesKeepTheTimeOfATokenAndSplitTheBatch) {
  const StepShape four{.decodes = 4, .decode_context = 4000};
  const StepShape two{.decodes = 2, .decode_context = 2000};
  const double split = spent(eight_layers(1, 1, 2).terms(four), kConstants).memory.value();
  EXPECT_NEAR(split, spent(eight_layers(1).terms(two), kConstants).memory.value(), 1e-12);
  EXPECT_GT(*eight_layers(1, 1, 2).kv_tokens(), 2 * *eight_layers(1).kv_tokens());
}

TEST(Calibrate, FindsTheConstantsThatMadeTheTimes) {
  RooflineConstants truth{.e_mem = 0.7, .e_comp = 0.5, .e_pre = 0.6};
  truth.e_kv = 0.7;
  truth.t_layer_s = 60e-6;
  truth.t_seq_s = 50e-6;
  std::vector<Measured> measured;
  for (const int devices : {1, 2, 4, 8}) {
    for (const double sessions : {1.0, 8.0, 64.0}) {
      Measured one;
      one.terms = loop_terms(eight_layers(devices), {1000, 500, sessions});
      one.figure = Measured::Figure::kStep;
      one.seconds = spent(one.terms.step, truth).time().value();
      measured.push_back(one);
    }
  }
  Constants start;
  start.roofline = {.e_mem = 0.75, .e_comp = 0.5, .e_pre = 0.45};
  start.roofline.t_layer_s = 30e-6;
  std::vector<Unknown> unknowns = roofline_unknowns(start, 1);
  for (Unknown& one : unknowns) {
    if (one.name != "e_mem" && one.name != "t_layer" && one.name != "t_seq")
      one.spread = 0;
    if (one.name == "e_kv")
      one.start = 0.7;
  }
  const Calibration found = calibrate(measured, unknowns, start, 0.005);
  EXPECT_TRUE(found.fit.converged);
  EXPECT_NEAR(found.constants.roofline.e_mem, 0.7, 0.01);
  EXPECT_NEAR(found.constants.roofline.t_layer_s, 60e-6, 3e-6);
  EXPECT_NEAR(found.constants.roofline.t_seq_s, 50e-6, 2e-6);
}

}  // namespace
}  // namespace medley::perf
