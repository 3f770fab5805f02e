#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sched/test_core.h"

namespace medley::sched {
namespace {

using std::chrono::milliseconds, std::chrono::seconds;
using testing::ElementsAre, testing::IsEmpty;

// Prompt tokens that take half a second of a pool's prefill: 5 ms and 256 times 20 µs a chunk.
constexpr long long kHalfASecond = 12'500;

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

TEST(EdfComposite, TriesWhatWaitsByItsDeadlineWhateverItsClass) {
  TestCore core(with_targets(make_test_fleet({{.name = "a", .max_running = 1}})),
                PlacementKind::kEdfComposite);
  EXPECT_THAT(core.arrive(seconds(1), test_request(1, ServiceClass::kFlex, 100)),
              ElementsAre("1 to 0"));
  EXPECT_THAT(core.arrive(seconds(1), test_request(2, ServiceClass::kFlex, 100)), IsEmpty());
  // Due at 11.1 s, the flex one at 11: it comes first although it is worth less.
  EXPECT_THAT(core.arrive(milliseconds(10'100), test_request(3, ServiceClass::kStandard, 100)),
              IsEmpty());
  EXPECT_THAT(core.finish(milliseconds(10'200), 1), ElementsAre("2 to 0"));
  EXPECT_THAT(core.finish(milliseconds(10'300), 2), ElementsAre("3 to 0"));
}

TEST(EdfComposite, RefusesWhenTheTimeToFirstTokenIsSpent) {
  TestCore core(with_targets(make_test_fleet({{.name = "a", .max_running = 1}})),
                PlacementKind::kEdfComposite);
  core.arrive(seconds(1), test_request(1, ServiceClass::kStandard, 100));
  EXPECT_THAT(core.arrive(seconds(1), test_request(2, ServiceClass::kStandard, 100)), IsEmpty());
  EXPECT_THAT(core.ring_until_decided(), ElementsAre("no 2"));
}

TEST(EdfComposite, TakesTheLeastCapablePoolThatKeepsTheTargets) {
  TestFleet made = with_targets(
      make_test_fleet({{.name = "fast", .step_s = 0.005}, {.name = "slow", .step_s = 0.03}}));
  made.fleet.pools[0].model.parameters = 70e9;
  made.fleet.pools[1].model.parameters = 8e9;
  TestCore core(made, PlacementKind::kEdfComposite);
  EXPECT_THAT(core.arrive(seconds(1), test_request(1, ServiceClass::kStandard, 100)),
              ElementsAre("1 to 1"));
  EXPECT_THAT(core.arrive(seconds(1), test_request(2, ServiceClass::kGuaranteed, 100)),
              ElementsAre("2 to 0"));
}

TEST(EdfComposite, GuardsTheTimePerTokenOfThoseWhoAreThere) {
  // Each sequence adds a hundredth of a step.
  TestFleet made =
      with_targets(make_test_fleet({{.name = "a", .max_running = 64, .step_s = 0.04}}));
  TestCore core(made, PlacementKind::kEdfComposite);
  EXPECT_THAT(core.arrive(seconds(1), test_request(1, ServiceClass::kStandard, 100)),
              ElementsAre("1 to 0"));
  core.tell(milliseconds(1100), FirstTokenEmitted{RequestId(1)});
  int joined = 0;
  for (std::uint64_t i = 2; i < 60; ++i) {
    joined += core.arrive(seconds(2), test_request(i, ServiceClass::kBatch, 1)).empty() ? 0 : 1;
    core.tell(seconds(2), FirstTokenEmitted{RequestId(i)});  // no prompt waits
  }
  EXPECT_GT(joined, 5);
  EXPECT_LT(joined, 25);  // 0.04·(1 + n/100) stays within 50 ms
  // Without a resident to guard they all fit.
  TestCore alone(made, PlacementKind::kEdfComposite);
  joined = 0;
  for (std::uint64_t i = 2; i < 60; ++i) {
    joined += alone.arrive(seconds(2), test_request(i, ServiceClass::kBatch, 1)).empty() ? 0 : 1;
    alone.tell(seconds(2), FirstTokenEmitted{RequestId(i)});  // no prompt waits
  }
  EXPECT_EQ(joined, 58);
}

TEST(EdfComposite, KeepsAShareOfASerialLaneForDearerWork) {
  TestCore core(with_targets(make_test_fleet({{.name = "lane",
                                               .max_running = 64,
                                               .kv_tokens = 0,
                                               .max_context = 100'000,
                                               .step_s = 0.003,
                                               .kind = perf::ServingKind::kSlotted}})),
                PlacementKind::kEdfComposite);
  // 20 µs a token. Where no prompt waits cheaper work may have it all; behind another prompt, 75 ms
  // in sum are more than it may fill, and 35 ms are not.
  EXPECT_THAT(core.arrive(seconds(1), test_request(1, ServiceClass::kFlex, 1'000)),
              ElementsAre("1 to 0"));
  EXPECT_THAT(core.arrive(seconds(1), test_request(2, ServiceClass::kStandard, 2'500)), IsEmpty());
  EXPECT_THAT(core.arrive(seconds(1), test_request(3, ServiceClass::kFlex, 500)),
              ElementsAre("3 to 0"));
  EXPECT_THAT(core.arrive(seconds(1), test_request(4, ServiceClass::kGuaranteed, 10'000)),
              ElementsAre("4 to 0"));
}

}  // namespace
}  // namespace medley::sched
