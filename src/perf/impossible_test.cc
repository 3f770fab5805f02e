#include "perf/impossible.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace medley::perf {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Steps final : public StepModel {
 public:
  StepCost step(const StepShape& shape) const override {
    return {Seconds(shape.chunks.empty() ? 0.01 : 0.1), Joules(1)};
  }
  Watts idle_power() const override { return {}; }
};

// A pool in "here" with a first token after 100 ms and one each 10 ms; a rented one that emits
// faster, but somewhere else.
struct TwoPools {
  TwoPools() {
    Offer offer{"chat", {}};
    for (auto& of_class : offer.pools)
      of_class = {PoolId(0), PoolId(1)};
    fleet.offers = {offer};
    fleet.labels = {{"public", true, {}}, {"internal", false, {"here"}}, {"nobody", false, {}}};
    Pool own, rented;
    own.zone = "here";
    rented.zone = "there";
    rented.metered.emplace();
    rented.metered->tpot_s = 0.005;
    fleet.pools = {own, rented};
    perf.pools.resize(2);
    perf.pools[0].steps = std::make_shared<Steps>();
    perf.pools[1].kind = ServingKind::kMetered;
  }
  ClassPolicy& policy(ServiceClass service_class) { return fleet.classes[index_of(service_class)]; }
  Fleet fleet;
  PerfModel perf;
};

TEST(Impossible, IsNothingWhereAnIdlePoolKeepsEachClass) {
  TwoPools of;
  EXPECT_THAT(impossible(of.fleet, of.perf), IsEmpty());
}

TEST(Impossible, IsAClassWhoseTargetsNoPoolMeets) {
  TwoPools of;
  of.policy(ServiceClass::kStandard).targets.tpot = std::chrono::milliseconds(4);
  of.policy(ServiceClass::kBatch).targets.deadline = std::chrono::milliseconds(1);
  of.fleet.pools[1].metered->ttft_sigma = 0;
  EXPECT_THAT(impossible(of.fleet, of.perf),
              ElementsAre("no pool keeps the targets of class standard, however idle it is: the "
                          "least of any pool is ttft_s 0.1, of any tpot_s 0.005",
                          "no pool keeps the targets of class batch, however idle it is: the "
                          "least of any pool is ttft_s 0.1, of any tpot_s 0.005"));
}

TEST(Impossible, IsAClassThatIsWorthLessThanItCostsOnEachPool) {
  TwoPools of;
  of.fleet.site.tariff_per_kwh.fill(0.36);             // 1e-7 a joule
  of.fleet.pools[1].metered->per_million_prompt = 10;  // .01 a prompt
  of.policy(ServiceClass::kBatch).value = Money(1e-8);
  EXPECT_THAT(impossible(of.fleet, of.perf),
              ElementsAre(::testing::HasSubstr("class batch is hardly worth serving: its value is "
                                               "1e-08, and a request of 1000 prompt and 200")));
  of.fleet.pools[1].metered->per_million_prompt = 0;
  EXPECT_THAT(impossible(of.fleet, of.perf), IsEmpty()) << "the rented one is free";
}

TEST(Impossible, IsAClassThatNeedsTheBestOfTwoPoolsAtOnce) {
  TwoPools of;
  of.fleet.pools[1].metered->ttft_sigma = 0;
  of.policy(ServiceClass::kFlex).targets.ttft = std::chrono::milliseconds(200);
  of.policy(ServiceClass::kFlex).targets.tpot = std::chrono::milliseconds(6);
  EXPECT_EQ(impossible(of.fleet, of.perf).size(), 1u);
  of.fleet.offers[0].pools[index_of(ServiceClass::kFlex)].clear();
  EXPECT_THAT(impossible(of.fleet, of.perf), IsEmpty()) << "nobody is offered it";
}

TEST(Impossible, IsALabelWithoutAPoolUnlessItMeansIt) {
  TwoPools of;
  of.fleet.labels.push_back({"secret", false, {"vault"}});
  EXPECT_THAT(impossible(of.fleet, of.perf),
              ElementsAre("no pool stands in a zone of label secret: every request with it is "
                          "refused"));
}

}  // namespace
}  // namespace medley::perf
