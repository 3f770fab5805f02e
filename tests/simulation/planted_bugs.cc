// Each bug that was planted in src/sched (base/plant.h) is found by the fault simulation within its
// normal budget of seeds; without one, nothing is found.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/plant.h"
#include "fault_run.h"

namespace medley::sched {
namespace {

std::string_view name_of(Bug bug) {
  switch (bug) {
    case Bug::kDoubleDispatch:
      return "double dispatch";
    case Bug::kLostWakeUp:
      return "lost wake-up";
    case Bug::kLabelDroppedOnRetry:
      return "label dropped on retry";
    case Bug::kSequenceLeak:
      return "sequence leak";
    case Bug::kRoomLeak:
      return "room leak";
    case Bug::kPriceSign:
      return "price sign";
    case Bug::kStaleAsIdle:
      return "stale as idle";
    case Bug::kFailedOnForgotten:
      return "failed replica forgotten";
    case Bug::kLostStillUsed:
      return "lost replica still used";
    case Bug::kReturnForgotten:
      return "return forgotten";
    case Bug::kBacklogUnbounded:
      return "backlog unbounded";
    case Bug::kExpiredKept:
      return "expired kept";
    case Bug::kWrongClassCounted:
      return "wrong class counted";
    case Bug::kQuotaRefundedTwice:
      return "quota refunded twice";
    case Bug::kFailuresUncounted:
      return "failures uncounted";
    case Bug::kRetryAfterUnbounded:
      return "retry-after unbounded";
    case Bug::kCancelledKept:
      return "cancelled kept";
    case Bug::kHeadroomIgnored:
      return "headroom ignored";
    case Bug::kWindowWithoutRoom:
      return "window without room";
    case Bug::kPreemptedForgotten:
      return "preempted forgotten";
    case Bug::kNone:
    case Bug::kCount:
      break;
  }
  return "none";
}

// The seed that finds the planted bug first, and how; seed 0 if none does.
std::pair<std::uint64_t, Violation> first_found(std::uint64_t seeds) {
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    if (const std::optional<Violation> found = run_with_faults(seed, false).violation)
      return {seed, *found};
  }
  return {0, {}};
}

class PlantedBugs : public testing::Test {
 protected:
  void TearDown() override { planted_bug = Bug::kNone; }
};

TEST_F(PlantedBugs, AreEachFoundWithinTheNormalBudget) {
  for (int i = 1; i < static_cast<int>(Bug::kCount); ++i) {
    planted_bug = static_cast<Bug>(i);
    const auto [seed, found] = first_found(kFaultSeeds);
    EXPECT_NE(seed, 0u) << name_of(planted_bug) << " is not found";
    fmt::print("| {} | {} | {} |\n", name_of(planted_bug), found.check, seed);
  }
}

// The other side: the copy with the plants decides as the real one while none is switched on.
TEST_F(PlantedBugs, NothingIsFoundWhereNoneIsPlanted) {
  const auto [seed, found] = first_found(kFaultSeeds);
  EXPECT_EQ(seed, 0u) << found.check << ": " << found.what;
}

}  // namespace
}  // namespace medley::sched
