#include "base/digest.h"

#include <gtest/gtest.h>

namespace medley {
namespace {

TEST(Digest, OfNothingIsTheOffsetOfFnv1a) {
  EXPECT_EQ(Digest().value(), 0xcbf29ce484222325U);
  EXPECT_EQ(Digest().hex(), "cbf29ce484222325");
}

// FNV-1a over eight bytes, the published function applied to "foobar\0\0".
TEST(Digest, IsFnv1aOverTheBytesOfEachNumberLittleEndFirst) {
  std::uint64_t number = 0, expected = 0xcbf29ce484222325U;
  const char bytes[8] = {'f', 'o', 'o', 'b', 'a', 'r', 0, 0};
  for (int i = 0; i < 8; ++i) {
    number |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
    expected = (expected ^ static_cast<unsigned char>(bytes[i])) * 0x100000001b3U;
    if (i == 5) {
      EXPECT_EQ(expected, 0x85944171f73967e8U);  // what the authors publish for "foobar" itself
    }
  }
  Digest digest;
  digest.add(number);
  EXPECT_EQ(digest.value(), expected);
}

TEST(Digest, DependsOnOrderAndNumberOfWhatIsAdded) {
  Digest ab, ba, a, a0;
  ab.add(1), ab.add(2);
  ba.add(2), ba.add(1);
  a.add(1);
  a0.add(1), a0.add(0);
  EXPECT_NE(ab.value(), ba.value());
  EXPECT_NE(a.value(), a0.value());
}

TEST(Digest, PrintsLeadingZeros) {
  Digest digest;
  while (digest.value() >> 60 != 0)
    digest.add(0);
  EXPECT_EQ(digest.hex().size(), 16u);
  EXPECT_EQ(digest.hex().front(), '0');
}

}  // namespace
}  // namespace medley
