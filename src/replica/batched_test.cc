#include "replica/batched.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace medley::replica {
namespace {

// A second a step and a joule a token: everything can be counted on fingers.
class OneSecond final : public perf::StepModel {
 public:
  perf::StepCost step(const perf::StepShape& shape) const override {
    return {Seconds(1), Joules(static_cast<double>(shape.decodes + shape.prefill_tokens()))};
  }
  Watts idle_power() const override { return {}; }
};

std::unique_ptr<BatchedReplica> replica_of(const Batching& batching, bool report_tokens = false) {
  return std::make_unique<BatchedReplica>(
      BatchedReplica::Setup{.batching = batching,
                            .kv_blocks = batching.kv_blocks.value_or(1000),
                            .steps = std::make_shared<OneSecond>()},
      Options{.report_tokens = report_tokens});
}

Sequence sequence(std::uint64_t id, long long prompt, long long output, double arrived_s = 0) {
  return {.request = RequestId(id),
          .arrived_s = arrived_s,
          .prompt_tokens = prompt,
          .output_tokens = output};
}

constexpr Instant at(double seconds) {
  return Instant(Duration(static_cast<Duration::rep>(seconds * 1e9)));
}

// "first 1@2" is request 1's first token at 2 s.
std::string text(const Report& report) {
  static constexpr const char* kNames[] = {"first", "token", "finished", "evicted"};
  return fmt::format("{} {}@{:g}", kNames[static_cast<int>(report.kind)], report.request.number(),
                     report.at_s);
}

// Steps until nothing is left to do or `until_s` has been dealt with.
std::vector<std::string> run(VirtualReplica& replica, double until_s = 1e6) {
  std::vector<Report> reports;
  while (const auto next = replica.next_event()) {
    if (*next > at(until_s))
      break;
    replica.advance(*next, reports);
    replica.form_step(*next);
  }
  std::vector<std::string> texts;
  for (const Report& report : reports)
    texts.push_back(text(report));
  return texts;
}

using Texts = std::vector<std::string>;

TEST(ChunkedPrefill, SharesAStepsChunkBetweenDecodesAndPrompts) {
  const auto replica = replica_of({.chunk_tokens = 10});
  replica->enqueue(at(0), sequence(1, 6, 3));
  replica->enqueue(at(0), sequence(2, 8, 1));
  replica->enqueue(at(0), sequence(3, 6, 2));
  replica->form_step(at(0));
  // 6 + 4 of 8 | 1 + 4 + 5 of 6 | 1 + 1 | 1
  EXPECT_EQ(run(*replica), (Texts{"first 1@1", "first 2@2", "finished 2@2", "finished 1@3",
                                  "first 3@3", "finished 3@4"}));
  EXPECT_EQ(replica->usage().steps, 4);
  EXPECT_EQ(replica->usage().prompt_tokens, 20);
  EXPECT_EQ(replica->usage().output_tokens, 6);
  EXPECT_DOUBLE_EQ(replica->usage().busy_s, 4);
  EXPECT_DOUBLE_EQ(replica->usage().prefill_s, 3);
}

TEST(ChunkedPrefill, LeavesAPromptOutWhenDecodesTakeTheWholeChunk) {
  const auto replica = replica_of({.chunk_tokens = 2});
  replica->enqueue(at(0), sequence(1, 1, 4));
  replica->enqueue(at(0), sequence(2, 1, 3));
  replica->enqueue(at(0), sequence(3, 3, 1));
  replica->form_step(at(0));
  // Two prompts of 1 | two decodes, nothing left | two decodes, 2 finishes | 1 + 1 of 3 | 2 of 3
  EXPECT_EQ(run(*replica), (Texts{"first 1@1", "first 2@1", "finished 2@3", "finished 1@4",
                                  "first 3@5", "finished 3@5"}));
}

TEST(PrefillFirst, PadsPromptsToTheLongestAndLetsDecodesWait) {
  const auto replica = replica_of({.kind = BatchingKind::kPrefillFirst, .max_batched_tokens = 20});
  replica->enqueue(at(0), sequence(1, 6, 3));
  replica->enqueue(at(0), sequence(2, 8, 2));
  replica->enqueue(at(0), sequence(3, 5, 1));  // 3 × 8 > 20
  replica->form_step(at(0));
  EXPECT_EQ(run(*replica), (Texts{"first 1@1", "first 2@1", "first 3@2", "finished 3@2",
                                  "finished 2@3", "finished 1@4"}));
}

TEST(Batched, KeepsTheWatermarkFreeAtAdmission) {
  const auto replica =
      replica_of({.kv_blocks = 10, .block_tokens = 4, .watermark = 0.25});  // 2 blocks
  replica->enqueue(at(0), sequence(1, 20, 2));                              // 5 blocks
  replica->enqueue(at(0), sequence(2, 13, 1));  // 4: only 1 would stay free
  replica->form_step(at(0));
  EXPECT_EQ(run(*replica), (Texts{"first 1@1", "finished 1@2", "first 2@3", "finished 2@3"}));
}

TEST(Batched, LetsNoMoreThanMaxRunningHoldBlocks) {
  const auto replica = replica_of({.max_running = 1});
  replica->enqueue(at(0), sequence(1, 5, 2));
  replica->enqueue(at(0), sequence(2, 5, 1));
  replica->form_step(at(0));
  EXPECT_EQ(replica->load().running, 1);
  EXPECT_EQ(replica->load().waiting, 1);
  EXPECT_EQ(run(*replica), (Texts{"first 1@1", "finished 1@2", "first 2@3", "finished 2@3"}));
}

// Both take 2 of 6 blocks for their prompt and a third for their first decode. From then on the
// first finds no free block and evicts the second, which gets its 3 blocks back in the same step;
// until the first needs a fourth, when it does not.
TEST(ChunkedPrefill, EvictsTheLastOneWhenNoBlockIsFreeAndKeepsItsFirstToken) {
  const auto replica = replica_of({.kv_blocks = 6, .block_tokens = 4});
  replica->enqueue(at(0), sequence(1, 8, 8));
  replica->enqueue(at(0), sequence(2, 8, 8));
  replica->form_step(at(0));
  EXPECT_EQ(run(*replica), (Texts{"first 1@1", "first 2@1", "evicted 2@2", "evicted 2@3",
                                  "evicted 2@4", "evicted 2@5", "finished 1@8", "finished 2@11"}));
  EXPECT_EQ(replica->usage().evictions, 4);
  EXPECT_EQ(replica->usage().output_tokens, 16);
  EXPECT_EQ(replica->usage().prompt_tokens, 16 + 10 + 11 + 12 + 13);
  EXPECT_EQ(replica->load().kv_tokens_used, 0);
}

TEST(ChunkedPrefill, EvictedInTheMiddleOfItsPromptComputesItAgain) {
  const auto replica = replica_of({.chunk_tokens = 4, .kv_blocks = 7, .block_tokens = 4});
  replica->enqueue(at(0), sequence(1, 4, 8));
  replica->enqueue(at(0), sequence(2, 20, 2));
  replica->form_step(at(0));
  EXPECT_EQ(run(*replica), (Texts{"first 1@1", "evicted 2@2", "evicted 2@3", "evicted 2@4",
                                  "evicted 2@5", "finished 1@8", "first 2@13", "finished 2@14"}));
  EXPECT_EQ(replica->usage().prompt_tokens, 4 + 4 * 3 + 20);
  EXPECT_EQ(replica->usage().output_tokens, 8 + 2);
}

// The same under vLLM's rule, which wants a block only for the one that takes it.
TEST(TokenBudget, EvictsOnlyForABlockThatIsNeeded) {
  const auto replica =
      replica_of({.kind = BatchingKind::kTokenBudget, .kv_blocks = 6, .block_tokens = 4});
  replica->enqueue(at(0), sequence(1, 8, 8));
  replica->enqueue(at(0), sequence(2, 8, 8));
  replica->form_step(at(0));
  // At 5 s both have computed 12 tokens and want a fourth block: 2 goes, and comes back when 1 is
  // done.
  EXPECT_EQ(run(*replica),
            (Texts{"first 1@1", "first 2@1", "evicted 2@5", "finished 1@8", "finished 2@11"}));
}

// 1 is evicted by nobody, 2 gives its three blocks back with 12 tokens computed. 1 takes one of
// them, the last; of the two left, still full, 2 finds both again when 1 is done, and computes 5
// tokens instead of 13.
TEST(TokenBudget, FindsItsOwnBlocksAgainWhenTheyWereNotTaken) {
  const auto replica = replica_of({.kind = BatchingKind::kTokenBudget,
                                   .kv_blocks = 6,
                                   .block_tokens = 4,
                                   .reuse_blocks = true});
  replica->enqueue(at(0), sequence(1, 8, 8));
  replica->enqueue(at(0), sequence(2, 8, 8));
  replica->form_step(at(0));
  run(*replica);
  EXPECT_EQ(replica->usage().evictions, 1);
  EXPECT_EQ(replica->usage().prompt_tokens, 16 + 5);
}

TEST(Mixed, PutsPromptsFirstAndThoseLeftOutBeforeTheOthers) {
  const auto replica = replica_of({.kind = BatchingKind::kMixed, .max_batched_tokens = 4});
  replica->enqueue(at(0), sequence(1, 2, 4));
  replica->enqueue(at(0), sequence(2, 2, 4));
  replica->form_step(at(0));  // both prompts
  std::vector<Report> reports;
  replica->advance(at(1), reports);
  replica->enqueue(at(1), sequence(3, 3, 1, 1));
  replica->form_step(at(1));  // 3 tokens of prompt and the ready 1
  replica->advance(at(2), reports);
  replica->enqueue(at(2), sequence(4, 3, 1, 2));
  replica->form_step(at(2));  // 3 tokens of prompt and 1 again: 2 is not decoding yet
  replica->advance(at(3), reports);
  replica->form_step(at(3));  // 1's last, 2
  EXPECT_EQ(run(*replica), (Texts{"finished 1@4", "finished 2@6"}));
}

TEST(Batched, FinishesASequenceOfOneTokenWithItsPrompt) {
  for (const BatchingKind kind : {BatchingKind::kChunkedPrefill, BatchingKind::kPrefillFirst,
                                  BatchingKind::kTokenBudget, BatchingKind::kMixed}) {
    const auto replica = replica_of({.kind = kind});
    replica->enqueue(at(0), sequence(7, 5, 1));
    replica->form_step(at(0));
    EXPECT_EQ(run(*replica), (Texts{"first 7@1", "finished 7@1"})) << name_of(kind);
    EXPECT_EQ(replica->load().pending_tokens, 0);
    EXPECT_EQ(replica->load().kv_tokens_used, 0);
  }
}

TEST(Batched, TellsEveryTokenWhenAsked) {
  const auto replica = replica_of({}, true);
  replica->enqueue(at(0), sequence(1, 5, 3));
  replica->form_step(at(0));
  EXPECT_EQ(run(*replica), (Texts{"first 1@1", "token 1@2", "token 1@3", "finished 1@3"}));
}

TEST(Batched, SharesTheEnergyOfAStepByTokens) {
  const auto replica = replica_of({.chunk_tokens = 10});
  replica->enqueue(at(0), sequence(1, 6, 3));
  replica->enqueue(at(0), sequence(2, 8, 1));
  replica->form_step(at(0));
  std::vector<Report> reports;
  while (const auto next = replica->next_event()) {
    replica->advance(*next, reports);
    replica->form_step(*next);
  }
  for (const Report& report : reports) {
    if (report.kind != ReportKind::kFinished)
      continue;
    EXPECT_DOUBLE_EQ(report.joules, 8) << "6 + 2 decodes; 8 of prompt";
  }
  EXPECT_DOUBLE_EQ(replica->usage().joules, 16);
}

TEST(Batched, CancelsWhereverTheSequenceIs) {
  const auto replica = replica_of({.chunk_tokens = 10, .max_running = 3});
  replica->enqueue(at(0), sequence(1, 4, 9));
  replica->enqueue(at(0), sequence(2, 3, 9));
  replica->enqueue(at(0), sequence(3, 20, 9));
  replica->enqueue(at(0), sequence(4, 5, 2));
  replica->form_step(at(0));
  EXPECT_FALSE(replica->cancel(at(0), RequestId(9)));
  EXPECT_TRUE(replica->cancel(at(0.5), RequestId(2))) << "its prompt is in the step";
  EXPECT_EQ(replica->load().kv_tokens_used, 16 + 32);
  std::vector<Report> reports;
  replica->advance(at(1), reports);
  replica->form_step(at(1));
  EXPECT_TRUE(replica->cancel(at(1.5), RequestId(1))) << "decoding, in the step";
  EXPECT_TRUE(replica->cancel(at(1.5), RequestId(3))) << "in the middle of its prompt";
  EXPECT_EQ(replica->load().kv_tokens_used, 0);
  replica->enqueue(at(1.5), sequence(5, 5, 2));
  EXPECT_TRUE(replica->cancel(at(1.6), RequestId(5))) << "waiting";
  EXPECT_EQ(replica->load().waiting, 1);
  EXPECT_EQ(replica->load().pending_tokens, 6);
  // The step in progress goes on to its end, then the last one has its turn.
  EXPECT_EQ(run(*replica), (Texts{"first 4@3", "finished 4@4"}));
  EXPECT_EQ(replica->usage().output_tokens, 3) << "one of request 1, two of request 4";
}

TEST(Batched, DropsItsStepWhenItIsLost) {
  const auto replica = replica_of({.chunk_tokens = 10});
  replica->enqueue(at(0), sequence(1, 8, 30));
  replica->enqueue(at(0), sequence(2, 8, 30));
  replica->enqueue(at(0), sequence(3, 8, 30));
  replica->form_step(at(0));
  EXPECT_EQ(run(*replica, 1), (Texts{"first 1@1"}));
  replica->reset(at(1.25));
  EXPECT_FALSE(replica->next_event().has_value());
  EXPECT_EQ(replica->load().running + replica->load().waiting, 0);
  EXPECT_EQ(replica->load().kv_tokens_used, 0);
  EXPECT_EQ(replica->load().pending_tokens, 0);
  EXPECT_EQ(replica->usage().steps, 1);
  EXPECT_DOUBLE_EQ(replica->usage().busy_s, 1.25);
  EXPECT_DOUBLE_EQ(replica->usage().prefill_s, 1.25);
  EXPECT_DOUBLE_EQ(replica->usage().joules, 10 + 10 * 0.25);
  replica->enqueue(at(1.5), sequence(4, 8, 1));
  replica->form_step(at(1.5));
  EXPECT_EQ(run(*replica), (Texts{"first 4@2.5", "finished 4@2.5"}));
}

TEST(Batched, StartsAStepAtTheExactEndOfTheOneBefore) {
  class Third final : public perf::StepModel {
   public:
    perf::StepCost step(const perf::StepShape&) const override { return {Seconds(1.0 / 3), {}}; }
    Watts idle_power() const override { return {}; }
  };
  BatchedReplica replica({.kv_blocks = 1000, .steps = std::make_shared<Third>()}, {});
  replica.enqueue(at(5), sequence(1, 5, 3));
  replica.form_step(at(5));
  std::vector<Report> reports;
  while (const auto next = replica.next_event()) {
    replica.advance(*next, reports);
    replica.form_step(*next);
  }
  double exact = 5;
  for (int i = 0; i < 3; ++i)
    exact += 1.0 / 3;
  EXPECT_EQ(reports.back().at_s, exact) << "whole nanoseconds would have drifted";
}

// Else the core would cut an answer that its replica has room for, or send one that it has not.
TEST(Batched, HasRoomForTheLongestSequenceThatTheModelOfItsPoolNames) {
  for (const BatchingKind kind : {BatchingKind::kChunkedPrefill, BatchingKind::kPrefillFirst,
                                  BatchingKind::kTokenBudget, BatchingKind::kMixed}) {
    const Batching batching{.kind = kind, .kv_blocks = 100, .watermark = 0.05};
    const long long most = perf::longest_sequence(batching, 100);
    const auto replica = replica_of(batching);
    EXPECT_TRUE(replica->fits(sequence(1, 100, most - 100))) << name_of(kind);
    const bool keeps_some_free =
        kind == BatchingKind::kChunkedPrefill || kind == BatchingKind::kPrefillFirst;
    EXPECT_EQ(most, keeps_some_free ? 95 * 16 : kind == BatchingKind::kTokenBudget ? 1601 : 1600);
    if (!keeps_some_free) {
      EXPECT_FALSE(replica->fits(sequence(1, 100, most - 99))) << name_of(kind);
    }
  }
}

TEST(Batched, KnowsWhatCanNeverFit) {
  const auto chunked =
      replica_of({.chunk_tokens = 8, .kv_blocks = 10, .block_tokens = 4, .watermark = 0.2});
  EXPECT_TRUE(chunked->fits(sequence(1, 32, 1)));
  EXPECT_FALSE(chunked->fits(sequence(1, 33, 1))) << "the watermark has 2 of 10 blocks";
  EXPECT_FALSE(chunked->fits(sequence(1, 30, 4)))
      << "evicted with 33 tokens it could not come back";
  EXPECT_FALSE(chunked->fits(sequence(1, 0, 4)));
  const auto whole = replica_of({.kind = BatchingKind::kPrefillFirst, .max_batched_tokens = 16});
  EXPECT_TRUE(whole->fits(sequence(1, 16, 100)));
  EXPECT_FALSE(whole->fits(sequence(1, 17, 1)));
}

}  // namespace
}  // namespace medley::replica
