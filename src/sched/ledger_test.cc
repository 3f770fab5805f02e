#include "sched/ledger.h"

#include <gtest/gtest.h>

#include "sched/test_core.h"

namespace medley::sched {
namespace {

using std::chrono::milliseconds, std::chrono::seconds;

TEST(Ledger, KnowsAReplicaWithoutTheWorkThatMayMakeRoom) {
  const TestFleet made = make_test_fleet({{.name = "a"}});
  Ledger ledger(made.fleet);
  std::uint64_t id = 0;
  const auto dispatch = [&](ServiceClass service_class, std::optional<Duration> tpot = {}) {
    ++id;
    Resident resident;
    resident.request = test_request(id, service_class, 100 + static_cast<long long>(id));
    resident.request.targets.tpot = tpot;
    resident.replica = ReplicaId(0);
    resident.dispatched_at = Instant(seconds(id));
    resident.reserved_tokens = 1000 + static_cast<long long>(id);
    ledger.dispatched(std::move(resident));
    return RequestId(id);
  };
  const auto without_each = [&] {
    ReplicaAccount rest = ledger.replica(ReplicaId(0));
    for (const Resident* resident : ledger.movable(ReplicaId(0)))
      rest.forget(*resident);
    return rest;
  };
  const auto expect_agreement = [&](int left) {
    const ReplicaAccount rest = ledger.without_movable(ReplicaId(0)), expected = without_each();
    EXPECT_EQ(rest.outstanding(), left);
    EXPECT_EQ(rest.prefilling, expected.prefilling);
    EXPECT_EQ(rest.decoding, expected.decoding);
    EXPECT_EQ(rest.pending_prompt_tokens, expected.pending_prompt_tokens);
    EXPECT_EQ(rest.reserved_tokens, expected.reserved_tokens);
    EXPECT_EQ(rest.decode_context, expected.decode_context);
    EXPECT_EQ(rest.by_class, expected.by_class);
    EXPECT_EQ(rest.own_tpots, expected.own_tpots);
    EXPECT_DOUBLE_EQ(rest.dispatched_at_sum_s, expected.dispatched_at_sum_s);
  };
  dispatch(ServiceClass::kStandard);
  const RequestId flex = dispatch(ServiceClass::kFlex, milliseconds(30));
  const RequestId batch = dispatch(ServiceClass::kBatch);
  const RequestId other = dispatch(ServiceClass::kBatch, milliseconds(40));
  expect_agreement(1);
  ledger.first_token(batch, Instant(seconds(9)));
  expect_agreement(1);
  ledger.first_token(flex, Instant(seconds(9)));  // it stays
  expect_agreement(2);
  ledger.remove(other);
  ledger.remove(batch);
  expect_agreement(2);
}

}  // namespace
}  // namespace medley::sched
