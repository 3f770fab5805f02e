#include "base/id.h"

#include <gtest/gtest.h>

#include <unordered_set>

namespace medley {
namespace {

using AppleId = Id<struct AppleTag>;

TEST(Id, IsComparedAndHashedByItsNumber) {
  EXPECT_EQ(AppleId(3), AppleId(3));
  EXPECT_LT(AppleId(2), AppleId(3));
  EXPECT_EQ(AppleId().number(), 0u);
  const std::unordered_set<AppleId> set = {AppleId(1), AppleId(2), AppleId(1)};
  EXPECT_EQ(set.size(), 2u);
}

}  // namespace
}  // namespace medley
