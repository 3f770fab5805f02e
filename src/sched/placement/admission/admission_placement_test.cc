#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sched/test_core.h"

namespace medley::sched {
namespace {

using std::chrono::milliseconds, std::chrono::seconds;
using testing::ElementsAre, testing::IsEmpty;

PlacementPolicy behind_a_door(PlacementKind kind) {
  PlacementPolicy policy(kind);
  policy.admission = true;
  return policy;
}

// A second of prompts fills `tokens_per_second` at 20 µs a token and 5 ms a chunk of 256.
constexpr long long kHalfASecond = 12'500;

TestFleet two_lanes() {
  TestFleet made = make_test_fleet({{.name = "a", .replicas = 2, .max_context = 100'000}});
  ClassPolicy& standard = made.fleet.classes[index_of(ServiceClass::kStandard)];
  standard.targets.ttft = seconds(1);
  standard.targets.tpot = milliseconds(50);
  return made;
}

TEST(AdmissionPlacement, DispatchesWhatThePolicyChoseWhereTheTargetsAreKept) {
  TestCore core(two_lanes(), behind_a_door(PlacementKind::kRoundRobin));
  EXPECT_THAT(core.arrive(seconds(1), test_request(1, ServiceClass::kStandard, 100)),
              ElementsAre("1 to 0"));
  EXPECT_THAT(core.arrive(seconds(1), test_request(2, ServiceClass::kStandard, 100)),
              ElementsAre("2 to 1"));
  ASSERT_TRUE(core.scheduler().prediction(RequestId(1)).has_value());
}

TEST(AdmissionPlacement, HoldsWhatWouldMissAndDispatchesItWhenItFits) {
  TestCore core(two_lanes(), behind_a_door(PlacementKind::kLeastOutstanding));
  EXPECT_THAT(core.arrive(seconds(1), test_request(1, ServiceClass::kStandard, kHalfASecond)),
              ElementsAre("1 to 0"));
  EXPECT_THAT(core.arrive(seconds(1), test_request(2, ServiceClass::kStandard, kHalfASecond)),
              ElementsAre("2 to 1"));
  EXPECT_THAT(core.arrive(seconds(1), test_request(3, ServiceClass::kStandard, kHalfASecond)),
              IsEmpty());
  EXPECT_THAT(core.finish(seconds(1) + milliseconds(200), 1), ElementsAre("3 to 0"));
}

TEST(AdmissionPlacement, RefusesWhatStillWouldMissAtItsLastChance) {
  TestCore core(two_lanes(), behind_a_door(PlacementKind::kLeastOutstanding));
  core.arrive(seconds(1), test_request(1, ServiceClass::kStandard, kHalfASecond));
  core.arrive(seconds(1), test_request(2, ServiceClass::kStandard, kHalfASecond));
  EXPECT_THAT(core.arrive(seconds(1), test_request(3, ServiceClass::kStandard, kHalfASecond)),
              IsEmpty());
  EXPECT_THAT(core.ring_until_decided(), ElementsAre("no 3"));
}

TEST(AdmissionPlacement, LeavesTheTurnWhereItWasWhenItDeclines) {
  TestCore core(two_lanes(), behind_a_door(PlacementKind::kRoundRobin));
  core.arrive(seconds(1), test_request(1, ServiceClass::kStandard, kHalfASecond));
  EXPECT_THAT(core.arrive(seconds(1), test_request(2, ServiceClass::kStandard, kHalfASecond)),
              ElementsAre("2 to 1"));
  // Its turn is replica 0, which is busy: it waits, and those of another kind still begin there.
  EXPECT_THAT(core.arrive(seconds(1), test_request(3, ServiceClass::kStandard, kHalfASecond)),
              IsEmpty());
  EXPECT_THAT(core.arrive(seconds(1), test_request(4, ServiceClass::kBatch, 100)),
              ElementsAre("4 to 0"));
}

}  // namespace
}  // namespace medley::sched
