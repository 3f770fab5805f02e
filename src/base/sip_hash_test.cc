#include "base/sip_hash.h"

#include <gtest/gtest.h>

namespace medley {
namespace {

// From the reference implementation's list: key 00 01 … 0f, input 00 01 02 ….
TEST(SipHash, AnswersThePublishedValues) {
  SipHash hash({0x0706050403020100U, 0x0f0e0d0c0b0a0908U});
  EXPECT_EQ(hash.value(), 0x726fdb47dd0e0e31U);
  hash.add(0x0706050403020100U);
  EXPECT_EQ(hash.value(), 0x93f5f5799a932462U);
  hash.add(0x0f0e0d0c0b0a0908U);
  EXPECT_EQ(hash.value(), 0x3f2acc7f57c29bdbU);
}

}  // namespace
}  // namespace medley
