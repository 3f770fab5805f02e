#include "engine/emulated/emulated_engine.h"

#include <gtest/gtest.h>

#include "engine/emulated/filler.h"
#include "engine/manual_loop.h"
#include "perf/linear.h"
#include "perf/perf_model.h"

namespace medley::engine {
namespace {

using namespace std::chrono_literals;

struct Told {
  RequestId request;
  double at_s;
  int tokens;
  bool operator==(const Told&) const = default;
};

struct Heard : GenerationSink {
  explicit Heard(Loop& l) : loop(l) {}
  void on_tokens(RequestId request, std::string_view piece, int count) override {
    told.push_back({request, to_seconds(loop.now()).value(), count});
    text[request] += piece;
  }
  void on_end(RequestId request, const Ending& ending) override {
    endings.emplace(request, ending);
  }
  void on_failed(RequestId, const Error& error) override { ADD_FAILURE() << error.message; }
  Loop& loop;
  std::vector<Told> told;
  std::map<RequestId, std::string> text;
  std::map<RequestId, Ending> endings;
};

class EmulatedEngineTest : public testing::Test {
 protected:
  EmulatedEngineTest() {
    pool_.device = "slow_chip";
    pool_.batching.max_running = 4;
    pool_.batching.kv_blocks = 100;
    pool_.batching.chunk_tokens = 64;
    model_.steps = std::make_shared<perf::LinearModel>(
        LinearConstants{.step_s = 0.004, .decode_s = 0.001, .prompt_token_s = 1e-4}, PowerLaw{});
    model_.max_running = 4;
    model_.kv_tokens = 1600;
    model_.max_context = 1500;
    model_.chunk_tokens = 64;
  }
  std::unique_ptr<replica::VirtualReplica> replica() const {
    return replica::make_replica(pool_, model_, {.report_tokens = true, .seed = 1});
  }
  EmulatedEngine engine() { return {{loop_, pool_, model_, ReplicaId(0), 0, 1}, replica()}; }
  static Generation generation(std::uint64_t id, int prompt, std::optional<int> tokens) {
    Generation generation;
    generation.id = RequestId(id);
    generation.prompt_tokens = Tokens(prompt);
    if (tokens)
      generation.max_tokens = Tokens(*tokens);
    return generation;
  }

  Pool pool_;
  perf::PoolModel model_;
  ManualLoop loop_;
};

// The same requests, handed to the bare replica in the order of replica/phase.h.
TEST_F(EmulatedEngineTest, TokensComeWhenTheVirtualReplicaSays) {
  struct Arrival {
    Duration at;
    std::uint64_t id;
    int prompt, tokens;
  };
  const std::vector<Arrival> arrivals = {
      {0ms, 1, 100, 6}, {0ms, 2, 10, 3}, {9ms, 3, 200, 4}, {10ms, 4, 5, 9}, {500ms, 5, 5, 2}};

  std::vector<Told> expected;
  const auto bare = replica();
  std::size_t next = 0;
  for (;;) {
    std::optional<Instant> now = bare->next_event();
    if (next < arrivals.size() && (!now || Instant(arrivals[next].at) < *now))
      now = Instant(arrivals[next].at);
    if (!now)
      break;
    for (; next < arrivals.size() && Instant(arrivals[next].at) == *now; ++next) {
      bare->enqueue(*now, {RequestId(arrivals[next].id), to_seconds(*now).value(),
                           arrivals[next].prompt, arrivals[next].tokens});
    }
    std::vector<replica::Report> reports;
    bare->advance(*now, reports);
    for (const replica::Report& report : reports) {
      if (report.kind == replica::ReportKind::kFirstToken ||
          report.kind == replica::ReportKind::kToken) {
        expected.push_back({report.request, to_seconds(*now).value(), 1});
      }
    }
    bare->form_step(*now);
  }

  EmulatedEngine emulated = engine();
  Heard heard(loop_);
  for (const Arrival& arrival : arrivals) {
    loop_.call_at(Instant(arrival.at), replica::Phase::kArrival, arrival.id, [&] {
      emulated.start(generation(arrival.id, arrival.prompt, arrival.tokens), heard);
    });
  }
  EXPECT_TRUE(loop_.run_until_idle());
  EXPECT_EQ(heard.told.size(), 24U);
  EXPECT_TRUE(heard.told == expected);
  EXPECT_EQ(heard.endings.size(), 5U);
  EXPECT_EQ(heard.endings.at(RequestId(1)).output_tokens, Tokens(6));
}

// A token of 1.5 ms, of which 0.5 ms are beyond the schedule; a prompt of three chunks.
TEST_F(EmulatedEngineTest, AChipReplaysTheWindowOfItsCompiledSchedule) {
  pool_.accelerator.emplace();
  pool_.accelerator->kind = AcceleratorKind::kLpu;
  CompiledSchedule schedule;
  schedule.chips = 8;
  schedule.streams = 4;
  schedule.context = 1024;
  schedule.layers = 10;
  schedule.token_s = 1e-3;
  schedule.interval_s = 1e-4;
  schedule.chunk_tokens = 16;
  schedule.chunk_s = 1.2e-3;
  schedule.chunk_interval_s = 3e-4;
  schedule.beyond_layer_s = 5e-5;
  pool_.schedule = schedule;
  auto model = perf::make_pool_model(pool_);
  ASSERT_TRUE(model.ok()) << model.error().message;
  model_ = *std::move(model);
  const double window_s = model_.steps->step({.decodes = 1}).time.value();
  EXPECT_DOUBLE_EQ(window_s, 1.5e-3);

  EmulatedEngine emulated = engine();
  Heard heard(loop_);
  emulated.start(generation(1, 40, 5), heard);
  loop_.call_at(Instant(4ms), replica::Phase::kArrival, 2,
                [&] { emulated.start(generation(2, 100, 3), heard); });
  EXPECT_TRUE(loop_.run_until_idle());
  std::vector<double> first;
  for (const Told& told : heard.told) {
    if (told.request == RequestId(1))
      first.push_back(told.at_s);
  }
  ASSERT_EQ(first.size(), 5U);
  for (std::size_t i = 1; i < first.size(); ++i)
    EXPECT_NEAR(first[i] - first[i - 1], window_s, 1e-8) << "whoever else is there";
}

// Rings two milliseconds late, as a busy machine does.
class LateLoop final : public Loop {
 public:
  explicit LateLoop(Loop& loop) : loop_(loop) {}
  Instant now() const override { return loop_.now(); }
  TimerId call_at(Instant at, replica::Phase phase, std::uint64_t key, Callback callback) override {
    return loop_.call_at(at + 2ms, phase, key, std::move(callback));
  }
  void cancel(TimerId timer) override { loop_.cancel(timer); }
  void post(Callback callback) override { loop_.post(std::move(callback)); }

 private:
  Loop& loop_;
};

// The clock of the steps is the device's: what comes late does not make later tokens later.
TEST_F(EmulatedEngineTest, LateRingsDoNotAddUp) {
  Heard in_time(loop_), late(loop_);
  EmulatedEngine emulated = engine();
  LateLoop late_loop(loop_);
  EmulatedEngine emulated_late({late_loop, pool_, model_, ReplicaId(1), 0, 1}, replica());
  emulated.start(generation(1, 10, 40), in_time);
  emulated_late.start(generation(1, 10, 40), late);
  // An arrival in between finds the device where it should be, not where the loop is.
  loop_.call_at(Instant(51ms), replica::Phase::kArrival, 2, [&] {
    emulated.start(generation(2, 10, 3), in_time);
    emulated_late.start(generation(2, 10, 3), late);
  });
  EXPECT_TRUE(loop_.run_until_idle());
  ASSERT_EQ(in_time.told.size(), 43U);
  ASSERT_EQ(late.told.size(), 43U);
  for (std::size_t i = 0; i < 43; ++i) {
    EXPECT_EQ(late.told[i].request, in_time.told[i].request) << i;
    EXPECT_NEAR(late.told[i].at_s, in_time.told[i].at_s, 0.0041) << i;
  }
}

TEST_F(EmulatedEngineTest, ALostDeviceDropsTheStepItWasIn) {
  EmulatedEngine emulated = engine();
  Heard heard(loop_);
  emulated.start(generation(1, 64, 5), heard);  // a step of 10.4 ms
  loop_.call_at(Instant(2ms), replica::Phase::kFault, 0, [&] { emulated.reset(); });
  loop_.call_at(Instant(3ms), replica::Phase::kArrival, 2,
                [&] { emulated.start(generation(2, 10, 1), heard); });
  EXPECT_TRUE(loop_.run_until_idle());
  EXPECT_EQ(heard.told, (std::vector<Told>{{RequestId(2), 0.008, 1}}));
}

TEST_F(EmulatedEngineTest, SaysThatItIsEmulatedAndEndsOnItsOwnOrAtTheLimit) {
  EmulatedEngine emulated = engine();
  EXPECT_TRUE(emulated.emulated());
  Heard heard(loop_);
  emulated.start(generation(1, 10, 1), heard);
  emulated.start(generation(2, 10, std::nullopt), heard);
  EXPECT_TRUE(loop_.run_until_idle());
  EXPECT_EQ(heard.text.at(RequestId(1)), "[emulated slow_chip]");
  EXPECT_EQ(heard.endings.at(RequestId(1)).reason, FinishReason::kLength);
  EXPECT_TRUE(heard.text.at(RequestId(2)).starts_with("[emulated slow_chip] These words stand"));
  EXPECT_EQ(heard.endings.at(RequestId(2)).reason, FinishReason::kStop);
  EXPECT_EQ(heard.told.size(),
            1U + static_cast<std::size_t>(heard.endings.at(RequestId(2)).output_tokens.count()));
}

}  // namespace
}  // namespace medley::engine
