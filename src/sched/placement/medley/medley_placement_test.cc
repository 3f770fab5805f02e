// What medley's score does without one of its parts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sched/test_core.h"

namespace medley::sched {
namespace {

using std::chrono::milliseconds, std::chrono::seconds;
using testing::ElementsAre, testing::IsEmpty;

PlacementPolicy without(ScorePart part) {
  PlacementPolicy policy;
  policy.left_out[static_cast<std::size_t>(part)] = true;
  return policy;
}

struct Sink final : ExplanationSink {
  std::vector<Explanation> heard;
  void explain(const Explanation& explanation) override { heard.push_back(explanation); }
};

TestFleet with_targets(TestFleet made) {
  const auto set = [&](ServiceClass service_class, Targets targets, double value) {
    made.fleet.classes[index_of(service_class)] = {targets, Money(value)};
  };
  set(ServiceClass::kGuaranteed, {milliseconds(500), milliseconds(8), {}}, 0.02);
  set(ServiceClass::kStandard, {seconds(1), milliseconds(50), {}}, 0.005);
  set(ServiceClass::kFlex, {seconds(10), milliseconds(100), {}}, 0.002);
  set(ServiceClass::kBatch, {{}, {}, seconds(300)}, 0.0008);
  return made;
}

// How many of 60 batch requests are let onto a replica whose residents want 50 ms a token.
int joined_beside(int residents, const PlacementPolicy& policy,
                  const Request& resident = test_request(0, ServiceClass::kStandard, 1)) {
  TestCore core(with_targets(make_test_fleet({{.name = "a", .max_running = 200, .step_s = 0.04}})),
                policy);
  std::uint64_t id = 0;
  for (int i = 0; i < residents; ++i) {
    Request one = resident;
    one.id = RequestId(++id);
    core.arrive(seconds(1) + milliseconds(i), one);
    core.tell(seconds(1) + milliseconds(i), FirstTokenEmitted{RequestId(id)});
  }
  int joined = 0;
  for (int i = 0; i < 60; ++i) {
    joined += core.arrive(seconds(2), test_request(++id, ServiceClass::kBatch, 1)).empty() ? 0 : 1;
    core.tell(seconds(2), FirstTokenEmitted{RequestId(id)});
  }
  return joined;
}

TEST(MedleyPlacement, WithoutResidentsBreaksTheirTimePerToken) {
  EXPECT_LT(joined_beside(15, {}), 30);
  EXPECT_EQ(joined_beside(15, without(ScorePart::kResidents)), 60);
}

TEST(MedleyPlacement, AResidentsOwnTimePerTokenCountsAsItsClassesWould) {
  Request flex = test_request(0, ServiceClass::kFlex, 1);  // 100 ms would do
  EXPECT_EQ(joined_beside(15, {}, flex), 60);
  flex.targets.tpot = milliseconds(50);
  EXPECT_LT(joined_beside(15, {}, flex), 40);
}

// Whether a prompt joins a standard request that is being answered, 40 ms a token where 50 are
// wanted, and stays for two seconds.
bool joins_answers(ServiceClass service_class, long long prompt_tokens,
                   const PlacementPolicy& policy = {}) {
  TestCore core(with_targets(make_test_fleet({{.name = "a",
                                               .max_running = 200,
                                               .kv_tokens = 1'000'000,
                                               .max_context = 100'000,
                                               .step_s = 0.04}})),
                policy);
  core.arrive(seconds(1), test_request(1, ServiceClass::kStandard, 1));
  core.tell(seconds(1), FirstTokenEmitted{RequestId(1)});
  core.tell(seconds(3), RequestFinished{RequestId(1), Tokens(50)});
  core.arrive(seconds(4), test_request(2, ServiceClass::kStandard, 1));
  core.tell(seconds(4), FirstTokenEmitted{RequestId(2)});
  return !core.arrive(seconds(5), test_request(9, service_class, prompt_tokens)).empty();
}

TEST(MedleyPlacement, APromptThatHoldsUpDearerAnswersStaysAway) {
  // 30,000 tokens take .6 s more of the steps that the answer is in: 30 % of its two seconds.
  EXPECT_TRUE(joins_answers(ServiceClass::kFlex, 300));
  EXPECT_FALSE(joins_answers(ServiceClass::kFlex, 30'000));
  EXPECT_TRUE(joins_answers(ServiceClass::kFlex, 30'000, without(ScorePart::kResidents)));
}

TEST(MedleyPlacement, AmongEqualsAPromptHoldsUpNobody) {
  EXPECT_TRUE(joins_answers(ServiceClass::kStandard, 10'000));
}

TEST(MedleyPlacement, ResidentsAreHalfThroughTheirAnswers) {
  // A step takes 40.4 ms with the resident, 40.8 with the one that joins: 40.6 over its answer,
  // which is what it wants. So it is kept by half, and was by Φ(ln(40.6/40.4)/.005) = .838.
  TestFleet made = with_targets(make_test_fleet({{.name = "a", .step_s = 0.04}}));
  made.perf.pools[0].tpot_error = 0.005;
  TestCore core(made, {});
  Request resident = test_request(1, ServiceClass::kFlex, 1);
  resident.targets.tpot = std::chrono::microseconds(40'600);
  core.arrive(seconds(1), resident);
  core.tell(seconds(1), FirstTokenEmitted{RequestId(1)});
  Sink sink;
  core.scheduler().explain_to(&sink);
  core.arrive(seconds(100), test_request(2, ServiceClass::kFlex, 1));
  EXPECT_NEAR(*sink.heard.at(0).candidates.at(0).residents, 0.338 * 0.002, 0.02 * 0.002);
}

TEST(MedleyPlacement, WithoutProbabilityGoesRightUpToTheTarget) {
  // 0.04·(1 + n/100) is within 50 ms up to 25 sequences: there the harm begins, and it is whole.
  EXPECT_NEAR(joined_beside(1, without(ScorePart::kProbability)), 24, 1);
}

TEST(MedleyPlacement, WithoutRefusalTakesEverythingAtItsLastChance) {
  const auto fate_of_the_second = [](const PlacementPolicy& policy) {
    TestCore core(with_targets(make_test_fleet({{.name = "a", .max_running = 1}})), policy);
    core.arrive(seconds(1), test_request(1, ServiceClass::kStandard, 100));
    EXPECT_THAT(core.arrive(seconds(1), test_request(2, ServiceClass::kStandard, 100)), IsEmpty());
    return core.ring_until_decided();
  };
  EXPECT_THAT(fate_of_the_second({}), ElementsAre("no 2"));
  EXPECT_THAT(fate_of_the_second(without(ScorePart::kRefusal)), ElementsAre("2 to 0"));
}

TEST(MedleyPlacement, WithoutLaterWorkFillsTheLaneOfDearerWork) {
  const auto flex_taken = [](const PlacementPolicy& policy) {
    TestCore core(with_targets(make_test_fleet({{.name = "lane",
                                                 .max_running = 64,
                                                 .kv_tokens = 0,
                                                 .max_context = 100'000,
                                                 .step_s = 0.003,
                                                 .kind = perf::ServingKind::kSlotted}})),
                  policy);
    // Guaranteed work that takes half of the lane, for half a minute; each answer ends at once.
    std::uint64_t id = 0;
    for (int i = 0; i < 300; ++i) {
      const Duration at = seconds(1) + i * milliseconds(100);
      core.arrive(at, test_request(++id, ServiceClass::kGuaranteed, 2'500));
      core.finish(at + milliseconds(60), id, 10);
    }
    // Then a prompt of .4 s that could wait.
    return !core.arrive(seconds(32), test_request(++id, ServiceClass::kFlex, 20'000)).empty();
  };
  EXPECT_FALSE(flex_taken({}));
  EXPECT_TRUE(flex_taken(without(ScorePart::kLater)));
}

// How many of 40 batch prompts, a tenth of a second each, are let onto one replica at once, where
// answers are worth nothing to others but their place before dearer prompts is.
// `why`: of the replica, for the last one that was not let on.
int queued_at_once(bool dearer_comes, Forbidden* why = nullptr) {
  Sink sink;
  TestCore core(with_targets(make_test_fleet(
                    {{.name = "a", .max_running = 400, .kv_tokens = 0, .max_context = 100'000}})),
                PlacementPolicy());
  std::uint64_t id = 0;
  for (int i = 0; i < 100 && dearer_comes; ++i) {
    const Duration at = seconds(1) + i * milliseconds(100);
    core.arrive(at, test_request(++id, ServiceClass::kStandard, 10));
    core.finish(at + milliseconds(2), id, 2);
  }
  core.scheduler().explain_to(&sink);
  int taken = 0;
  for (int i = 0; i < 40; ++i) {
    const bool queued =
        !core.arrive(seconds(12), test_request(++id, ServiceClass::kBatch, 5'000)).empty();
    taken += queued ? 1 : 0;
    if (!queued && why != nullptr && sink.heard.back().behind == Ahead::kNothing)
      *why = sink.heard.back().candidates.at(0).forbidden;
  }
  return taken;
}

TEST(MedleyPlacement, WorkThatMayWaitDoesNotQueueBeforeDearerWorkForLongerThanThatCanWait) {
  EXPECT_EQ(queued_at_once(false), 40);
  // The first token of a standard request is due within a second.
  Forbidden why = Forbidden::kNo;
  const int queued = queued_at_once(true, &why);
  EXPECT_GE(queued, 2);
  EXPECT_LT(queued, 20);
  EXPECT_EQ(why, Forbidden::kInTheWay);
}

TEST(MedleyPlacement, AnAnswerThatWouldOutgrowTheContextGoesWhereItFits) {
  // Both are as good, and the first is taken.
  TestCore core(with_targets(make_test_fleet({{.name = "small", .max_context = 1'000},
                                              {.name = "large", .max_context = 100'000}})),
                PlacementPolicy());
  Request one = test_request(1, ServiceClass::kStandard, 900);
  one.output_cap = Tokens(50);
  EXPECT_THAT(core.arrive(seconds(1), one), ElementsAre("1 to 0"));
  core.finish(seconds(2), 1, 50);
  one.id = RequestId(2);
  one.output_cap = Tokens(200);
  one.output_known = Tokens(200);
  EXPECT_THAT(core.arrive(seconds(9), one), ElementsAre("2 to 1"));
  one.id = RequestId(3);
  one.output_known.reset();
  one.output_cap.reset();  // some 250 are expected of it, give or take
  EXPECT_THAT(core.arrive(seconds(9), one), ElementsAre("3 to 1"));
}

TEST(MedleyPlacement, ReservesRoomForTheLengthThatAStudyTells) {
  const auto fate_of_the_second = [](std::optional<Tokens> known) {
    TestCore core(with_targets(make_test_fleet({{.name = "a", .kv_tokens = 1200}})),
                  PlacementPolicy());
    Request first = test_request(1, ServiceClass::kBatch, 100);
    first.output_known = known;
    core.arrive(seconds(1), first);
    return core.arrive(seconds(1), test_request(2, ServiceClass::kFlex, 100));
  };
  EXPECT_THAT(fate_of_the_second({}), ElementsAre("2 to 0"));
  EXPECT_THAT(fate_of_the_second(Tokens(1000)), IsEmpty());
}

// Displacement: a replica of four sequences, three of which are taken by what may wait.
class Displacement : public testing::Test {
 protected:
  static TestCore core_of(int sequences, const PlacementPolicy& policy = {}) {
    return TestCore(with_targets(make_test_fleet({{.name = "a", .max_running = sequences}})),
                    policy);
  }
  // Requests 1 to 3 of that class are there, and 4, guaranteed.
  static void fill(TestCore& core, Request patient, bool began) {
    for (std::uint64_t id = 1; id <= 3; ++id) {
      patient.id = RequestId(id);
      core.arrive(seconds(1), patient);
    }
    for (std::uint64_t id = 1; began && id <= 3; ++id)
      core.tell(milliseconds(1050), FirstTokenEmitted{RequestId(id)});
    EXPECT_THAT(guaranteed(core, 4), ElementsAre("4 to 0"));
  }
  static std::vector<std::string> guaranteed(TestCore& core, std::uint64_t id,
                                             Duration at = milliseconds(1100)) {
    return core.arrive(at, test_request(id, ServiceClass::kGuaranteed, 100));
  }
};

TEST_F(Displacement, GuaranteedWorkTakesThePlaceOfBatchWorkWhichWaitsAgain) {
  TestCore core = core_of(4);
  fill(core, test_request(1, ServiceClass::kBatch, 100), true);
  EXPECT_THAT(guaranteed(core, 5), ElementsAre("3 off 0", "5 to 0"));
  EXPECT_EQ(core.scheduler().stats().classes[index_of(ServiceClass::kBatch)].waiting, 1);
  EXPECT_THAT(core.finish(seconds(2), 5), IsEmpty()) << "a fifth is for dearer work";
  EXPECT_THAT(core.finish(seconds(2), 4), ElementsAre("3 to 0"));
}

TEST_F(Displacement, WhoHasDoneLeastGoesFirst) {
  TestCore core = core_of(4);
  fill(core, test_request(1, ServiceClass::kBatch, 100), false);
  core.tell(milliseconds(1110), FirstTokenEmitted{RequestId(2)});
  core.tell(milliseconds(1120), FirstTokenEmitted{RequestId(3)});
  core.tell(milliseconds(1130), FirstTokenEmitted{RequestId(1)});
  EXPECT_THAT(guaranteed(core, 5, milliseconds(1150)), ElementsAre("1 off 0", "5 to 0"));
}

TEST_F(Displacement, FlexWorkMakesRoomBeforeItsFirstTokenOnly) {
  TestCore before = core_of(4), after = core_of(4);
  fill(before, test_request(1, ServiceClass::kFlex, 100), false);
  EXPECT_THAT(guaranteed(before, 5), ElementsAre("3 off 0", "5 to 0"));
  fill(after, test_request(1, ServiceClass::kFlex, 100), true);
  EXPECT_THAT(guaranteed(after, 5), IsEmpty());
}

TEST_F(Displacement, BatchWorkThatIsStreamedMakesRoomBeforeItsFirstTokenOnly) {
  TestCore core = core_of(4);
  Request streamed = test_request(1, ServiceClass::kBatch, 100);
  streamed.streamed = true;
  fill(core, streamed, true);
  EXPECT_THAT(guaranteed(core, 5), IsEmpty());
}

TEST_F(Displacement, StandardWorkMakesNoRoom) {
  TestCore core = core_of(4);
  fill(core, test_request(1, ServiceClass::kStandard, 100), false);
  EXPECT_THAT(guaranteed(core, 5), IsEmpty());
}

TEST_F(Displacement, OnlyGuaranteedWorkIsGivenRoom) {
  TestCore core = core_of(4);
  fill(core, test_request(1, ServiceClass::kBatch, 100), false);
  EXPECT_THAT(core.arrive(milliseconds(1100), test_request(5, ServiceClass::kStandard, 100)),
              IsEmpty());
}

TEST_F(Displacement, CanBeLeftOut) {
  TestCore core = core_of(4, without(ScorePart::kDisplacement));
  fill(core, test_request(1, ServiceClass::kBatch, 100), false);
  EXPECT_THAT(guaranteed(core, 5), IsEmpty());
}

TEST_F(Displacement, TakesNobodyWhoseOwnPromiseWouldBeLost) {
  TestCore core = core_of(1);
  Request batch = test_request(1, ServiceClass::kBatch, 100);
  batch.targets.deadline = seconds(2);  // 200 tokens take a second
  core.arrive(seconds(1), batch);
  core.tell(milliseconds(1010), FirstTokenEmitted{RequestId(1)});
  EXPECT_THAT(guaranteed(core, 2, milliseconds(2500)), IsEmpty());
}

TEST_F(Displacement, TakesOneRequestOffFiveTimesAtMost) {
  TestCore core = core_of(1);
  core.arrive(seconds(1), test_request(1, ServiceClass::kBatch, 100));
  for (std::uint64_t id = 2; id < 7; ++id) {
    EXPECT_THAT(guaranteed(core, id, seconds(id)),
                ElementsAre("1 off 0", std::to_string(id) + " to 0"));
    EXPECT_THAT(core.finish(seconds(id) + milliseconds(100), id), ElementsAre("1 to 0"));
  }
  EXPECT_THAT(guaranteed(core, 7, seconds(7)), IsEmpty());
}

// Fills a replica of one sequence and lets two of each tenant wait, the first tenant's first.
std::vector<std::string> order_of_tenants(const PlacementPolicy& policy) {
  TestFleet made = with_targets(make_test_fleet({{.name = "a", .max_running = 1}}));
  made.fleet.tenants = {{"default"}, {"a"}, {"b"}};
  TestCore core(std::move(made), policy);
  core.arrive(seconds(1), test_request(1, ServiceClass::kFlex, 100));
  for (std::uint64_t id = 2; id <= 5; ++id) {
    Request request = test_request(id, ServiceClass::kFlex, 100);
    request.tenant = TenantId(id < 4 ? 1 : 2);
    core.arrive(seconds(1), request);
  }
  std::vector<std::string> order;
  std::uint64_t running = 1;
  for (int i = 0; i < 4; ++i) {
    for (const std::string& word : core.finish(seconds(1) + (i + 1) * milliseconds(100), running)) {
      order.push_back(word);
      running = std::stoull(word);
    }
  }
  return order;
}

// One replica that is busy with a standard request, and a rented service at so much a prompt of
// 1000.
TestCore busy_beside_rented(double rented_per_prompt) {
  TestCore core(
      with_targets(make_test_fleet(
          {{.name = "own", .max_running = 1},
           {.name = "rented",
            .kind = perf::ServingKind::kMetered,
            .metered = {.per_million_prompt = 1000 * rented_per_prompt, .tpot_s = 0.01}}})),
      {});
  core.arrive(seconds(1), test_request(1, ServiceClass::kStandard, 100));
  return core;
}

TEST(MedleyPlacement, WorkThatMayWaitDoesNotRentAtOnce) {
  TestCore core = busy_beside_rented(0.0015);  // flex is worth .002
  EXPECT_THAT(core.arrive(seconds(1), test_request(2, ServiceClass::kFlex, 1000)), IsEmpty());
  EXPECT_THAT(core.ring_until_decided(), ElementsAre("2 to 1"));
}

TEST(MedleyPlacement, WorkThatMayWaitTakesWhatComesFreeMeanwhile) {
  TestCore core = busy_beside_rented(0.0015);
  EXPECT_THAT(core.arrive(seconds(1), test_request(2, ServiceClass::kFlex, 1000)), IsEmpty());
  EXPECT_THAT(core.finish(seconds(1) + milliseconds(200), 1), ElementsAre("2 to 0"));
}

TEST(MedleyPlacement, WorkWithADeadlineBidsLate) {
  const auto where_it_went = [](Duration until) {
    TestCore core = busy_beside_rented(0.0005);  // batch is worth .0008
    EXPECT_THAT(core.arrive(seconds(1), test_request(2, ServiceClass::kBatch, 1000)), IsEmpty());
    return core.ring_until(until);
  };
  EXPECT_THAT(where_it_went(seconds(120)), IsEmpty());
  EXPECT_THAT(where_it_went(seconds(200)), ElementsAre("2 to 1"));  // of 300
}

TEST(MedleyPlacement, WorkThatMayWaitNeverPaysTwiceItsValueInRent) {
  const auto fate = [](double rented_per_prompt) {
    TestCore core = busy_beside_rented(rented_per_prompt);
    core.arrive(seconds(1), test_request(2, ServiceClass::kBatch, 1000));
    return core.ring_until_decided();
  };
  EXPECT_THAT(fate(0.0012), ElementsAre("2 to 1"));
  EXPECT_THAT(fate(0.0016), ElementsAre("no 2"));  // it would age to six times its value
}

TEST(MedleyPlacement, WhoWaitsForAnAnswerIsNotKeptWaitingForWhatItCosts) {
  TestCore core = busy_beside_rented(0.009);  // standard is worth .005
  EXPECT_THAT(core.arrive(seconds(1), test_request(2, ServiceClass::kStandard, 1000)),
              ElementsAre("2 to 1"));
}

TEST(MedleyPlacement, WhereNothingCheaperCanComeFreeItRentsAtOnce) {
  TestCore core(
      with_targets(make_test_fleet({{.name = "rented",
                                     .kind = perf::ServingKind::kMetered,
                                     .metered = {.per_million_prompt = 5, .tpot_s = 0.01}}})),
      {});
  for (std::uint64_t id = 1; id <= 3; ++id) {
    EXPECT_THAT(core.arrive(seconds(1), test_request(id, ServiceClass::kBatch, 1000)),
                ElementsAre(std::to_string(id) + " to 0"));
  }
}

TEST(MedleyPlacement, ShorterWorkIsFoundBehindManyThatDoNotFit) {
  TestCore core(with_targets(make_test_fleet({{.name = "a", .kv_tokens = 2000}})), {});
  auto arrive = [&, id = std::uint64_t{0}](long long prompt) mutable {
    Request request = test_request(++id, ServiceClass::kFlex, prompt);
    request.output_known = Tokens(100);
    return core.arrive(seconds(1), request);
  };
  EXPECT_THAT(arrive(1000), ElementsAre("1 to 0"));
  for (int i = 0; i < 10; ++i)
    EXPECT_THAT(arrive(1000), IsEmpty());
  EXPECT_THAT(arrive(600), IsEmpty()) << "its turn comes after theirs";
  EXPECT_THAT(core.ring_until_decided(), ElementsAre("12 to 0"));
}

TEST(MedleyPlacement, TenantsThatWaitTakeTurns) {
  EXPECT_THAT(order_of_tenants({}), ElementsAre("2 to 0", "4 to 0", "3 to 0", "5 to 0"));
  EXPECT_THAT(order_of_tenants(without(ScorePart::kFairness)),
              ElementsAre("2 to 0", "3 to 0", "4 to 0", "5 to 0"));
}

TEST(MedleyPlacement, OfATenantsWorkWhatHasPriorityGoesFirst) {
  TestCore core(with_targets(make_test_fleet({{.name = "a", .max_running = 1}})), {});
  core.arrive(seconds(1), test_request(1, ServiceClass::kFlex, 100));
  core.arrive(seconds(1), test_request(2, ServiceClass::kFlex, 100));
  Request urgent = test_request(3, ServiceClass::kFlex, 100);
  urgent.priority = -1;
  core.arrive(seconds(1), urgent);
  EXPECT_THAT(core.finish(milliseconds(1100), 1), ElementsAre("3 to 0"));
  EXPECT_THAT(core.finish(milliseconds(1200), 3), ElementsAre("2 to 0"));
}

TEST(MedleyPlacement, AFloodLeavesRoomForOthersOnALane) {
  // How many of a hundred short prompts in .2 s are taken, where another tenant came before.
  const auto taken_of_a_flood = [](const PlacementPolicy& policy) {
    TestFleet made = with_targets(make_test_fleet({{.name = "lane",
                                                    .max_running = 1000,
                                                    .kv_tokens = 0,
                                                    .max_context = 100'000,
                                                    .step_s = 0.003,
                                                    .kind = perf::ServingKind::kSlotted}}));
    made.fleet.tenants = {{"default"}, {"a"}, {"b"}};
    TestCore core(std::move(made), policy);
    std::uint64_t id = 0;
    int taken = 0;
    for (int i = 0; i < 100; ++i) {
      Request request = test_request(++id, ServiceClass::kGuaranteed, 1'000);
      request.tenant = TenantId(i == 0 ? 1 : 2);
      for (const std::string& word :
           core.arrive(seconds(i == 0 ? 1 : 2) + i * milliseconds(2), request))
        taken += word.starts_with(std::to_string(id) + " to ") ? 1 : 0;
      if (i == 0)
        core.tell(seconds(1) + milliseconds(60), FirstTokenEmitted{RequestId(id)});
    }
    return taken;
  };
  const int fair = taken_of_a_flood({});
  const int unfair = taken_of_a_flood(without(ScorePart::kFairness));
  EXPECT_LT(fair, unfair);
  EXPECT_GT(fair, unfair / 2);  // a quarter of half a second, at most
}

// A rented service that is quick and dear, and a replica that is neither.
TestFleet quick_or_cheap() {
  return with_targets(make_test_fleet({{.name = "cloud",
                                        .kind = perf::ServingKind::kMetered,
                                        .metered = {.per_million_prompt = 10,
                                                    .per_million_output = 10,
                                                    .ttft_median_s = 0.05,
                                                    .ttft_sigma = 0.1,
                                                    .tpot_s = 0.005}},
                                       {.name = "own", .step_s = 0.02}}));
}

// Where requests go that come one after the other: "cloud", a rented service, or "own", a replica
// that costs less and is unsure to keep its time per token, which it is seen to do in `tpot`.
std::vector<std::string> places(int requests, ServiceClass service_class, Duration tpot) {
  TestFleet made = with_targets(make_test_fleet({{.name = "cloud",
                                                  .kind = perf::ServingKind::kMetered,
                                                  .metered = {.per_million_prompt = 1,
                                                              .per_million_output = 1,
                                                              .ttft_median_s = 0.05,
                                                              .ttft_sigma = 0.1,
                                                              .tpot_s = 0.005}},
                                                 {.name = "own", .step_s = 0.03}}));
  made.perf.pools[1].tpot_error = 0.5;
  TestCore core(std::move(made), {});
  std::vector<std::string> places;
  for (int i = 1; i <= requests; ++i) {
    const Duration at = seconds(60) * i;
    const bool own = core.arrive(at, test_request(static_cast<std::uint64_t>(i), service_class,
                                                  100)) == std::vector{std::to_string(i) + " to 1"};
    places.push_back(own ? "own" : "cloud");
    core.tell(at + milliseconds(60), FirstTokenEmitted{RequestId(i)});
    core.tell(at + milliseconds(60) + 199 * (own ? tpot : Duration(milliseconds(5))),
              RequestFinished{RequestId(i), Tokens(200)});
  }
  return places;
}

TEST(MedleyPlacement, AnIdlePoolOfOnesOwnIsTriedUntilItIsKnown) {
  using testing::Each;
  EXPECT_THAT(places(60, ServiceClass::kStandard, milliseconds(30)), Each("own"));
  const std::vector<std::string> slow = places(60, ServiceClass::kStandard, milliseconds(48));
  EXPECT_EQ(slow.front(), "own");
  EXPECT_EQ(slow.back(), "cloud");
  // With what must be kept nothing is tried.
  EXPECT_THAT(places(60, ServiceClass::kGuaranteed, milliseconds(6)), Each("cloud"));
}

// A rented service that is dear, and two sequences' worth of hardware that is quick by its model.
TestFleet dear_or_own() {
  return with_targets(make_test_fleet({{.name = "cloud",
                                        .kind = perf::ServingKind::kMetered,
                                        .metered = {.per_million_prompt = 1,
                                                    .per_million_output = 1,
                                                    .ttft_median_s = 0.05,
                                                    .ttft_sigma = 0.1,
                                                    .tpot_s = 0.005}},
                                       {.name = "own", .step_s = 0.005}}));
}

TEST(MedleyPlacement, AReplicaThatOwesAFirstTokenIsNotIdle) {
  TestCore core(dear_or_own(), {});
  EXPECT_THAT(core.arrive(seconds(1), test_request(1, ServiceClass::kStandard, 100)),
              ElementsAre("1 to 1"));
  EXPECT_THAT(core.arrive(seconds(9), test_request(2, ServiceClass::kGuaranteed, 100)),
              ElementsAre("2 to 0"));
  // Whoever can wait that long may, and makes it look no better.
  core.arrive(seconds(10), test_request(3, ServiceClass::kBatch, 100));
  EXPECT_THAT(core.arrive(seconds(11), test_request(4, ServiceClass::kGuaranteed, 100)),
              ElementsAre("4 to 0"));
  // Its first token is a sign of life.
  core.finish(seconds(12), 1);
  core.finish(seconds(12), 3);
  EXPECT_THAT(core.arrive(seconds(13), test_request(5, ServiceClass::kGuaranteed, 100)),
              ElementsAre("5 to 1"));
}

TEST(MedleyPlacement, WhoLeavesTellsHowSlowItWas) {
  // With a first token and ten more in two seconds, or with none.
  for (const bool has_first_token : {true, false}) {
    TestCore core(dear_or_own(), {});
    std::vector<std::string> went;
    for (std::uint64_t id = 1; id <= 60; ++id) {
      const Duration at = seconds(10) * static_cast<int>(id);
      Request request = test_request(id, ServiceClass::kStandard, 100);
      request.targets.ttft = milliseconds(120);
      for (std::string& word : core.arrive(at, request))
        went.push_back(std::move(word));
      ASSERT_EQ(went.size(), id);
      if (went.back().ends_with(" to 0")) {
        core.finish(at + milliseconds(50), id, 2);
        continue;
      }
      if (has_first_token)
        core.tell(at + milliseconds(20), FirstTokenEmitted{RequestId(id)});
      core.tell(at + seconds(2), RequestCancelled{RequestId(id), Tokens(has_first_token ? 11 : 0)});
    }
    EXPECT_EQ(went.front(), "1 to 1");
    EXPECT_EQ(went.back(), "60 to 0");
  }
}

TEST(MedleyPlacement, APoolThatWasSlowIsTriedAgainAfterAWhile) {
  TestCore core(dear_or_own(), {});
  std::uint64_t id = 0;
  const auto goes_to_own = [&](Duration at, Duration tpot) {
    ++id;
    const bool own = core.arrive(at, test_request(id, ServiceClass::kStandard, 100)) ==
                     std::vector{std::to_string(id) + " to 1"};
    core.tell(at + milliseconds(20), FirstTokenEmitted{RequestId(id)});
    core.tell(at + milliseconds(20) + 199 * (own ? tpot : Duration(milliseconds(5))),
              RequestFinished{RequestId(id), Tokens(200)});
    return own;
  };
  int while_slow = 0, afterwards = 0;
  for (int i = 1; i <= 60; ++i)
    while_slow += goes_to_own(seconds(30) * i, milliseconds(75)) ? 1 : 0;
  EXPECT_LT(while_slow, 45);
  for (int i = 61; i <= 600; ++i)
    afterwards += goes_to_own(seconds(30) * i, milliseconds(5)) ? 1 : 0;
  EXPECT_GT(afterwards, 400);
}

TEST(MedleyPlacement, SaysWhatItsScoresAreMadeOf) {
  Sink sink;
  TestCore core(quick_or_cheap(), {});
  core.scheduler().explain_to(&sink);
  core.arrive(seconds(1), test_request(1, ServiceClass::kStandard, 100));
  core.arrive(seconds(1), test_request(2, ServiceClass::kGuaranteed, 100));
  ASSERT_EQ(sink.heard.size(), 2u);
  for (const Explanation& why : sink.heard) {
    EXPECT_EQ(why.priced, false);
    for (const Candidate& candidate : why.candidates) {
      EXPECT_NEAR(*candidate.score,
                  *candidate.worth - *candidate.money - *candidate.residents - *candidate.later -
                      *candidate.toll,
                  1e-15);
      EXPECT_NEAR(*candidate.probability, *candidate.ttft_probability * *candidate.tpot_probability,
                  1e-15);
      EXPECT_FALSE(candidate.unit_price);
    }
  }
}

TEST(MedleyPlacement, SaysWhichTargetWouldHaveChangedItsDecision) {
  Sink sink;
  TestCore core(quick_or_cheap(), {});
  core.scheduler().explain_to(&sink);
  EXPECT_THAT(core.arrive(seconds(1), test_request(1, ServiceClass::kGuaranteed, 100)),
              ElementsAre("1 to 0"));
  const Candidate& own = sink.heard.back().candidates.at(1);
  EXPECT_GT(*own.lacks, 0);
  EXPECT_FALSE(own.wins_at_ttft_s) << "it is the time per token that it does not keep";
  ASSERT_TRUE(own.wins_at_tpot_s);
  EXPECT_GT(*own.wins_at_tpot_s, *own.tpot_s);
  const auto goes_to = [](double tpot_target_s) {
    TestCore again(quick_or_cheap(), {});
    Request request = test_request(1, ServiceClass::kGuaranteed, 100);
    request.targets.tpot = round_to_duration(Seconds(tpot_target_s));
    return again.arrive(seconds(1), request);
  };
  EXPECT_THAT(goes_to(*own.wins_at_tpot_s), ElementsAre("1 to 1"));
  EXPECT_THAT(goes_to(*own.wins_at_tpot_s * 0.8), ElementsAre("1 to 0"));
}

TEST(MedleyPlacement, SaysWhatIsMissingWhereNothingIsChosen) {
  Sink sink;
  TestCore core(with_targets(make_test_fleet({{.name = "a", .max_context = 100'000}})), {});
  for (std::uint64_t id = 1; id <= 2; ++id)
    core.arrive(seconds(1), test_request(id, ServiceClass::kStandard, 8'000));
  core.scheduler().explain_to(&sink);
  Request request = test_request(9, ServiceClass::kStandard, 8'000);
  request.targets.ttft = milliseconds(500);
  EXPECT_THAT(core.arrive(seconds(1), request), IsEmpty());
  const Explanation& why = sink.heard.back();
  EXPECT_EQ(why.outcome, Outcome::kQueued);
  const Candidate& there = why.candidates.at(0);
  EXPECT_EQ(there.replica, ReplicaId(0));
  EXPECT_EQ(there.forbidden, Forbidden::kSlow) << "it has room";
  ASSERT_TRUE(there.wins_at_ttft_s);
  EXPECT_GT(*there.wins_at_ttft_s, 0.6);
}

TEST(MedleyPlacement, SaysThatItIsTheMoneyWhereOthersWouldLoseNothing) {
  Sink sink;
  TestFleet made = with_targets(make_test_fleet({{.name = "a", .replicas = 2}}));
  made.fleet.classes[index_of(ServiceClass::kBatch)].value = Money(1e-9);
  TestCore core(std::move(made), {});
  for (std::uint64_t id = 1; id <= 4; ++id)
    core.arrive(seconds(1), test_request(id, ServiceClass::kFlex, 100));
  core.scheduler().explain_to(&sink);
  EXPECT_THAT(core.arrive(seconds(2), test_request(9, ServiceClass::kBatch, 100)), IsEmpty());
  const Candidate& there = sink.heard.back().candidates.at(0);
  EXPECT_EQ(there.forbidden, Forbidden::kCostly);
  EXPECT_EQ(*there.residents + *there.later + *there.toll, 0);
  EXPECT_GT(*there.money, *there.worth);
  EXPECT_NEAR(*there.lacks, *there.money - *there.worth, 1e-15);
}

TEST(MedleyPlacement, SaysThatAFullReplicaIsFull) {
  Sink sink;
  TestCore core(with_targets(make_test_fleet({{.name = "a", .max_running = 1}})), {});
  core.scheduler().explain_to(&sink);
  for (std::uint64_t id = 1; id <= 2; ++id)
    core.arrive(seconds(1), test_request(id, ServiceClass::kFlex, 100));
  EXPECT_EQ(sink.heard.back().behind, Ahead::kNothing);
  EXPECT_EQ(sink.heard.back().candidates.at(0).forbidden, Forbidden::kFull);
}

TEST(MedleyPlacement, SaysWhenWorkWasNotWeighedSinceOthersOfItsKindWait) {
  Sink sink;
  TestFleet made = with_targets(make_test_fleet({{.name = "a", .max_running = 1}}));
  made.fleet.tenants = {{"default"}, {"a"}, {"b"}};
  TestCore core(std::move(made), {});
  core.scheduler().explain_to(&sink);
  const auto why_waits = [&](std::uint64_t id, std::uint64_t tenant) {
    Request request = test_request(id, ServiceClass::kFlex, 100);
    request.tenant = TenantId(tenant);
    core.arrive(seconds(1), request);
    return sink.heard.back();
  };
  EXPECT_EQ(why_waits(1, 1).outcome, Outcome::kDispatched);
  EXPECT_EQ(why_waits(2, 2).behind, Ahead::kNothing);
  const Explanation own = why_waits(3, 2), others = why_waits(4, 1);
  EXPECT_EQ(own.behind, Ahead::kItsKind);
  EXPECT_EQ(others.behind, Ahead::kAnothersTurn);
  for (const Explanation& why : {own, others}) {
    EXPECT_EQ(why.outcome, Outcome::kQueued);
    EXPECT_EQ(why.candidates.at(0).forbidden, Forbidden::kNotAsked);
  }
}

}  // namespace
}  // namespace medley::sched
