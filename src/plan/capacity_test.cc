#include "plan/capacity.h"

#include <gtest/gtest.h>

#include "plan/pool_types.h"
#include "plan/testing_requirements.h"

namespace medley::plan {
namespace {

// The uses of the first demand, by name of the pool type.
std::map<std::string, PoolType> types_for(const std::string& demand, const std::string& devices) {
  const std::string text = "demands:\n  - {name: a, model: llama-3.1-70b, rate_per_s: 1, " +
                           demand + "}\ndevices:\n" + devices;
  const auto asked = data::parse_requirements(text, "buy.yaml", test_catalog());
  EXPECT_TRUE(asked.ok()) << (asked.ok() ? "" : asked.error().message);
  const auto pools = pool_types(*asked, test_catalog());
  EXPECT_TRUE(pools.ok()) << (pools.ok() ? "" : pools.error().message);
  std::map<std::string, PoolType> types;
  for (const auto* list : {&pools->types, &pools->beaten}) {
    for (const PoolType& type : *list)
      types.emplace(type.pool.name, type);
  }
  return types;
}

constexpr char kBoth[] =
    "  - {device: h100_sxm, price: 30000, widths: [4]}\n"
    "  - {device: groq_lpu_v1, price: 20000, precisions: [int8]}\n";

TEST(PlanCapacity, ATighterTpotLeavesFewerSequencesAndCostsMoreJoules) {
  const auto loose =
      types_for("prompt_tokens: 600, output_tokens: 200, tpot_s: 60ms, ttft_s: 2", kBoth);
  const auto tight =
      types_for("prompt_tokens: 600, output_tokens: 200, tpot_s: 30ms, ttft_s: 2", kBoth);
  const Use& a = loose.at("h100_sxm-llama-3.1-70b-x4").uses[0];
  const Use& b = tight.at("h100_sxm-llama-3.1-70b-x4").uses[0];
  ASSERT_TRUE(a.ok());
  ASSERT_TRUE(b.ok());
  EXPECT_GT(a.operation.sequences, b.operation.sequences);
  EXPECT_GT(a.operation.requests_per_s, b.operation.requests_per_s);
  EXPECT_LT(a.operation.joules_per_token, b.operation.joules_per_token);
  EXPECT_LE(b.operation.tpot_s, 0.03);
}

TEST(PlanCapacity, WhatGpusDoNotReachIsSaidWithTheirBest) {
  const auto types =
      types_for("prompt_tokens: 600, output_tokens: 200, tpot_s: 5ms, ttft_s: 2", kBoth);
  const Use& gpu = types.at("h100_sxm-llama-3.1-70b-x4").uses[0];
  EXPECT_EQ(gpu.obstacle, Obstacle::kTpot);
  EXPECT_NE(gpu.why.find("at best, 5 ms asked"), std::string::npos) << gpu.why;
  const PoolType& type = types.at("groq_lpu_v1-llama-3.1-70b-int8-4x1024");
  const Use& lpu = type.uses[0];
  ASSERT_TRUE(lpu.ok()) << lpu.why;
  const CompiledSchedule& schedule = *type.pool.schedule;
  EXPECT_DOUBLE_EQ(lpu.operation.tpot_s, schedule.token_s + schedule.beyond_s());
  EXPECT_NEAR(lpu.operation.tpot_s * 250, 1, 0.15);  // published of Llama-3.1-70B: 250 a second
  EXPECT_EQ(lpu.operation.joules_per_request, 0);
}

TEST(PlanCapacity, AStateStaysWithinTheSlotsAndTheLane) {
  const auto types =
      types_for("prompt_tokens: 2000, output_tokens: 100, tpot_s: 5ms, ttft_s: 2", kBoth);
  const PoolType& lpu = types.at("groq_lpu_v1-llama-3.1-70b-int8-8x4096");
  ASSERT_TRUE(lpu.uses[0].ok()) << lpu.uses[0].why;
  const Operation& state = lpu.uses[0].operation;
  EXPECT_LE(state.sequences, lpu.model.max_running + 1e-9);
  perf::PrefillChunk prompt{2000, 0};
  perf::StepShape shape;
  shape.chunks = {&prompt, 1};
  EXPECT_LE(state.requests_per_s * lpu.model.steps->step(shape).time.value(), 1);
}

// A candidate for each number of streams that chips hold; each has the chips of its schedule.
TEST(PlanCapacity, LpusAreSizedByTheScheduleCompiledForStreamsAndContext) {
  const auto types = types_for("prompt_tokens: 600, output_tokens: 200, tpot_s: 5ms", kBoth);
  EXPECT_EQ(types.count("groq_lpu_v1-llama-3.1-70b-int8"), 0U) << "by published speeds alone";
  int last = 0;
  for (const int streams : {1, 4, 8, 16, 32}) {
    const PoolType& type = types.at(fmt::format("groq_lpu_v1-llama-3.1-70b-int8-{}x1024", streams));
    EXPECT_EQ(type.devices, type.pool.schedule->chips);
    EXPECT_GE(type.devices, last);
    EXPECT_EQ(type.model.max_running, streams);
    EXPECT_EQ(type.model.max_context, 1024);
    last = type.devices;
  }
}

TEST(PlanCapacity, LpusWhoseLaneIsStatedAreTimedByPublishedSpeeds) {
  const auto types = types_for(
      "prompt_tokens: 600, output_tokens: 200, tpot_s: 5ms",
      "  - {device: groq_lpu_v1, price: 20000, precisions: [int8], prefill_tokens_per_s: 20000}\n");
  ASSERT_EQ(types.size(), 1U);
  const PoolType& type = types.at("groq_lpu_v1-llama-3.1-70b-int8");
  EXPECT_FALSE(type.pool.schedule);
  EXPECT_NEAR(type.uses[0].operation.tpot_s, 1 / 284.0, 1e-4);  // hardware.md 1.3
}

TEST(PlanCapacity, AModelThatDoesNotFitIsNoPool) {
  const auto asked = data::parse_requirements(
      "demands:\n  - {name: a, model: llama-3.1-405b, rate_per_s: 1, prompt_tokens: 9, "
      "output_tokens: 9}\n"
      "devices:\n  - {device: h100_sxm, price: 30000, per_node: 2}\n",
      "buy.yaml", test_catalog());
  const auto pools = pool_types(*asked, test_catalog());
  ASSERT_TRUE(pools.ok());
  EXPECT_TRUE(pools->types.empty());
  ASSERT_EQ(pools->refused.size(), 2u);
  EXPECT_NE(pools->refused[0].second.find("tensor_parallel 16 would fit"), std::string::npos);
}

TEST(PlanCapacity, ARentedServiceMustKeepTheShareByItsOwnLaw) {
  const std::string text = R"(
demands:
  - {name: a, model: llama-3.1-8b, rate_per_s: 1, prompt_tokens: 9, output_tokens: 9, ttft_s: 1, tpot_s: 30ms, attain: ATTAIN}
services:
  - {name: api, model: llama-3.1-8b, metered: {per_million_prompt: 1, per_million_output: 1, ttft_s: {median: 500ms, sigma: 0.4}, tpot_s: 10ms}}
)";
  const auto with = [&](const std::string& attain) {
    std::string changed = text;
    changed.replace(changed.find("ATTAIN"), 6, attain);
    return pool_types(*data::parse_requirements(changed, "buy.yaml", test_catalog()),
                      test_catalog())
        ->types[0]
        .uses[0];
  };
  EXPECT_TRUE(with("0.95").ok());  // 0.5 s × exp(0.4 × 1.64) = 0.97 s
  EXPECT_EQ(with("0.97").obstacle, Obstacle::kTtft);
}

// 70.6e9 parameters of two bytes on four devices of 3.35 TB/s: 10.5 ms at the least to read them. A
// whole chunk of prompts takes several times that, but no other prompt is there.
TEST(PlanCapacity, APromptThatMeetsNobodyIsJudgedByItsOwnStepAlone) {
  const auto use = [](const char* ttft) {
    return types_for(std::string("prompt_tokens: 100, output_tokens: 200, ttft_s: ") + ttft, kBoth)
        .at("h100_sxm-llama-3.1-70b-x4")
        .uses[0];
  };
  const Use enough = use("25ms");
  ASSERT_TRUE(enough.ok()) << enough.why;
  EXPECT_LE(enough.operation.ttft_s, 0.025);
  EXPECT_GT(enough.operation.requests_per_s, 0);
  const Use less = use("10ms");  // not even the weights are read in that time
  EXPECT_EQ(less.obstacle, Obstacle::kTtft);
  EXPECT_GT(less.reached_s, 70.6e9 * 2 / 4 / 3.35e12);
  EXPECT_LT(less.reached_s, 0.025);
}

TEST(PlanCapacity, WhatAReplicaTakesOneAtATimeIsFewerThanWhatItTakesTogether) {
  const auto use = [](const char* ttft) {
    return types_for(std::string("prompt_tokens: 100, output_tokens: 200, ttft_s: ") + ttft, kBoth)
        .at("h100_sxm-llama-3.1-70b-x4")
        .uses[0]
        .operation;
  };
  const Operation alone = use("25ms"), together = use("2");
  EXPECT_LT(alone.requests_per_s, together.requests_per_s);
  EXPECT_LT(alone.sequences, 1);
  EXPECT_GT(alone.joules_per_token, together.joules_per_token);
}

// A prompt of more chunks than its answer has tokens: prompts do not keep up with one sequence that
// is always there, but a replica may have less to do.
TEST(PlanCapacity, LongPromptsWithShortAnswersAreServedByReplicasThatAreIdleAtTimes) {
  const auto types = types_for("prompt_tokens: 60000, output_tokens: 10, ttft_s: 60", kBoth);
  const Use& use = types.at("h100_sxm-llama-3.1-70b-x4").uses[0];
  ASSERT_TRUE(use.ok()) << use.why;
  EXPECT_LT(use.operation.sequences, 1);
}

TEST(PlanCapacity, ALaneIsAskedForSoFewPromptsThatTheyDoNotWaitForIt) {
  const auto types =
      types_for("prompt_tokens: 600, output_tokens: 200, ttft_s: 2, attain: 0.9999", kBoth);
  const PoolType& type = types.at("groq_lpu_v1-llama-3.1-70b-int8-4x1024");
  ASSERT_TRUE(type.uses[0].ok());
  const perf::PrefillChunk prompt{600, 0};
  perf::StepShape shape;
  shape.chunks = {&prompt, 1};
  const double idle = type.model.steps->step(shape).time.value() + type.uses[0].operation.tpot_s;
  const auto at = [&](double ttft_s) {
    return types_for(fmt::format("prompt_tokens: 600, output_tokens: 200, ttft_s: {:.6f}, attain: "
                                 "0.9999",
                                 ttft_s),
                     kBoth)
        .at("groq_lpu_v1-llama-3.1-70b-int8-4x1024")
        .uses[0];
  };
  EXPECT_TRUE(at(idle * 1.001).ok());
  EXPECT_EQ(at(idle * 0.999).obstacle, Obstacle::kTtft);
}

TEST(PlanCapacity, FewerThanHalfMayBeAskedToKeepATarget) {
  const std::string text = R"(
demands:
  - {name: a, model: llama-3.1-8b, rate_per_s: 1, prompt_tokens: 9, output_tokens: 9, ttft_s: TARGET, attain: 0.3}
services:
  - {name: api, model: llama-3.1-8b, metered: {per_million_prompt: 1, per_million_output: 1, ttft_s: {median: 500ms, sigma: 0.4}, tpot_s: 10ms}}
)";
  const auto with = [&](const std::string& target) {
    std::string changed = text;
    changed.replace(changed.find("TARGET"), 6, target);
    return pool_types(*data::parse_requirements(changed, "buy.yaml", test_catalog()),
                      test_catalog())
        ->types[0]
        .uses[0];
  };
  EXPECT_TRUE(with("410ms").ok());  // 0.5 s × exp(−0.4 × 0.524) = 405 ms
  EXPECT_EQ(with("400ms").obstacle, Obstacle::kTtft);
}

}  // namespace
}  // namespace medley::plan
