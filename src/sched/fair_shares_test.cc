#include "sched/fair_shares.h"

#include <gtest/gtest.h>

namespace medley::sched {
namespace {

using std::chrono::seconds;

Request of(std::uint64_t tenant, ServiceClass service_class = ServiceClass::kStandard) {
  Request request;
  request.tenant = TenantId(tenant);
  request.service_class = service_class;
  return request;
}

Fleet two_tenants(double weight) {
  Fleet fleet;
  fleet.tenants = {{"default", 1}, {"other", weight}};
  return fleet;
}

TEST(FairShares, OneTenantHasNothingToShare) {
  FairShares shares{Fleet()};
  shares.came({}, of(0));
  shares.serve({}, of(0), 1000, 1000);
  EXPECT_EQ(shares.leaves_free_s({}, of(0)), 0);
  EXPECT_FALSE(shares.before(ServiceClass::kStandard, TenantId(0), TenantId(0)));
}

TEST(FairShares, EachClassHasItsOwnCount) {
  FairShares shares(two_tenants(1));
  shares.serve({}, of(0, ServiceClass::kBatch), 1000, 1000);
  EXPECT_FALSE(shares.before(ServiceClass::kBatch, TenantId(0), TenantId(1)));
  EXPECT_TRUE(shares.before(ServiceClass::kStandard, TenantId(0), TenantId(1)));
}

TEST(FairShares, WhoHasMoreThanTheMeanLeavesRoom) {
  FairShares shares(two_tenants(1));
  const Instant now(seconds(100));
  shares.came(now, of(0));
  shares.serve(now, of(0), 9000, 0);
  EXPECT_EQ(shares.leaves_free_s(now, of(0)), 0) << "alone, it is the mean";
  const Instant later = now + seconds(1);
  shares.came(later, of(1));
  shares.serve(later, of(1), 1000, 0);
  // A quarter of the 0.5 s of guaranteed, at nearly the whole excess that two can have.
  EXPECT_NEAR(shares.leaves_free_s(later, of(0)),
              0.125 * (1 - (9000 * 0.967 + 1000) / 2 / (9000 * 0.967)) / 0.5, 0.001);
  EXPECT_EQ(shares.leaves_free_s(later, of(1)), 0);
  EXPECT_EQ(shares.leaves_free_s(later, of(0, ServiceClass::kFlex)), 0) << "of another class";
  EXPECT_EQ(shares.leaves_free_s(later + seconds(60), of(0)), 0) << "long ago";
}

TEST(FairShares, AHeavierTenantMayHaveMore) {
  FairShares shares(two_tenants(9));
  const Instant now(seconds(100));
  for (const std::uint64_t tenant : {0, 1})
    shares.came(now, of(tenant));
  shares.serve(now, of(0), 1000, 0);
  shares.serve(now, of(1), 9000, 0);
  EXPECT_EQ(shares.leaves_free_s(now, of(1)), 0);
}

}  // namespace
}  // namespace medley::sched
