#include "engine/static_schedule/static_engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>

#include "data/gguf.h"
#include "engine/measure.h"
#include "engine/testing_local.h"

namespace medley::engine::static_schedule {
namespace {

class TextSink final : public GenerationSink {
 public:
  void on_tokens(RequestId request, std::string_view text, int count) override {
    text_[request.number()] += text;
    tokens_ += count;
  }
  void on_end(RequestId, const Ending&) override { ++over_; }
  void on_failed(RequestId, const Error& error) override {
    ++over_;
    error_ = error;
  }

  std::map<std::uint64_t, std::string> text_;
  long long tokens_ = 0;
  int over_ = 0;
  std::optional<Error> error_;
};

Generation prompt(std::uint64_t id, std::string text, long long max_tokens) {
  Generation generation;
  generation.id = RequestId(id);
  generation.chat = false;
  generation.prompt = std::move(text);
  generation.max_tokens = Tokens(max_tokens);
  generation.sampling.temperature = 0;
  return generation;
}

constexpr std::string_view kStory =
    ", there was a little girl named Lily. She loved to play outside in the park. One day, she saw "
    "a big, red ball.";

TEST(StaticEngine, TellsThePublishedStory) {
  std::string why_not;
  const auto path = stories_model(why_not);
  if (!path)
    GTEST_SKIP() << why_not;
  for (const int threads : {1, 2}) {
    EngineRig rig(EngineType::kStaticSchedule, *path, 2, threads);
    auto engine = rig.make();
    ASSERT_TRUE(engine.ok()) << engine.error().message;
    EXPECT_FALSE((*engine)->emulated());
    TextSink sink;
    (*engine)->start(prompt(1, "Once upon a time", 60), sink);
    while (sink.over_ == 0)
      ASSERT_TRUE(rig.pump());
    ASSERT_FALSE(sink.error_) << sink.error_->message;
    EXPECT_EQ(sink.text_[1].substr(0, kStory.size()), kStory);
    EXPECT_EQ(sink.tokens_, 60);
  }
}

// More than there are slots, with prompts of all lengths: each is told as if it were alone.
TEST(StaticEngine, KeepsStreamsApart) {
  std::string why_not;
  const auto path = stories_model(why_not);
  if (!path)
    GTEST_SKIP() << why_not;
  EngineRig rig(EngineType::kStaticSchedule, *path, 3);
  auto engine = rig.make();
  ASSERT_TRUE(engine.ok()) << engine.error().message;
  TextSink sink;
  (*engine)->start(prompt(1, "Once upon a time", 50), sink);
  (*engine)->start(prompt(2, "Tom was sad. He had lost his dog, and the dog was far away", 30),
                   sink);
  (*engine)->start(prompt(3, "Lily", 20), sink);
  (*engine)->start(prompt(4, "Once upon a time", 50), sink);
  while (sink.over_ < 4)
    ASSERT_TRUE(rig.pump());
  ASSERT_FALSE(sink.error_) << sink.error_->message;
  EXPECT_EQ(sink.text_[1].substr(0, kStory.size()), kStory);
  EXPECT_EQ(sink.text_[4], sink.text_[1]);
  EXPECT_EQ(sink.tokens_, 150);
  const LoadSignal load = (*engine)->load();
  // The first token of an answer comes with its prompt, without a beat.
  EXPECT_EQ(load.beats.value_or(0), 146U);
  EXPECT_LE(*load.missed_beats, *load.beats);
}

TEST(StaticEngine, MeasuresWhatThePoolCanDo) {
  std::string why_not;
  const auto path = stories_model(why_not);
  if (!path)
    GTEST_SKIP() << why_not;
  EngineRig rig(EngineType::kStaticSchedule, *path, 3);
  ASSERT_TRUE(medley::engine::measure(rig.pool).ok());
  EXPECT_EQ(rig.pool.slots, 3);
  EXPECT_EQ(rig.pool.model.max_context, 512);
  ASSERT_TRUE(rig.pool.measured);
  EXPECT_GE(rig.pool.measured->step_s, 0.5e-3);
  EXPECT_GT(rig.pool.measured->tpot_error, 0);
  rig.pool.engine.token_window_s = 2;
  ASSERT_TRUE(medley::engine::measure(rig.pool).ok());
  EXPECT_EQ(rig.pool.measured->step_s, 2);
}

// The file is gone when the engine is made: it was read once.
TEST(StaticEngine, IsMadeOfWhatWasLoadedToMeasureIt) {
  std::string why_not;
  const auto path = stories_model(why_not);
  if (!path)
    GTEST_SKIP() << why_not;
  const std::string copy = data::own_temporary("once.gguf");
  std::filesystem::copy_file(*path, copy);
  EngineRig rig(EngineType::kStaticSchedule, copy, 2);
  rig.pool.engine.prefill = PrefillSpec{.from_tokens = 2};
  auto preloaded = medley::engine::measure(rig.pool);
  std::filesystem::remove(copy);
  ASSERT_TRUE(preloaded.ok()) << preloaded.error().message;
  EXPECT_FALSE(rig.make().ok());
  const EngineContext context{.loop = rig.loop,
                              .pool = rig.pool,
                              .model = rig.model,
                              .replica = ReplicaId(0),
                              .preloaded = *preloaded};
  auto engine = make_engine(context);
  ASSERT_TRUE(engine.ok()) << engine.error().message;
  TextSink sink;
  Generation generation = prompt(1, "Once upon a time", 60);
  generation.prompt_tokens = (*engine)->count_prompt_tokens(generation).value();
  (*engine)->start(generation, sink);
  while (sink.over_ == 0)
    ASSERT_TRUE(rig.pump());
  EXPECT_EQ(sink.text_[1].substr(0, kStory.size()), kStory);
  EXPECT_EQ((*engine)->load().prompts_handed_over, 1U);
}

TEST(StaticEngine, RefusesAWindowThatItsSlotsDoNotFit) {
  std::string why_not;
  const auto path = stories_model(why_not);
  if (!path)
    GTEST_SKIP() << why_not;
  EngineRig rig(EngineType::kStaticSchedule, *path, 64);
  rig.pool.engine.token_window_s = 1e-6;
  const auto measured = medley::engine::measure(rig.pool);
  ASSERT_FALSE(measured.ok());
  EXPECT_NE(measured.error().message.find("pool 'test': a token_window of 0.001 ms: the tokens of "
                                          "64 slots take"),
            std::string::npos)
      << measured.error().message;
}

// One weight that is no number, and one that is too large for what follows.
TEST(StaticEngine, AModelThatComputesNoNumbersFailsWhatItIsAsked) {
  std::string why_not;
  const auto path = stories_model(why_not);
  if (!path)
    GTEST_SKIP() << why_not;
  const auto gguf = data::read_gguf(*path);
  ASSERT_TRUE(gguf.ok());
  const auto tensor = std::find_if(gguf->tensors.begin(), gguf->tensors.end(),
                                   [](const auto& of) { return of.name == "blk.0.attn_q.weight"; });
  ASSERT_NE(tensor, gguf->tensors.end());
  const std::string copy = data::own_temporary("damaged.gguf");
  for (const float weight : {std::numeric_limits<float>::quiet_NaN(), 3e38F}) {
    std::filesystem::copy_file(*path, copy, std::filesystem::copy_options::overwrite_existing);
    {
      std::fstream file(copy, std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(static_cast<std::streamoff>(gguf->data_offset + tensor->offset));
      file.write(reinterpret_cast<const char*>(&weight), sizeof weight);
    }
    for (const EngineType type : {EngineType::kStaticSchedule, EngineType::kLlamaEmbedded}) {
      EngineRig rig(type, copy, 2);
      auto engine = rig.make();
      ASSERT_TRUE(engine.ok()) << engine.error().message;
      TextSink sink;
      for (const std::uint64_t id : {1, 2, 3}) {  // its place is free again
        (*engine)->start(prompt(id, "Once upon a time", 20), sink);
        while (sink.over_ < static_cast<int>(id))
          ASSERT_TRUE(rig.pump());
        ASSERT_TRUE(sink.error_) << name_of(type) << ' ' << weight << ": " << sink.text_[id];
        EXPECT_EQ(sink.error_->code, ErrorCode::kGarbled);
        EXPECT_NE(sink.error_->message.find("no finite numbers"), std::string::npos);
        sink.error_.reset();
      }
    }
  }
  std::filesystem::remove(copy);
}

TEST(StaticEngine, SaysWhyItCannotStart) {
  EngineRig missing(EngineType::kStaticSchedule, "nowhere.gguf");
  EXPECT_EQ(missing.make().error().code, ErrorCode::kNotFound);
  std::string why_not;
  const auto path = stories_model(why_not);
  if (!path)
    GTEST_SKIP() << why_not;
  EngineRig slots(EngineType::kStaticSchedule, *path, 65);
  EXPECT_EQ(slots.make().error().message,
            "slots: 65: static_schedule gives every slot its turn in each window; expected at most "
            "64");
  EngineRig many(EngineType::kStaticSchedule, *path, 1, 5);
  EXPECT_EQ(many.make().error().message, "5 threads: expected 1 to 4, for 4 KV heads are divided");
}

}  // namespace
}  // namespace medley::engine::static_schedule
