#include "replica/slotted.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

namespace medley::replica {
namespace {

// A tenth of a second a token, a hundredth a prompt token in the lane, 100 W whatever happens.
class TenTokensASecond final : public perf::StepModel {
 public:
  perf::StepCost step(const perf::StepShape& shape) const override {
    const Seconds time(shape.chunks.empty() ? 0.1
                                            : 0.01 * static_cast<double>(shape.prefill_tokens()));
    return {time, Watts(100) * time};
  }
  Watts idle_power() const override { return Watts(100); }
};

SlottedReplica replica_of(int slots, long long kv_tokens, bool report_tokens = false) {
  return SlottedReplica(
      {.slots = slots, .kv_tokens = kv_tokens, .steps = std::make_shared<TenTokensASecond>()},
      {.report_tokens = report_tokens});
}

Sequence sequence(std::uint64_t id, long long prompt, long long output) {
  return {.request = RequestId(id), .prompt_tokens = prompt, .output_tokens = output};
}

constexpr Instant at(double seconds) {
  return Instant(Duration(static_cast<Duration::rep>(seconds * 1e9)));
}

std::vector<Report> run(VirtualReplica& replica) {
  std::vector<Report> reports;
  while (const auto next = replica.next_event()) {
    replica.advance(*next, reports);
    replica.form_step(*next);
  }
  return reports;
}

std::vector<std::string> texts(const std::vector<Report>& reports) {
  static constexpr const char* kNames[] = {"first", "token", "finished", "evicted"};
  std::vector<std::string> result;
  for (const Report& report : reports) {
    result.push_back(fmt::format("{} {}@{:.6g}", kNames[static_cast<int>(report.kind)],
                                 report.request.number(), report.at_s));
  }
  return result;
}

using Texts = std::vector<std::string>;

TEST(Slotted, PassesPromptsThroughOneLaneAndThenGivesATokenEachTokenTime) {
  SlottedReplica replica = replica_of(4, 1000);
  replica.enqueue(at(0), sequence(1, 20, 3));  // lane 0 to 0.2
  replica.enqueue(at(0), sequence(2, 5, 1));   // lane 0.2 to 0.25
  replica.form_step(at(0));
  EXPECT_EQ(texts(run(replica)),
            (Texts{"first 1@0.3", "first 2@0.35", "finished 2@0.35", "finished 1@0.5"}));
  EXPECT_EQ(replica.usage().output_tokens, 4);
  EXPECT_EQ(replica.usage().prompt_tokens, 25);
  EXPECT_NEAR(replica.usage().busy_s, 0.5, 1e-12);
  EXPECT_NEAR(replica.usage().prefill_s, 0.25, 1e-12);
  EXPECT_NEAR(replica.usage().joules, 50, 1e-9);
}

// A lane whose prompts take as many times their own time as there are streams with them.
class SharedLane final : public perf::StepModel {
 public:
  perf::StepCost step(const perf::StepShape& shape) const override {
    const double lane_s = 0.01 * static_cast<double>(shape.prefill_tokens() * (1 + shape.decodes));
    return {Seconds(shape.chunks.empty() ? 0.1 : lane_s), {}};
  }
  Watts idle_power() const override { return Watts(0); }
};

TEST(Slotted, ReadsPromptsAsTheStreamsBesideLeaveTime) {
  SlottedReplica replica({.slots = 4, .kv_tokens = 1000, .steps = std::make_shared<SharedLane>()},
                         {});
  replica.enqueue(at(0), sequence(1, 20, 100));  // alone: to 0.2
  replica.enqueue(at(0), sequence(2, 20, 100));  // beside one: to 0.6
  replica.form_step(at(0));
  const Texts told = texts(run(replica));
  EXPECT_EQ(told[0], "first 1@0.3");
  EXPECT_EQ(told[1], "first 2@0.7");
}

TEST(Slotted, LetsAPromptInOnlyWhenASlotIsFree) {
  SlottedReplica replica = replica_of(1, 1000);
  replica.enqueue(at(0), sequence(1, 10, 2));
  replica.enqueue(at(0), sequence(2, 10, 1));
  replica.form_step(at(0));
  EXPECT_EQ(replica.load().running, 1);
  EXPECT_EQ(replica.load().waiting, 1);
  EXPECT_EQ(replica.load().pending_tokens, 22);
  EXPECT_EQ(texts(run(replica)),
            (Texts{"first 1@0.2", "finished 1@0.3", "first 2@0.5", "finished 2@0.5"}));
}

TEST(Slotted, LetsAPromptInOnlyWhenItsWholeContextHasRoomAndKeepsTheOrder) {
  SlottedReplica replica = replica_of(4, 100);
  replica.enqueue(at(0), sequence(1, 50, 10));
  replica.enqueue(at(0), sequence(2, 40, 1));  // 60 + 41 > 100
  replica.enqueue(at(0), sequence(3, 1, 1));   // would fit, but is not the first in line
  replica.form_step(at(0));
  EXPECT_EQ(replica.load().kv_tokens_used, 60);
  EXPECT_EQ(texts(run(replica)), (Texts{"first 1@0.6", "finished 1@1.5", "first 2@2",
                                        "finished 2@2", "first 3@2.01", "finished 3@2.01"}));
  EXPECT_FALSE(replica.fits(sequence(4, 50, 51)));
}

TEST(Slotted, IsNotSlowedByItsNeighbours) {
  SlottedReplica alone = replica_of(8, 1000), crowded = replica_of(8, 1000);
  for (SlottedReplica* replica : {&alone, &crowded})
    replica->enqueue(at(0), sequence(1, 10, 20));
  for (std::uint64_t id = 2; id < 8; ++id)
    crowded.enqueue(at(0), sequence(id, 10, 20));
  alone.form_step(at(0));
  crowded.form_step(at(0));
  const auto finished = [](const std::vector<Report>& reports) {
    for (const Report& report : reports) {
      if (report.kind == ReportKind::kFinished && report.request == RequestId(1))
        return report.at_s;
    }
    return -1.0;
  };
  EXPECT_EQ(finished(run(alone)), finished(run(crowded)));
}

TEST(Slotted, SharesThePowerEquallyAmongTheFilledSlots) {
  SlottedReplica replica = replica_of(2, 1000);
  replica.enqueue(at(0), sequence(1, 10, 3));  // lane to 0.1, tokens 0.2, 0.3, 0.4
  replica.enqueue(at(0), sequence(2, 10, 2));  // lane 0.1 to 0.2, tokens 0.3, 0.4
  replica.form_step(at(0));
  double sum = 0;
  for (const Report& report : run(replica)) {
    if (report.kind != ReportKind::kFinished)
      continue;
    sum += report.joules;
    EXPECT_NEAR(report.joules, report.request == RequestId(1) ? 10 + 15 : 15, 1e-9);
  }
  EXPECT_NEAR(sum, replica.usage().joules, 1e-9);
}

TEST(Slotted, TellsEveryTokenWhenAsked) {
  SlottedReplica replica = replica_of(1, 1000, true);
  replica.enqueue(at(0), sequence(1, 10, 3));
  replica.form_step(at(0));
  EXPECT_EQ(texts(run(replica)),
            (Texts{"first 1@0.2", "token 1@0.3", "token 1@0.4", "finished 1@0.4"}));
}

TEST(Slotted, TellsTheLongestGapBetweenTokensAsTheyReallyCame) {
  SlottedReplica replica = replica_of(2, 1000, true);
  replica.enqueue(at(0), sequence(1, 10, 9));
  replica.enqueue(at(0), sequence(2, 10, 1));  // in the lane while the other decodes
  replica.form_step(at(0));
  double last_s = 0, longest_s = 0;
  for (const Report& report : run(replica)) {
    if (report.kind == ReportKind::kFinished) {
      EXPECT_DOUBLE_EQ(report.itl_max_s, report.request == RequestId(1) ? 0.1 : 0);
    } else if (report.request == RequestId(1)) {
      if (report.generated > 1)
        longest_s = std::max(longest_s, report.at_s - last_s);
      last_s = report.at_s;
    }
  }
  EXPECT_NEAR(longest_s, 0.1, 1e-12);
}

TEST(Slotted, TakesLongerOrShorterForAPromptThanModelledByTheErrorPutUponIt) {
  const auto lane_s = [](std::uint64_t seed, std::uint64_t request) {
    SlottedReplica replica(
        {.slots = 1, .kv_tokens = 1000, .steps = std::make_shared<TenTokensASecond>()},
        {.seed = seed, .prefill_error = 0.03});
    replica.enqueue(at(0), sequence(request, 100, 1));
    replica.form_step(at(0));
    return run(replica).front().at_s - 0.1;  // modelled: one second
  };
  EXPECT_EQ(lane_s(1, 7), lane_s(1, 7));
  EXPECT_NE(lane_s(1, 7), lane_s(2, 7));
  double sum = 0, squares = 0;
  constexpr int kDraws = 2000;
  for (std::uint64_t request = 0; request < kDraws; ++request) {
    const double error = std::log(lane_s(1, request));
    sum += error;
    squares += error * error;
  }
  EXPECT_NEAR(sum / kDraws, 0, 0.003);
  EXPECT_NEAR(std::sqrt(squares / kDraws), 0.03, 0.002);
}

TEST(Slotted, CancelsWhereverTheSequenceIs) {
  SlottedReplica replica = replica_of(2, 1000);
  replica.enqueue(at(0), sequence(1, 10, 100));
  replica.enqueue(at(0), sequence(2, 10, 100));
  replica.enqueue(at(0), sequence(3, 10, 100));
  replica.enqueue(at(0), sequence(4, 10, 1));
  replica.form_step(at(0));
  std::vector<Report> reports;
  replica.advance(at(0.1), reports);
  replica.form_step(at(0.1));
  EXPECT_FALSE(replica.cancel(at(0.15), RequestId(9)));
  EXPECT_TRUE(replica.cancel(at(0.15), RequestId(2))) << "in the lane, which stays busy to its end";
  EXPECT_TRUE(replica.cancel(at(0.15), RequestId(3))) << "waiting";
  EXPECT_EQ(replica.load().running, 1);
  EXPECT_EQ(replica.load().kv_tokens_used, 110);
  replica.advance(at(0.2), reports);
  replica.form_step(at(0.2));
  EXPECT_TRUE(replica.cancel(at(0.25), RequestId(1))) << "generating";
  const std::vector<Report> rest = run(replica);
  EXPECT_EQ(texts(rest), (Texts{"first 4@0.4", "finished 4@0.4"}));
  EXPECT_EQ(replica.usage().output_tokens, 2);
  EXPECT_EQ(replica.load().pending_tokens, 0);
  EXPECT_EQ(replica.load().kv_tokens_used, 0);
}

TEST(Slotted, DropsWhatItHoldsAndItsLaneWhenItIsLost) {
  SlottedReplica replica = replica_of(2, 1000);
  replica.enqueue(at(0), sequence(1, 10, 100));
  replica.enqueue(at(0), sequence(2, 50, 100));
  replica.enqueue(at(0), sequence(3, 10, 100));
  replica.form_step(at(0));
  std::vector<Report> reports;
  replica.advance(at(0.1), reports);
  replica.form_step(at(0.1));
  replica.reset(at(0.25));
  EXPECT_FALSE(replica.next_event().has_value());
  EXPECT_EQ(replica.load().running + replica.load().waiting, 0);
  EXPECT_EQ(replica.load().kv_tokens_used, 0);
  EXPECT_EQ(replica.load().pending_tokens, 0);
  EXPECT_NEAR(replica.usage().busy_s, 0.25, 1e-12);
  replica.enqueue(at(0.3), sequence(4, 10, 1));
  replica.form_step(at(0.3));
  EXPECT_EQ(texts(run(replica)), (Texts{"first 4@0.5", "finished 4@0.5"}));
}

}  // namespace
}  // namespace medley::replica
