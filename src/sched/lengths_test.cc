#include "sched/lengths.h"

#include <gtest/gtest.h>

namespace medley::sched {
namespace {

Request of(std::uint64_t offer, std::uint64_t tenant, Endpoint endpoint = Endpoint::kChat,
           ServiceClass service_class = ServiceClass::kStandard) {
  Request request;
  request.model = OfferId(offer);
  request.tenant = TenantId(tenant);
  request.endpoint = endpoint;
  request.service_class = service_class;
  return request;
}

Fleet three_tenants() {
  Fleet fleet;
  fleet.tenants = {{"default"}, {"brief"}, {"wordy"}};
  return fleet;
}

void end(Lengths& lengths, const Request& request, long long tokens, int times) {
  for (int i = 0; i < times; ++i)
    lengths.ended(request, tokens);
}

TEST(Lengths, BeforeAnythingWasSeenAnAnswerIsOfUsualLength) {
  EXPECT_EQ(Lengths(Fleet()).expected(of(7, 0)), 200);
}

TEST(Lengths, EachTenantAndEndpointComesToHaveItsOwnMean) {
  Lengths lengths(three_tenants());
  for (int i = 0; i < 200; ++i) {
    lengths.ended(of(0, 1), 50);
    lengths.ended(of(0, 2), 500);
    lengths.ended(of(0, 2, Endpoint::kCompletion), 20);
  }
  EXPECT_NEAR(lengths.expected(of(0, 1)), 50, 10);
  EXPECT_NEAR(lengths.expected(of(0, 2)), 500, 50);
  EXPECT_NEAR(lengths.expected(of(0, 2, Endpoint::kCompletion)), 20, 50);
}

TEST(Lengths, WhatIsNewLeansOnWhatIsLikeIt) {
  Lengths lengths(three_tenants());
  end(lengths, of(0, 1), 1000, 100);
  EXPECT_NEAR(lengths.expected(of(0, 2)), 970, 30) << "another tenant's of the same model";
  EXPECT_NEAR(lengths.expected(of(3, 0)), 860, 30) << "of the same class";
  EXPECT_EQ(lengths.expected(of(0, 1, Endpoint::kChat, ServiceClass::kBatch)), 200);
  lengths.ended(of(0, 2), 100);
  EXPECT_GT(lengths.expected(of(0, 2)), 700) << "one answer proves little";
}

TEST(Lengths, ARunawayMovesAMeanALittleAndAHeavyTailALot) {
  Lengths lengths{Fleet()};
  end(lengths, of(0, 0), 200, 500);
  lengths.ended(of(0, 0), 1'000'000);
  EXPECT_LT(lengths.expected(of(0, 0)), 240);
  end(lengths, of(0, 0), 30'000, 300);
  EXPECT_NEAR(lengths.expected(of(0, 0)), 30'000, 1'000);
}

TEST(Lengths, SaysHowFarAnswersStrayFromTheirMean) {
  Lengths lengths(three_tenants());
  EXPECT_NEAR(lengths.of(of(0, 1)).spread, 0.6, 1e-9) << "nothing was seen";
  end(lengths, of(0, 1), 100, 300);
  EXPECT_LT(lengths.of(of(0, 1)).spread, 0.01) << "all alike";
  for (int i = 0; i < 300; ++i)
    lengths.ended(of(0, 2), i % 2 == 0 ? 100 : 300);
  EXPECT_NEAR(lengths.of(of(0, 2)).spread, 0.25, 0.05) << "200, half as much off";
}

}  // namespace
}  // namespace medley::sched
