// The index against the look at every replica that a log asks for: the same requests, ends, losses
// and reports told to two schedulers, one of which explains itself.
#include <gtest/gtest.h>

#include "base/prng.h"
#include "sched/scheduler.h"
#include "sched/test_fleet.h"

namespace medley::sched {
namespace {

struct Nobody final : ExplanationSink {
  void explain(const Explanation&) override {}
};

void expect_equal_choices(PlacementKind kind) {
  TestFleet made = make_test_fleet({{.name = "a", .zone = "here", .replicas = 20},
                                    {.name = "b", .zone = "us-east", .replicas = 1},
                                    {.name = "c", .zone = "edge", .replicas = 13}});
  made.fleet.placement = kind;
  Scheduler indexed(made.fleet, made.perf), scanning(made.fleet, made.perf);
  Nobody sink;
  scanning.explain_to(&sink);
  const std::size_t replicas = made.fleet.replica_count();
  Prng prng(static_cast<std::uint64_t>(kind) + 1);
  std::vector<std::pair<RequestId, int>>
      running;  // with what it was told of: 1 after its first token
  std::vector<bool> lost(replicas, false);
  long long dispatches = 0;
  for (std::uint64_t i = 0; i < 5000; ++i) {
    Event event = AlarmRang{};
    const std::uint64_t what = prng.below(20);
    if (what < 9 || running.empty()) {
      Request request;
      request.id = RequestId(i);
      request.label = LabelId(prng.below(3));
      request.prompt_tokens = Tokens(1 + static_cast<long long>(prng.below(500)));
      event = RequestArrived{request};
    } else if (what < 18) {
      const std::size_t place = prng.below(running.size());
      const RequestId request = running[place].first;
      if (running[place].second++ == 0) {
        event = FirstTokenEmitted{request};
        if (prng.below(20) == 0)
          event = DispatchFailed{request};
      } else {
        event = RequestFinished{request, Tokens(20)};
        running.erase(running.begin() + static_cast<std::ptrdiff_t>(place));
      }
    } else if (what == 18) {
      LoadSignal signal;
      signal.waiting = static_cast<int>(prng.below(5));
      event = LoadReported{ReplicaId(prng.below(replicas)), signal};
    } else {
      const std::size_t replica = prng.below(replicas);
      lost[replica] = !lost[replica];
      if (lost[replica])
        event = ReplicaLost{ReplicaId(replica)};
      else
        event = ReplicaReturned{ReplicaId(replica)};
    }
    std::vector<Decision> one, other;
    const Instant now{std::chrono::milliseconds(i)};
    indexed.handle(now, event, one);
    scanning.handle(now, event, other);
    ASSERT_EQ(indexed.digest().hex(), scanning.digest().hex()) << "event " << i;
    for (const Decision& decision : one) {
      const auto* dispatch = std::get_if<Dispatch>(&decision);
      if (dispatch == nullptr)
        continue;
      ++dispatches;
      std::erase_if(running, [&](const auto& r) { return r.first == dispatch->request; });
      running.emplace_back(dispatch->request, 0);
    }
  }
  EXPECT_GT(dispatches, 1000);
}

TEST(SimplePlacement, FindsTheLeastLoadedByItsIndexAsByLookingAtAll) {
  expect_equal_choices(PlacementKind::kLeastQueued);
  expect_equal_choices(PlacementKind::kLeastOutstanding);
  expect_equal_choices(PlacementKind::kLeastPendingTokens);
}

}  // namespace
}  // namespace medley::sched
