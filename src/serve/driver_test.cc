#include "serve/driver.h"

#include <gtest/gtest.h>

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
  std::optional<Tokens> count_prompt_tokens(const engine::Generation&) const override {
    return std::nullopt;
  }
  LoadSignal load() const override { return {}; }
  bool emulated() const override { return false; }

  void fail(RequestId request, ErrorCode code) {
    running.erase(request);
    sink->on_failed(request, {code, "it broke", {}});
  }

  std::set<RequestId> running, cancelled;
  engine::GenerationSink* sink = nullptr;
};

struct Listener final : RequestListener {
  void on_dispatched(const sched::Dispatch&) override { ++dispatches; }
  void on_tokens(std::string_view piece, int) override { text += piece; }
  void on_end(const engine::Ending&, const Served& what) override {
    ++ends;
    served = what;
  }
  void on_rejected(const sched::Reject& rejection) override {
    ++ends;
    reason = rejection.reason;
  }
  void on_failed(const Error& what, const Served&) override {
    ++ends;
    error = what;
  }
  int dispatches = 0, ends = 0;
  std::string text;
  std::optional<Served> served;
  std::optional<sched::RejectReason> reason;
  std::optional<Error> error;
};

class DriverTest : public testing::Test {
 protected:
  DriverTest() : made_(sched::make_test_fleet({{.name = "a", .replicas = 2}})) {
    std::vector<std::unique_ptr<engine::Engine>> engines;
    for (FakeEngine*& fake : fakes_) {
      auto engine = std::make_unique<FakeEngine>();
      fake = engine.get();
      engines.push_back(std::move(engine));
    }
    driver_.emplace(loop_, made_.fleet, made_.perf, std::move(engines));
  }

  RequestId submit(Listener& listener) {
    Request request;
    request.id = RequestId(++last_);
    request.label = LabelId(1);
    request.prompt_tokens = Tokens(10);
    driver_->submit(request, {}, listener);
    return request.id;
  }

  sched::TestFleet made_;
  engine::ManualLoop loop_;
  FakeEngine* fakes_[2] = {};
  std::optional<Driver> driver_;
  std::uint64_t last_ = 0;
};

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
  for (int i = 0; i < 3; ++i) {
    Listener listener;
    const RequestId id = submit(listener);
    ASSERT_TRUE(fakes_[0]->running.count(id)) << "round " << i;
    fakes_[0]->fail(id, ErrorCode::kUnavailable);
    fakes_[1]->sink->on_end(id, {});
  }
  EXPECT_FALSE(driver_->replica_up(ReplicaId(0)));
  Listener meanwhile;
  EXPECT_TRUE(fakes_[1]->running.count(submit(meanwhile)));
  loop_.advance_by(seconds(6));
  EXPECT_TRUE(driver_->replica_up(ReplicaId(0)));
  driver_->cancel(RequestId(last_));
}

TEST_F(DriverTest, AClientThatLeavesStopsTheEngine) {
  Listener listener;
  const RequestId id = submit(listener);
  driver_->cancel(id);
  EXPECT_TRUE(fakes_[0]->cancelled.count(id));
  EXPECT_EQ(listener.ends, 0);
  EXPECT_EQ(driver_->held(), 0U);
}

}  // namespace
}  // namespace medley::serve
