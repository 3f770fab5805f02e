#include "sched/promise.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sched/test_core.h"

namespace medley::sched {
namespace {

using std::chrono::microseconds, std::chrono::milliseconds;

// A prompt token takes 0.1 ms of the lane, a token of an answer 2 ms whoever is there. Error bars
// of prefill and decode are such that six deviations are a half, and a quarter, on top.
class TwoMilliseconds final : public perf::StepModel {
 public:
  perf::StepCost step(const perf::StepShape& shape) const override {
    const double lane_s = 1e-4 * static_cast<double>(shape.prefill_tokens());
    return {Seconds(shape.chunks.empty() ? 0.002 : lane_s), {}};
  }
  Watts idle_power() const override { return Watts(0); }
};

class PromisesTest : public testing::Test {
 protected:
  PromisesTest()
      : made_(make_test_fleet({{.name = "lpu",
                                .max_running = 3,
                                .kv_tokens = 4096,
                                .max_context = 2048,
                                .kind = perf::ServingKind::kSlotted},
                               {.name = "gpu"}})),
        ledger_(made_.fleet),
        promises_((with_error_bars(made_.perf)), ledger_) {}

  static const perf::PerfModel& with_error_bars(perf::PerfModel& perf) {
    perf.pools[0].steps = std::make_shared<TwoMilliseconds>();
    perf.pools[0].ttft_error = std::log(1.5) / 6;
    perf.pools[0].tpot_error = std::log(1.25) / 6;
    return perf;
  }
  // The longest answer: 100 tokens.
  static Request request(std::uint64_t id, long long prompt,
                         ServiceClass service_class = ServiceClass::kGuaranteed) {
    Request request = test_request(id, service_class, prompt);
    request.output_cap = Tokens(100);
    request.targets = {milliseconds(500), milliseconds(8), {}};
    return request;
  }
  std::optional<TokenWindow> dispatch(Duration at, const Request& request,
                                      std::uint64_t replica = 0, int failures = 0) {
    Resident resident{request, ReplicaId(replica), Instant(at), {}, 0, {}, {}, {}, failures};
    ledger_.dispatched(resident);
    return promises_.dispatched(Instant(at), resident);
  }
  void first_token(Duration at, std::uint64_t id) {
    ledger_.first_token(RequestId(id), Instant(at));
    promises_.first_token(Instant(at), *ledger_.find(RequestId(id)));
  }
  void leave(Duration at, std::uint64_t id) {
    const Resident resident = ledger_.remove(RequestId(id));
    promises_.left(Instant(at), resident);
  }

  TestFleet made_;
  Ledger ledger_;
  Promises promises_;
};

constexpr Duration kToken = microseconds(2500);  // 2 ms and a quarter

TEST_F(PromisesTest, AddsTheMarginsOfPrefillAndDecodeToTheModelsTimes) {
  EXPECT_EQ(dispatch({}, request(1, 100)), (TokenWindow{milliseconds(15) + kToken, kToken}));
}

TEST_F(PromisesTest, CountsFromTheArrival) {
  Request late = request(1, 100);
  late.arrived_at = Instant(milliseconds(30));
  EXPECT_EQ(dispatch(milliseconds(70), late)->first_token_within, milliseconds(40 + 15) + kToken);
}

TEST_F(PromisesTest, CountsThePromptsAheadWithTheMarginOfTheirSum) {
  dispatch({}, request(1, 300, ServiceClass::kStandard));  // whose promise nobody asks for
  // 30 and 40 ms; errors are independent, so their margins add up as a right angle's sides.
  EXPECT_EQ(dispatch({}, request(2, 400))->first_token_within, milliseconds(70 + 25) + kToken);
}

TEST_F(PromisesTest, LearnsFromAFirstTokenSinceWhenTheLaneHasTheNext) {
  dispatch({}, request(1, 300));
  dispatch({}, request(2, 400));
  first_token(milliseconds(42), 1);  // it left the lane at 40, ten later than modelled
  EXPECT_EQ(dispatch(milliseconds(50), request(3, 300))->first_token_within,
            milliseconds(40 + 70 + 25) + kToken);
}

TEST_F(PromisesTest, CountsAPromptThatAnotherOvertook) {
  dispatch({}, request(1, 300));
  dispatch({}, request(2, 100));
  first_token(milliseconds(12), 2);
  EXPECT_EQ(dispatch(milliseconds(20), request(3, 400))->first_token_within,
            milliseconds(70 + 25) + kToken);
}

TEST_F(PromisesTest, KnowsThatALaneThatRanEmptyBeginsWithTheArrival) {
  dispatch({}, request(1, 300));
  // It left the lane at 30 at the latest with 45; its first token is still to come.
  EXPECT_EQ(dispatch(milliseconds(44), request(2, 400))->first_token_within,
            std::max(milliseconds(70 + 25), milliseconds(44 + 60)) + kToken);
}

TEST_F(PromisesTest, PromisesNothingWithoutASlot) {
  for (const std::uint64_t id : {1, 2, 3})
    EXPECT_TRUE(dispatch({}, request(id, 100))) << id;
  EXPECT_FALSE(dispatch({}, request(4, 100)));
  leave(milliseconds(10), 4);
  leave(milliseconds(20), 2);
  EXPECT_TRUE(dispatch(milliseconds(20), request(5, 100)));
}

TEST_F(PromisesTest, PromisesNothingWithoutMemoryForTheLongestAnswers) {
  Request endless = request(1, 100);
  endless.output_cap.reset();  // may fill its context: 2,048 of 4,096 tokens
  EXPECT_TRUE(dispatch({}, endless));
  EXPECT_TRUE(dispatch({}, request(2, 1900)));
  EXPECT_FALSE(dispatch({}, request(3, 1)));  // 2,048 + 2,000 + 101
}

TEST_F(PromisesTest, TakesALaneThatWaitedForRoomToHaveStoodStill) {
  for (const std::uint64_t id : {1, 2, 3})
    dispatch({}, request(id, 100));
  dispatch({}, request(4, 400));
  for (const std::uint64_t id : {1, 2, 3})
    first_token(milliseconds(10 * id + 2), id);
  leave(milliseconds(200), 1);  // only now the fourth has a slot
  EXPECT_FALSE(dispatch(milliseconds(210), request(5, 300)));
  leave(milliseconds(220), 2);
  leave(milliseconds(220), 5);
  EXPECT_EQ(dispatch(milliseconds(225), request(6, 300))->first_token_within,
            milliseconds(220 + 45 + 40 + 30 + 25) + kToken);
}

TEST_F(PromisesTest, TakesTheLaneToBeBusyWithWhoLeftAsLongAsItMayBe) {
  dispatch({}, request(1, 300));
  leave(milliseconds(1), 1);
  EXPECT_EQ(dispatch(milliseconds(2), request(2, 400))->first_token_within,
            milliseconds(1 + 45 + 60) + kToken);
  leave(milliseconds(3), 2);
  EXPECT_EQ(dispatch(milliseconds(70), request(3, 100))->first_token_within,
            milliseconds(70 + 15) + kToken);
}

TEST_F(PromisesTest, PromisesNothingWhileTheLaneIsLaterThanItShouldEverBe) {
  dispatch({}, request(1, 100));  // until 17.5 at the latest
  EXPECT_FALSE(dispatch(milliseconds(18), request(2, 100)));
  first_token(milliseconds(40), 1);
  EXPECT_TRUE(dispatch(milliseconds(40), request(3, 100)));
}

TEST_F(PromisesTest, PromisesTheTargetWhereThatIsALittleNearer) {
  // With 4.5 deviations in place of six a prompt of 10 ms takes 13.55 at most.
  Request hasty = request(1, 100);
  hasty.targets.ttft = milliseconds(17);
  EXPECT_EQ(dispatch({}, hasty)->first_token_within, milliseconds(17));
  leave({}, 1);
  promises_.lost(ReplicaId(0));
  hasty.targets.ttft = milliseconds(16);
  EXPECT_FALSE(dispatch({}, hasty));
}

TEST_F(PromisesTest, StaysWithinTheTargetsOfTheRequest) {
  Request hasty = request(1, 100);
  hasty.targets = {{}, milliseconds(2), {}};
  EXPECT_FALSE(dispatch({}, hasty));
  leave({}, 1);
  promises_.lost(ReplicaId(0));
  hasty.targets = {{}, {}, milliseconds(17) + 99 * kToken};
  EXPECT_FALSE(dispatch({}, hasty)) << "all of its 100 tokens";
  leave({}, 1);
  promises_.lost(ReplicaId(0));
  hasty.targets = {{}, {}, milliseconds(18) + 99 * kToken};
  EXPECT_TRUE(dispatch({}, hasty));
}

TEST_F(PromisesTest, IsForGuaranteedRequestsOnScheduledDevicesAtTheirFirstDispatch) {
  EXPECT_FALSE(dispatch({}, request(1, 100, ServiceClass::kStandard)));
  EXPECT_FALSE(dispatch({}, request(2, 100), 1)) << "a GPU";
  EXPECT_FALSE(dispatch({}, request(3, 100), 0, 1)) << "failed before";
}

TEST_F(PromisesTest, ForgetsTheLaneOfALostReplica) {
  dispatch({}, request(1, 400));
  promises_.lost(ReplicaId(0));
  leave(milliseconds(5), 1);
  EXPECT_EQ(dispatch(milliseconds(10), request(2, 100))->first_token_within,
            milliseconds(10 + 15) + kToken);
}

TEST_F(PromisesTest, TakesALaneSeenToBeSlowerToStaySlower) {
  Resident slow{request(1, 100), ReplicaId(0), {}, {}};
  slow.ttft_ratio = 2;
  ledger_.dispatched(slow);
  EXPECT_EQ(promises_.dispatched({}, slow)->first_token_within, milliseconds(30) + kToken);
}

}  // namespace
}  // namespace medley::sched
