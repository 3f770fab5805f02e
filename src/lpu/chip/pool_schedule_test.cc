#include "lpu/chip/pool_schedule.h"

#include <gtest/gtest.h>

#include "data/fleet_file.h"
#include "lpu/chip/compile.h"
#include "lpu/chip/from_graph.h"
#include "perf/perf_model.h"

namespace medley::lpu::chip {
namespace {

const data::Catalog& catalog() {
  static const auto read = data::read_catalog("catalog");
  return *read;
}

Pool pool_of(const std::string& keys) {
  const auto node = data::parse_yaml("pools: [{name: p, " + keys + "}]", "fleet.yaml");
  const auto fleet = data::read_fleet(*node, catalog());
  EXPECT_TRUE(fleet.ok()) << fleet.error().message;
  return fleet->pools.front();
}

Pool scheduled(const std::string& keys) {
  Pool pool = pool_of(keys);
  const Status status = schedule_pool(pool, "catalog");
  EXPECT_TRUE(status.ok()) << status.error().message;
  return pool;
}

constexpr char kEight[] = "device: groq_lpu_v1, model: llama-3.1-8b, precision: int8";

TEST(PoolSchedule, AFleetThatSaysDeviceAndModelIsTimedByTheCompiledSchedule) {
  const Pool pool = scheduled(kEight);
  ASSERT_TRUE(pool.schedule) << pool.no_schedule;
  const auto target = find_target("groqchip1", "catalog");
  const auto shape = shape_for(*catalog().model("llama-3.1-8b"), "");
  const auto compiled = compile(*shape, *target, {.context = 4096});
  ASSERT_TRUE(compiled.ok());
  const Schedule& s = compiled->schedule;
  EXPECT_EQ(pool.schedule->chips, s.chips());
  EXPECT_EQ(pool.schedule->streams, compiled->most_streams);
  EXPECT_DOUBLE_EQ(pool.schedule->token_s, target->seconds(static_cast<double>(s.token_cycles)));
  EXPECT_EQ(pool.schedule->layers_a_stage, 4)
      << "32 layers on 9 stages, of which one is the head's";

  const auto model = perf::make_pool_model(pool);
  ASSERT_TRUE(model.ok());
  const double beyond_s = 32 * *pool.constants.dataflow.beyond_schedule_layer_s;
  EXPECT_GT(beyond_s, 0);
  EXPECT_DOUBLE_EQ(model->steps->step({.decodes = 1}).time.value(),
                   pool.schedule->token_s + beyond_s);
  EXPECT_EQ(model->max_running, 2);
  EXPECT_EQ(model->max_context, 4096);
}

// Published: 1 / 750 s. The constant was fitted to it and four others, within 9 % on average.
TEST(PoolSchedule, WithWhatIsBeyondItATokenTakesAboutWhatWasPublished) {
  const auto model = perf::make_pool_model(scheduled(kEight));
  EXPECT_NEAR(model->steps->step({.decodes = 1}).time.value() * 750, 1, 0.1);
}

TEST(PoolSchedule, SlotsContextAndChipsOfTheFileAreCompiledFor) {
  const Pool four = scheduled(std::string(kEight) + ", slots: 4, max_context: 6000");
  ASSERT_TRUE(four.schedule);
  EXPECT_GE(four.schedule->streams, 4);
  EXPECT_EQ(four.schedule->context, 6000);
  EXPECT_GT(four.schedule->chips, 72);
  EXPECT_EQ(perf::make_pool_model(four)->max_running, 4);
  const Pool more = scheduled(std::string(kEight) + ", chips: 128");
  ASSERT_TRUE(more.schedule);
  EXPECT_LE(more.schedule->chips, 128);
  EXPECT_GT(more.schedule->streams, 2);
}

TEST(PoolSchedule, WeightsOfSixteenBitsAreHeldInThoseThatTheTargetHas) {
  const Pool pool = scheduled("device: groq_lpu_v1, model: llama-3.1-8b, precision: bf16");
  ASSERT_TRUE(pool.schedule) << pool.no_schedule;
  EXPECT_GT(pool.schedule->chips, 100);
}

TEST(PoolSchedule, WhereThereIsNoneThePublishedLawTimesThePoolAndSaysWhy) {
  const auto why = [](const std::string& keys) {
    const Pool pool = scheduled(keys);
    EXPECT_FALSE(pool.schedule);
    EXPECT_TRUE(perf::make_pool_model(pool).ok());
    EXPECT_NE(perf::schedule_text(pool).find(" by published speeds"), std::string::npos);
    return pool.no_schedule;
  };
  EXPECT_EQ(why(std::string(kEight) + ", schedule: published"), "schedule: published");
  EXPECT_EQ(why(std::string(kEight) + ", prefill_tokens_per_s: 20000"),
            "prefill_tokens_per_s is stated, and a compiled schedule has a rate of its own");
  EXPECT_NE(why(std::string(kEight) + ", chips: 68").find("not 68"), std::string::npos);
  EXPECT_EQ(why("device: groq_lpu_v1, model: llama-3.1-8b, precision: fp8, chips: 80"),
            "Llama 3.1 8B on groqchip1: the target holds no fp8 weights; it has int8, fp16");
}

TEST(PoolSchedule, ThatThereIsNoneIsAnErrorWhereOneIsAskedFor) {
  Pool pool = pool_of(std::string(kEight) + ", chips: 68, schedule: compiled");
  const Status status = schedule_pool(pool, "catalog");
  ASSERT_FALSE(status.ok());
  EXPECT_TRUE(status.error().message.starts_with("pool 'p': Llama 3.1 8B on groqchip1: needs "))
      << status.error().message;
  Pool wafer = pool_of("device: cerebras_wse3, model: llama-3.1-8b, precision: fp16");
  EXPECT_TRUE(schedule_pool(wafer, "catalog").ok());
  EXPECT_EQ(
      wafer.no_schedule,
      "what cerebras_wse3 takes beyond a schedule is unknown (beyond_schedule_layer_us of its "
      "step constants)");
}

TEST(PoolSchedule, OtherPoolsStayAsTheyAre) {
  const Pool gpu = scheduled("device: h100_sxm, model: llama-3.1-8b");
  EXPECT_FALSE(gpu.schedule);
  EXPECT_EQ(gpu.no_schedule, "");
}

}  // namespace
}  // namespace medley::lpu::chip
