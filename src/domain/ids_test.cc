#include "domain/ids.h"

#include <gtest/gtest.h>

#include <limits>

namespace medley {
namespace {

TEST(RequestName, IsHexadecimalAndReadsBack) {
  EXPECT_EQ(name_of(RequestId(0)), "req-00000000");
  EXPECT_EQ(name_of(RequestId(0x1a2b)), "req-00001a2b");
  for (const std::uint64_t number : {std::uint64_t{0}, std::uint64_t{77}, std::uint64_t{1} << 40,
                                     std::numeric_limits<std::uint64_t>::max()}) {
    EXPECT_EQ(request_named(name_of(RequestId(number))), RequestId(number));
  }
}

TEST(RequestName, MayBeThePlainNumberOfATraceRow) {
  EXPECT_EQ(request_named("17"), RequestId(17));
  EXPECT_EQ(request_named("req-17"), RequestId(0x17));
}

TEST(RequestName, IsRefusedWhenItIsNeither) {
  for (const char* text :
       {"", "req-", "req-xyz", "17b", "-1", " 1", "req-00000001 ", "1.5", "99999999999999999999"}) {
    EXPECT_EQ(request_named(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace medley
