#include "domain/prefix_cache.h"

#include <gtest/gtest.h>

namespace medley {
namespace {

using Blocks = std::vector<std::uint64_t>;

void add_all(PrefixCache& cache, const Blocks& blocks, long long size = 1) {
  for (const std::uint64_t block : blocks)
    EXPECT_TRUE(cache.add(block, size));
}

TEST(PrefixCache, MatchesAChainFromItsFront) {
  PrefixCache cache;
  add_all(cache, {1, 2, 3});
  EXPECT_EQ(cache.matched(Blocks{1, 2, 3, 4, 5}), 3);
  EXPECT_EQ(cache.matched(Blocks{1, 2}), 2);
  EXPECT_EQ(cache.matched(Blocks{1, 9, 3}), 1);
  EXPECT_EQ(cache.matched(Blocks{9, 2, 3}), 0);
  EXPECT_EQ(cache.matched({}), 0);
}

TEST(PrefixCache, KeepsWhatIsHeld) {
  PrefixCache cache;
  add_all(cache, {1, 2});
  cache.shrink(0);
  EXPECT_EQ(cache.matched(Blocks{1, 2}), 2);
  EXPECT_EQ(cache.idle(), 0);
}

TEST(PrefixCache, CountsWhatSeveralHoldOnce) {
  PrefixCache cache;
  add_all(cache, {1, 2}, 10);
  EXPECT_FALSE(cache.add(1, 10));
  cache.hold(Blocks{1});
  EXPECT_EQ(cache.release(Blocks{1, 2}), 10) << "1 is still held";
  EXPECT_EQ(cache.idle_part(Blocks{1, 2}), 10);
  EXPECT_EQ(cache.release(Blocks{1}), 10);
  EXPECT_EQ(cache.idle(), 20);
}

TEST(PrefixCache, DropsTheEndOfAChainBeforeItsBeginning) {
  PrefixCache cache;
  add_all(cache, {1, 2, 3});
  cache.release(Blocks{1, 2, 3});
  cache.shrink(2);
  EXPECT_EQ(cache.matched(Blocks{1, 2, 3}), 2);
  cache.shrink(1);
  EXPECT_EQ(cache.matched(Blocks{1, 2, 3}), 1);
}

TEST(PrefixCache, DropsWhatWasUsedLongestAgoFirst) {
  PrefixCache cache;
  add_all(cache, {1});
  cache.release(Blocks{1});
  add_all(cache, {2});
  cache.release(Blocks{2});
  cache.hold(Blocks{1});
  cache.release(Blocks{1});
  cache.shrink(1);
  EXPECT_EQ(cache.matched(Blocks{1}), 1);
  EXPECT_EQ(cache.matched(Blocks{2}), 0);
  EXPECT_EQ(cache.blocks(), 1);
}

TEST(PrefixCache, DropsWhatHasNoNameInItsTurnAndInParts) {
  PrefixCache cache;
  cache.leave(5);
  add_all(cache, {1}, 2);
  cache.release(Blocks{1});
  cache.leave(4);
  cache.leave(4);
  EXPECT_EQ(cache.idle(), 15);
  cache.shrink(12);
  EXPECT_EQ(cache.matched(Blocks{1}), 1) << "2 are left of the first 5";
  cache.shrink(9);
  EXPECT_EQ(cache.matched(Blocks{1}), 0);
  EXPECT_EQ(cache.idle(), 8);
}

TEST(PrefixCache, ForgetsEverything) {
  PrefixCache cache;
  add_all(cache, {1, 2});
  cache.leave(3);
  cache.clear();
  EXPECT_EQ(cache.blocks(), 0);
  EXPECT_EQ(cache.idle(), 0);
  add_all(cache, {1});
  EXPECT_EQ(cache.matched(Blocks{1, 2}), 1);
}

}  // namespace
}  // namespace medley
