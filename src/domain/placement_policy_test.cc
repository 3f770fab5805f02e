#include "domain/placement_policy.h"

#include <gtest/gtest.h>

namespace medley {
namespace {

TEST(PlacementPolicy, KnowsEveryNameItGives) {
  for (int i = 0; i < kPlacementKindCount; ++i) {
    PlacementPolicy policy(static_cast<PlacementKind>(i));
    EXPECT_EQ(placement_named(name_of(policy)), policy) << name_of(policy);
    policy.admission = policy.kind != PlacementKind::kMedley;
    EXPECT_EQ(placement_named(name_of(policy)), policy) << name_of(policy);
  }
  PlacementPolicy ablated;
  ablated.left_out = {true, false, false, true, false};
  EXPECT_EQ(name_of(ablated), "medley-prices-refusal");
  EXPECT_EQ(placement_named("medley-prices-refusal"), ablated);
  EXPECT_EQ(placement_named("medley-refusal-prices"), ablated);
  ablated.knows_lengths = true;
  EXPECT_EQ(placement_named(name_of(ablated)), ablated);
}

TEST(PlacementPolicy, RefusesWhatIsNoPolicy) {
  for (const char* name :
       {"", "best", "medley+admission", "medley-best", "medley-prices-prices", "round_robin-prices",
        "round_robin+lengths", "+admission", "medley-", "least_outstanding+admission+admission"}) {
    EXPECT_EQ(placement_named(name), std::nullopt) << name;
  }
}

}  // namespace
}  // namespace medley
