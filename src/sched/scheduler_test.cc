#include "sched/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sched/test_fleet.h"

namespace medley::sched {
namespace {

using std::chrono::milliseconds, std::chrono::seconds;
using testing::ElementsAre;

Request make_request(std::uint64_t id, ServiceClass service_class = ServiceClass::kStandard,
                     int label = 1, long long prompt_tokens = 100) {
  Request request;
  request.id = RequestId(id);
  request.service_class = service_class;
  request.label = LabelId(static_cast<std::uint64_t>(label));
  request.prompt_tokens = Tokens(prompt_tokens);
  return request;
}

// Drives one scheduler and keeps what it decided, WakeAt apart.
using Pools = std::vector<TestPool>;

class Core {
 public:
  explicit Core(const Pools& pools, PlacementKind placement = PlacementKind::kMedley)
      : made_(make_test_fleet(pools)),
        scheduler_((made_.fleet.placement = placement, made_.fleet), made_.perf) {}

  // What it decided on this event, in words.
  std::vector<std::string> tell(Duration at, Event event) {
    if (auto* arrived = std::get_if<RequestArrived>(&event))
      arrived->request.arrived_at = Instant(at);
    std::vector<Decision> decisions;
    scheduler_.handle(Instant(at), event, decisions);
    std::vector<std::string> words;
    for (const Decision& decision : decisions) {
      if (const auto* dispatch = std::get_if<Dispatch>(&decision)) {
        words.push_back("dispatch " + std::to_string(dispatch->request.number()) + " to " +
                        std::to_string(dispatch->replica.number()));
      } else if (const auto* reject = std::get_if<Reject>(&decision)) {
        words.push_back("reject " + std::to_string(reject->request.number()) + " " +
                        std::string(name_of(reject->reason)));
        last_retry_after = reject->retry_after;
      } else if (const auto* cancel = std::get_if<Cancel>(&decision)) {
        words.push_back("cancel " + std::to_string(cancel->request.number()) + " on " +
                        std::to_string(cancel->replica.number()));
      } else if (const auto* solve = std::get_if<SolvePrices>(&decision)) {
        program = solve->program;
      } else {
        alarm = std::get<WakeAt>(decision).at.time_since_epoch();
      }
    }
    return words;
  }
  std::vector<std::string> arrive(Duration at, const Request& request) {
    return tell(at, RequestArrived{request});
  }
  // Rings the alarm until something is decided, for at most a minute.
  std::vector<std::string> ring_until_decided() {
    for (int i = 0; i < 10'000 && alarm; ++i) {
      const Duration at = *alarm;
      alarm.reset();
      const std::vector<std::string> words = tell(at, AlarmRang{});
      if (!words.empty())
        return words;
    }
    return {};
  }

  Scheduler& scheduler() { return scheduler_; }
  std::optional<Duration> alarm;
  std::optional<LinearProgram> program;  // asked for last
  Duration last_retry_after{};

 private:
  TestFleet made_;
  Scheduler scheduler_;
};

TEST(Scheduler, DispatchesToTheOnlyReplica) {
  Core core(Pools{{.name = "a"}});
  EXPECT_THAT(core.arrive(seconds(1), make_request(7)), ElementsAre("dispatch 7 to 0"));
  const auto prediction = core.scheduler().prediction(RequestId(7));
  ASSERT_TRUE(prediction.has_value());
  EXPECT_NEAR(prediction->ttft_s, 0.005 + 100 * 2e-5, 1e-9);
  EXPECT_NEAR(prediction->tpot_s, 0.005 * 1.01, 5e-4);
}

TEST(Scheduler, RefusesWhatNoZoneMayProcess) {
  Core core(Pools{{.name = "cloud", .zone = "us-east"}});
  EXPECT_THAT(core.arrive(seconds(1), make_request(1, ServiceClass::kBatch, 2)),
              ElementsAre("reject 1 no_lawful_pool"));
  EXPECT_THAT(core.arrive(seconds(1), make_request(2, ServiceClass::kBatch, 0)),
              ElementsAre("dispatch 2 to 0"));
}

TEST(Scheduler, RefusesWhatNoContextCanHold) {
  Core core(Pools{{.name = "a", .max_context = 1000}});
  EXPECT_THAT(core.arrive(seconds(1), make_request(1, ServiceClass::kStandard, 1, 1000)),
              ElementsAre("reject 1 too_long"));
  EXPECT_THAT(core.arrive(seconds(1), make_request(2, ServiceClass::kStandard, 1, 999)),
              ElementsAre("dispatch 2 to 0"));
}

TEST(Scheduler, HoldsBackWhatHasNoRoomAndReleasesItWhenSomethingEnds) {
  Core core(Pools{{.name = "a", .max_running = 1}});
  EXPECT_THAT(core.arrive(seconds(1), make_request(1)), ElementsAre("dispatch 1 to 0"));
  EXPECT_THAT(core.arrive(seconds(1), make_request(2)), ElementsAre());
  EXPECT_EQ(core.scheduler().stats().classes[index_of(ServiceClass::kStandard)].waiting, 1);
  core.tell(seconds(1) + milliseconds(10), FirstTokenEmitted{RequestId(1)});
  EXPECT_THAT(core.tell(seconds(1) + milliseconds(300), RequestFinished{RequestId(1), Tokens(20)}),
              ElementsAre("dispatch 2 to 0"));
}

TEST(Scheduler, RefusesAfterItsTargetIsOutOfReachAndSaysWhenToComeBack) {
  Core core(Pools{{.name = "a", .max_running = 1}});
  core.arrive(seconds(1), make_request(1));
  EXPECT_THAT(core.arrive(seconds(1), make_request(2)), ElementsAre());
  EXPECT_THAT(core.ring_until_decided(), ElementsAre("reject 2 timed_out"));
  EXPECT_GE(core.last_retry_after, seconds(1));
  EXPECT_LT(core.last_retry_after, seconds(60));
}

TEST(Scheduler, SaysToComeBackWhenSomebodyLeavesWhereAllIsFull) {
  // Both have been there for 20 s, so they are taken to stay for 40: one leaves every 20 s.
  const auto refused_at = [](Duration at, bool knows_stays) {
    Core core(Pools{{.name = "a", .max_running = 2}});
    if (knows_stays) {
      core.arrive(seconds(1), make_request(8));
      core.tell(seconds(61), FirstTokenEmitted{RequestId(8)});
      core.tell(seconds(91), RequestFinished{RequestId(8), Tokens(20)});
    }
    for (std::uint64_t id = 1; id <= 2; ++id)
      core.arrive(seconds(100), make_request(id));
    for (std::uint64_t id = 1; id <= 2; ++id)
      core.tell(seconds(101), FirstTokenEmitted{RequestId(id)});
    while (core.alarm && *core.alarm < at)
      core.tell(*std::exchange(core.alarm, {}), AlarmRang{});
    core.arrive(at, make_request(3));
    EXPECT_THAT(core.ring_until_decided(), ElementsAre("reject 3 timed_out"));
    return to_seconds(core.last_retry_after).value();
  };
  EXPECT_NEAR(refused_at(seconds(120), false), 20, 2);
  EXPECT_NEAR(refused_at(seconds(102), true), 45, 1) << "one stayed for 90 s";
}

TEST(Scheduler, DearerWorkIsReleasedFirst) {
  Core core(Pools{{.name = "a", .max_running = 1}});
  core.arrive(seconds(1), make_request(1));
  core.arrive(seconds(1), make_request(2, ServiceClass::kBatch));
  core.arrive(seconds(1), make_request(3, ServiceClass::kGuaranteed));
  EXPECT_THAT(core.tell(seconds(1) + milliseconds(100), RequestFinished{RequestId(1), Tokens(20)}),
              ElementsAre("dispatch 3 to 0"));
  EXPECT_THAT(core.tell(seconds(1) + milliseconds(200), RequestFinished{RequestId(3), Tokens(20)}),
              ElementsAre("dispatch 2 to 0"));
}

TEST(Scheduler, WorkForOnePoolDoesNotStandInTheWayOfOther) {
  Core core(Pools{{.name = "here", .max_running = 1},
                  {.name = "cloud", .zone = "us-east", .max_running = 1}});
  core.arrive(seconds(1), make_request(1, ServiceClass::kFlex, 2));
  for (std::uint64_t i = 2; i < 20; ++i)
    core.arrive(seconds(1), make_request(i, ServiceClass::kFlex, 2));
  EXPECT_THAT(core.arrive(seconds(1), make_request(50, ServiceClass::kFlex, 0)),
              ElementsAre("dispatch 50 to 1"));
}

TEST(Scheduler, AFailedDispatchGoesElsewhereAndNeverBack) {
  Core core(Pools{{.name = "a", .replicas = 2}});
  EXPECT_THAT(core.arrive(seconds(1), make_request(1)), ElementsAre("dispatch 1 to 0"));
  EXPECT_THAT(core.tell(seconds(1), DispatchFailed{RequestId(1)}), ElementsAre("dispatch 1 to 1"));
  EXPECT_THAT(core.tell(seconds(1), DispatchFailed{RequestId(1)}),
              ElementsAre("reject 1 no_replica"));
}

TEST(Scheduler, ALostReplicaGetsNothingUntilItReturns) {
  Core core(Pools{{.name = "a", .replicas = 2}});
  core.tell(seconds(1), ReplicaLost{ReplicaId(0)});
  EXPECT_THAT(core.arrive(seconds(1), make_request(1)), ElementsAre("dispatch 1 to 1"));
  core.tell(seconds(2), ReplicaLost{ReplicaId(1)});
  EXPECT_THAT(core.tell(seconds(2), DispatchFailed{RequestId(1)}),
              ElementsAre("reject 1 no_replica"));
  EXPECT_THAT(core.arrive(seconds(2), make_request(2)), ElementsAre("reject 2 no_replica"));
  // Patient work waits for the return.
  EXPECT_THAT(core.arrive(seconds(2), make_request(3, ServiceClass::kBatch)), ElementsAre());
  EXPECT_THAT(core.tell(seconds(3), ReplicaReturned{ReplicaId(1)}), ElementsAre("dispatch 3 to 1"));
}

TEST(Scheduler, PatientWorkOfALostReplicaWaitsForItsReturnAndMayGoBackThere) {
  Core core(Pools{{.name = "a", .max_running = 1}});
  core.arrive(seconds(1), make_request(1, ServiceClass::kBatch));
  core.arrive(seconds(1), make_request(2, ServiceClass::kBatch));
  core.tell(seconds(2), ReplicaLost{ReplicaId(0)});
  EXPECT_THAT(core.tell(seconds(2), DispatchFailed{RequestId(1)}), ElementsAre());
  EXPECT_THAT(core.tell(seconds(3), ReplicaReturned{ReplicaId(0)}), ElementsAre("dispatch 1 to 0"));
}

TEST(Scheduler, PatientWorkThatLostItsReplicaDoesNotGoBackThere) {
  Core core(Pools{{.name = "a", .replicas = 2}});
  core.tell(seconds(1), ReplicaLost{ReplicaId(1)});
  core.arrive(seconds(1), make_request(1, ServiceClass::kBatch));
  core.tell(seconds(2), ReplicaLost{ReplicaId(0)});
  EXPECT_THAT(core.tell(seconds(2), DispatchFailed{RequestId(1), true}), ElementsAre());
  EXPECT_THAT(core.tell(seconds(3), ReplicaReturned{ReplicaId(0)}), ElementsAre());
  EXPECT_THAT(core.tell(seconds(4), ReplicaReturned{ReplicaId(1)}), ElementsAre("dispatch 1 to 1"));
}

TEST(Scheduler, WorkThatFailedWaitsForAQuota) {
  Core core(Pools{
      {.name = "a"},
      {.name = "burst",
       .kind = perf::ServingKind::kMetered,
       .metered = {.per_million_prompt = 5, .per_million_output = 10, .tokens_per_minute = 700}}});
  EXPECT_THAT(core.arrive(seconds(1), make_request(1, ServiceClass::kFlex)),
              ElementsAre("dispatch 1 to 0"));
  core.tell(seconds(1), ReplicaLost{ReplicaId(0)});
  EXPECT_THAT(core.tell(seconds(1), DispatchFailed{RequestId(1)}), ElementsAre("dispatch 1 to 1"));
  EXPECT_THAT(core.arrive(seconds(1), make_request(2, ServiceClass::kFlex)),
              ElementsAre("dispatch 2 to 1"));
  core.tell(seconds(2), ReplicaReturned{ReplicaId(0)});
  EXPECT_THAT(core.arrive(seconds(2), make_request(3, ServiceClass::kFlex)),
              ElementsAre("dispatch 3 to 0"));
  // Not lost, but failing; the quota of this minute is spent.
  EXPECT_THAT(core.tell(seconds(2), DispatchFailed{RequestId(3)}), ElementsAre());
  EXPECT_EQ(core.scheduler().stats().classes[index_of(ServiceClass::kFlex)].waiting, 1);
}

TEST(Scheduler, WhatFailedAndWaitsDoesNotStandInTheWayOfOthers) {
  Core core(Pools{{.name = "a", .replicas = 2}});
  core.tell(seconds(1), ReplicaLost{ReplicaId(1)});
  for (std::uint64_t i = 1; i <= 6; ++i) {
    EXPECT_THAT(core.arrive(seconds(1), make_request(i, ServiceClass::kBatch)),
                ElementsAre("dispatch " + std::to_string(i) + " to 0"));
  }
  // They wait for the other one's return.
  for (std::uint64_t i = 1; i <= 6; ++i)
    EXPECT_THAT(core.tell(seconds(1), DispatchFailed{RequestId(i)}), ElementsAre());
  EXPECT_THAT(core.arrive(seconds(1), make_request(9, ServiceClass::kBatch)), ElementsAre());
  EXPECT_THAT(core.ring_until_decided(), ElementsAre("dispatch 9 to 0"));
}

TEST(Scheduler, WhatWaitsForAQuotaDoesNotStandInTheWayOfWhatFitsElsewhere) {
  Core core(Pools{
      {.name = "rented", .kind = perf::ServingKind::kMetered, .metered = {.requests_per_day = 1}},
      {.name = "small", .max_context = 700}});
  for (std::uint64_t id = 0; id < 5; ++id)
    core.arrive(seconds(1), make_request(id, ServiceClass::kBatch, 1, 900));
  EXPECT_THAT(core.arrive(seconds(1), make_request(9, ServiceClass::kBatch, 1, 600)),
              ElementsAre());
  EXPECT_THAT(core.ring_until_decided(), ElementsAre("dispatch 9 to 1"));
}

TEST(Scheduler, WhatFailedDoesNotWaitForAFasterReplicaThatFailedIt) {
  // Only "fast" can keep the time per token, and it failed the request.
  Core core(Pools{{.name = "fast", .step_s = 0.001}, {.name = "slow", .step_s = 0.05}});
  Request request = make_request(1, ServiceClass::kBatch);
  request.targets.tpot = milliseconds(5);
  EXPECT_THAT(core.arrive(seconds(1), request), ElementsAre("dispatch 1 to 0"));
  EXPECT_THAT(core.tell(seconds(2), DispatchFailed{RequestId(1)}), ElementsAre("dispatch 1 to 1"));
}

TEST(Scheduler, AnAnswerOfAbsurdLengthDoesNotMakeLaterOnesTooLong) {
  Core core(Pools{{.name = "rented",
                   .kind = perf::ServingKind::kMetered,
                   .metered = {.tokens_per_minute = 2000}}});
  core.arrive(seconds(1), make_request(1));
  core.tell(seconds(2), RequestFinished{RequestId(1), Tokens(1'000'000'000'000)});
  EXPECT_THAT(core.arrive(seconds(120), make_request(2)), ElementsAre("dispatch 2 to 0"));
}

TEST(Scheduler, WhatBreaksEveryReplicaItMeetsIsGivenUp) {
  Core core(Pools{{.name = "a", .replicas = 5}});
  core.arrive(seconds(1), make_request(1, ServiceClass::kBatch));
  for (std::uint64_t replica = 0; replica < 2; ++replica) {
    core.tell(seconds(1), ReplicaLost{ReplicaId(replica)});
    EXPECT_THAT(core.tell(seconds(1), DispatchFailed{RequestId(1)}),
                ElementsAre("dispatch 1 to " + std::to_string(replica + 1)));
  }
  core.tell(seconds(1), ReplicaLost{ReplicaId(2)});
  EXPECT_THAT(core.tell(seconds(1), DispatchFailed{RequestId(1)}),
              ElementsAre("reject 1 no_replica"));
}

TEST(Scheduler, WhatFailedDoesNotWaitForAReplicaThatIsLostMeanwhile) {
  Core core(Pools{{.name = "a", .replicas = 2, .max_running = 1}});
  core.arrive(seconds(1), make_request(1));
  EXPECT_THAT(core.arrive(seconds(1), make_request(2)), ElementsAre("dispatch 2 to 1"));
  core.tell(seconds(1), FirstTokenEmitted{RequestId(2)});
  EXPECT_THAT(core.tell(seconds(1), DispatchFailed{RequestId(1)}), ElementsAre());
  core.tell(seconds(1), ReplicaLost{ReplicaId(1)});
  EXPECT_THAT(core.ring_until_decided(), ElementsAre("reject 1 no_replica"));
}

TEST(Scheduler, TurnsAwayTheHopelessEvenBehindOthersThatWait) {
  Core core(Pools{{.name = "a", .max_running = 1, .max_context = 1000}});
  core.arrive(seconds(1), make_request(1));
  EXPECT_THAT(core.arrive(seconds(1), make_request(2)), ElementsAre());
  EXPECT_THAT(core.arrive(seconds(1), make_request(3, ServiceClass::kStandard, 1, 1000)),
              ElementsAre("reject 3 too_long"));
}

TEST(Scheduler, CountsEveryRequestOnce) {
  Core core(Pools{{.name = "a", .replicas = 2, .max_running = 3}});
  for (std::uint64_t i = 0; i < 6; ++i)
    core.arrive(seconds(1), make_request(i));
  core.tell(seconds(1), FirstTokenEmitted{RequestId(0)});
  core.tell(seconds(1), RequestFinished{RequestId(0), Tokens(3)});
  core.tell(seconds(1), RequestFinished{RequestId(1), Tokens(1), false});
  core.tell(seconds(1), RequestCancelled{RequestId(2)});
  core.tell(seconds(1), DispatchFailed{RequestId(3)});
  const ClassStats stats = core.scheduler().stats().classes[index_of(ServiceClass::kStandard)];
  EXPECT_EQ(stats.finished, 1);
  EXPECT_EQ(stats.broken, 1);
  EXPECT_EQ(stats.cancelled, 1);
  EXPECT_EQ(stats.arrived, 6);
  EXPECT_EQ(stats.waiting + stats.in_flight + stats.rejected, 3);
  EXPECT_EQ(stats.dispatched, 7);  // 3 went twice
}

TEST(Scheduler, ACancelledRequestFreesItsPlace) {
  Core core(Pools{{.name = "a", .max_running = 1}});
  core.arrive(seconds(1), make_request(1));
  core.arrive(seconds(1), make_request(2));
  core.arrive(seconds(1), make_request(3));
  EXPECT_THAT(core.tell(seconds(1), RequestCancelled{RequestId(2)}), ElementsAre());
  EXPECT_THAT(core.tell(seconds(1), RequestCancelled{RequestId(1)}),
              ElementsAre("cancel 1 on 0", "dispatch 3 to 0"));
}

TEST(Scheduler, ServesAsWellAsCanBeWhatNoIdleReplicaCouldKeep) {
  // 30 ms a token against a target of 8 ms.
  Core core(Pools{{.name = "slow", .step_s = 0.03}});
  EXPECT_THAT(core.arrive(seconds(1), make_request(1, ServiceClass::kGuaranteed)),
              ElementsAre("dispatch 1 to 0"));
}

TEST(Scheduler, TakesTheFastPoolForTightTargetsAndTheCheapOneOtherwise) {
  Core core(Pools{{.name = "fast",
                   .kind = perf::ServingKind::kMetered,
                   .metered = {.per_million_prompt = 5,
                               .per_million_output = 10,
                               .ttft_median_s = 0.05,
                               .ttft_sigma = 0.1,
                               .tpot_s = 0.002}},
                  {.name = "cheap", .step_s = 0.02}});
  EXPECT_THAT(core.arrive(seconds(1), make_request(1, ServiceClass::kGuaranteed)),
              ElementsAre("dispatch 1 to 0"));
  EXPECT_THAT(core.arrive(seconds(1), make_request(2, ServiceClass::kFlex)),
              ElementsAre("dispatch 2 to 1"));
}

TEST(Scheduler, StopsAtTheQuotaOfAMeteredPool) {
  Core core(Pools{{.name = "burst",
                   .kind = perf::ServingKind::kMetered,
                   .metered = {.tokens_per_minute = 700, .requests_per_day = 2}}});
  EXPECT_THAT(core.arrive(seconds(1), make_request(1, ServiceClass::kFlex)),
              ElementsAre("dispatch 1 to 0"));
  EXPECT_THAT(core.arrive(seconds(1), make_request(2, ServiceClass::kFlex)),
              ElementsAre("dispatch 2 to 0"));
  EXPECT_THAT(core.arrive(seconds(1), make_request(3, ServiceClass::kFlex)), ElementsAre());
  EXPECT_THAT(core.ring_until_decided(), ElementsAre("reject 3 timed_out"));
}

TEST(Scheduler, ASpentQuotaTellsWhenItHasRoomAgain) {
  Core core(Pools{{.name = "burst",
                   .kind = perf::ServingKind::kMetered,
                   .metered = {.tokens_per_minute = 700}}});
  core.arrive(seconds(1), make_request(1, ServiceClass::kFlex));
  core.arrive(seconds(21), make_request(2, ServiceClass::kFlex));
  ASSERT_THAT(core.arrive(seconds(31), make_request(3, ServiceClass::kGuaranteed)), ElementsAre());
  ASSERT_THAT(core.ring_until_decided(), ElementsAre("reject 3 timed_out"));
  // Half a second after it came, when its first token is due; the first one's tokens come back
  // at 61.
  EXPECT_NEAR(to_seconds(core.last_retry_after).value(), 61 - 31, 1);
}

TEST(Scheduler, RefusesAtOnceWhatNoMinuteOfAQuotaCanHold) {
  Core core(Pools{{.name = "burst",
                   .kind = perf::ServingKind::kMetered,
                   .metered = {.tokens_per_minute = 700}}});
  EXPECT_THAT(core.arrive(seconds(1), make_request(1, ServiceClass::kBatch, 1, 701)),
              ElementsAre("reject 1 too_long"));
}

TEST(Scheduler, WhatNoMinuteOfAQuotaCanHoldDoesNotWaitForALostPool) {
  Core core(Pools{{.name = "burst",
                   .kind = perf::ServingKind::kMetered,
                   .metered = {.tokens_per_minute = 700}}});
  core.tell(seconds(1), ReplicaLost{ReplicaId(0)});
  EXPECT_THAT(core.arrive(seconds(1), make_request(1, ServiceClass::kBatch, 1, 701)),
              ElementsAre("reject 1 too_long"));
  EXPECT_THAT(core.arrive(seconds(1), make_request(2, ServiceClass::kStandard, 1, 701)),
              ElementsAre("reject 2 too_long"));
  EXPECT_THAT(core.arrive(seconds(1), make_request(3, ServiceClass::kBatch)), ElementsAre());
}

TEST(Scheduler, PrefersPoolsThatHoldTheWholeAnswer) {
  Core core(Pools{{.name = "fast", .max_context = 1000, .step_s = 0.001}, {.name = "roomy"}});
  Request request = make_request(1);
  request.output_cap = Tokens(500);
  EXPECT_THAT(core.arrive(seconds(1), request), ElementsAre("dispatch 1 to 0"));
  request.id = RequestId(2);
  request.output_cap = Tokens(2000);
  EXPECT_THAT(core.arrive(seconds(1), request), ElementsAre("dispatch 2 to 1"));
  // Where nothing holds it whole, it is served as far as it goes.
  request.id = RequestId(3);
  request.output_cap = Tokens(20'000);
  EXPECT_THAT(core.arrive(seconds(1), request), ElementsAre("dispatch 3 to 1"));
}

TEST(Scheduler, ALongestAnswerDoesNotHideSmallPoolsFromAFullOrFailingLargeOne) {
  Core core(Pools{{.name = "small", .max_context = 1000}, {.name = "roomy", .max_running = 1}});
  Request request = make_request(1);
  request.output_cap = Tokens(2000);
  EXPECT_THAT(core.arrive(seconds(1), request), ElementsAre("dispatch 1 to 1"));
  request.id = RequestId(2);
  EXPECT_THAT(core.arrive(seconds(1), request), ElementsAre("dispatch 2 to 0"));
  EXPECT_THAT(core.tell(seconds(1), DispatchFailed{RequestId(1)}), ElementsAre("dispatch 1 to 0"));
}

TEST(Scheduler, ALongestAnswerDoesNotGoWhereItWouldBeLateEither) {
  Core core(Pools{{.name = "small", .max_context = 1000}, {.name = "roomy", .step_s = 0.2}});
  Request request = make_request(1);
  request.output_cap = Tokens(2000);
  EXPECT_THAT(core.arrive(seconds(1), request), ElementsAre("dispatch 1 to 0"));
}

TEST(Scheduler, ARefusalForGoodCostsNoQuota) {
  Core core(Pools{
      {.name = "burst", .kind = perf::ServingKind::kMetered, .metered = {.requests_per_day = 1}}});
  core.arrive(seconds(1), make_request(1, ServiceClass::kFlex));
  core.tell(seconds(1), RequestFinished{RequestId(1), Tokens(0), false});
  EXPECT_THAT(core.arrive(seconds(2), make_request(2, ServiceClass::kFlex)),
              ElementsAre("dispatch 2 to 0"));
}

TEST(Scheduler, AQuotaIsSpentByWhatWasServed) {
  Core core(Pools{{.name = "burst",
                   .kind = perf::ServingKind::kMetered,
                   .metered = {.tokens_per_minute = 720, .requests_per_day = 3}}});
  core.arrive(seconds(1), make_request(1, ServiceClass::kFlex));
  core.arrive(seconds(1), make_request(2, ServiceClass::kFlex));
  EXPECT_THAT(core.arrive(seconds(1), make_request(3, ServiceClass::kFlex)), ElementsAre());
  // 100 + 200 were expected of each; this one's answer had 10 tokens.
  core.tell(seconds(2), FirstTokenEmitted{RequestId(1)});
  EXPECT_THAT(core.tell(seconds(3), RequestFinished{RequestId(1), Tokens(10)}),
              ElementsAre("dispatch 3 to 0"));
  // Nothing was served: the request of the day comes back with its tokens.
  EXPECT_THAT(core.tell(seconds(4), DispatchFailed{RequestId(3)}),
              ElementsAre("reject 3 no_replica"));
  EXPECT_THAT(core.arrive(seconds(4), make_request(4, ServiceClass::kFlex)),
              ElementsAre("dispatch 4 to 0"));
}

TEST(Scheduler, AQuotaIsSpentByWhatCameUntilTheClientLeft) {
  Core core(Pools{{.name = "burst",
                   .kind = perf::ServingKind::kMetered,
                   .metered = {.tokens_per_minute = 720}}});
  core.arrive(seconds(1), make_request(1, ServiceClass::kFlex));
  core.arrive(seconds(1), make_request(2, ServiceClass::kFlex));
  EXPECT_THAT(core.arrive(seconds(1), make_request(3, ServiceClass::kFlex)), ElementsAre());
  // 100 + 200 were expected of each; of this one 10 tokens were seen.
  core.tell(seconds(2), FirstTokenEmitted{RequestId(1)});
  EXPECT_THAT(core.tell(seconds(3), RequestCancelled{RequestId(1), Tokens(10)}),
              testing::Contains("dispatch 3 to 0"));
}

TEST(Scheduler, AGivenUpRequestIsExplainedByItsOwnPools) {
  struct Sink final : ExplanationSink {
    std::vector<Explanation> heard;
    void explain(const Explanation& explanation) override { heard.push_back(explanation); }
  } sink;
  Core core(Pools{{.name = "here"}, {.name = "cloud", .zone = "us-east"}});
  core.scheduler().explain_to(&sink);
  EXPECT_THAT(core.arrive(seconds(1), make_request(1, ServiceClass::kStandard, 2)),
              ElementsAre("dispatch 1 to 0"));
  core.arrive(seconds(1), make_request(2, ServiceClass::kStandard, 0));
  EXPECT_THAT(core.tell(seconds(1), DispatchFailed{RequestId(1)}),
              ElementsAre("reject 1 no_replica"));
  const Explanation& why = sink.heard.back();
  EXPECT_EQ(why.request.id, RequestId(1));
  EXPECT_EQ(why.candidates.at(1).forbidden, Forbidden::kZone);
}

TEST(Scheduler, RoundRobinTakesTurnsAmongLiveLawfulReplicas) {
  Core core(Pools{{.name = "a", .replicas = 2}, {.name = "cloud", .zone = "us-east"}},
            PlacementKind::kRoundRobin);
  EXPECT_THAT(core.arrive(seconds(1), make_request(1, ServiceClass::kStandard, 0)),
              ElementsAre("dispatch 1 to 0"));
  EXPECT_THAT(core.arrive(seconds(1), make_request(2, ServiceClass::kStandard, 0)),
              ElementsAre("dispatch 2 to 1"));
  EXPECT_THAT(core.arrive(seconds(1), make_request(3, ServiceClass::kStandard, 0)),
              ElementsAre("dispatch 3 to 2"));
  EXPECT_THAT(core.arrive(seconds(1), make_request(4, ServiceClass::kStandard, 1)),
              ElementsAre("dispatch 4 to 0"));
  core.tell(seconds(2), ReplicaLost{ReplicaId(1)});
  EXPECT_THAT(core.arrive(seconds(2), make_request(5, ServiceClass::kStandard, 1)),
              ElementsAre("dispatch 5 to 0"));
}

TEST(Scheduler, LeastOutstandingCountsWhatItDispatched) {
  Core core(Pools{{.name = "a", .replicas = 3}}, PlacementKind::kLeastOutstanding);
  for (std::uint64_t i = 0; i < 3; ++i)
    core.arrive(seconds(1), make_request(i));
  core.tell(seconds(1), RequestFinished{RequestId(1), Tokens(5)});
  EXPECT_THAT(core.arrive(seconds(1), make_request(9)), ElementsAre("dispatch 9 to 1"));
}

TEST(Scheduler, LeastQueuedFollowsTheReportsAndAddsItsOwn) {
  Core core(Pools{{.name = "a", .replicas = 2}}, PlacementKind::kLeastQueued);
  LoadSignal busy, idle;
  busy.waiting = 1;
  idle.waiting = 0;
  core.tell(seconds(1), LoadReported{ReplicaId(0), busy});
  core.tell(seconds(1), LoadReported{ReplicaId(1), idle});
  EXPECT_THAT(core.arrive(seconds(1), make_request(1)), ElementsAre("dispatch 1 to 1"));
  EXPECT_THAT(core.arrive(seconds(1), make_request(2)), ElementsAre("dispatch 2 to 0"));
}

TEST(Scheduler, SaturationWeighsReplicasByWhatTheyCanDo) {
  // Ten times the speed: the busy slow replica hardly counts.
  Core core(Pools{{.name = "fast", .max_running = 4, .step_s = 0.002},
                  {.name = "slow", .zone = "edge", .max_running = 4, .step_s = 0.02}},
            PlacementKind::kRoundRobin);
  EXPECT_EQ(core.scheduler().stats().saturation, 0);
  core.tell(seconds(1), ReplicaLost{ReplicaId(0)});
  for (std::uint64_t i = 0; i < 4; ++i)
    core.arrive(seconds(1), make_request(i));
  EXPECT_NEAR(core.scheduler().stats().saturation, 1, 1e-9);
  core.tell(seconds(1), ReplicaReturned{ReplicaId(0)});
  EXPECT_NEAR(core.scheduler().stats().saturation, 1.0 / 11, 0.01);
}

TEST(Scheduler, SaysWhyWhenAsked) {
  struct Sink final : ExplanationSink {
    std::vector<Explanation> heard;
    void explain(const Explanation& explanation) override { heard.push_back(explanation); }
  } sink;
  Core core(Pools{{.name = "here", .max_context = 50},
                  {.name = "edge", .zone = "edge"},
                  {.name = "cloud", .zone = "us"}});
  core.scheduler().explain_to(&sink);
  core.arrive(seconds(1), make_request(1));
  ASSERT_EQ(sink.heard.size(), 1U);
  const Explanation& why = sink.heard[0];
  EXPECT_EQ(why.outcome, Outcome::kDispatched);
  ASSERT_EQ(why.candidates.size(), 3U);
  EXPECT_EQ(why.candidates[0].forbidden, Forbidden::kContext);
  EXPECT_EQ(why.candidates[1].replica, ReplicaId(1));
  EXPECT_GT(why.candidates[1].probability.value(), 0.9);
  EXPECT_EQ(why.candidates[2].forbidden, Forbidden::kZone);
}

TEST(Scheduler, TheSameEventsGiveTheSameDigest) {
  const auto run = [](std::uint64_t ids) {
    Core core(Pools{{.name = "a", .replicas = 3, .max_running = 2}});
    for (std::uint64_t i = 0; i < ids; ++i)
      core.arrive(milliseconds(10 * i), make_request(i));
    return core.scheduler().digest().value();
  };
  EXPECT_EQ(run(5), run(5));
  EXPECT_NE(run(5), run(6));
}

TEST(Scheduler, IgnoresEventsAboutRequestsItDoesNotHold) {
  Core core(Pools{{.name = "a"}});
  EXPECT_THAT(core.tell(seconds(1), FirstTokenEmitted{RequestId(4)}), ElementsAre());
  EXPECT_THAT(core.tell(seconds(1), RequestFinished{RequestId(4), Tokens(3)}), ElementsAre());
  EXPECT_THAT(core.tell(seconds(1), DispatchFailed{RequestId(4)}), ElementsAre());
  EXPECT_THAT(core.tell(seconds(1), RequestCancelled{RequestId(4)}), ElementsAre());
}

}  // namespace
}  // namespace medley::sched
