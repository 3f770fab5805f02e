#include "engine/asio_loop.h"

#include <gtest/gtest.h>

namespace medley::engine {
namespace {

using namespace std::chrono_literals;
using replica::Phase;

class AsioLoopTest : public testing::Test {
 protected:
  Loop::Callback note(int what) {
    return [this, what] { heard_.push_back(what); };
  }
  void run(std::size_t until) {
    EXPECT_TRUE(events_.run_until([&] { return heard_.size() >= until; }, 20s));
  }

  net::EventLoop events_;
  AsioLoop loop_{events_};
  std::vector<int> heard_;
};

TEST_F(AsioLoopTest, RunsWhatIsDueAtOneInstantInTheOrderOfTheManualClock) {
  const Instant soon = loop_.now() + 2ms;
  loop_.call_at(soon + 1us, Phase::kFault, 0, note(6));
  loop_.call_at(soon, Phase::kFormStep, 0, note(5));
  loop_.call_at(soon, Phase::kArrival, 9, note(3));
  loop_.call_at(soon, Phase::kArrival, 2, note(1));
  loop_.call_at(soon, Phase::kArrival, 2, note(2));
  loop_.call_at(soon, Phase::kStepEnd, 0, note(4));
  EXPECT_TRUE(heard_.empty());
  run(6);
  EXPECT_EQ(heard_, (std::vector<int>{1, 2, 3, 4, 5, 6}));
  EXPECT_GE(loop_.now(), soon);
}

TEST_F(AsioLoopTest, RunsThePastAtOnceButNeverInsideTheCall) {
  loop_.call_at(Instant{}, Phase::kAlarm, 0, [this] {
    loop_.call_at(Instant{}, Phase::kAlarm, 0, note(2));
    heard_.push_back(1);
  });
  EXPECT_TRUE(heard_.empty());
  run(2);
  EXPECT_EQ(heard_, (std::vector<int>{1, 2}));
}

TEST_F(AsioLoopTest, ForgetsWhatIsCancelled) {
  const TimerId first = loop_.call_at(loop_.now() + 1ms, Phase::kAlarm, 0, note(1));
  loop_.call_at(loop_.now() + 3ms, Phase::kAlarm, 0, note(2));
  const TimerId inside = loop_.call_at(loop_.now() + 3ms, Phase::kAlarm, 2, note(3));
  loop_.call_at(loop_.now() + 1ms, Phase::kAlarm, 1, [this, inside] { loop_.cancel(inside); });
  loop_.cancel(first);
  loop_.cancel(first);
  loop_.cancel(12345);
  run(1);
  loop_.post(note(4));
  run(2);
  EXPECT_EQ(heard_, (std::vector<int>{2, 4}));
}

}  // namespace
}  // namespace medley::engine
