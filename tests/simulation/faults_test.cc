// Two thousand seeds of simulated faults, with invariants at every event (fault_run.h,
// shadow_books.h).
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "base/check.h"
#include "fault_run.h"
#include "seeds.h"

namespace medley::sched {
namespace {

// Where a broken invariant of the core stops the process, the command that replays it is printed
// all the same.
class ReplayOnAbort {
 public:
  ReplayOnAbort() : before_(std::signal(SIGABRT, &ReplayOnAbort::print)) {}
  ~ReplayOnAbort() { std::signal(SIGABRT, before_); }
  void run_is(const std::string& command) {
    const std::string line = command + "\n";
    length_ = std::min(line.size(), sizeof line_);
    std::memcpy(line_, line.data(), length_);
  }

 private:
  static void print(int) {
    if (::write(STDERR_FILENO, line_, length_) < 0)
      return;  // abort() goes on in any case
  }
  static inline char line_[256];
  static inline std::size_t length_ = 0;
  void (*before_)(int);
};

TEST(FaultSimulationDeathTest, ABrokenInvariantOfTheCorePrintsTheCommandThatReplaysIt) {
  const auto breaks = [] {
    ReplayOnAbort replay;
    replay.run_is(replay_command(7, "FaultSimulation.*"));
    MEDLEY_CHECK(replay_command(7).empty());
  };
  EXPECT_DEATH(breaks(), "replay: MEDLEY_SEED=7 .*--gtest_filter=FaultSimulation");
}

TEST(FaultSimulation, NothingIsLostAnsweredTwiceOrUnlawfulWhateverFails) {
  constexpr std::string_view kThis = "FaultSimulation.*";
  ReplayOnAbort replay;
  FaultRun sum;
  const std::vector<std::uint64_t> seeds = seeds_for_this_run(kFaultSeeds);
  for (const std::uint64_t seed : seeds) {
    const std::string command = replay_command(seed, kThis);
    replay.run_is(command);
    const FaultRun run = run_with_faults(seed, false);
    if (run.violation)
      FAIL() << command << "\n" << run.violation->check << ": " << run.violation->what;
    if (seed % 10 == 0) {
      ASSERT_EQ(run.digest.hex(), run_with_faults(seed, true).digest.hex()) << command;
    }
    sum.events += run.events;
    sum.requests += run.requests;
    sum.dispatched += run.dispatched;
    sum.rejected += run.rejected;
    sum.cancelled += run.cancelled;
    sum.retried += run.retried;
    sum.preempted += run.preempted;
    sum.losses += run.losses;
    sum.flaps += run.flaps;
    sum.stalls += run.stalls;
    sum.jumps += run.jumps;
    sum.reports += run.reports;
    sum.strays += run.strays;
    sum.prices += run.prices;
    sum.most_waiting = std::max(sum.most_waiting, run.most_waiting);
  }
  fmt::print(
      "{} runs: {} events, {} requests, {} dispatches, {} refusals, {} cancelled, {} retried at "
      "once, {} preempted, {} replicas lost, {} flaps, {} stalls, {} jumps of time, {} reports, {} "
      "stray events, "
      "{} answers with prices, at most {} waiting\n",
      seeds.size(), sum.events, sum.requests, sum.dispatched, sum.rejected, sum.cancelled,
      sum.retried, sum.preempted, sum.losses, sum.flaps, sum.stalls, sum.jumps, sum.reports,
      sum.strays, sum.prices, sum.most_waiting);
  if (seeds.size() > 1) {
    // The draws reach what the test is about.
    EXPECT_GT(sum.dispatched, 20'000);
    EXPECT_GT(sum.rejected, 10'000);
    EXPECT_GT(sum.cancelled, 2'000);
    EXPECT_GT(sum.retried, 1'000);
    EXPECT_GT(sum.preempted, 150);
    EXPECT_GT(sum.losses, 5'000);
    EXPECT_GT(sum.flaps, 1'000);
    EXPECT_GT(sum.stalls, 1'000);
    EXPECT_GT(sum.jumps, 500);
    EXPECT_GT(sum.strays, 5'000);
    EXPECT_GT(sum.prices, 500);
    EXPECT_GT(sum.most_waiting, 1024);
  }
}

}  // namespace
}  // namespace medley::sched
