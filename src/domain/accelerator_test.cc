#include "domain/accelerator.h"

#include <gtest/gtest.h>

namespace medley {
namespace {

TEST(Accelerator, FindsKindsAndPrecisionsByName) {
  for (const auto kind :
       {AcceleratorKind::kGpu, AcceleratorKind::kLpu, AcceleratorKind::kNpu, AcceleratorKind::kTpu,
        AcceleratorKind::kDataflow, AcceleratorKind::kCustom, AcceleratorKind::kWafer,
        AcceleratorKind::kCpu}) {
    EXPECT_EQ(accelerator_kind_named(name_of(kind)), kind);
  }
  for (const auto precision :
       {Precision::kFp32, Precision::kBf16, Precision::kFp16, Precision::kFp8, Precision::kInt8,
        Precision::kFp4, Precision::kInt4}) {
    EXPECT_EQ(precision_named(name_of(precision)), precision);
  }
  EXPECT_EQ(name_of(AcceleratorKind::kWafer), "wafer");
  EXPECT_EQ(accelerator_kind_named("GPU"), std::nullopt);
  EXPECT_EQ(precision_named("fp64"), std::nullopt);
}

TEST(Accelerator, KnowsTheBytesOfANumber) {
  EXPECT_EQ(bytes_per_number(Precision::kFp32), 4);
  EXPECT_EQ(bytes_per_number(Precision::kBf16), 2);
  EXPECT_EQ(bytes_per_number(Precision::kFp8), 1);
  EXPECT_EQ(bytes_per_number(Precision::kInt4), 0.5);
}

TEST(Accelerator, HasServingMemoryOnlyWhenOneIsListed) {
  Accelerator accelerator;
  EXPECT_EQ(accelerator.serving_memory(), nullptr);
  accelerator.memory = {{.tier = "sram"}, {.tier = "hbm3"}};
  accelerator.serving_tier = 1;
  ASSERT_NE(accelerator.serving_memory(), nullptr);
  EXPECT_EQ(accelerator.serving_memory()->tier, "hbm3");
}

}  // namespace
}  // namespace medley
