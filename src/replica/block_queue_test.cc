#include "replica/block_queue.h"

#include <gtest/gtest.h>

namespace medley::replica {
namespace {

TEST(BlockQueue, IsTakenFromItsFrontAndFilledAtItsBack) {
  BlockQueue queue(3);
  const auto a = queue.take(), b = queue.take();
  EXPECT_EQ(a.id, 0);
  EXPECT_EQ(b.id, 1);
  queue.give_back(b);
  queue.give_back(a);
  EXPECT_EQ(queue.take().id, 2);
  EXPECT_EQ(queue.take().id, 1);
  EXPECT_EQ(queue.take().id, 0);
}

TEST(BlockQueue, KeepsAContentUntilTheBlockIsTaken) {
  BlockQueue queue(3);
  const auto a = queue.take(), b = queue.take();
  EXPECT_FALSE(queue.has_content(a)) << "it is held";
  queue.give_back(a);
  queue.give_back(b);
  EXPECT_TRUE(queue.has_content(b));
  queue.take_back(b);
  EXPECT_EQ(queue.take().id, 2);
  EXPECT_TRUE(queue.has_content(a));
  const auto other = queue.take();
  EXPECT_EQ(other.id, a.id);
  queue.give_back(other);
  EXPECT_FALSE(queue.has_content(a)) << "somebody else wrote over it";
}

}  // namespace
}  // namespace medley::replica
