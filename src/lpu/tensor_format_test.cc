#include "lpu/tensor_format.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/prng.h"

namespace medley::lpu {
namespace {

TEST(TensorFormat, HalvesComeBackAsTheyWere) {
  for (std::uint32_t half = 0; half < 0x10000; ++half) {
    const auto bits = static_cast<std::uint16_t>(half);
    const float value = from_half(bits);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(from_half(to_half(value))));
    } else {
      ASSERT_EQ(to_half(value), bits) << value;
    }
  }
}

TEST(TensorFormat, HalvesRoundToNearestAndTiesToEven) {
  EXPECT_EQ(from_half(to_half(1 + 0x1p-11F)), 1.0F);
  EXPECT_EQ(from_half(to_half(1 + 0x3p-11F)), 1 + 0x1p-9F);
  EXPECT_EQ(from_half(to_half(65519.0F)), 65504.0F);
  EXPECT_TRUE(std::isinf(from_half(to_half(65520.0F))));
  EXPECT_EQ(from_half(to_half(0x1p-25F)), 0.0F);
  EXPECT_EQ(from_half(to_half(0x3p-25F)), 0x1p-23F);
  EXPECT_EQ(from_half(to_half(-std::numeric_limits<float>::infinity())),
            -std::numeric_limits<float>::infinity());
}

TEST(TensorFormat, QuantisedNumbersAreWithinHalfAStep) {
  Prng prng(3);
  std::vector<float> in(128), out(128);
  for (float& number : in)
    number = static_cast<float>(prng.normal());
  const auto worst = [&](TensorFormat format) {
    std::vector<std::uint8_t> bytes(row_bytes(format, in.size()));
    quantise(format, in, bytes.data());
    dequantise(format, bytes.data(), out);
    double most = 0;
    for (std::size_t i = 0; i < in.size(); ++i)
      most = std::max(most, static_cast<double>(std::fabs(in[i] - out[i])));
    return most;
  };
  EXPECT_EQ(worst(TensorFormat::kF32), 0);
  EXPECT_LT(worst(TensorFormat::kF16), 4 * 0x1p-11);
  EXPECT_LT(worst(TensorFormat::kBf16), 4 * 0x1p-8);
  EXPECT_LT(worst(TensorFormat::kQ8_0), 4.0 / 127);  // of 4 deviations, and the scale's rounding
  EXPECT_LT(worst(TensorFormat::kQ4_0), 4.0 / 7);
}

// By hand from ggml's layout: d = 2, one number each at the front and at the back of a block.
TEST(TensorFormat, ReadsBlocksOfOlderKinds) {
  std::vector<float> out(32);
  const auto two = to_half(2), minus_one = to_half(-1);
  const auto block = [&](std::vector<std::uint8_t> bytes) {
    bytes.resize(24);
    return bytes;
  };
  const auto low = [](std::uint16_t h) { return static_cast<std::uint8_t>(h & 0xFF); };
  const auto high = [](std::uint16_t h) { return static_cast<std::uint8_t>(h >> 8); };
  auto q4_1 = block({low(two), high(two), low(minus_one), high(minus_one), 0x53});
  dequantise(TensorFormat::kQ4_1, q4_1.data(), out);
  EXPECT_EQ(out[0], 3 * 2 - 1);
  EXPECT_EQ(out[16], 5 * 2 - 1);
  EXPECT_EQ(out[1], -1);
  auto q5_0 = block({low(two), high(two), 1, 0, 0, 0x80, 0x53});
  q5_0[6 + 15] = 0x10;
  dequantise(TensorFormat::kQ5_0, q5_0.data(), out);
  EXPECT_EQ(out[0], (3 + 16 - 16) * 2);
  EXPECT_EQ(out[16], (5 - 16) * 2);
  EXPECT_EQ(out[31], (1 + 16 - 16) * 2);
}

TEST(TensorFormat, RefusesWhatItDoesNotKnow) {
  EXPECT_FALSE(tensor_format(17));  // IQ2_XS
  EXPECT_EQ(tensor_format(12), TensorFormat::kQ4_K);
}

}  // namespace
}  // namespace medley::lpu
