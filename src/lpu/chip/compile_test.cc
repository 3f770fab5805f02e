#include "lpu/chip/compile.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace medley::lpu::chip {
namespace {

Target example() {
  auto target = find_target("example_chip", "catalog");
  EXPECT_TRUE(target.ok());
  return std::move(target).value();
}

Shape small() {
  return {.name = "small",
          .layers = 3,
          .width = 128,
          .heads = 4,
          .kv_heads = 2,
          .head_size = 32,
          .inner = 256,
          .vocabulary = 512,
          .kinds = {{}},
          .kind_of_layer = {0, 0, 0}};
}

TEST(Schedule, ItsDigestIsOfEverythingInIt) {
  const auto compiled = compile(small(), example(), {.context = 128});
  ASSERT_TRUE(compiled.ok()) << compiled.error().message;
  const Schedule& schedule = compiled->schedule;
  const auto changes = [&](const auto& change) {
    Schedule other = schedule;
    change(other);
    return other.digest() != schedule.digest();
  };
  EXPECT_FALSE(changes([](Schedule&) {}));
  EXPECT_TRUE(changes([](Schedule& s) { s.model += "x"; }));
  EXPECT_TRUE(changes([](Schedule& s) { s.target += "x"; }));
  EXPECT_TRUE(changes([](Schedule& s) { s.segments[0].name += "x"; }));
  EXPECT_TRUE(changes([](Schedule& s) { s.segments[1].inputs[0].row += 1; }));
  EXPECT_TRUE(changes([](Schedule& s) { s.segments[1].outputs[0].row += 1; }));
  EXPECT_TRUE(changes([](Schedule& s) { s.stages[0].runs.pop_back(); }));
}

// Logits are computed after the last chunk of a prompt, so the head keeps no chunk from the next.
TEST(Compile, TheHeadIsNoPartOfTheIntervalOfAPromptsChunks) {
  Shape shape = small();
  shape.vocabulary = 4096;
  const auto compiled = compile(shape, example(), {.context = 128, .group = 1});
  ASSERT_TRUE(compiled.ok()) << compiled.error().message;
  const Schedule& s = compiled->schedule;
  std::int64_t longest = 0, head = 0;
  for (const Stage& stage : s.stages) {
    std::int64_t kept = 0;
    for (const auto& run : stage.runs) {
      const auto of = static_cast<std::size_t>(run.segment);
      const auto chunk =
          std::find_if(s.segments.begin(), s.segments.end(), [&](const Segment& segment) {
            return segment.chunk_of == run.segment && segment.tokens == compiled->prefill_tokens;
          });
      const Segment& segment = chunk == s.segments.end() ? s.segments[of] : *chunk;
      if (segment.kind == SegmentKind::kHead)
        head += segment.cycles;
      else
        kept += segment.kind == SegmentKind::kHandOn ? segment.instructions.front().busy
                                                     : segment.cycles;
    }
    longest = std::max(longest, kept);
  }
  EXPECT_GT(head, 0);
  EXPECT_EQ(compiled->prefill_interval_cycles, longest);
}

TEST(Compile, TakesTheFewestChipsAndSaysWhatWouldBeFaster) {
  const Target target = example();
  int faster = 0;
  for (const int layers : {3, 5, 9, 14}) {
    Shape shape = small();
    shape.layers = layers;
    shape.kind_of_layer.assign(static_cast<std::size_t>(layers), 0);
    shape.inner = 1024;
    const CompileOptions options{.context = 1024};
    int chips = 0, shortest_group = 0;
    std::int64_t cycles = 0, shortest = 0;
    for (int group = 1; group <= target.node_chips; group *= 2) {
      CompileOptions one = options;
      one.group = group;
      const auto compiled = compile(shape, target, one);
      if (!compiled.ok())
        continue;
      const Schedule& s = compiled->schedule;
      if (chips == 0 || s.chips() < chips || (s.chips() == chips && s.token_cycles < cycles)) {
        chips = s.chips();
        cycles = s.token_cycles;
      }
      if (shortest == 0 || s.token_cycles < shortest) {
        shortest = s.token_cycles;
        shortest_group = group;
      }
    }
    const auto compiled = compile(shape, target, options);
    ASSERT_TRUE(compiled.ok()) << compiled.error().message;
    EXPECT_EQ(compiled->schedule.chips(), chips);
    EXPECT_EQ(compiled->schedule.token_cycles, cycles);
    EXPECT_EQ(compiled->faster.group, shortest < cycles ? shortest_group : 0);
    faster += compiled->faster.group > 0 ? 1 : 0;
  }
  EXPECT_GT(faster, 0);
}

// Every group stands in one node, and what goes to the next one takes the time of the way there.
TEST(Compile, PutsGroupsWithinNodesAndTimesHopsByWhereTheyLead) {
  const Target target = example();  // nodes of 4
  const auto compiled = compile(small(), target, {.context = 64, .chips = 8, .group = 2});
  ASSERT_TRUE(compiled.ok()) << compiled.error().message;
  const Schedule& s = compiled->schedule;
  ASSERT_EQ(s.stages.size(), 4U);
  for (std::size_t i = 0; i < s.stages.size(); ++i) {
    const auto& last = s.stages[i].runs.back();
    const Segment& segment = s.segments[static_cast<std::size_t>(last.segment)];
    ASSERT_EQ(segment.kind, SegmentKind::kHandOn);
    const Access& write = segment.instructions.front().accesses.back();
    const std::int64_t way = write.cycle - write.period;
    EXPECT_EQ(way, i % 2 == 0 ? target.link_latency : target.far_latency) << i;
  }
  const auto refused = compile(small(), target, {.context = 64, .group = 3});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message,
            "small on example_chip: a group of 3 chips would stand in two nodes; expected a number "
            "that divides a node of 4, or whole nodes");
}

TEST(Compile, WidensAGroupByWholeNodesWhereANodeHoldsNoLayer) {
  const Target target = example();
  Shape shape = small();
  shape.width = 512;
  shape.inner = 2000;  // 13 MB of weights a layer, and a chip has stripes of 2
  shape.layers = 2;
  shape.kind_of_layer = {0, 0};
  int fewest = 0;
  for (int nodes = 2; nodes <= 8; ++nodes) {
    const auto one = compile(shape, target, {.context = 64, .group = nodes * target.node_chips});
    if (one.ok() && (fewest == 0 || one->schedule.chips() < fewest))
      fewest = one->schedule.chips();
  }
  const auto compiled = compile(shape, target, {.context = 64});
  ASSERT_TRUE(compiled.ok()) << compiled.error().message;
  EXPECT_EQ(compiled->schedule.chips(), fewest);
  EXPECT_EQ(compiled->schedule.group, 3 * target.node_chips);
}

TEST(Compile, RefusesWhatCannotBeBeforeItIsLaidOut) {
  const auto groq = find_target("groqchip1", "catalog");
  ASSERT_TRUE(groq.ok());
  const auto error_of = [&](const Shape& shape, const CompileOptions& options) {
    const auto compiled = compile(shape, *groq, options);
    return compiled.ok() ? "" : compiled.error().message;
  };
  Shape wide = small();
  wide.width = 131072;
  wide.inner = 4 * wide.width;
  wide.heads = wide.kv_heads = 1024;
  wide.head_size = 128;
  EXPECT_EQ(error_of(wide, {.context = 4096}),
            "small on groqchip1: a layer takes at least 275 GB of weights and 2.15 GB of cache for "
            "1 stream of 4096 tokens, and 64 chips hold 10.7 GB; a group has at most 64 chips");
  wide.layers = 200;
  wide.kind_of_layer.assign(200, 0);
  EXPECT_EQ(error_of(wide, {.context = 4096}),
            "small on groqchip1: needs at least 330241 chips for weights and caches, and no more "
            "than 10440 of groqchip1 can be joined");

  Shape heads = small();
  heads.width = heads.heads = heads.kv_heads = 4096;
  heads.head_size = 1;
  EXPECT_EQ(error_of(heads, {.context = 4096, .group = 1}),
            "small on groqchip1: a layer takes about 243098 instructions of each of 1 chip, and at "
            "most 20000 are scheduled: 4096 KV heads over 4096 positions, 4096 wide");
  EXPECT_EQ(error_of(small(), {.context = 4096, .group = 1024}),
            "small on groqchip1: a group of 1024 chips: at most 64 of groqchip1 can work on one "
            "token together");
  EXPECT_EQ(error_of(small(), {.context = 1 << 28, .group = 8}),
            "small on groqchip1: a layer takes at least 0.147 MB of weights and 68.7 GB of cache "
            "for 1 stream of 268435456 tokens, and 8 chips hold 1.34 GB; a shorter context would "
            "fit");
}

}  // namespace
}  // namespace medley::lpu::chip
