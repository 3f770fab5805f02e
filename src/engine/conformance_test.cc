#include "engine/conformance.h"

#include <gmock/gmock.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace medley::engine {
namespace {

// Everything one request heard, and whether the order was right.
struct Heard {
  std::string text;
  int calls = 0;
  long long tokens = 0;
  std::optional<Ending> ending;
  std::optional<Error> error;
  bool over() const { return ending || error; }
};

class Ear final : public GenerationSink {
 public:
  void on_tokens(RequestId request, std::string_view text, int count) override {
    Heard& heard = all_[request];
    check_may_speak(request, heard);
    EXPECT_GE(count, 1);
    heard.text += text;
    heard.tokens += count;
    ++heard.calls;
  }
  void on_end(RequestId request, const Ending& ending) override {
    Heard& heard = all_[request];
    check_may_speak(request, heard);
    heard.ending = ending;
  }
  void on_failed(RequestId request, const Error& error) override {
    Heard& heard = all_[request];
    check_may_speak(request, heard);
    heard.error = error;
  }

  const Heard& of(RequestId request) { return all_[request]; }
  // From now on a call for `request` is a failure.
  void forbid(RequestId request) { forbidden_[request] = true; }
  bool starting = false;  // inside Engine::start()

 private:
  void check_may_speak(RequestId request, const Heard& heard) {
    EXPECT_FALSE(starting) << "the sink is called from inside start()";
    EXPECT_FALSE(heard.over()) << "something follows the end of request " << request.number();
    EXPECT_FALSE(forbidden_[request]) << "cancelled request " << request.number() << " is heard";
  }

  std::map<RequestId, Heard> all_;
  std::map<RequestId, bool> forbidden_;
};

Generation chat(std::uint64_t id, const std::string& content, std::optional<int> max_tokens) {
  Generation generation;
  generation.id = RequestId(id);
  generation.messages = {{"user", content}};
  // As a gateway without a tokenizer would guess.
  generation.prompt_tokens = Tokens(static_cast<long long>(content.size()) / 4 + 4);
  generation.body = R"({"model":"conformance","messages":[{"role":"user","content":")" + content +
                    R"("}],"temperature":0)";
  if (max_tokens) {
    generation.max_tokens = Tokens(*max_tokens);
    generation.body += ",\"max_tokens\":" + std::to_string(*max_tokens);
  }
  generation.body += "}";
  generation.sampling.temperature = 0;
  return generation;
}

#define START_SUBJECT_OR_SKIP()                                \
  std::string why_not;                                         \
  std::unique_ptr<Subject> subject = GetParam().make(why_not); \
  if (!subject)                                                \
    GTEST_SKIP() << why_not;                                   \
  Ear ear

void start(Subject& subject, Ear& ear, Generation generation) {
  ear.starting = true;
  subject.engine().start(std::move(generation), ear);
  ear.starting = false;
}

bool pump_until(Subject& subject, const std::function<bool()>& done) {
  while (!done()) {
    if (!subject.pump())
      return done();
  }
  return true;
}

// Another request from start to end: whatever the engine still had to say of others, it has said
// then.
void run_a_fence(Subject& subject, Ear& ear, std::uint64_t id = 999) {
  start(subject, ear, chat(id, "Once upon a time", 2));
  ASSERT_TRUE(pump_until(subject, [&] { return ear.of(RequestId(id)).over(); }));
  subject.drain();
}

TEST_P(EngineConformance, TellsTokensInOrderAndThenExactlyOneEnd) {
  START_SUBJECT_OR_SKIP();
  start(*subject, ear, chat(1, "Once upon a time", 12));
  ASSERT_TRUE(pump_until(*subject, [&] { return ear.of(RequestId(1)).over(); }));
  const Heard heard = ear.of(RequestId(1));
  ASSERT_TRUE(heard.ending) << heard.error->message;
  EXPECT_GE(heard.calls, 1);
  EXPECT_FALSE(heard.text.empty());
  EXPECT_GE(heard.ending->prompt_tokens.count(), 1);
  EXPECT_GE(heard.ending->output_tokens.count(), 1);
  EXPECT_LE(heard.ending->output_tokens.count(), 12);
  run_a_fence(*subject, ear);
}

TEST_P(EngineConformance, HonoursMaxTokensAndReportsLength) {
  START_SUBJECT_OR_SKIP();
  start(*subject, ear, chat(1, "Once upon a time", 5));
  ASSERT_TRUE(pump_until(*subject, [&] { return ear.of(RequestId(1)).over(); }));
  const Heard heard = ear.of(RequestId(1));
  ASSERT_TRUE(heard.ending) << heard.error->message;
  EXPECT_LE(heard.tokens, 5);
  EXPECT_LE(heard.ending->output_tokens.count(), 5);
  // An answer may end by itself earlier; one of all five tokens was cut.
  if (heard.ending->output_tokens.count() == 5) {
    EXPECT_EQ(heard.ending->reason, FinishReason::kLength);
  } else {
    EXPECT_EQ(heard.ending->reason, FinishReason::kStop);
  }
}

TEST_P(EngineConformance, SaysNothingAfterCancel) {
  START_SUBJECT_OR_SKIP();
  start(*subject, ear, chat(1, "Once upon a time", 200));
  ASSERT_TRUE(pump_until(*subject, [&] { return ear.of(RequestId(1)).calls > 0; }));
  if (ear.of(RequestId(1)).over())
    GTEST_SKIP() << "the answer came at once";
  subject->engine().cancel(RequestId(1));
  ear.forbid(RequestId(1));
  run_a_fence(*subject, ear);
}

TEST_P(EngineConformance, CanBeCancelledBeforeTheFirstToken) {
  START_SUBJECT_OR_SKIP();
  start(*subject, ear, chat(1, "Once upon a time", 50));
  subject->engine().cancel(RequestId(1));
  ear.forbid(RequestId(1));
  run_a_fence(*subject, ear);
}

TEST_P(EngineConformance, IgnoresCancelsOfRequestsItDoesNotKnow) {
  START_SUBJECT_OR_SKIP();
  subject->engine().cancel(RequestId(77));
  start(*subject, ear, chat(1, "Once upon a time", 4));
  subject->engine().cancel(RequestId(77));
  ASSERT_TRUE(pump_until(*subject, [&] { return ear.of(RequestId(1)).over(); }));
  EXPECT_TRUE(ear.of(RequestId(1)).ending);
  subject->engine().cancel(RequestId(1));  // it is over
  run_a_fence(*subject, ear);
}

TEST_P(EngineConformance, TakesARequestAgainAfterItsCancel) {
  START_SUBJECT_OR_SKIP();
  start(*subject, ear, chat(1, "Once upon a time", 100));
  subject->engine().cancel(RequestId(1));
  start(*subject, ear, chat(1, "Once upon a time", 3));
  ASSERT_TRUE(pump_until(*subject, [&] { return ear.of(RequestId(1)).over(); }));
  ASSERT_TRUE(ear.of(RequestId(1)).ending);
  EXPECT_LE(ear.of(RequestId(1)).tokens, 3);
  run_a_fence(*subject, ear);
}

TEST_P(EngineConformance, ServesManyAtOnceAndEachOnItsOwn) {
  START_SUBJECT_OR_SKIP();
  const int crowd = GetParam().crowd;
  for (int i = 1; i <= crowd; ++i)
    start(*subject, ear, chat(i, "Once upon a time", 1 + i % 7));
  for (int i = 5; i <= crowd; i += 5) {
    subject->engine().cancel(RequestId(i));
    ear.forbid(RequestId(i));
  }
  for (int i = 1; i <= crowd; ++i) {
    if (i % 5 == 0)
      continue;
    ASSERT_TRUE(pump_until(*subject, [&] { return ear.of(RequestId(i)).over(); })) << i;
    const Heard& heard = ear.of(RequestId(i));
    ASSERT_TRUE(heard.ending) << heard.error->message;
    EXPECT_LE(heard.ending->output_tokens.count(), 1 + i % 7);
    EXPECT_LE(heard.tokens, 1 + i % 7);
  }
  run_a_fence(*subject, ear);
}

TEST_P(EngineConformance, CountsItsLoad) {
  START_SUBJECT_OR_SKIP();
  const auto in_flight = [&]() -> std::optional<int> {
    const LoadSignal load = subject->engine().load();
    if (!load.running)
      return std::nullopt;
    return *load.running + load.waiting.value_or(0);
  };
  if (!in_flight())
    GTEST_SKIP() << "this engine does not say its load";
  EXPECT_EQ(in_flight(), 0);
  start(*subject, ear, chat(1, "Once upon a time", 20));
  start(*subject, ear, chat(2, "Once upon a time", 4));
  EXPECT_EQ(in_flight(), 2);
  subject->engine().cancel(RequestId(1));
  EXPECT_EQ(in_flight(), 1);
  ASSERT_TRUE(pump_until(*subject, [&] { return ear.of(RequestId(2)).over(); }));
  EXPECT_EQ(in_flight(), 0);
  if (const auto kv = subject->engine().load().kv_fraction) {
    EXPECT_GE(*kv, 0);
    EXPECT_LE(*kv, 1);
  }
}

TEST_P(EngineConformance, RefusesAPromptThatIsTooLong) {
  START_SUBJECT_OR_SKIP();
  if (GetParam().too_many_words == 0)
    GTEST_SKIP() << "this engine knows no limit";
  std::string words;
  for (int i = 0; i < GetParam().too_many_words; ++i)
    words += "word ";
  Generation generation = chat(1, words, 4);
  generation.prompt_tokens = Tokens(GetParam().too_many_words);
  start(*subject, ear, std::move(generation));
  ASSERT_TRUE(pump_until(*subject, [&] { return ear.of(RequestId(1)).over(); }));
  const Heard& heard = ear.of(RequestId(1));
  ASSERT_TRUE(heard.error);
  EXPECT_EQ(heard.error->code, ErrorCode::kInvalid) << heard.error->message;
  EXPECT_FALSE(heard.error->message.empty());
  EXPECT_EQ(heard.tokens, 0);
  run_a_fence(*subject, ear);
}

TEST_P(EngineConformance, CountsMoreTokensInALongerPrompt) {
  START_SUBJECT_OR_SKIP();
  Generation shorter = chat(1, "Once upon a time", 1);
  Generation longer = chat(2, "Once upon a time there was a little girl who lived by the sea", 1);
  const auto few = subject->engine().count_prompt_tokens(shorter);
  const auto more = subject->engine().count_prompt_tokens(longer);
  if (!few)
    GTEST_SKIP() << "this engine does not count";
  ASSERT_TRUE(more);
  EXPECT_GE(few->count(), 1);
  EXPECT_GT(*more, *few);
}

// By its bytes alone, before a tokenizer has spent seconds on it.
TEST_P(EngineConformance, APromptOfMegabytesIsCountedAndRefusedUnread) {
  START_SUBJECT_OR_SKIP();
  Generation huge = chat(1, std::string(4 << 20, 'x'), 1);
  const auto least = subject->engine().count_prompt_tokens(huge);
  if (!least)
    GTEST_SKIP() << "this engine does not count";
  EXPECT_TRUE(huge.tokens.empty());
  EXPECT_GT(least->count(), 4096);
  start(*subject, ear, std::move(huge));
  ASSERT_TRUE(pump_until(*subject, [&] { return ear.of(RequestId(1)).over(); }));
  ASSERT_TRUE(ear.of(RequestId(1)).error);
  EXPECT_EQ(ear.of(RequestId(1)).error->code, ErrorCode::kInvalid);
  run_a_fence(*subject, ear);
}

// The tokens that were counted are those that are read.
TEST_P(EngineConformance, ACountedPromptIsAnsweredAsOneThatWasNot) {
  START_SUBJECT_OR_SKIP();
  Generation counted = chat(1, "Once upon a time", 8);
  if (!subject->engine().count_prompt_tokens(counted))
    GTEST_SKIP() << "this engine does not count";
  EXPECT_FALSE(counted.tokens.empty());
  Generation elsewhere = counted;
  elsewhere.id = RequestId(3);
  elsewhere.tokens = {1};
  elsewhere.tokens_of = "another model";
  for (Generation* each : {&counted, &elsewhere}) {
    const RequestId id = each->id;
    start(*subject, ear, std::move(*each));
    ASSERT_TRUE(pump_until(*subject, [&] { return ear.of(id).over(); }));
  }
  start(*subject, ear, chat(2, "Once upon a time", 8));
  ASSERT_TRUE(pump_until(*subject, [&] { return ear.of(RequestId(2)).over(); }));
  for (const std::uint64_t id : {1, 3}) {
    ASSERT_TRUE(ear.of(RequestId(id)).ending);
    EXPECT_EQ(ear.of(RequestId(id)).text, ear.of(RequestId(2)).text);
    EXPECT_EQ(ear.of(RequestId(id)).ending->prompt_tokens,
              ear.of(RequestId(2)).ending->prompt_tokens);
  }
}

TEST_P(EngineConformance, MayBeDestroyedWithWorkInFlight) {
  START_SUBJECT_OR_SKIP();
  for (int i = 1; i <= 12; ++i)
    start(*subject, ear, chat(i, "Once upon a time", 200));
  ASSERT_TRUE(pump_until(*subject, [&] { return ear.of(RequestId(1)).calls > 0; }));
  for (int i = 1; i <= 12; ++i)
    ear.forbid(RequestId(i));
  subject->destroy_engine();
  subject->drain();
}

TEST_P(EngineConformance, MayBeDestroyedRightAfterAStart) {
  START_SUBJECT_OR_SKIP();
  start(*subject, ear, chat(1, "Once upon a time", 200));
  ear.forbid(RequestId(1));
  subject->destroy_engine();
  subject->drain();
}

}  // namespace
}  // namespace medley::engine
