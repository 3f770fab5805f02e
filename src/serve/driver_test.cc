#include "serve/driver.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "engine/manual_loop.h"
#include "sched/test_fleet.h"

namespace medley::serve {
namespace {

using std::chrono::milliseconds, std::chrono::seconds;

// Does what the test tells it; every call is kept.
class FakeEngine final : public engine::Engine {
 public:
  void start(engine::Generation generation, engine::GenerationSink& sink) override {
    running.insert(generation.id);
    this->sink = &sink;
  }
  void cancel(RequestId request) override {
    running.erase(request);
    cancelled.insert(request);
  }
  std::optional<Tokens> count_prompt_tokens(engine::Generation&) const override {
    return std::nullopt;
  }
  LoadSignal load() const override { return {}; }
  void report_load_to(engine::LoadHeard hear) override { say_load = std::move(hear); }
  bool emulated() const override { return false; }

  void fail(RequestId request, ErrorCode code) {
    running.erase(request);
    sink->on_failed(request, {code, "it broke", {}});
  }

  std::set<RequestId> running, cancelled;
  engine::GenerationSink* sink = nullptr;
  engine::LoadHeard say_load;
};

struct Listener final : RequestListener {
  void on_dispatched(const sched::Dispatch&) override { ++dispatches; }
  void on_tokens(std::string_view piece, int) override { text += piece; }
  void on_restarted() override {
    ++restarts;
    text.clear();
  }
  void on_end(const engine::Ending&, const Served& what) override {
    ++ends;
    served = what;
    if (then)
      then();
  }
  void on_rejected(const sched::Reject& rejection) override {
    ++ends;
    reason = rejection.reason;
  }
  void on_failed(const Error& what, const Served& so_far) override {
    ++ends;
    error = what;
    served = so_far;
    if (then)
      then();
  }
  int dispatches = 0, restarts = 0, ends = 0;
  std::string text;
  std::optional<Served> served;
  std::optional<sched::RejectReason> reason;
  std::optional<Error> error;
  std::function<void()> then;  // after an end or a failure
};

class DriverTest : public testing::Test {
 protected:
  explicit DriverTest(const sched::TestPool& pool = {.name = "a", .replicas = 2})
      : made_(sched::make_test_fleet({pool})) {
    std::vector<std::unique_ptr<engine::Engine>> engines;
    for (FakeEngine*& fake : fakes_) {
      auto engine = std::make_unique<FakeEngine>();
      fake = engine.get();
      engines.push_back(std::move(engine));
    }
    driver_.emplace(loop_, made_.fleet, made_.perf, std::move(engines));
  }

  RequestId submit(Listener& listener, ServiceClass service_class = ServiceClass::kStandard) {
    Request request;
    request.id = RequestId(++last_);
    request.service_class = service_class;
    request.label = LabelId(1);
    request.prompt_tokens = Tokens(10);
    driver_->submit(request, {}, listener);
    return request.id;
  }

  // Three failures in a row take the first replica out for five seconds.
  void fail_first_replica(int times = 3) {
    for (int i = 0; i < times; ++i) {
      Listener listener;
      const RequestId id = submit(listener);
      ASSERT_TRUE(fakes_[0]->running.count(id)) << "round " << i;
      fakes_[0]->fail(id, ErrorCode::kUnavailable);
      fakes_[1]->sink->on_end(id, {});
    }
    ASSERT_EQ(driver_->replica_up(ReplicaId(0)), times < 3);
  }

  sched::TestFleet made_;
  engine::ManualLoop loop_;
  FakeEngine* fakes_[2] = {};
  std::optional<Driver> driver_;
  std::uint64_t last_ = 0;
};

// Hears how often a request was queued.
struct QueuedSink final : sched::ExplanationSink {
  void explain(const sched::Explanation& explanation) override {
    if (explanation.outcome == sched::Outcome::kQueued)
      ++queued;
  }
  int queued = 0;
};

class OnePlaceTest : public DriverTest {
 protected:
  OnePlaceTest() : DriverTest({.name = "a", .replicas = 2, .max_running = 1}) {}
};

TEST_F(OnePlaceTest, WhatIsSubmittedAtAnEndFindsThePlaceFree) {
  QueuedSink sink;
  driver_->scheduler().explain_to(&sink);
  Listener first, second, third, fourth;
  const RequestId one = submit(first);
  const RequestId two = submit(second);
  first.then = [&] { submit(third); };
  second.then = [&] { submit(fourth); };
  fakes_[0]->sink->on_end(one, {});
  EXPECT_EQ(third.dispatches, 1);
  fakes_[1]->sink->on_tokens(two, "x", 1);
  fakes_[1]->fail(two, ErrorCode::kUnavailable);
  EXPECT_EQ(fourth.dispatches, 1);
  EXPECT_EQ(sink.queued, 0);
  driver_->scheduler().explain_to(nullptr);
}

TEST_F(DriverTest, RelaysTokensAndSaysWhatHappened) {
  Listener listener;
  const RequestId id = submit(listener);
  loop_.advance_by(milliseconds(30));
  fakes_[0]->sink->on_tokens(id, "Hel", 1);
  loop_.advance_by(milliseconds(20));
  fakes_[0]->sink->on_tokens(id, "lo", 1);
  fakes_[0]->sink->on_end(id, {engine::FinishReason::kStop, Tokens(12), Tokens(2), 5.0});
  EXPECT_EQ(listener.text, "Hello");
  EXPECT_EQ(listener.ends, 1);
  ASSERT_TRUE(listener.served.has_value());
  EXPECT_NEAR(listener.served->ttft_s.value(), 0.03, 1e-9);
  EXPECT_NEAR(listener.served->tpot_s.value(), 0.02, 1e-9);
  EXPECT_EQ(listener.served->prompt_tokens, Tokens(12));
  EXPECT_NEAR(listener.served->money.value(), 5.0 * 0.2 / 3.6e6, 1e-15);
  EXPECT_EQ(driver_->held(), 0U);
}

TEST_F(DriverTest, AnotherReplicaTakesOverBeforeTheFirstToken) {
  Listener listener;
  const RequestId id = submit(listener);
  fakes_[0]->fail(id, ErrorCode::kUnavailable);
  EXPECT_TRUE(fakes_[1]->running.count(id));
  EXPECT_EQ(listener.dispatches, 2);
  fakes_[1]->fail(id, ErrorCode::kGarbled);
  EXPECT_EQ(listener.ends, 1);
  EXPECT_EQ(listener.error.value().code, ErrorCode::kGarbled);
}

class FullDriverTest : public DriverTest {
 protected:
  FullDriverTest() : DriverTest({.name = "a", .replicas = 2, .max_running = 1}) {}
};

TEST_F(FullDriverTest, WhatMakesRoomIsStoppedAndItsClientKeptWaiting) {
  Listener batch, other, guaranteed;
  const RequestId first = submit(batch, ServiceClass::kBatch);
  loop_.advance_by(milliseconds(1));
  fakes_[0]->sink->on_tokens(first, "Hel", 1);
  loop_.advance_by(milliseconds(500));
  const RequestId second = submit(other, ServiceClass::kStandard);
  ASSERT_TRUE(fakes_[1]->running.count(second));
  const RequestId third = submit(guaranteed, ServiceClass::kGuaranteed);
  EXPECT_TRUE(fakes_[0]->cancelled.count(first));
  EXPECT_TRUE(fakes_[0]->running.count(third));
  EXPECT_EQ(batch.restarts, 1);
  EXPECT_EQ(batch.text, "") << "what came is void";
  EXPECT_EQ(batch.ends, 0);
  EXPECT_EQ(driver_->held(), 3U);

  fakes_[0]->sink->on_end(third, {engine::FinishReason::kStop, Tokens(10), Tokens(1), {}});
  EXPECT_EQ(guaranteed.ends, 1);
  ASSERT_TRUE(fakes_[0]->running.count(first)) << "it has its place again";
  loop_.advance_by(milliseconds(30));
  fakes_[0]->sink->on_tokens(first, "Hello", 1);
  fakes_[0]->sink->on_end(first, {engine::FinishReason::kStop, Tokens(10), Tokens(1), {}});
  EXPECT_EQ(batch.text, "Hello");
  EXPECT_EQ(batch.dispatches, 2);
  EXPECT_EQ(batch.ends, 1);
  EXPECT_GT(batch.served->ttft_s.value(), 0.5) << "of the first token that counts";
}

TEST_F(FullDriverTest, WhatMadeRoomMayBeCancelledWhileItWaits) {
  Listener batch, other, guaranteed;
  const RequestId first = submit(batch, ServiceClass::kBatch);
  submit(other, ServiceClass::kStandard);
  submit(guaranteed, ServiceClass::kGuaranteed);
  EXPECT_EQ(batch.restarts, 1);
  EXPECT_TRUE(driver_->cancel(first).has_value());
  EXPECT_EQ(driver_->held(), 2U);
}

// Two scheduled replicas: 5 ms and more to the first token, then one each millisecond; the margins
// are those of a wide error bar.
class ScheduledDriverTest : public DriverTest {
 protected:
  ScheduledDriverTest()
      : DriverTest(
            {.name = "lpu", .replicas = 2, .step_s = 0.001, .kind = perf::ServingKind::kSlotted}) {}
  RequestId submit(Listener& listener) {
    return DriverTest::submit(listener, ServiceClass::kGuaranteed);
  }
  // Of the first replica, `times` tokens.
  void tokens(RequestId id, int times, Duration apart) {
    for (int i = 0; i < times; ++i) {
      loop_.advance_by(apart);
      fakes_[0]->sink->on_tokens(id, "a", 1);
    }
  }
  void end(RequestId id, FakeEngine* engine) {
    engine->sink->on_end(id, {engine::FinishReason::kStop, Tokens(10), Tokens(3), {}});
  }
};

TEST_F(ScheduledDriverTest, KeepsATokenWindowByEachToken) {
  Listener listener;
  const RequestId id = submit(listener);
  tokens(id, 3, milliseconds(1));
  end(id, fakes_[0]);
  const ServedWindow& window = listener.served.value().window.value();
  EXPECT_GT(window.promised.first_token_within, milliseconds(2));
  EXPECT_GT(window.promised.every_token_within, milliseconds(2));
  EXPECT_DOUBLE_EQ(window.itl_max_s, 0.001);
  EXPECT_FALSE(window.late);
}

TEST_F(ScheduledDriverTest, BreaksATokenWindowByOneLateTokenWhateverTheMean) {
  Listener listener;
  const RequestId id = submit(listener);
  tokens(id, 100, milliseconds(1));
  tokens(id, 1, milliseconds(4));
  end(id, fakes_[0]);
  EXPECT_DOUBLE_EQ(listener.served.value().window.value().itl_max_s, 0.004);
  EXPECT_TRUE(listener.served->window->late);
}

TEST_F(ScheduledDriverTest, BreaksTheTokenWindowOfALostReplicaHoweverSoonAnotherAnswers) {
  Listener listener;
  const RequestId id = submit(listener);
  driver_->replica_lost(ReplicaId(0));
  ASSERT_TRUE(fakes_[1]->running.count(id));
  loop_.advance_by(milliseconds(1));
  fakes_[1]->sink->on_tokens(id, "a", 1);
  end(id, fakes_[1]);
  EXPECT_TRUE(listener.served.value().window.value().late);
}

TEST_F(ScheduledDriverTest, BreaksTheTokenWindowOfAnAnswerThatBreaksOff) {
  Listener listener;
  const RequestId id = submit(listener);
  tokens(id, 2, milliseconds(1));
  fakes_[0]->fail(id, ErrorCode::kUnavailable);
  EXPECT_TRUE(listener.served.value().window.value().late);
}

TEST_F(ScheduledDriverTest, SaysWhetherTheTokenWindowOfWhoLeavesWasBrokenByThen) {
  Listener patient, impatient, waiting;
  const RequestId first = submit(patient);
  tokens(first, 2, milliseconds(1));
  EXPECT_FALSE(driver_->cancel(first).value().window.value().late);
  const RequestId second = submit(impatient);
  tokens(second, 2, milliseconds(1));
  loop_.advance_by(milliseconds(9));
  EXPECT_TRUE(driver_->cancel(second).value().window.value().late) << "the next token is overdue";
  const RequestId third = submit(waiting);
  loop_.advance_by(seconds(1));
  EXPECT_TRUE(driver_->cancel(third).value().window.value().late) << "and so is the first one";
}

TEST_F(ScheduledDriverTest, PromisesNothingToOthers) {
  Listener listener;
  const RequestId id = DriverTest::submit(listener, ServiceClass::kStandard);
  fakes_[0]->sink->on_tokens(id, "a", 1);
  end(id, fakes_[0]);
  EXPECT_FALSE(listener.served.value().window.has_value());
}

TEST_F(DriverTest, NobodyTakesOverAfterTheFirstToken) {
  Listener listener;
  const RequestId id = submit(listener);
  fakes_[0]->sink->on_tokens(id, "Hel", 1);
  fakes_[0]->fail(id, ErrorCode::kUnavailable);
  EXPECT_TRUE(fakes_[1]->running.empty());
  EXPECT_EQ(listener.error.value().message, "it broke");
}

TEST_F(DriverTest, WhatIsInvalidIsNotTriedElsewhere) {
  Listener listener;
  const RequestId id = submit(listener);
  fakes_[0]->fail(id, ErrorCode::kInvalid);
  EXPECT_EQ(listener.dispatches, 1);
  EXPECT_EQ(listener.error.value().code, ErrorCode::kInvalid);
  EXPECT_EQ(driver_->scheduler().stats().in_flight, 0);
}

TEST_F(DriverTest, ThreeFailuresInARowTakeAReplicaOutForAWhile) {
  fail_first_replica();
  Listener meanwhile;
  EXPECT_TRUE(fakes_[1]->running.count(submit(meanwhile)));
  loop_.advance_by(seconds(6));
  EXPECT_TRUE(driver_->replica_up(ReplicaId(0)));
  driver_->cancel(RequestId(last_));
}

TEST_F(DriverTest, TheThirdFailureDoesNotGoBackToTheReplicaItTookOut) {
  fail_first_replica(2);
  driver_->replica_lost(ReplicaId(1));
  Listener listener;
  const RequestId id = submit(listener, ServiceClass::kBatch);
  fakes_[0]->fail(id, ErrorCode::kUnavailable);
  ASSERT_FALSE(driver_->replica_up(ReplicaId(0)));
  loop_.advance_by(seconds(60));
  EXPECT_TRUE(driver_->replica_up(ReplicaId(0)));
  EXPECT_FALSE(fakes_[0]->running.count(id));
  driver_->replica_returned(ReplicaId(1));
  EXPECT_TRUE(fakes_[1]->running.count(id));
  driver_->cancel(id);
}

TEST_F(DriverTest, WhatIsLostByWordDoesNotReturnByItself) {
  fail_first_replica();
  driver_->replica_lost(ReplicaId(0));
  loop_.advance_by(seconds(6));
  EXPECT_FALSE(driver_->replica_up(ReplicaId(0)));
  driver_->replica_returned(ReplicaId(0));
  EXPECT_TRUE(driver_->replica_up(ReplicaId(0)));
}

TEST_F(DriverTest, WhatReturnedByWordIsNotReturnedAgain) {
  fail_first_replica();
  driver_->replica_returned(ReplicaId(0));
  EXPECT_TRUE(driver_->replica_up(ReplicaId(0)));
  EXPECT_FALSE(loop_.next_timer());
}

TEST_F(DriverTest, AListenerThatHearsOfALossMayEndTheOthers) {
  Listener first, second;
  const RequestId one = submit(first);
  fakes_[0]->sink->on_tokens(one, "Hel", 1);
  driver_->replica_lost(ReplicaId(1));
  const RequestId two = submit(second);
  ASSERT_TRUE(fakes_[0]->running.count(two));
  fakes_[0]->sink->on_tokens(two, "Hel", 1);
  first.then = [&] { driver_->cancel(two); };
  driver_->replica_lost(ReplicaId(0));
  EXPECT_EQ(first.ends, 1);
  EXPECT_EQ(second.ends, 0);
  EXPECT_EQ(driver_->held(), 0U);
}

TEST_F(DriverTest, AClientThatLeavesStopsTheEngine) {
  Listener listener;
  const RequestId id = submit(listener);
  driver_->cancel(id);
  EXPECT_TRUE(fakes_[0]->cancelled.count(id));
  EXPECT_EQ(listener.ends, 0);
  EXPECT_EQ(driver_->held(), 0U);
}

// A rented service at 1 and 2 a million tokens.
class MeteredDriverTest : public DriverTest {
 protected:
  MeteredDriverTest()
      : DriverTest({.name = "rented",
                    .replicas = 2,
                    .kind = perf::ServingKind::kMetered,
                    .metered = {.per_million_prompt = 1, .per_million_output = 2}}) {
    driver_->log_results_to(
        [this](const sched::LoggedResult& result) { logged_.push_back(result.money); });
  }

  std::vector<std::optional<double>> logged_;
};

// 10 tokens of prompt and 3 of output.
constexpr double kPriceSoFar = 16e-6;

TEST_F(MeteredDriverTest, ABrokenAnswerIsPaidAsFarAsItCame) {
  Listener listener;
  const RequestId id = submit(listener);
  fakes_[0]->sink->on_tokens(id, "Hel", 3);
  fakes_[0]->fail(id, ErrorCode::kUnavailable);
  EXPECT_NEAR(listener.served.value().money.value(), kPriceSoFar, 1e-12);
  ASSERT_EQ(logged_.size(), 1U);
  EXPECT_NEAR(logged_[0].value(), kPriceSoFar, 1e-12);
}

TEST_F(MeteredDriverTest, AnAnswerThatNobodyWaitsForIsPaidAsFarAsItCame) {
  Listener listener;
  const RequestId id = submit(listener);
  fakes_[0]->sink->on_tokens(id, "Hel", 3);
  const std::optional<Served> served = driver_->cancel(id);
  EXPECT_NEAR(served.value().money.value(), kPriceSoFar, 1e-12);
  EXPECT_FALSE(driver_->cancel(id));
  ASSERT_EQ(logged_.size(), 1U);
  EXPECT_NEAR(logged_[0].value(), kPriceSoFar, 1e-12);
}

TEST_F(MeteredDriverTest, AnAnswerWithoutATokenCostsItsPrompt) {
  Listener listener;
  const RequestId id = submit(listener);
  fakes_[0]->sink->on_end(id, {engine::FinishReason::kStop, Tokens(10), Tokens(0), {}});
  EXPECT_NEAR(listener.served.value().money.value(), 10e-6, 1e-12);
}

TEST_F(MeteredDriverTest, WhatFailsBeforeItsFirstTokenCostsNothing) {
  Listener refused, left;
  fakes_[0]->fail(submit(refused), ErrorCode::kInvalid);
  EXPECT_FALSE(refused.served.value().money);
  EXPECT_FALSE(driver_->cancel(submit(left)).value().money);
  EXPECT_EQ(logged_, (std::vector<std::optional<double>>{std::nullopt, std::nullopt}));
}

TEST_F(DriverTest, WhatAnEngineReportsOfOthersSendsWorkElsewhere) {
  const auto report = [&](int running, int waiting) {
    LoadSignal load;
    load.running = running;
    load.waiting = waiting;
    load.as_of = loop_.now();
    return load;
  };
  const auto urgent = [&](Listener& listener) {
    Request request;
    request.id = RequestId(++last_);
    request.label = LabelId(1);
    request.prompt_tokens = Tokens(2000);
    request.targets.ttft = milliseconds(400);
    driver_->submit(request, {}, listener);
    return request.id;
  };
  Listener before, after;
  ASSERT_TRUE(fakes_[0]->running.count(urgent(before)));
  fakes_[0]->sink->on_end(RequestId(last_), {});
  fakes_[0]->say_load(report(30, 20));
  fakes_[1]->say_load(report(0, 0));
  EXPECT_TRUE(fakes_[1]->running.count(urgent(after)));
  EXPECT_EQ(driver_->load_reports(ReplicaId(0)).heard, 1);
}

TEST_F(DriverTest, WarnsOnceWhenReportsOfLoadFailAndWhenTheyComeAgain) {
  std::vector<std::string> warnings;
  driver_->warn_to([&](const std::string& line) { warnings.push_back(line); });
  const Error error{ErrorCode::kGarbled, "http://x/metrics: answered 404 Not Found", {}};
  LoadSignal load;
  load.running = load.waiting = 0;
  load.as_of = loop_.now();
  fakes_[1]->say_load(load);
  fakes_[1]->say_load(error);
  fakes_[1]->say_load(error);
  fakes_[1]->say_load(load);
  fakes_[1]->say_load(load);
  EXPECT_EQ(warnings,
            (std::vector<std::string>{
                "pool 'a': its load is not known: http://x/metrics: answered 404 Not Found",
                "pool 'a': its load is reported again"}));
  const LoadReports& reports = driver_->load_reports(ReplicaId(1));
  EXPECT_EQ(reports.heard, 3);
  EXPECT_EQ(reports.failed, 2);
  EXPECT_FALSE(reports.trouble);
  EXPECT_EQ(driver_->load_reports(ReplicaId(0)).heard, 0);
}

}  // namespace
}  // namespace medley::serve
