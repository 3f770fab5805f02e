// What the core believes the replicas to have, and what it makes of it.
#include "sched/prefix_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sched/test_core.h"

namespace medley::sched {
namespace {

using std::chrono::milliseconds, std::chrono::seconds;
using testing::ElementsAre;

Request with_prefix(std::uint64_t id, long long prompt, std::vector<std::uint64_t> blocks) {
  Request request = test_request(id, ServiceClass::kStandard, prompt);
  request.prefix = std::make_shared<PrefixChain>(PrefixChain{100, std::move(blocks)});
  return request;
}

TestFleet caching_fleet(int replicas, long long kv_tokens = 100'000) {
  TestFleet made = make_test_fleet({{.name = "a", .replicas = replicas, .kv_tokens = kv_tokens}});
  made.fleet.pools[0].batching.prefix_caching = true;
  return made;
}

TEST(PrefixIndex, KnowsWhatWasSentToAReplica) {
  const TestFleet made = caching_fleet(2);
  PrefixIndex index(made.fleet, made.perf);
  index.dispatched(with_prefix(1, 350, {1, 2, 3}), ReplicaId(0), 400);
  EXPECT_EQ(index.cached_tokens(with_prefix(2, 500, {1, 2, 3, 4}), ReplicaId(0)), 300);
  EXPECT_EQ(index.cached_tokens(with_prefix(2, 500, {1, 7, 3}), ReplicaId(0)), 100);
  EXPECT_EQ(index.cached_tokens(with_prefix(2, 300, {1, 2, 3}), ReplicaId(0)), 299);
  EXPECT_EQ(index.cached_tokens(with_prefix(2, 500, {1, 2, 3}), ReplicaId(1)), 0);
  EXPECT_EQ(index.cached_tokens(test_request(3, ServiceClass::kBatch, 500), ReplicaId(0)), 0);
}

TEST(PrefixIndex, KnowsWhichReplicaHasTheMostOfAPrompt) {
  const TestFleet made = caching_fleet(20);
  PrefixIndex index(made.fleet, made.perf);
  index.dispatched(with_prefix(1, 150, {1}), ReplicaId(3), 200);
  index.dispatched(with_prefix(2, 350, {1, 2, 3}), ReplicaId(17), 400);
  const auto warmest = [&](std::vector<std::uint64_t> blocks) {
    return index.warmest(with_prefix(9, 500, std::move(blocks)), ReplicaId(0), 20);
  };
  EXPECT_EQ(warmest({1, 2, 3, 4}), ReplicaId(17));
  EXPECT_EQ(warmest({1, 7}), ReplicaId(3)) << "the first of equals";
  EXPECT_EQ(warmest({7}), std::nullopt);
  EXPECT_EQ(index.warmest(with_prefix(9, 500, {1, 2}), ReplicaId(0), 10), ReplicaId(3));
}

TEST(PrefixIndex, DrawsAmongManyReplicas) {
  // Of 100 few are looked at for a request; the one that knows its prompt always is.
  TestCore core(caching_fleet(100), {});
  const std::vector<std::uint64_t> blocks(50, 7);
  for (std::uint64_t id = 1; id <= 50; ++id) {
    const Duration at = seconds(static_cast<long long>(id));
    EXPECT_EQ(core.arrive(at, with_prefix(id, 5100, blocks)).size(), 1u);
    core.finish(at + milliseconds(900), id);
  }
  int at_the_last_ones = 0;
  std::string last;
  for (std::uint64_t id = 51; id <= 60; ++id) {
    const Duration at = seconds(static_cast<long long>(id));
    const std::vector<std::string> words = core.arrive(at, with_prefix(id, 5100, blocks));
    ASSERT_EQ(words.size(), 1u);
    const std::string place = words[0].substr(words[0].find(" to "));
    at_the_last_ones += place == last ? 1 : 0;
    last = place;
    core.finish(at + milliseconds(900), id);
  }
  EXPECT_EQ(at_the_last_ones, 9);
}

TEST(PrefixIndex, RemembersNoMoreThanTheReplicaCanHold) {
  const TestFleet made = caching_fleet(1, 1008);
  PrefixIndex index(made.fleet, made.perf);
  const auto served = [&](std::uint64_t id, std::vector<std::uint64_t> blocks) {
    index.dispatched(with_prefix(id, 350, std::move(blocks)), ReplicaId(0), 400);
    index.left(RequestId(id), ReplicaId(0));
  };
  const auto cached = [&](std::vector<std::uint64_t> blocks) {
    return index.cached_tokens(with_prefix(99, 350, std::move(blocks)), ReplicaId(0));
  };
  served(1, {1, 2, 3});
  served(2, {11, 12, 13});
  served(3, {1, 2, 3});
  served(4, {21, 22, 23});
  EXPECT_EQ(cached({1, 2, 3}), 300);
  EXPECT_LT(cached({11, 12, 13}), 300) << "its end went for the last one";
  // What is there now takes the room of what was.
  index.dispatched(with_prefix(5, 10, {}), ReplicaId(0), 1000);
  EXPECT_EQ(cached({1, 2, 3}), 0);
  EXPECT_EQ(cached({21, 22, 23}), 0);
}

TEST(PrefixIndex, ForgetsALostReplica) {
  const TestFleet made = caching_fleet(1);
  PrefixIndex index(made.fleet, made.perf);
  index.dispatched(with_prefix(1, 350, {1, 2}), ReplicaId(0), 400);
  index.lost(ReplicaId(0));
  EXPECT_EQ(index.cached_tokens(with_prefix(2, 350, {1, 2}), ReplicaId(0)), 0);
  index.dispatched(with_prefix(2, 350, {1, 2}), ReplicaId(0), 400);
  index.left(RequestId(1), ReplicaId(0));  // of before: too late to matter
  index.left(RequestId(2), ReplicaId(0));
  EXPECT_EQ(index.cached_tokens(with_prefix(3, 350, {1, 2}), ReplicaId(0)), 200);
}

TEST(PrefixIndex, IsKeptOnlyForPoolsThatCache) {
  const TestFleet made = make_test_fleet({{.name = "a"}});
  PrefixIndex index(made.fleet, made.perf);
  index.dispatched(with_prefix(1, 350, {1, 2, 3}), ReplicaId(0), 400);
  EXPECT_EQ(index.cached_tokens(with_prefix(2, 350, {1, 2, 3}), ReplicaId(0)), 0);
}

TEST(PrefixIndex, ShortensThePredictedPrefillOfWhoComesAndOfWhoWaits) {
  const TestFleet made = caching_fleet(1);
  Ledger ledger(made.fleet, PrefixIndex(made.fleet, made.perf));
  const Predictor predictor(made.fleet, made.perf, ledger);
  const auto forecast = [&](const Request& request) {
    return predictor.forecast(Instant(seconds(1)), request, PoolId(0),
                              ledger.replica(ReplicaId(0)));
  };
  const Request request = with_prefix(2, 2000, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
  const Forecast cold = forecast(request);
  ledger.dispatched({.request = with_prefix(1, 1000, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}),
                     .replica = ReplicaId(0),
                     .reserved_tokens = 1200});
  ledger.first_token(RequestId(1), Instant(seconds(1)));
  ledger.remove(RequestId(1));
  const Forecast warm = forecast(request);
  EXPECT_NEAR(warm.work_s, cold.work_s / 2, cold.work_s * 0.05);
  EXPECT_LT(warm.money, cold.money);

  ledger.dispatched({.request = request, .replica = ReplicaId(0), .reserved_tokens = 2200});
  const ReplicaAccount& account = ledger.replica(ReplicaId(0));
  EXPECT_EQ(account.pending_prompt_tokens, 2000);
  EXPECT_EQ(account.tokens_to_prefill(), 1000);
  EXPECT_NEAR(predictor.pending_prefill_s(PoolId(0), account), warm.work_s, warm.work_s * 0.05);
  ledger.remove(RequestId(2));
  EXPECT_EQ(ledger.replica(ReplicaId(0)).tokens_to_prefill(), 0);
}

TEST(PrefixIndex, TimesPerTokenGoByWhatTheirOwnReplicaWasSent) {
  const TestFleet made = caching_fleet(2);
  Ledger ledger(made.fleet, PrefixIndex(made.fleet, made.perf));
  Predictor predictor(made.fleet, made.perf, ledger);
  const Request request = test_request(9, ServiceClass::kStandard, 500);
  const auto tpot_s = [&](std::uint64_t replica) {
    return predictor
        .forecast(Instant(seconds(1)), request, PoolId(0), ledger.replica(ReplicaId(replica)))
        .tpot_s;
  };
  const double quiet = tpot_s(0);
  const Resident sent = {.request = test_request(1, ServiceClass::kFlex, 30'000),
                         .replica = ReplicaId(1),
                         .dispatched_at = Instant(seconds(1))};
  predictor.dispatched(Instant(seconds(1)), PoolId(0), sent);
  EXPECT_EQ(tpot_s(0), quiet);
  EXPECT_GT(tpot_s(1), quiet);
  // Flex work would send no more while what displaced it is there.
  EXPECT_EQ(predictor
                .forecast_undisturbed(Instant(seconds(1)), request, PoolId(0),
                                      ledger.replica(ReplicaId(1)))
                .tpot_s,
            quiet);
  predictor.preempted(sent, PoolId(0));
  EXPECT_EQ(tpot_s(1), quiet);
}

TEST(PrefixIndex, ShortensNoTimePerToken) {
  const TestFleet made = caching_fleet(1);
  Ledger ledger(made.fleet, PrefixIndex(made.fleet, made.perf));
  Predictor predictor(made.fleet, made.perf, ledger);
  predictor.dispatched(
      Instant(seconds(1)), PoolId(0),
      {.request = test_request(1, ServiceClass::kFlex, 30'000), .replica = ReplicaId(0)});
  const Request request = with_prefix(2, 1010, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
  const auto forecast = [&] {
    return predictor.forecast(Instant(seconds(1)), request, PoolId(0),
                              ledger.replica(ReplicaId(0)));
  };
  const Forecast cold = forecast();
  const double usage_s = predictor.usage_s(PoolId(0), request);
  ledger.dispatched({.request = with_prefix(3, 1010, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}),
                     .replica = ReplicaId(0),
                     .reserved_tokens = 1200});
  ledger.first_token(RequestId(3), Instant(seconds(1)));
  ledger.remove(RequestId(3));
  const Forecast warm = forecast();
  EXPECT_LT(warm.work_s, cold.work_s / 2);
  EXPECT_EQ(warm.tpot_s, cold.tpot_s);
  EXPECT_EQ(predictor.usage_s(PoolId(0), request), usage_s);
}

// The second turn of a conversation whose first one went to replica 1, with so many prompts of
// others waiting there, a quarter of a second each.
std::vector<std::string> second_turn(const PlacementPolicy& policy, int waiting) {
  TestCore core(caching_fleet(2), policy);
  std::vector<std::uint64_t> blocks;
  for (std::uint64_t b = 1; b <= 30; ++b)
    blocks.push_back(b);
  core.tell(seconds(1), ReplicaLost{ReplicaId(0)});
  core.arrive(seconds(1), with_prefix(1, 3000, blocks));
  core.finish(seconds(2), 1);
  for (int i = 0; i < waiting; ++i) {
    const auto id = static_cast<std::uint64_t>(10 + i);
    core.arrive(seconds(3), test_request(id, ServiceClass::kFlex, 6500));
  }
  core.tell(seconds(3), ReplicaReturned{ReplicaId(0)});
  return core.arrive(seconds(3), with_prefix(3, 3200, blocks));
}

TEST(PrefixIndex, DrawsTheNextTurnToWhereTheLastOneWas) {
  EXPECT_THAT(second_turn({}, 0), ElementsAre("3 to 1"));
  PlacementPolicy without;
  without.left_out[static_cast<std::size_t>(ScorePart::kPrefixes)] = true;
  EXPECT_THAT(second_turn(without, 0), ElementsAre("3 to 0"));
}

TEST(PrefixIndex, YieldsWhereTooMuchWaitsThere) {
  EXPECT_THAT(second_turn({}, 1), ElementsAre("3 to 1"));
  EXPECT_THAT(second_turn({}, 4), ElementsAre("3 to 0"));
}

}  // namespace
}  // namespace medley::sched
