#include "perf/scheduled.h"

#include <gtest/gtest.h>

#include "perf/perf_model.h"

namespace medley::perf {
namespace {

// 10 stages of 8 layers: a token takes 2 ms, 1 ms of it beyond the schedule.
CompiledSchedule schedule() {
  CompiledSchedule s;
  s.target = "chip";
  s.chips = 40;
  s.stages = 10;
  s.streams = 32;
  s.context = 2048;
  s.layers = 80;
  s.layers_a_stage = 8;
  s.token_s = 1e-3;
  s.interval_s = 1e-4;
  s.chunk_tokens = 16;
  s.chunk_s = 2e-3;
  s.chunk_interval_s = 2e-4;
  s.beyond_layer_s = 1e-3 / 80;
  s.power = Watts(40 * 240);
  return s;
}

double prompt_s(const ScheduledModel& model, long long tokens) {
  const PrefillChunk chunk{.tokens = tokens};
  return model.step({.chunks = {&chunk, 1}}).time.value();
}

TEST(Scheduled, ATokenTakesTheScheduleAndWhatPublishedSpeedsShowBeyondIt) {
  const ScheduledModel model(schedule(), 1);
  EXPECT_DOUBLE_EQ(model.token_window().value(), 2e-3);
  EXPECT_DOUBLE_EQ(model.step({.decodes = 1}).time.value(), 2e-3);
  EXPECT_DOUBLE_EQ(model.step({.decodes = 1}).energy.value(), 2e-3 * 40 * 240);
  CompiledSchedule alone = schedule();
  alone.beyond_layer_s = 0;
  EXPECT_DOUBLE_EQ(ScheduledModel(alone, 1).token_window().value(), 1e-3);
}

// A stage takes 0.2 ms for a stream and 0.3 ms for a chunk, of 2 ms.
TEST(Scheduled, SlotsLeaveTimeForAChunkOfAPromptInEachWindow) {
  const ScheduledModel full(schedule(), 0);
  EXPECT_EQ(full.slots(), 8);
  EXPECT_EQ(full.chunks_a_window(), 1);
  EXPECT_DOUBLE_EQ(full.token_window().value(), 2e-3);
  const ScheduledModel fewer(schedule(), 4);
  EXPECT_EQ(fewer.chunks_a_window(), 4);
  EXPECT_NEAR(prompt_s(fewer, 1600), 99 * 2e-3 / 4 + 3e-3 - 2e-3, 1e-9)
      << "the last one on its way";
  CompiledSchedule small = schedule();
  small.streams = 3;
  EXPECT_EQ(ScheduledModel(small, 0).slots(), 3) << "what SRAM holds";
}

TEST(Scheduled, MoreSlotsThanTurnsMakeTheWindowLonger) {
  const ScheduledModel model(schedule(), 32);
  EXPECT_NEAR(model.token_window().value(), 32 * 2e-4 + 3e-4, 1e-12);
  EXPECT_EQ(model.chunks_a_window(), 1);
}

TEST(Scheduled, NoStageIsPromisedMoreTimeThanThereIs) {
  for (int slots = 1; slots <= 32; ++slots) {
    const ScheduledModel model(schedule(), slots);
    const double taken = slots * 2e-4 + model.chunks_a_window() * 3e-4;
    EXPECT_LE(taken, model.token_window().value() + 1e-12) << slots;
    EXPECT_GE(model.token_window().value(), 2e-3);
  }
}

// A chunk of a prompt is 3 ms on its way.
TEST(Scheduled, AFirstTokenIsNoEarlierThanTheLastChunkIsThrough) {
  const ScheduledModel model(schedule(), 1);  // 6 chunks in 2 ms
  EXPECT_DOUBLE_EQ(prompt_s(model, 1) + 2e-3, 3e-3);
  EXPECT_NEAR(prompt_s(model, 32) + 2e-3, 3e-3 + 2e-3 / 6, 1e-12);
}

TEST(Scheduled, APoolHasTheSlotsContextAndTimesOfItsSchedule) {
  Pool pool;
  pool.name = "lpu";
  pool.accelerator.emplace();
  pool.accelerator->kind = AcceleratorKind::kLpu;
  pool.schedule = schedule();
  auto model = make_pool_model(pool);
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(model->kind, ServingKind::kSlotted);
  EXPECT_EQ(model->max_running, 8);
  EXPECT_EQ(model->max_context, 2048);
  EXPECT_EQ(model->kv_tokens, 8 * 2048);
  EXPECT_DOUBLE_EQ(model->steps->step({.decodes = 3}).time.value(), 2e-3);
  EXPECT_DOUBLE_EQ(model->steps->idle_power().value(), 9600);
  pool.slots = 33;
  EXPECT_EQ(make_pool_model(pool).error().message,
            "pool 'lpu': its schedule holds 32 streams of 2048 tokens, not 33 slots");
}

TEST(Scheduled, TextTellsWhatOfTheWindowTheScheduleExplains) {
  Pool pool;
  EXPECT_EQ(schedule_text(pool), "");
  pool.accelerator.emplace();
  pool.accelerator->kind = AcceleratorKind::kLpu;
  pool.schedule = schedule();
  EXPECT_EQ(
      schedule_text(pool),
      "token window 2000 us: 1000 us compiled for chip on 40 chips, 1000 us more as published "
      "speeds show; 8 slots of 2048 tokens, 16 prompt tokens a window; by published speeds "
      "alone unknown");
  pool.slots = 32;
  EXPECT_NE(schedule_text(pool).find("token window 6700 us"), std::string::npos);
  EXPECT_NE(schedule_text(pool).find("4700 us for who else is there"), std::string::npos);
  pool.schedule.reset();
  pool.no_schedule = "it does not fit";
  EXPECT_EQ(schedule_text(pool),
            "token window unknown by published speeds, not a compiled schedule: it does not fit");
}

}  // namespace
}  // namespace medley::perf
