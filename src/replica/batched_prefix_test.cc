// prefix_caching: prompts that find their beginnings.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "base/prng.h"
#include "perf/step_run.h"
#include "replica/batched.h"

namespace medley::replica {
namespace {

// A tenth of a second a step, a hundredth a prompt token, and a thousandth for each token of
// context before a chunk.
class Steps final : public perf::StepModel {
 public:
  perf::StepCost step(const perf::StepShape& shape) const override {
    double seconds = 0.1;
    for (const perf::PrefillChunk& chunk : shape.chunks)
      seconds +=
          0.01 * static_cast<double>(chunk.tokens) + 0.001 * static_cast<double>(chunk.context);
    return {Seconds(seconds), Joules(1)};
  }
  std::optional<perf::StepCost> run(const perf::StepShape& first, long long steps) const override {
    return perf::sum_of_linear_pieces(*this, first, steps);
  }
  Watts idle_power() const override { return {}; }
};

Prefix chain(std::vector<std::uint64_t> blocks, long long block_tokens = 8) {
  return std::make_shared<PrefixChain>(PrefixChain{block_tokens, std::move(blocks)});
}

class Caching : public testing::TestWithParam<BatchingKind> {
 protected:
  explicit Caching(long long kv_blocks = 100) { make(kv_blocks); }

  void make(long long kv_blocks) {
    Batching batching{.kind = GetParam(),
                      .chunk_tokens = 64,
                      .max_batched_tokens = 64,
                      .max_running = 16,
                      .block_tokens = 4,
                      .prefix_caching = true};
    replica_ = std::make_unique<BatchedReplica>(
        BatchedReplica::Setup{
            .batching = batching, .kv_blocks = kv_blocks, .steps = std::make_shared<Steps>()},
        Options{});
  }

  void enqueue(std::uint64_t id, long long prompt, long long output, Prefix prefix) {
    replica_->enqueue(now_, {.request = RequestId(id),
                             .prompt_tokens = prompt,
                             .output_tokens = output,
                             .prefix = std::move(prefix)});
    replica_->form_step(now_);
  }
  // One step on. Answers what ended.
  std::vector<std::uint64_t> step() {
    now_ = replica_->next_event().value();
    std::vector<Report> reports;
    replica_->advance(now_, reports);
    replica_->form_step(now_);
    std::vector<std::uint64_t> ended;
    for (const Report& report : reports) {
      if (report.kind == ReportKind::kFinished)
        ended.push_back(report.request.number());
    }
    return ended;
  }
  void run() {
    while (replica_->next_event())
      step();
  }
  // By one request alone, from now to its end.
  double seconds_of(std::uint64_t id, long long prompt, Prefix prefix) {
    const Instant from = now_;
    enqueue(id, prompt, 1, std::move(prefix));
    run();
    return to_seconds(now_ - from).value();
  }

  std::unique_ptr<BatchedReplica> replica_;
  Instant now_{};
};

TEST_P(Caching, ComputesOnlyWhatComesAfterTheBlocksThatAreThere) {
  EXPECT_NEAR(seconds_of(1, 20, chain({1, 2})), 0.1 + 0.20, 1e-6);
  EXPECT_NEAR(seconds_of(2, 30, chain({1, 2, 3})), 0.1 + 0.14 + 0.016, 1e-6);
  EXPECT_NEAR(seconds_of(3, 20, chain({1, 9})), 0.1 + 0.12 + 0.008, 1e-6);
  EXPECT_NEAR(seconds_of(4, 20, nullptr), 0.1 + 0.20, 1e-6);
  EXPECT_EQ(replica_->usage().reused_tokens, 16 + 8);
  EXPECT_EQ(replica_->usage().prompt_tokens, 20 + 14 + 12 + 20);
  EXPECT_EQ(replica_->load().kv_tokens_used, 0);
}

TEST_P(Caching, ComputesTheLastBlockOfAPromptThatIsThereAsAWhole) {
  seconds_of(1, 16, chain({1, 2}));
  EXPECT_NEAR(seconds_of(2, 16, chain({1, 2})), 0.1 + 0.04 + 0.012, 1e-6);
}

TEST_P(Caching, HoldsWhatSeveralShareOnce) {
  enqueue(1, 40, 50, chain({1, 2, 3, 4}));
  step();
  const long long alone = replica_->load().kv_tokens_used;
  enqueue(2, 40, 50, chain({1, 2, 3, 4}));
  step();
  step();
  // Of the 40 tokens of the second 32 are the first one's; a decode takes a block now and then.
  EXPECT_LE(replica_->load().kv_tokens_used - alone, 8 + 12);
  run();
  EXPECT_EQ(replica_->load().kv_tokens_used, 0);
}

TEST_P(Caching, FindsWhatAnotherOneBeganInTheSameStep) {
  enqueue(1, 20, 1, chain({1, 2}));
  enqueue(2, 20, 1, chain({1, 2}));
  run();
  EXPECT_EQ(replica_->usage().reused_tokens, 16);
}

TEST_P(Caching, ForgetsWhatWasUsedLongestAgoWhenItsRoomIsNeeded) {
  make(20);  // 80 tokens
  seconds_of(1, 36, chain({1, 2, 3, 4}));
  seconds_of(2, 36, chain({11, 12, 13, 14}));
  EXPECT_NEAR(seconds_of(3, 36, chain({1, 2, 3, 4})), 0.1 + 0.04 + 0.032, 1e-6);
  seconds_of(4, 36, chain({21, 22, 23, 24}));
  EXPECT_NEAR(seconds_of(5, 36, chain({1, 2, 3, 4})), 0.1 + 0.04 + 0.032, 1e-6);
  EXPECT_GT(seconds_of(6, 36, chain({11, 12, 13, 14})), 0.3);
}

TEST_P(Caching, IsEmptyAfterALoss) {
  seconds_of(1, 20, chain({1, 2}));
  enqueue(2, 20, 9, chain({1, 2}));
  replica_->reset(now_);
  EXPECT_EQ(replica_->load().kv_tokens_used, 0);
  EXPECT_NEAR(seconds_of(3, 20, chain({1, 2})), 0.1 + 0.20, 1e-6);
}

TEST_P(Caching, KeepsItsBooksWhateverComesAndGoes) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    make(40 + 4 * static_cast<long long>(seed));
    Prng prng(seed);
    std::uint64_t id = 0, ended = 0, cancelled = 0;
    for (int i = 0; i < 300; ++i) {
      const std::uint64_t family = prng.next() % 3, depth = 1 + prng.next() % 6;
      std::vector<std::uint64_t> blocks;
      for (std::uint64_t b = 0; b < depth; ++b)
        blocks.push_back(b < 3 ? 100 * family + b : 1000 * (prng.next() % 3) + 100 * family + b);
      const auto prompt = static_cast<long long>(8 * depth + prng.next() % 20);
      enqueue(id++, prompt, static_cast<long long>(1 + prng.next() % 40), chain(blocks));
      for (std::uint64_t steps = prng.next() % 8; steps > 0 && replica_->next_event(); --steps)
        ended += step().size();
      if (prng.next() % 8 == 0)
        cancelled += replica_->cancel(now_, RequestId(prng.next() % id)) ? 1 : 0;
      const Load load = replica_->load();
      ASSERT_LE(load.kv_tokens_used, load.kv_tokens);
      ASSERT_GE(load.kv_tokens_used, 0);
    }
    replica_->form_step(now_);
    while (replica_->next_event())
      ended += step().size();
    EXPECT_EQ(ended + cancelled, id);
    EXPECT_EQ(replica_->load().kv_tokens_used, 0);
    EXPECT_GT(replica_->usage().reused_tokens, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, Caching,
                         testing::Values(BatchingKind::kChunkedPrefill, BatchingKind::kTokenBudget),
                         [](const auto& info) { return std::string(name_of(info.param)); });

}  // namespace
}  // namespace medley::replica
