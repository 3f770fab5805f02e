#include "engine/llama_embedded/batcher.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "engine/testing_local.h"

namespace medley::engine::llama_embedded {
namespace {

// A batcher on stories260K, and what its jobs said.
class BatcherTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string why_not;
    const auto path = stories_model(why_not);
    if (!path)
      GTEST_SKIP() << why_not;
    auto model = load_model(*path);
    ASSERT_TRUE(model.ok()) << model.error().message;
    model_ = std::move(model).value();
    encoder_ = std::make_unique<PromptEncoder>(*model_);
    open({.sequences = 4, .context_tokens = 512}, 32);
  }

  void open(const Capacity& capacity, int step_tokens) {
    batcher_.reset();
    auto context = make_context(*model_,
                                {.sequences = capacity.sequences,
                                 .context_tokens = capacity.context_tokens,
                                 .step_tokens = step_tokens},
                                nullptr, nullptr);
    ASSERT_TRUE(context.ok()) << context.error().message;
    context_ = std::move(context).value();
    batcher_ = std::make_unique<Batcher>(*model_, *context_, *encoder_, capacity, step_tokens);
  }

  static Job job(std::uint64_t number, std::string prompt, long long max_tokens) {
    Job job{.number = number};
    job.generation.chat = false;
    job.generation.prompt = std::move(prompt);
    job.generation.max_tokens = Tokens(max_tokens);
    job.generation.sampling.temperature = 0;
    return job;
  }

  void add(Job job) {
    std::vector<Happening> happenings;
    batcher_->add(std::move(job), happenings);
    hear(happenings);
  }
  StepWork step() {
    std::vector<Happening> happenings;
    const StepWork work = batcher_->step(happenings);
    hear(happenings);
    return work;
  }
  void run() {
    while (!batcher_->idle())
      step();
  }
  void hear(const std::vector<Happening>& happenings) {
    for (const Happening& happening : happenings) {
      Said& said = said_[happening.job];
      if (const auto* text = std::get_if<NewText>(&happening.what)) {
        said.text += text->text;
        said.tokens += text->count;
      } else if (const auto* ending = std::get_if<Ending>(&happening.what)) {
        said.ending = *ending;
      } else if (const auto* error = std::get_if<Error>(&happening.what)) {
        said.error = *error;
      } else {
        said.admitted = true;
      }
    }
  }

  struct Said {
    std::string text;
    int tokens = 0;
    bool admitted = false;
    std::optional<Ending> ending;
    std::optional<Error> error;
  };

  ModelHandle model_;
  std::unique_ptr<PromptEncoder> encoder_;
  ContextHandle context_;
  std::unique_ptr<Batcher> batcher_;
  std::map<std::uint64_t, Said> said_;
};

std::string long_prompt(int words) {
  std::string text;
  for (int i = 0; i < words; ++i)
    text += "she loved to play ";
  return text;
}

TEST_F(BatcherTest, GoesOnWithStreamsWhileALongPromptIsRead) {
  add(job(1, "Once upon a time", 100));
  step();
  add(job(2, long_prompt(60), 5));
  int steps_of_prompt = 0;
  while (said_[2].tokens == 0) {
    const int before = said_[1].tokens;
    const StepWork work = step();
    ++steps_of_prompt;
    EXPECT_EQ(said_[1].tokens, before + 1);
    EXPECT_EQ(work.decodes, 1);
    EXPECT_LE(work.prompt_tokens + work.decodes, 32);
  }
  EXPECT_GE(steps_of_prompt, 8);
}

TEST_F(BatcherTest, LetsAJobInAsSoonAsAPlaceIsFree) {
  for (std::uint64_t i = 1; i <= 5; ++i)
    add(job(i, "Once upon a time", i == 2 ? 2 : 20));
  step();
  EXPECT_TRUE(said_[4].admitted);
  EXPECT_FALSE(said_[5].admitted);
  step();
  EXPECT_TRUE(said_[2].ending);
  EXPECT_FALSE(said_[5].admitted);
  step();
  EXPECT_TRUE(said_[5].admitted);
  EXPECT_EQ(said_[5].tokens, 1);
  run();
  for (std::uint64_t i = 1; i <= 5; ++i)
    EXPECT_TRUE(said_[i].ending) << i;
}

TEST_F(BatcherTest, SaysTheSameInCompanyAsAlone) {
  const std::vector<std::string> prompts = {"Once upon a time", "One day, Tom", "The big dog",
                                            "Lily and her mom"};
  std::uint64_t number = 0;
  for (const std::string& prompt : prompts) {
    add(job(++number, prompt, 12));
    run();
  }
  for (const std::string& prompt : prompts)
    add(job(++number, prompt, 12));
  run();
  for (std::uint64_t i = 1; i <= 4; ++i)
    EXPECT_EQ(said_[i].text, said_[i + 4].text);
  EXPECT_NE(said_[1].text, said_[2].text);
}

TEST_F(BatcherTest, FreesThePlaceAndTheMemoryOfACancelledJob) {
  for (std::uint64_t i = 1; i <= 6; ++i)
    add(job(i, "Once upon a time", 50));
  step();
  EXPECT_GT(batcher_->kv_tokens(), 0);
  batcher_->cancel(2);
  batcher_->cancel(6);  // still waiting
  batcher_->cancel(99);
  const int told = said_[2].tokens;
  step();
  EXPECT_TRUE(said_[5].admitted);
  EXPECT_EQ(said_[2].tokens, told);
  for (std::uint64_t i : {1, 3, 4, 5})
    batcher_->cancel(i);
  EXPECT_TRUE(batcher_->idle());
  EXPECT_EQ(batcher_->kv_tokens(), 0);
  EXPECT_FALSE(said_[6].admitted);
  const StepWork work = step();
  EXPECT_EQ(work.decodes + work.prompt_tokens, 0);

  add(job(7, "Once upon a time", 8));
  run();
  EXPECT_EQ(said_[7].text, ", there was a little girl");
}

TEST_F(BatcherTest, EndsWhenTheContextIsFull) {
  open({.sequences = 1, .context_tokens = 40}, 32);
  add(job(1, "Once upon a time", 1000));
  run();
  ASSERT_TRUE(said_[1].ending);
  EXPECT_EQ(said_[1].ending->reason, FinishReason::kLength);
  EXPECT_EQ(said_[1].ending->prompt_tokens + said_[1].ending->output_tokens, Tokens(40));
  EXPECT_EQ(said_[1].tokens, said_[1].ending->output_tokens.count());
}

TEST_F(BatcherTest, RefusesWhatCannotBeServedAndNamesTheField) {
  add(job(1, long_prompt(150), 5));
  ASSERT_TRUE(said_[1].error);
  EXPECT_EQ(said_[1].error->code, ErrorCode::kInvalid);
  EXPECT_EQ(said_[1].error->param, "prompt");
  const auto counted = encoder_->encode(job(1, long_prompt(150), 5).generation);
  EXPECT_NE(said_[1].error->message.find(std::to_string(counted->size())), std::string::npos);
  EXPECT_NE(said_[1].error->message.find("512"), std::string::npos);

  Job chat = job(2, "", 5);
  chat.generation.chat = true;
  chat.generation.messages = {{"user", long_prompt(200)}};
  add(std::move(chat));
  EXPECT_EQ(said_[2].error.value().param, "messages");

  add(job(3, "Once", 0));
  EXPECT_EQ(said_[3].error.value().param, "max_tokens");
  EXPECT_TRUE(batcher_->idle());
}

TEST_F(BatcherTest, DrawsTheSameTextFromTheSameSeedOnly) {
  const auto drawn = [&](std::uint64_t number, std::optional<std::uint64_t> seed,
                         std::uint64_t fallback) {
    Job drawing = job(number, "Once upon a time", 24);
    drawing.generation.sampling = {.temperature = 1.0, .top_p = 0.95, .seed = seed, .stop = {}};
    drawing.seed = fallback;
    add(std::move(drawing));
    run();
    return said_[number].text;
  };
  const std::string first = drawn(1, 42, 1);
  EXPECT_EQ(drawn(2, 42, 2), first);
  EXPECT_NE(drawn(3, 43, 1), first);
  EXPECT_EQ(drawn(4, std::nullopt, 7), drawn(5, std::nullopt, 7));
  EXPECT_NE(drawn(6, std::nullopt, 8), said_[4].text);
}

TEST_F(BatcherTest, StopsBeforeAStopStringAndShowsNothingOfIt) {
  Job stopping = job(1, "Once upon a time", 60);
  stopping.generation.sampling.stop = {"Lily", "outside"};
  add(std::move(stopping));
  run();
  EXPECT_EQ(said_[1].text, ", there was a little girl named ");
  EXPECT_EQ(said_[1].ending.value().reason, FinishReason::kStop);
  EXPECT_EQ(said_[1].tokens, said_[1].ending->output_tokens.count());
}

}  // namespace
}  // namespace medley::engine::llama_embedded
