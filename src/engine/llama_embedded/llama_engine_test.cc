#include "engine/llama_embedded/llama_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "engine/llama_embedded/libllama.h"
#include "engine/testing_local.h"

namespace medley::engine::llama_embedded {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

class TextSink final : public GenerationSink {
 public:
  void on_tokens(RequestId, std::string_view text, int count) override {
    text_ += text;
    tokens_ += count;
  }
  void on_end(RequestId, const Ending& ending) override { ending_ = ending; }
  void on_failed(RequestId, const Error& error) override { error_ = error; }
  bool over() const { return ending_ || error_; }

  std::string text_;
  long long tokens_ = 0;
  std::optional<Ending> ending_;
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

TEST(LlamaEngine, TellsThePublishedStory) {
  std::string why_not;
  const auto path = stories_model(why_not);
  if (!path)
    GTEST_SKIP() << why_not;
  EngineRig rig(EngineType::kLlamaEmbedded, *path);
  auto engine = rig.make();
  ASSERT_TRUE(engine.ok()) << engine.error().message;
  EXPECT_FALSE((*engine)->emulated());

  TextSink sink;
  (*engine)->start(prompt(1, "Once upon a time", 60), sink);
  while (!sink.over())
    ASSERT_TRUE(rig.pump());
  EXPECT_THAT(sink.text_,
              StartsWith(", there was a little girl named Lily. She loved to play outside in the "
                         "park. One day, she saw a big, red ball."));
  ASSERT_TRUE(sink.ending_);
  EXPECT_EQ(sink.ending_->reason, FinishReason::kLength);
  EXPECT_EQ(sink.ending_->output_tokens, Tokens(60));
  Generation again = prompt(2, "Once upon a time", 1);
  EXPECT_EQ(sink.ending_->prompt_tokens, (*engine)->count_prompt_tokens(again));
  EXPECT_EQ(sink.tokens_, 60);
  EXPECT_FALSE(sink.ending_->joules);
}

TEST(LlamaEngine, AnswersAChatAndStopsByItself) {
  std::string why_not;
  const auto path = builtin_model(why_not);
  if (!path)
    GTEST_SKIP() << why_not;
  EngineRig rig(EngineType::kLlamaEmbedded, *path);
  auto engine = rig.make();
  ASSERT_TRUE(engine.ok()) << engine.error().message;

  Generation generation;
  generation.id = RequestId(1);
  generation.messages = {{"user", "Hello! Who are you?"}};
  generation.sampling.temperature = 0;
  TextSink sink;
  (*engine)->start(generation, sink);
  while (!sink.over())
    ASSERT_TRUE(rig.pump());
  ASSERT_TRUE(sink.ending_) << sink.error_->message;
  EXPECT_EQ(sink.ending_->reason, FinishReason::kStop);
  EXPECT_FALSE(sink.text_.empty());
  EXPECT_THAT(sink.text_, testing::Not(HasSubstr("<|im_")));
  EXPECT_EQ(sink.ending_->prompt_tokens, (*engine)->count_prompt_tokens(generation));
  EXPECT_EQ(sink.tokens_, sink.ending_->output_tokens.count());
}

TEST(LlamaEngine, ReportsWhatItMeasuresOfItself) {
  std::string why_not;
  const auto path = stories_model(why_not);
  if (!path)
    GTEST_SKIP() << why_not;
  EngineRig rig(EngineType::kLlamaEmbedded, *path, 2);
  auto engine = rig.make();
  ASSERT_TRUE(engine.ok()) << engine.error().message;
  EXPECT_EQ((*engine)->load().kv_capacity_tokens, 2 * 512);
  EXPECT_FALSE((*engine)->load().decode_tokens_per_s);

  TextSink sinks[3];
  for (int i = 0; i < 3; ++i) {
    Generation generation = prompt(i + 1, "Once upon a time", 100);
    generation.prompt_tokens = Tokens(5);
    (*engine)->start(std::move(generation), sinks[i]);
  }
  EXPECT_EQ((*engine)->load().waiting_uncached_tokens, 15);
  while (sinks[0].tokens_ == 0 || sinks[1].tokens_ == 0)
    ASSERT_TRUE(rig.pump());
  const LoadSignal load = (*engine)->load();
  EXPECT_EQ(load.running, 2);
  EXPECT_EQ(load.waiting, 1);
  EXPECT_EQ(load.waiting_uncached_tokens, 5);
  EXPECT_GT(load.kv_fraction.value_or(0), 0);
  EXPECT_GT(load.prefill_tokens_per_s.value_or(0), 0);
  EXPECT_EQ(load.source, SignalSource::kReported);
  EXPECT_EQ(load.as_of, rig.loop.now());
  while (!sinks[2].over())
    ASSERT_TRUE(rig.pump());
  EXPECT_GT((*engine)->load().decode_tokens_per_s.value_or(0), 0);
  EXPECT_EQ((*engine)->load().kv_fraction, 0);
}

TEST(LlamaEngine, MayBeDestroyedByTheSinkThatItCalls) {
  std::string why_not;
  const auto path = stories_model(why_not);
  if (!path)
    GTEST_SKIP() << why_not;
  EngineRig rig(EngineType::kLlamaEmbedded, *path);
  auto engine = rig.make();
  ASSERT_TRUE(engine.ok()) << engine.error().message;

  class Destroyer final : public GenerationSink {
   public:
    explicit Destroyer(std::unique_ptr<Engine>& engine) : engine_(engine) {}
    void on_tokens(RequestId, std::string_view, int) override {
      ++heard;
      engine_.reset();
    }
    void on_end(RequestId, const Ending&) override { ++heard; }
    void on_failed(RequestId, const Error&) override { ++heard; }
    int heard = 0;

   private:
    std::unique_ptr<Engine>& engine_;
  } sink(*engine);

  (*engine)->start(prompt(1, "Once upon a time", 100), sink);
  (*engine)->start(prompt(2, "Once upon a time", 100), sink);
  while (sink.heard == 0)
    ASSERT_TRUE(rig.pump());
  rig.loop.run_ready();
  EXPECT_EQ(sink.heard, 1);
}

TEST(LlamaEngine, MeasuresItsSpeed) {
  std::string why_not;
  const auto path = stories_model(why_not);
  if (!path)
    GTEST_SKIP() << why_not;
  const EngineRig rig(EngineType::kLlamaEmbedded, *path, 4);
  const auto speed = measure(rig.pool);
  ASSERT_TRUE(speed.ok()) << speed.error().message;
  EXPECT_GT(speed->per_step.value(), 0);
  EXPECT_GT(speed->per_sequence_step.value(), 0);
  EXPECT_GT(speed->prefill_tokens_per_s, 0);
  EXPECT_EQ(speed->max_running, 4);
  EXPECT_EQ(speed->max_context, 512);
  EXPECT_EQ(speed->prefill_chunk, 256);
}

std::string error_for(const std::string& path) {
  EngineRig rig(EngineType::kLlamaEmbedded, path);
  const auto engine = rig.make();
  return engine.ok() ? "it was loaded" : engine.error().message;
}

std::string written(const std::string& name, const std::string& bytes) {
  const std::string path = data::own_temporary(name);
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

TEST(LlamaEngine, NamesTheModelFileAndWhatIsWrongWithIt) {
  EXPECT_THAT(error_for("no/such.gguf"),
              AllOf(HasSubstr("no/such.gguf"), HasSubstr("does not exist")));
  EXPECT_THAT(error_for(testing::TempDir()), HasSubstr("is not a file"));
  EXPECT_THAT(error_for(written("medley_empty.gguf", "")), HasSubstr("not a GGUF file"));
  EXPECT_THAT(error_for(written("medley_text.gguf", "hello, I am text")),
              HasSubstr("not a GGUF file"));
  EXPECT_THAT(error_for(written("medley_head.gguf", "GGUF\x03")),
              AllOf(HasSubstr("medley_head.gguf"), HasSubstr("cannot load")));
}

TEST(LlamaEngine, RefusesAModelFileThatWasCutShort) {
  std::string why_not;
  const auto path = stories_model(why_not);
  if (!path)
    GTEST_SKIP() << why_not;
  std::ifstream file(*path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const std::string message =
      error_for(written("medley_cut.gguf", bytes.substr(0, bytes.size() / 2)));
  EXPECT_THAT(message,
              AllOf(HasSubstr("medley_cut.gguf"), HasSubstr("is corrupted or incomplete")));
}

TEST(FitCapacity, TakesWhatWasAskedForWhenItFits) {
  const Capacity fit = fit_capacity({.sequences = 8}, 512, 1000, 1e9);
  EXPECT_EQ(fit.sequences, 8);
  EXPECT_EQ(fit.context_tokens, 512);
  EXPECT_EQ(fit_capacity({.sequences = 8, .context_tokens = 100}, 512, 1000, 1e9).context_tokens,
            100);
}

TEST(FitCapacity, GivesUpContextFirstThenSequences) {
  // Room for 32768 tokens.
  const Capacity fit = fit_capacity({.sequences = 8}, 131072, 1e5, 32768e5);
  EXPECT_EQ(fit.sequences, 8);
  EXPECT_EQ(fit.context_tokens, 4096);
  // Room for 6000: two sequences of more than 2048 each.
  const Capacity small = fit_capacity({.sequences = 8}, 131072, 1e5, 6000e5);
  EXPECT_EQ(small.sequences, 2);
  EXPECT_EQ(small.context_tokens, 3000);
  const Capacity tiny = fit_capacity({.sequences = 8}, 131072, 1e5, 100e5);
  EXPECT_EQ(tiny.sequences, 1);
  EXPECT_EQ(tiny.context_tokens, 100);
}

}  // namespace
}  // namespace medley::engine::llama_embedded
