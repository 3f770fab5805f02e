#include "engine/threaded_engine.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/check.h"
#include "engine/manual_loop.h"

namespace medley::engine {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::hours;
using std::chrono::milliseconds;

// Tells three tokens of each job as soon as it has it: one without a beat, one that is in time
// whenever it is heard, and one whose beat is over soon after it is told.
class ThreeTokens final : public Worker {
 public:
  void add(Job job, std::vector<Happening>& happenings) override {
    const Clock::time_point now = Clock::now();
    const auto tell = [&](std::optional<Clock::time_point> until) {
      happenings.push_back({job.number, NewText{"x", 1}, now, until});
    };
    tell({});
    tell(now + hours(1));
    tell(now + milliseconds(2));
  }
  void cancel(std::uint64_t) override {}
  bool idle() const override { return true; }
  StepWork step(std::vector<Happening>&) override { return {}; }
  long long kv_tokens() const override { return 0; }
};

class TestEngine final : public ThreadedEngine {
 public:
  explicit TestEngine(const EngineContext& context) : ThreadedEngine(context, 1) {
    begin(std::make_unique<ThreeTokens>());
  }
  ~TestEngine() override { stop(); }
  std::optional<Tokens> count_prompt_tokens(Generation&) const override { return std::nullopt; }
  using ThreadedEngine::beats;
};

struct Counts final : GenerationSink {
  void on_tokens(RequestId, std::string_view, int) override { ++tokens; }
  void on_end(RequestId, const Ending&) override {}
  void on_failed(RequestId, const Error&) override {}
  int tokens = 0;
};

// A beat is kept or missed when the sink has the token, not when it was computed.
TEST(ThreadedEngine, CountsABeatByWhenItsTokenIsHeard) {
  ManualLoop loop;
  const Pool pool;
  const perf::PoolModel model;
  TestEngine engine({.loop = loop, .pool = pool, .model = model, .replica = ReplicaId(0)});
  Counts sink;
  Generation generation;
  generation.id = RequestId(1);
  engine.start(generation, sink);
  ASSERT_TRUE(loop.wait_for_post(std::chrono::seconds(20)));
  EXPECT_EQ(engine.beats().all, 0U) << "told, and not heard yet";
  std::this_thread::sleep_for(milliseconds(3));  // the loop is busy
  while (sink.tokens < 3) {
    loop.run_ready();
    if (const auto next = loop.next_timer())
      loop.advance_to(*next);
  }
  EXPECT_EQ(engine.beats().all, 2U);
  EXPECT_EQ(engine.beats().missed, 1U);
  // What nobody hears any more keeps no beat and misses none.
  generation.id = RequestId(2);
  engine.start(generation, sink);
  ASSERT_TRUE(loop.wait_for_post(std::chrono::seconds(20)));
  engine.cancel(RequestId(2));
  loop.run_until_idle();
  EXPECT_EQ(engine.beats().all, 2U);
}

}  // namespace
}  // namespace medley::engine
