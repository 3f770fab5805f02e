// Runs of steps against steps one by one: the same random traffic, limits, cancellations and losses
// on two replicas, whose models differ only in whether they know the shortcut.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "base/prng.h"
#include "perf/step_run.h"
#include "replica/batched.h"

namespace medley::replica {
namespace {

// A time that depends on everything a step contains; the sums of its steps are asked for by `run`
// only where it knows them.
class Steps final : public perf::StepModel {
 public:
  explicit Steps(bool knows_runs) : knows_runs_(knows_runs) {}
  perf::StepCost step(const perf::StepShape& shape) const override {
    ++asked;
    double ms = 3 + 0.5 * static_cast<double>(shape.decodes) +
                std::max(0.01 * static_cast<double>(shape.decode_context), 0.8) +
                0.003 * static_cast<double>(shape.decode_context_max) +
                0.007 * static_cast<double>(shape.decode_context_min);
    for (const perf::PrefillChunk& chunk : shape.chunks) {
      ms += 0.1 * static_cast<double>(chunk.tokens) + 0.02 * static_cast<double>(chunk.context);
    }
    return {Seconds(ms * 1e-3), Joules(5 * ms)};
  }
  std::optional<perf::StepCost> run(const perf::StepShape& first, long long steps) const override {
    if (!knows_runs_)
      return std::nullopt;
    return perf::sum_of_linear_pieces(*this, first, steps);
  }
  Watts idle_power() const override { return {}; }

  mutable long long asked = 0;

 private:
  bool knows_runs_;
};

struct Traffic {
  Batching batching;
  long long kv_blocks = 0;
  std::vector<Sequence> sequences;
  std::vector<std::pair<double, RequestId>> cancels;
  std::vector<double> losses;
};

Traffic draw(std::uint64_t seed) {
  Prng prng(seed);
  Traffic traffic;
  Batching& b = traffic.batching;
  b.kind = static_cast<BatchingKind>(prng.below(4));
  b.block_tokens = 1 + static_cast<long long>(prng.below(6));
  b.max_running = 1 + static_cast<int>(prng.below(12));
  b.chunk_tokens = 1 + static_cast<long long>(prng.below(40));
  b.max_batched_tokens = 12 + static_cast<long long>(prng.below(60));
  b.watermark = prng.below(2) == 0 ? 0 : 0.2 * prng.uniform();
  traffic.kv_blocks = 60 / b.block_tokens + 2 + static_cast<long long>(prng.below(150));
  const BatchedReplica judge(
      {.batching = b, .kv_blocks = traffic.kv_blocks, .steps = std::make_shared<Steps>(false)}, {});
  const double mean_gap_s = 0.002 + 0.3 * prng.uniform();
  double at_s = 0;
  while (traffic.sequences.size() < 60) {
    if (prng.below(4) != 0)
      at_s += prng.exponential(mean_gap_s);
    const Sequence sequence{.request = RequestId(traffic.sequences.size()),
                            .arrived_s = at_s,
                            .prompt_tokens = 1 + static_cast<long long>(prng.below(30)),
                            .output_tokens = 1 + static_cast<long long>(prng.below(60))};
    if (judge.fits(sequence))
      traffic.sequences.push_back(sequence);
  }
  for (std::uint64_t i = prng.below(2) * 20; i > 0; --i)
    traffic.cancels.emplace_back(prng.uniform() * at_s, RequestId(prng.below(60)));
  std::sort(traffic.cancels.begin(), traffic.cancels.end());
  if (prng.below(2) == 0)
    traffic.losses = {0.3 * at_s, (0.4 + 0.6 * prng.uniform()) * at_s};
  return traffic;
}

struct Outcome {
  std::vector<Report> reports;
  Usage usage;
  Load load;
  long long asked = 0;  // steps that the model was asked for
  long long evictions = 0;
};

Outcome run(const Traffic& traffic, bool knows_runs) {
  const auto steps = std::make_shared<Steps>(knows_runs);
  BatchedReplica replica(
      {.batching = traffic.batching, .kv_blocks = traffic.kv_blocks, .steps = steps}, {});
  Outcome outcome;
  auto arrival = traffic.sequences.begin();
  auto cancel = traffic.cancels.begin();
  auto loss = traffic.losses.begin();
  for (;;) {
    Instant now = replica.next_event().value_or(Instant::max());
    if (arrival != traffic.sequences.end())
      now = std::min(now, round_to_instant(Seconds(arrival->arrived_s)));
    if (cancel != traffic.cancels.end())
      now = std::min(now, round_to_instant(Seconds(cancel->first)));
    if (loss != traffic.losses.end())
      now = std::min(now, round_to_instant(Seconds(*loss)));
    if (now == Instant::max())
      break;
    for (; loss != traffic.losses.end() && round_to_instant(Seconds(*loss)) <= now; ++loss)
      replica.reset(now);
    for (;
         arrival != traffic.sequences.end() && round_to_instant(Seconds(arrival->arrived_s)) <= now;
         ++arrival) {
      replica.enqueue(now, *arrival);
    }
    for (; cancel != traffic.cancels.end() && round_to_instant(Seconds(cancel->first)) <= now;
         ++cancel) {
      replica.cancel(now, cancel->second);
    }
    replica.advance(now, outcome.reports);
    replica.form_step(now);
  }
  outcome.usage = replica.usage();
  outcome.load = replica.load();
  outcome.asked = steps->asked;
  return outcome;
}

TEST(BatchedRuns, EqualSteppingForRandomTraffic) {
  std::array<long long, 4> evictions{}, steps{}, asked{};
  for (std::uint64_t seed = 1; seed <= 400 && !testing::Test::HasFailure(); ++seed) {
    const Traffic traffic = draw(seed);
    SCOPED_TRACE(fmt::format("seed {}, {}", seed, name_of(traffic.batching.kind)));
    const Outcome stepped = run(traffic, false), ran = run(traffic, true);
    ASSERT_EQ(ran.reports.size(), stepped.reports.size());
    for (std::size_t i = 0; i < ran.reports.size(); ++i) {
      const Report &a = ran.reports[i], &b = stepped.reports[i];
      ASSERT_EQ(a.kind, b.kind) << i;
      ASSERT_EQ(a.request, b.request) << i;
      ASSERT_EQ(a.generated, b.generated) << i;
      ASSERT_NEAR(a.at_s, b.at_s, 1e-9 * b.at_s) << i;
      ASSERT_NEAR(a.joules, b.joules, 1e-9 * b.joules) << i;
    }
    EXPECT_EQ(ran.usage.steps, stepped.usage.steps);
    EXPECT_EQ(ran.usage.evictions, stepped.usage.evictions);
    EXPECT_EQ(ran.usage.prompt_tokens, stepped.usage.prompt_tokens);
    EXPECT_EQ(ran.usage.output_tokens, stepped.usage.output_tokens);
    EXPECT_NEAR(ran.usage.busy_s, stepped.usage.busy_s, 1e-9 * stepped.usage.busy_s);
    EXPECT_NEAR(ran.usage.prefill_s, stepped.usage.prefill_s, 1e-9 * stepped.usage.busy_s);
    EXPECT_NEAR(ran.usage.joules, stepped.usage.joules, 1e-9 * stepped.usage.joules);
    EXPECT_EQ(ran.load.kv_tokens_used, 0);
    const auto kind = static_cast<std::size_t>(traffic.batching.kind);
    evictions[kind] += ran.usage.evictions;
    steps[kind] += stepped.asked;
    asked[kind] += ran.asked;
  }
  // The traffic is not too tame, and there are runs at all.
  for (const BatchingKind kind : {BatchingKind::kChunkedPrefill, BatchingKind::kPrefillFirst,
                                  BatchingKind::kTokenBudget, BatchingKind::kMixed}) {
    const auto i = static_cast<std::size_t>(kind);
    EXPECT_GT(evictions[i], kind == BatchingKind::kMixed ? -1 : 100) << name_of(kind);
    EXPECT_LT(asked[i], steps[i]) << name_of(kind);
  }
}

TEST(BatchedRuns, WorkByRequestAndNotByToken) {
  const auto asked = [](long long output_tokens) {
    Traffic traffic;
    traffic.kv_blocks = 10'000'000;
    for (std::uint64_t i = 0; i < 20; ++i) {
      traffic.sequences.push_back({.request = RequestId(i),
                                   .arrived_s = 10.0 * static_cast<double>(i),
                                   .prompt_tokens = 100,
                                   .output_tokens = output_tokens});
    }
    return run(traffic, true).asked;
  };
  EXPECT_LT(asked(1'000'000), asked(10'000) * 2);
}

}  // namespace
}  // namespace medley::replica
