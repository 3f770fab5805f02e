#include "domain/service_class.h"

#include <gtest/gtest.h>

namespace medley {
namespace {

TEST(ServiceClass, IsFoundByItsName) {
  for (const ServiceClass service_class : kServiceClasses) {
    EXPECT_EQ(service_class_named(name_of(service_class)), service_class);
  }
  EXPECT_EQ(service_class_named("gold"), std::nullopt);
  EXPECT_EQ(service_class_named(""), std::nullopt);
}

TEST(ServiceClass, PromisesLessAndIsWorthLessFromClassToClass) {
  const ClassPolicy guaranteed = default_policy(ServiceClass::kGuaranteed);
  const ClassPolicy standard = default_policy(ServiceClass::kStandard);
  const ClassPolicy flex = default_policy(ServiceClass::kFlex);
  const ClassPolicy batch = default_policy(ServiceClass::kBatch);
  EXPECT_LT(guaranteed.targets.ttft, standard.targets.ttft);
  EXPECT_LT(standard.targets.ttft, flex.targets.ttft);
  EXPECT_LT(guaranteed.targets.tpot, standard.targets.tpot);
  EXPECT_LT(standard.targets.tpot, flex.targets.tpot);
  EXPECT_GT(guaranteed.value, standard.value);
  EXPECT_GT(standard.value, flex.value);
  EXPECT_GT(flex.value, batch.value);
  // Batch work has a deadline and no pace.
  EXPECT_FALSE(batch.targets.ttft);
  EXPECT_FALSE(batch.targets.tpot);
  EXPECT_EQ(batch.targets.deadline, std::chrono::hours(24));
}

}  // namespace
}  // namespace medley
