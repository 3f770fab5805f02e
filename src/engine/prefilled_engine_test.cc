#include "engine/prefilled_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "base/check.h"
#include "engine/testing_local.h"

namespace medley::engine {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Notes what it is asked to do, and lets the test answer.
class Noted final : public Engine {
 public:
  void start(Generation generation, GenerationSink& sink) override {
    sink_ = &sink;
    started_.push_back(std::move(generation));
  }
  void cancel(RequestId request) override { cancelled_.push_back(request.number()); }
  void reset() override { ++resets_; }
  std::optional<Tokens> count_prompt_tokens(Generation&) const override { return Tokens(7); }
  LoadSignal load() const override {
    LoadSignal load;
    load.running = 2;
    load.waiting = 1;
    load.waiting_uncached_tokens = 5;
    return load;
  }
  bool emulated() const override { return false; }

  GenerationSink* sink_ = nullptr;
  std::vector<Generation> started_;
  std::vector<std::uint64_t> cancelled_;
  int resets_ = 0;
};

Generation of(std::uint64_t id, long long prompt_tokens) {
  Generation generation;
  generation.id = RequestId(id);
  generation.prompt_tokens = Tokens(prompt_tokens);
  return generation;
}

class PrefilledEngineTest : public testing::Test {
 protected:
  struct Nobody final : GenerationSink {
    void on_tokens(RequestId, std::string_view, int) override {}
    void on_end(RequestId, const Ending&) override {}
    void on_failed(RequestId, const Error&) override {}
  };

  Noted* reader_ = new Noted;
  Noted* answering_ = new Noted;
  PrefilledEngine engine_{std::unique_ptr<Engine>(reader_), std::unique_ptr<Engine>(answering_),
                          100};
  Nobody sink_;
};

TEST_F(PrefilledEngineTest, HandsLongPromptsOverOnceTheyAreRead) {
  engine_.start(of(1, 100), sink_);
  ASSERT_EQ(reader_->started_.size(), 1U);
  EXPECT_TRUE(reader_->started_[0].only_read);
  EXPECT_THAT(answering_->started_, IsEmpty());
  EXPECT_EQ(engine_.load().waiting, 2);
  EXPECT_EQ(engine_.load().waiting_uncached_tokens, 105);

  const auto state = std::make_shared<const KvState>();
  reader_->sink_->on_prompt_read(RequestId(1), state);
  ASSERT_EQ(answering_->started_.size(), 1U);
  EXPECT_FALSE(answering_->started_[0].only_read);
  EXPECT_EQ(answering_->started_[0].read, state);
  EXPECT_EQ(answering_->sink_, &sink_);
  EXPECT_EQ(engine_.load().waiting, 1);
  EXPECT_EQ(engine_.load().prompts_handed_over, 1U);
  EXPECT_EQ(engine_.load().prompts_not_handed_over, 0U);
}

TEST_F(PrefilledEngineTest, LeavesShortPromptsToTheAnsweringEngine) {
  engine_.start(of(1, 99), sink_);
  EXPECT_THAT(reader_->started_, IsEmpty());
  ASSERT_EQ(answering_->started_.size(), 1U);
  EXPECT_EQ(answering_->sink_, &sink_);
  EXPECT_EQ(engine_.load().prompts_handed_over, 0U);
}

TEST_F(PrefilledEngineTest, LetsTheAnsweringEngineReadWhatTheReaderCannot) {
  engine_.start(of(1, 100), sink_);
  reader_->sink_->on_failed(RequestId(1), Error{ErrorCode::kUnavailable, "out of order", {}});
  ASSERT_EQ(answering_->started_.size(), 1U);
  EXPECT_EQ(answering_->started_[0].read, nullptr);
  EXPECT_EQ(engine_.load().prompts_handed_over, 0U);
  EXPECT_EQ(engine_.load().prompts_not_handed_over, 1U);
}

TEST_F(PrefilledEngineTest, CancelsWhereTheRequestIs) {
  engine_.start(of(1, 100), sink_);
  engine_.start(of(2, 100), sink_);
  engine_.cancel(RequestId(1));
  EXPECT_THAT(reader_->cancelled_, ElementsAre(1));
  EXPECT_EQ(engine_.load().waiting, 2) << "the other, and the answering engine's own";
  reader_->sink_->on_prompt_read(RequestId(2), std::make_shared<const KvState>());
  engine_.cancel(RequestId(2));
  EXPECT_THAT(answering_->cancelled_, ElementsAre(2));
  engine_.reset();
  EXPECT_EQ(reader_->resets_ + answering_->resets_, 2);
}

// --- the real ones

class TextSink final : public GenerationSink {
 public:
  void on_tokens(RequestId request, std::string_view text, int) override {
    text_[request.number()] += text;
  }
  void on_end(RequestId request, const Ending& ending) override {
    ending_[request.number()] = ending;
  }
  void on_failed(RequestId, const Error& error) override { ADD_FAILURE() << error.message; }

  std::map<std::uint64_t, std::string> text_;
  std::map<std::uint64_t, Ending> ending_;
};

// Of text, as many words as are asked for.
std::string story(int words) {
  static const std::vector<std::string> kWords = {"Lily", "and",  "Tom",   "went", "to",  "the",
                                                  "park", "with", "a",     "big",  "red", "ball.",
                                                  "They", "saw",  "their", "dog"};
  std::string text = "Once upon a time";
  for (int i = 0; i < words; ++i)
    text += " " + kWords[static_cast<std::size_t>(i * 7 + i / 5) % kWords.size()];
  return text;
}

Generation prompt(std::uint64_t id, std::string text, const Engine& engine) {
  Generation generation;
  generation.id = RequestId(id);
  generation.chat = false;
  generation.prompt = std::move(text);
  generation.max_tokens = Tokens(80);
  generation.sampling.temperature = 0;
  generation.prompt_tokens = engine.count_prompt_tokens(generation).value();
  return generation;
}

constexpr int kStories = 5;  // more than there are slots, of 13 to 300 tokens
std::string story_of(int i) { return story(10 + 50 * i); }

std::map<std::uint64_t, std::string> told(EngineRig& rig, Engine& engine, TextSink& sink) {
  for (int i = 0; i < kStories; ++i)
    engine.start(prompt(static_cast<std::uint64_t>(i), story_of(i), engine), sink);
  while (sink.ending_.size() < kStories) {
    if (!rig.pump()) {
      ADD_FAILURE() << "the engine hangs";
      break;
    }
  }
  return sink.text_;
}

// libllama alone, its cache in F32.
std::string told_by_libllama(const std::string& path, const std::string& text) {
  EngineRig rig(EngineType::kLlamaEmbedded, path, 1);
  rig.pool.engine.full_kv = true;
  auto engine = rig.make();
  MEDLEY_CHECK(engine.ok());
  TextSink sink;
  (*engine)->start(prompt(1, text, **engine), sink);
  while (sink.ending_.empty())
    MEDLEY_CHECK(rig.pump(), "the engine hangs");
  return sink.text_[1];
}

TEST(PrefilledEngine, TellsWhatEitherEngineTellsAlone) {
  std::string why_not;
  const auto path = stories_model(why_not);
  if (!path)
    GTEST_SKIP() << why_not;
  EngineRig alone(EngineType::kStaticSchedule, *path, 2);
  EngineRig both(EngineType::kStaticSchedule, *path, 2);
  both.pool.engine.prefill = PrefillSpec{.from_tokens = 40};
  auto answering = alone.make();
  auto engine = both.make();
  ASSERT_TRUE(answering.ok() && engine.ok());
  TextSink sink, sink_alone;
  const auto texts = told(both, **engine, sink);
  EXPECT_EQ(texts, told(alone, **answering, sink_alone));
  for (int i = 0; i < kStories; ++i) {
    const auto id = static_cast<std::uint64_t>(i);
    EXPECT_EQ(texts.at(id), told_by_libllama(*path, story_of(i)));
    const Ending& ending = sink.ending_[id];
    EXPECT_EQ(ending.output_tokens, sink_alone.ending_[id].output_tokens);
    if (ending.prompt_tokens < Tokens(40)) {
      EXPECT_FALSE(ending.handed_over);
    } else {
      EXPECT_EQ(ending.handed_over, Tokens(ending.prompt_tokens.count() - 1));
    }
    EXPECT_FALSE(sink_alone.ending_[id].handed_over);
  }
  EXPECT_FALSE(sink.ending_[0].handed_over) << "it was too short";
  EXPECT_EQ((*engine)->load().prompts_handed_over, kStories - 1U);
  EXPECT_EQ((*engine)->load().prompts_not_handed_over, 0U);
  EXPECT_FALSE((*answering)->load().prompts_handed_over);
}

// A reader that is left in the middle of a prompt reads the next one as if nothing had been.
TEST(PrefilledEngine, ReadsOnAfterAPromptThatNobodyWantsAnyMore) {
  std::string why_not;
  const auto path = stories_model(why_not);
  if (!path)
    GTEST_SKIP() << why_not;
  EngineRig rig(EngineType::kStaticSchedule, *path, 2);
  rig.pool.engine.prefill = PrefillSpec{.from_tokens = 40};
  rig.pool.batching.chunk_tokens = 16;
  auto engine = rig.make();
  ASSERT_TRUE(engine.ok()) << engine.error().message;
  TextSink sink;
  for (std::uint64_t i = 1; i <= 20; ++i) {
    (*engine)->start(prompt(i, story(150), **engine), sink);
    if (i % 3 == 0)
      rig.pump();
    if (i < 20)
      (*engine)->cancel(RequestId(i));
  }
  while (sink.ending_.empty())
    ASSERT_TRUE(rig.pump());
  EXPECT_EQ(sink.text_.at(20), told_by_libllama(*path, story(150)));
  EXPECT_TRUE(sink.ending_.at(20).handed_over);
  EXPECT_EQ((*engine)->load().waiting, 0);
  EXPECT_EQ((*engine)->load().running, 0);
}

// Here it is a cache that libllama holds in F16, which is not handed over.
TEST(PrefilledEngine, ReadsItselfWhatItsReaderFailsToHandOver) {
  std::string why_not;
  const auto path = stories_model(why_not);
  if (!path)
    GTEST_SKIP() << why_not;
  EngineRig half(EngineType::kLlamaEmbedded, *path, 1), alone(EngineType::kStaticSchedule, *path);
  auto reader = half.make();
  auto answering = alone.make();
  ASSERT_TRUE(reader.ok() && answering.ok());
  // One loop would do; each engine tells its own.
  PrefilledEngine engine(std::move(*reader), std::move(*answering), 40);
  TextSink sink;
  engine.start(prompt(1, story(100), engine), sink);
  ASSERT_TRUE(half.pump());
  while (engine.load().prompts_not_handed_over == 0U)
    ASSERT_TRUE(half.pump());
  while (sink.ending_.empty())
    ASSERT_TRUE(alone.pump());
  EXPECT_EQ(sink.text_.at(1), told_by_libllama(*path, story(100)));
  EXPECT_FALSE(sink.ending_.at(1).handed_over);
  EXPECT_EQ(engine.load().prompts_handed_over, 0U);
}

}  // namespace
}  // namespace medley::engine
