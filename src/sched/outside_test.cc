#include "sched/outside.h"

#include <gtest/gtest.h>

#include "sched/test_core.h"

namespace medley::sched {
namespace {

using namespace std::chrono_literals;

LoadSignal report_of(int running, int waiting, Duration as_of) {
  LoadSignal signal;
  signal.running = running;
  signal.waiting = waiting;
  signal.as_of = Instant(as_of);
  return signal;
}

class OutsideTrafficTest : public testing::Test {
 protected:
  explicit OutsideTrafficTest(bool shared = false)
      : made_(make_test_fleet({{.name = "gpu", .replicas = 2, .max_running = 64}})) {
    made_.fleet.pools[0].shared = shared;
    ledger_.emplace(made_.fleet);
    outside_.emplace(made_.fleet, made_.perf, *ledger_);
  }
  void dispatch(std::uint64_t id, Duration at) {
    Resident resident;
    resident.request = test_request(id, ServiceClass::kStandard, 500);
    resident.replica = ReplicaId(0);
    resident.dispatched_at = Instant(at);
    resident.reserved_tokens = 700;
    ledger_->dispatched(resident);
  }
  void report(Duration at, int running, int waiting = 0, std::uint64_t replica = 0) {
    outside_->reported(Instant(at), ReplicaId(replica), report_of(running, waiting, at));
  }
  const OutsideLoad& at(Duration now, std::uint64_t replica = 0) {
    outside_->refresh(Instant(now));
    return ledger_->replica(ReplicaId(replica)).outside;
  }

  TestFleet made_;
  std::optional<Ledger> ledger_;
  std::optional<OutsideTraffic> outside_;
};

class SharedPoolTest : public OutsideTrafficTest {
 protected:
  SharedPoolTest() : OutsideTrafficTest(true) {}
};

TEST_F(OutsideTrafficTest, WhatTheLedgerKnowsIsNobodyElses) {
  dispatch(1, 0s);
  dispatch(2, 0s);
  report(1s, 2);
  EXPECT_EQ(at(1s), OutsideLoad{});
  report(2s, 1);  // one is on its way
  EXPECT_EQ(at(2s), OutsideLoad{});
}

TEST_F(OutsideTrafficTest, WhatIsReportedBeyondTheLedgerIsOthers) {
  dispatch(1, 0s);
  report(1s, 6, 1);
  const OutsideLoad load = at(1s);
  EXPECT_EQ(load.decoding, 5);  // 6 of others, of which one seventh waits
  EXPECT_EQ(load.prefilling, 1);
  EXPECT_EQ(load.decode_context, 5000);  // of a shape that nobody knows yet
  EXPECT_EQ(load.pending_prompt_tokens, 1000);
  EXPECT_EQ(load.deviation, 0);
}

TEST_F(OutsideTrafficTest, ALateReportCountsWhatLeftSinceAsOwn) {
  dispatch(1, 0s);
  dispatch(2, 0s);
  report(1s, 2);
  ledger_->remove(RequestId(1));
  outside_->reported(Instant(3s), ReplicaId(0), report_of(2, 0, 2s));
  EXPECT_EQ(at(3s), OutsideLoad{});
}

TEST_F(OutsideTrafficTest, OthersAreTakenToBeOfTheShapeOfTheOwn) {
  dispatch(1, 0s);
  ledger_->first_token(RequestId(1), Instant(1s));
  Resident ended = ledger_->remove(RequestId(1));
  outside_->finished(ended, Instant(6s), Tokens(200));
  report(7s, 10);
  const OutsideLoad load = at(7s);
  EXPECT_EQ(load.decode_context, 10 * (500 + 100));
  EXPECT_DOUBLE_EQ(load.prompt_tokens_per_s, 10 * 500 / 5.0);  // ten that stay for five seconds
}

TEST_F(OutsideTrafficTest, AnOldReportIsWorthTheMeanAndWidensTheBar) {
  for (int i = 1; i <= 100; ++i)
    report(i * 1s, i % 2 == 0 ? 20 : 10);
  EXPECT_EQ(at(100s).decoding, 20);
  EXPECT_EQ(at(100s).deviation, 0);
  const OutsideLoad later = at(101s);
  EXPECT_LT(later.decoding, 20);
  EXPECT_GT(later.deviation, 0);
  const OutsideLoad much_later = at(1h);
  EXPECT_EQ(much_later.decoding, 15);  // not idle
  EXPECT_NEAR(much_later.deviation, 5, 0.5);
}

TEST_F(OutsideTrafficTest, AReplicaThatSaysNothingIsAsItsSiblings) {
  for (int i = 1; i <= 100; ++i)
    report(i * 1s, i % 2 == 0 ? 20 : 10);
  EXPECT_EQ(at(100s, 1).decoding, 15);
  EXPECT_NEAR(at(100s, 1).deviation, 5, 0.5);
}

TEST_F(OutsideTrafficTest, WithoutAReportOrASharedPoolNothingChanges) {
  dispatch(1, 0s);
  EXPECT_EQ(at(1h), OutsideLoad{});
}

TEST_F(OutsideTrafficTest, ReportsOutOfOrderOrWithoutTheFigureTellNothing) {
  report(2s, 4);
  outside_->reported(Instant(3s), ReplicaId(0), report_of(50, 0, 1s));
  LoadSignal empty;
  empty.as_of = Instant(4s);
  outside_->reported(Instant(4s), ReplicaId(0), empty);
  report(5s, -7);
  EXPECT_EQ(at(2s).decoding, 4);
}

TEST_F(SharedPoolTest, WithoutAReportIsTakenToHoldAsMuchAsTheOwn) {
  EXPECT_EQ(at(1s).decoding, 1);
  EXPECT_EQ(at(1s).deviation, 1);
  for (std::uint64_t id = 0; id < 5; ++id)
    dispatch(id, 1s);
  EXPECT_EQ(at(2s).decoding, 5);
  EXPECT_EQ(at(2s).deviation, 5);
}

TEST_F(SharedPoolTest, AfterReportsOfNobodyItIsUncertainAgainWhenTheyEnd) {
  report(1s, 0);
  EXPECT_EQ(at(1s), OutsideLoad{});
  EXPECT_NEAR(at(1h).deviation, 1, 0.01);
}

TEST(OutsideTrafficInTheCore, ALoadedReplicaIsLeftToOthers) {
  TestCore core(make_test_fleet({{.name = "gpu", .replicas = 2, .max_running = 64}}),
                PlacementKind::kMedley);
  Request urgent = test_request(1, ServiceClass::kStandard, 2000);
  urgent.targets.ttft = 400ms;
  EXPECT_EQ(core.arrive(1s, urgent), std::vector<std::string>{"1 to 0"});
  core.finish(2s, 1);
  core.tell(3s, LoadReported{ReplicaId(0), report_of(30, 20, 3s)});
  core.tell(3s, LoadReported{ReplicaId(1), report_of(0, 0, 3s)});
  urgent.id = RequestId(2);
  EXPECT_EQ(core.arrive(3s, urgent), std::vector<std::string>{"2 to 1"});
}

}  // namespace
}  // namespace medley::sched
