#include "sched/backlog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace medley::sched {
namespace {

using testing::ElementsAre;

Request request(std::uint64_t id, long long priority = 0, std::uint64_t tenant = 0,
                ServiceClass service_class = ServiceClass::kGuaranteed) {
  Request made;
  made.id = RequestId(id);
  made.arrived_at = Instant(Duration(id));
  made.service_class = service_class;
  made.prompt_tokens = Tokens(100);
  made.priority = priority;
  made.tenant = TenantId(tenant);
  return made;
}

Waiting waiting(const Request& request) { return {request, Instant::max(), {}}; }

Fleet tenants(const std::vector<double>& weights) {
  Fleet fleet;
  fleet.tenants.clear();
  for (const double weight : weights)
    fleet.tenants.push_back({"t" + std::to_string(fleet.tenants.size()), weight});
  return fleet;
}

TEST(Backlog, WhatComesDuringAWalkIsLeftForTheNextOne) {
  Backlog backlog(tenants(std::vector<double>(20, 1)));
  backlog.push(waiting(request(1)));
  Backlog::Group& group = backlog.push(waiting(request(2)));
  backlog.start(group);
  EXPECT_EQ(backlog.next(group)->request.id, RequestId(1));
  for (std::uint64_t tenant = 1; tenant < 20; ++tenant)
    backlog.push(waiting(request(2 + tenant, 0, tenant)));
  EXPECT_EQ(backlog.next(group)->request.id, RequestId(2));
  EXPECT_EQ(backlog.next(group), nullptr);
  backlog.start(group);
  int walked = 0;
  while (backlog.next(group) != nullptr)
    ++walked;
  EXPECT_EQ(walked, 21);
}

// Takes out all of one group, each with so many tokens for its tenant.
std::vector<std::uint64_t> drain(Backlog& backlog, long long tokens = 100) {
  std::vector<std::uint64_t> order;
  while (!backlog.empty()) {
    const Request first = backlog.head(*backlog.groups().front()).request;
    order.push_back(first.id.number());
    backlog.shares().serve({}, first, tokens, 0);
    backlog.remove(first.id);
  }
  return order;
}

TEST(Backlog, OrdersEqualsByPriorityAndThenByArrival) {
  const Fleet fleet;
  Backlog backlog(fleet);
  for (const Request& r : {request(1), request(2, 5), request(3, -1), request(4), request(5, -1)})
    backlog.push(waiting(r));
  backlog.push_front(waiting(request(6)));  // was dispatched and came back: before its equals only
  EXPECT_THAT(drain(backlog), ElementsAre(3, 5, 6, 1, 4, 2));
}

TEST(Backlog, ANewcomerIsFirstOnlyWithABetterPriority) {
  const Fleet fleet;
  Backlog backlog(fleet);
  EXPECT_EQ(backlog.ahead_of(request(1)), Ahead::kNothing);
  backlog.push(waiting(request(1)));
  EXPECT_EQ(backlog.ahead_of(request(2)), Ahead::kItsKind);
  EXPECT_EQ(backlog.ahead_of(request(2, -1)), Ahead::kNothing);
  EXPECT_EQ(backlog.ahead_of(request(2, 0, 0, ServiceClass::kFlex)),
            Ahead::kNothing);  // of another kind
}

TEST(Backlog, AWalkGoesOnWhereWhatItAnsweredWasRemoved) {
  const Fleet fleet = tenants({1, 1});
  Backlog backlog(fleet);
  for (std::uint64_t id = 1; id <= 4; ++id)
    backlog.push(waiting(request(id, 0, id % 2)));
  Backlog::Group& group = *backlog.groups().front();
  std::vector<std::uint64_t> seen;
  backlog.start(group);
  while (backlog.at(group) != nullptr) {
    const RequestId id = backlog.next(group)->request.id;
    seen.push_back(id.number());
    if (id.number() < 3)
      backlog.remove(id);
  }
  EXPECT_THAT(seen, testing::UnorderedElementsAre(1, 2, 3, 4));
  EXPECT_EQ(group.size, 2U);
}

TEST(Backlog, TenantsTakeTurnsByWeight) {
  const Fleet fleet = tenants({1, 2});
  Backlog backlog(fleet);
  for (std::uint64_t id = 0; id < 9; ++id)
    backlog.push(waiting(request(id, 0, id < 6 ? 0 : 1)));
  // Two of the second for each of the first, until it has no more.
  EXPECT_THAT(drain(backlog), ElementsAre(6, 0, 7, 8, 1, 2, 3, 4, 5));
}

TEST(Backlog, PriorityPassesNobodyElsesWork) {
  const Fleet fleet = tenants({1, 1});
  Backlog backlog(fleet);
  for (std::uint64_t id = 0; id < 4; ++id)
    backlog.push(waiting(request(id, id < 2 ? -100 : 0, id < 2 ? 0 : 1)));
  EXPECT_THAT(drain(backlog), ElementsAre(0, 2, 1, 3));
}

TEST(Backlog, ATenantThatAskedForNothingHasSavedUpNothing) {
  const Fleet fleet = tenants({1, 1});
  Backlog backlog(fleet);
  backlog.shares().serve({}, request(0, 0, 0), 1'000'000, 0);
  for (std::uint64_t id = 0; id < 6; ++id)
    backlog.push(waiting(request(id, 0, id < 3 ? 0 : 1)));
  EXPECT_THAT(drain(backlog), ElementsAre(0, 3, 1, 4, 2, 5));
}

TEST(Backlog, WithOneTenantTheNewcomerYields) {
  const Fleet fleet;
  Backlog backlog(fleet);
  while (backlog.has_room(ServiceClass::kGuaranteed))
    backlog.push(waiting(request(backlog.size(ServiceClass::kGuaranteed), 0)));
  EXPECT_FALSE(backlog.who_yields(request(1000)));
  EXPECT_FALSE(backlog.who_yields(request(1000, 1)));
  EXPECT_EQ(backlog.who_yields(request(1000, -1)), RequestId(255));
}

TEST(Backlog, WhoHasMostWaitingPerWeightYields) {
  const Fleet fleet = tenants({1, 1, 4});
  Backlog backlog(fleet);
  std::uint64_t id = 0;
  while (id < 100)
    backlog.push(waiting(request(id++, 0, 0)));
  while (backlog.has_room(ServiceClass::kGuaranteed))
    backlog.push(waiting(request(id++, 0, 2)));  // 156, of four times the weight
  EXPECT_EQ(backlog.who_yields(request(1000, 0, 1)), RequestId(99));
  EXPECT_EQ(backlog.who_yields(request(1000, 0, 2)), RequestId(99));
  EXPECT_FALSE(backlog.who_yields(request(1000, 0, 0)));
  EXPECT_EQ(backlog.who_yields(request(1000, -1, 0)), RequestId(99));
}

}  // namespace
}  // namespace medley::sched
