#include "base/printable.h"

#include <gtest/gtest.h>

namespace medley {
namespace {

TEST(Printable, TakesControlCharactersOutOfNames) {
  EXPECT_EQ(printable("a\x1b[2Jb\nc"), "a [2Jb c");
  EXPECT_EQ(printable("µ\u0085x"), "µ x");
}

}  // namespace
}  // namespace medley
