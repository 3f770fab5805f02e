#include "engine/static_schedule/rotation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "engine/static_schedule/kv_copy.h"
#include "lpu/testing_models.h"

namespace medley::engine::static_schedule {
namespace {

using lpu::cpu::Machine;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using testing::ElementsAre;

using Time = Rotation::Clock::time_point;

// A prompt is as many tokens as its text has letters, and every token takes a while.
class SlowCodec final : public TextCodec {
 public:
  SlowCodec(Time& now, microseconds token) : now_(now), token_(token) {}
  Result<std::vector<int>> encode(const Generation& generation) const override {
    return std::vector<int>(generation.prompt.size(), 7);
  }
  std::string model() const override { return "slow"; }
  std::size_t longest_token() const override { return 1; }
  std::string piece(int) const override {
    now_ += token_;
    return "x";
  }
  bool ends(int) const override { return false; }
  int vocabulary() const override { return 512; }
  double temperature() const override { return 0; }
  double top_p() const override { return 1; }

 private:
  Time& now_;
  microseconds token_;
};

class RotationTest : public testing::Test {
 protected:
  RotationTest() {
    const auto program = lpu::compile_cpu(
        model_->graph,
        {.context = 256, .layout = lpu::cpu::layout_of(lpu::cpu::best_isa(), false)});
    MEDLEY_CHECK(program.ok(), "");
    auto machine = Machine::make(model_->graph, *program, {.slots = 2});
    MEDLEY_CHECK(machine.ok(), "");
    machine_ = std::move(machine).value();
    rotation_.emplace(*machine_, codec_,
                      Rotation::Pace{.window = milliseconds(10),
                                     .prompt_token = milliseconds(1),
                                     .ahead = 4,
                                     .now = [this] { return now_ += tick_; }});
  }

  void add(std::uint64_t number, std::size_t prompt_tokens, long long max_tokens,
           std::shared_ptr<const KvState> read = nullptr) {
    Job job{.number = number};
    job.generation.read = std::move(read);
    job.generation.prompt.assign(prompt_tokens, 'a');
    job.generation.max_tokens = Tokens(max_tokens);
    std::vector<Happening> happenings;
    rotation_->add(std::move(job), happenings);
    hear(happenings);
  }
  StepWork step() {
    std::vector<Happening> happenings;
    const StepWork work = rotation_->step(happenings);
    hear(happenings);
    return work;
  }
  // Whatever can be done before the clock moves on.
  void work() {
    while (!rotation_->idle() && rotation_->rests_until().value_or(now_) <= now_)
      step();
  }
  void hear(const std::vector<Happening>& happenings) {
    for (const Happening& happening : happenings) {
      if (std::holds_alternative<NewText>(happening.what))
        dues_[happening.job].push_back(happening.due ? milliseconds_at(*happening.due) : -1);
      if (std::holds_alternative<NewText>(happening.what) && happening.keeps_beat_until) {
        EXPECT_EQ(*happening.keeps_beat_until, *happening.due + milliseconds(10)) << "a window";
        ++beats_;
        missed_ += now_ > *happening.keeps_beat_until ? 1 : 0;
      }
      if (const auto* ending = std::get_if<Ending>(&happening.what)) {
        ended_.push_back(happening.job);
        handed_over_ = ending->handed_over;
      }
    }
  }
  // The first stream's first token comes at 0 and is told at once.
  static double milliseconds_at(Time time) {
    return std::chrono::duration<double, std::milli>(time.time_since_epoch()).count();
  }

  Time now_;
  milliseconds tick_{0};  // from one look at the clock to the next
  SlowCodec codec_{now_, microseconds(100)};
  int beats_ = 0, missed_ = 0;  // as if each token were heard as soon as it is told
  std::unique_ptr<lpu::TestModel> model_ = lpu::test_model({});
  std::unique_ptr<Machine> machine_;
  std::optional<Rotation> rotation_;
  std::map<std::uint64_t, std::vector<double>> dues_;  // of each token; -1: at once
  std::vector<std::uint64_t> ended_;
  std::optional<Tokens> handed_over_;  // of the last that ended
};

TEST_F(RotationTest, ComputesTokensAheadAndTellsEachWithItsBeat) {
  add(1, 3, 100);
  work();
  EXPECT_THAT(dues_[1], ElementsAre(-1, 10, 20, 30, 40));
  ASSERT_TRUE(rotation_->rests_until());
  EXPECT_EQ(milliseconds_at(*rotation_->rests_until()), 10);
  now_ = *rotation_->rests_until();
  work();
  EXPECT_EQ(dues_[1].back(), 50);
  EXPECT_EQ(beats_, 5) << "all but the first, which comes with its prompt";
  EXPECT_EQ(missed_, 0);
}

TEST_F(RotationTest, MissesNoBeatWhileTheCoreIsAwayForLessThanItIsAhead) {
  add(1, 3, 9);
  work();
  now_ += milliseconds(39);
  work();
  EXPECT_EQ(missed_, 0);
  EXPECT_EQ(dues_[1].size(), 8U);
}

TEST_F(RotationTest, TellsEachTokenThatComesAfterItsBeatAtOnce) {
  add(1, 3, 100);
  work();  // up to 40 ms
  now_ = Time(milliseconds(65));
  work();
  EXPECT_EQ(missed_, 1) << "50; there is still time for 60";
  EXPECT_EQ(dues_[1].back(), 100) << "the beat stays where it was";
}

TEST_F(RotationTest, KeepsOneBeatForAllStreams) {
  add(1, 3, 100);
  work();
  now_ += milliseconds(13);
  add(2, 5, 3);
  work();
  EXPECT_THAT(dues_[2], ElementsAre(20, 30, 40));
  EXPECT_THAT(ended_, ElementsAre(2));
  // And where the streams before it are late themselves.
  now_ += milliseconds(62);
  add(3, 5, 2);
  while (dues_[3].empty())
    step();  // each catches up by a token and reads one
  EXPECT_EQ(dues_[3].at(0), 80);
}

TEST_F(RotationTest, ReadsPromptsBesideStreamsThatWait) {
  add(1, 3, 200);
  work();
  add(2, 200, 2);
  // Time stands still while prompts are read here, so they end before any stream goes on.
  step();
  EXPECT_EQ(dues_[2].size(), 1U);
  EXPECT_EQ(dues_[1].size(), 5U);
  rotation_->cancel(1);
  work();
  EXPECT_EQ(ended_.size(), 1U);
  EXPECT_TRUE(rotation_->idle());
}

TEST_F(RotationTest, ReadsNoMoreOfAPromptThanEndsBeforeAStreamGoesOn) {
  add(1, 3, 200);
  work();
  add(2, 200, 2);
  now_ = Time(milliseconds(0));
  tick_ = milliseconds(2);
  // Looks at 2, 4 (6 ms are left until 10), 6, 8 (2 ms) and 10 ms.
  EXPECT_EQ(step().prompt_tokens, 8);
  EXPECT_EQ(step().decodes, 1);
}

TEST_F(RotationTest, GoesOnFromACacheOfAnotherEngine) {
  add(1, 3, 200);
  work();
  add(2, 100, 2, std::make_shared<const KvState>(read_kv(*machine_, 0, 99)));
  tick_ = milliseconds(2);
  now_ = Time(milliseconds(0));
  // By pieces, as prompts are read: 6 ms are left, then 2, until the other stream goes on.
  EXPECT_EQ(step().prompt_tokens, 0);
  EXPECT_EQ(step().decodes, 1);
  int read = 0;
  while (ended_.empty())
    read += step().prompt_tokens;
  EXPECT_EQ(read, 1) << "the last token is its own";
  EXPECT_EQ(handed_over_, Tokens(99));
  EXPECT_EQ(dues_[2].size(), 2U);
}

TEST_F(RotationTest, ReadsItselfWhatACacheIsNoPartOf) {
  KvState deeper = read_kv(*machine_, 0, 19);
  ++deeper.layers;
  const KvState whole = read_kv(*machine_, 0, 20);  // nothing is left to begin the answer with
  for (const KvState& state : {deeper, whole}) {
    add(1, 20, 1, std::make_shared<const KvState>(state));
    int read = 0;
    while (!rotation_->idle())
      read += step().prompt_tokens;
    EXPECT_EQ(read, 20);
    EXPECT_FALSE(handed_over_);
  }
}

TEST_F(RotationTest, TakesWhoWaitsAsSoonAsASlotIsFree) {
  add(1, 3, 100);
  add(2, 3, 2);
  add(3, 3, 100);
  work();
  EXPECT_THAT(ended_, ElementsAre(2));
  EXPECT_THAT(dues_[3], ElementsAre(10, 20, 30, 40)) << "the beat of the first";
}

}  // namespace
}  // namespace medley::engine::static_schedule
