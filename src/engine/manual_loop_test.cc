#include "engine/manual_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace medley::engine {
namespace {

using replica::Phase;
using std::chrono::milliseconds;
using testing::ElementsAre;

Instant at_ms(int ms) { return Instant(milliseconds(ms)); }

struct Recorder {
  ManualLoop loop;
  std::vector<std::string> heard;

  Loop::Callback note(std::string word) {
    return [this, word = std::move(word)] { heard.push_back(word); };
  }
};

TEST(ManualLoop, RunsByInstantThenPhaseThenKeyThenOrderOfAsking) {
  Recorder r;
  r.loop.call_at(at_ms(2), Phase::kFault, 0, r.note("later"));
  r.loop.call_at(at_ms(1), Phase::kFormStep, 0, r.note("form"));
  r.loop.call_at(at_ms(1), Phase::kArrival, 9, r.note("arrival 9"));
  r.loop.call_at(at_ms(1), Phase::kArrival, 3, r.note("arrival 3"));
  r.loop.call_at(at_ms(1), Phase::kArrival, 3, r.note("arrival 3 again"));
  r.loop.call_at(at_ms(1), Phase::kAlarm, 0, r.note("alarm"));
  r.loop.call_at(at_ms(1), Phase::kStepEnd, 0, r.note("step end"));
  r.loop.advance_to(at_ms(2));
  EXPECT_THAT(r.heard, ElementsAre("arrival 3", "arrival 3 again", "arrival 9", "step end", "alarm",
                                   "form", "later"));
}

TEST(ManualLoop, NeverRunsACallbackInsideCallAtOrPost) {
  Recorder r;
  r.loop.call_at(at_ms(-5), Phase::kAlarm, 0, r.note("past"));
  r.loop.post(r.note("posted"));
  EXPECT_TRUE(r.heard.empty());
  EXPECT_TRUE(r.loop.run_ready());
  EXPECT_THAT(r.heard, ElementsAre("posted", "past"));
  EXPECT_EQ(r.loop.now(), Instant{});
  EXPECT_FALSE(r.loop.run_ready());
}

TEST(ManualLoop, ShowsEachCallbackItsOwnInstantAndEndsAtTheGivenOne) {
  ManualLoop loop;
  std::vector<Instant> seen;
  loop.call_at(at_ms(3), Phase::kAlarm, 0, [&] { seen.push_back(loop.now()); });
  loop.call_at(at_ms(10), Phase::kAlarm, 0, [&] { seen.push_back(loop.now()); });
  loop.advance_to(at_ms(9));
  EXPECT_THAT(seen, ElementsAre(at_ms(3)));
  EXPECT_EQ(loop.now(), at_ms(9));
  EXPECT_EQ(loop.next_timer(), at_ms(10));
  loop.advance_by(milliseconds(1));
  EXPECT_THAT(seen, ElementsAre(at_ms(3), at_ms(10)));
  EXPECT_EQ(loop.next_timer(), std::nullopt);
}

TEST(ManualLoop, RunsWhatACallbackAsksForAtTheSameInstant) {
  Recorder r;
  r.loop.call_at(at_ms(1), Phase::kArrival, 0, [&] {
    r.loop.call_at(at_ms(1), Phase::kFormStep, 0, r.note("form"));
    r.loop.call_at(at_ms(0), Phase::kStepEnd, 0, r.note("step end"));
  });
  r.loop.call_at(at_ms(1), Phase::kAlarm, 0, r.note("alarm"));
  r.loop.advance_to(at_ms(1));
  EXPECT_THAT(r.heard, ElementsAre("step end", "alarm", "form"));
}

TEST(ManualLoop, ForgetsACancelledTimerEvenWhenItIsDueAtThisInstant) {
  Recorder r;
  const TimerId second = r.loop.call_at(at_ms(1), Phase::kAlarm, 2, r.note("second"));
  r.loop.call_at(at_ms(1), Phase::kAlarm, 1, [&] { r.loop.cancel(second); });
  const TimerId third = r.loop.call_at(at_ms(1), Phase::kAlarm, 3, r.note("third"));
  r.loop.advance_to(at_ms(1));
  EXPECT_THAT(r.heard, ElementsAre("third"));
  r.loop.cancel(third);
  r.loop.cancel(12345);
}

TEST(ManualLoop, RunsUntilNothingIsLeftOrTheLimitIsNear) {
  ManualLoop loop;
  int ticks = 0;
  std::function<void()> tick = [&] {
    ++ticks;
    loop.call_at(loop.now() + milliseconds(10), Phase::kAlarm, 0, tick);
  };
  tick();
  EXPECT_FALSE(loop.run_until_idle(at_ms(35)));
  EXPECT_EQ(ticks, 4);
  EXPECT_EQ(loop.now(), at_ms(30));

  ManualLoop finite;
  finite.call_at(at_ms(7), Phase::kAlarm, 0, [] {});
  EXPECT_TRUE(finite.run_until_idle());
  EXPECT_EQ(finite.now(), at_ms(7));
}

TEST(ManualLoop, TakesPostsFromOtherThreadsInTheirOrder) {
  ManualLoop loop;
  std::vector<int> heard;
  std::thread other([&] {
    for (int i = 0; i < 100; ++i)
      loop.post([&heard, i] { heard.push_back(i); });
  });
  while (heard.size() < 100 && loop.wait_for_post(std::chrono::seconds(20)))
    loop.run_ready();
  other.join();
  ASSERT_EQ(heard.size(), 100u);
  for (int i = 0; i < 100; ++i)
    EXPECT_EQ(heard[i], i);
}

TEST(ManualLoopDeathTest, RefusesToGoBackAndToBeMovedByItsOwnCallbacks) {
  ManualLoop loop(at_ms(5));
  EXPECT_DEATH(loop.advance_to(at_ms(4)), "never goes back");
  loop.post([&] { loop.advance_to(at_ms(6)); });
  EXPECT_DEATH(loop.run_ready(), "may not move the clock");
}

}  // namespace
}  // namespace medley::engine
