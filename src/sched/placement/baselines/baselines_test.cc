// Each policy's formula on examples worked out by hand. A step of a test pool takes
// step_s·(1 + sequences/100) + 20 µs a prompt token, and draws 100 W.
#include <gtest/gtest.h>

#include "sched/placement/baselines/baseline.h"
#include "sched/placement/baselines/makers.h"
#include "sched/scheduler.h"
#include "sched/test_fleet.h"

namespace medley::sched {
namespace {

using std::chrono::milliseconds, std::chrono::seconds, std::chrono::hours;

// A policy before accounts that a test fills in.
class Stand {
 public:
  Stand(const std::vector<TestPool>& pools, std::unique_ptr<Placement> policy)
      : Stand(make_test_fleet(pools), std::move(policy)) {}
  Stand(TestFleet made, std::unique_ptr<Placement> policy)
      : made_(std::move(made)),
        ledger_(made_.fleet, PrefixIndex(made_.fleet, made_.perf)),
        predictor_(made_.fleet, made_.perf, ledger_),
        arrivals_(made_.fleet, made_.perf, predictor_),
        market_(made_.fleet, made_.perf, predictor_, ledger_, arrivals_),
        quotas_(made_.fleet),
        policy_(std::move(policy)) {}

  ReplicaAccount& at(std::uint64_t replica) { return ledger_.replica(ReplicaId(replica)); }
  Ledger& ledger() { return ledger_; }
  Fleet& fleet() { return made_.fleet; }
  View view() {
    return {now, made_.fleet, made_.perf, ledger_, predictor_, arrivals_, market_, quotas_};
  }
  Placement& policy() { return *policy_; }

  Request request(ServiceClass service_class, long long prompt_tokens = 100) {
    Request request;
    request.arrived_at = now;
    request.service_class = service_class;
    request.prompt_tokens = Tokens(prompt_tokens);
    request.targets = made_.fleet.policy(service_class).targets;
    return request;
  }
  int choose(const Request& request) {
    const std::vector<Forbidden> filtered(made_.fleet.pools.size(), Forbidden::kNo);
    const Choice choice = policy_->choose(view(), request, filtered, {}, false, nullptr);
    return choice.replica ? static_cast<int>(choice.replica->number()) : -1;
  }
  int choose(ServiceClass service_class = ServiceClass::kStandard) {
    return choose(request(service_class));
  }
  // Out of so many, how many went there.
  int count(int choices, int replica, const Request& request) {
    int there = 0;
    for (int i = 0; i < choices; ++i)
      there += choose(request) == replica ? 1 : 0;
    return there;
  }
  // Tells the policy of a dispatch, and of its end with this time to the first token.
  void dispatched(std::uint64_t replica, long long prompt_tokens) {
    policy_->dispatched(now, resident(replica, prompt_tokens));
  }
  void finished(std::uint64_t replica, Duration ttft) {
    Resident ended = resident(replica, 100);
    ended.dispatched_at = now - ttft;
    ended.first_token_at = now;
    policy_->left(now, ended, Tokens(10));
  }

  Instant now{seconds(100)};

 private:
  Resident resident(std::uint64_t replica, long long prompt_tokens) {
    Resident resident;
    resident.request.id = RequestId(next_id_++);
    resident.request.prompt_tokens = Tokens(prompt_tokens);
    resident.replica = ReplicaId(replica);
    return resident;
  }

  TestFleet made_;
  Ledger ledger_;
  Predictor predictor_;
  Arrivals arrivals_;
  Market market_;
  Quotas quotas_;
  std::unique_ptr<Placement> policy_;
  std::uint64_t next_id_ = 1;
};

void running(ReplicaAccount& account, int sequences) { account.decoding = sequences; }

std::vector<TestPool> alike(int replicas) { return {{.name = "a", .replicas = replicas}}; }

TEST(P2c, TakesTheLessBusyOfTwoAndNeverTheBusiest) {
  Stand two(alike(2), make_p2c());
  running(two.at(0), 3);
  running(two.at(1), 2);
  EXPECT_EQ(two.count(50, 1, two.request(ServiceClass::kStandard)), 50);
  running(two.at(1), 3);
  EXPECT_EQ(two.count(50, 0, two.request(ServiceClass::kStandard)), 50);  // a tie

  Stand three(alike(3), make_p2c());
  running(three.at(0), 5);
  running(three.at(1), 1);
  running(three.at(2), 2);
  // In two of the three pairs.
  EXPECT_NEAR(three.count(3000, 1, three.request(ServiceClass::kStandard)), 2000, 100);
  EXPECT_EQ(three.count(100, 0, three.request(ServiceClass::kStandard)), 0);
}

TEST(SkypilotInstanceAware, DividesByWhatTheMachineIsMeantToTake) {
  // A request takes 3.9 chunk steps and 200 times an eighth of a decode step: 0.1745 s of the fast
  // pool, 0.3291 s of the slow one.
  Stand stand({{.name = "fast", .step_s = 0.005}, {.name = "slow", .step_s = 0.01}},
              make_skypilot_instance_aware());
  running(stand.at(0), 5);  // 0.873
  running(stand.at(1), 3);  // 0.987
  EXPECT_EQ(stand.choose(), 0);
  running(stand.at(0), 6);  // 1.047
  EXPECT_EQ(stand.choose(), 1);
  running(stand.at(0), 0);
  running(stand.at(1), 0);
  EXPECT_EQ(stand.choose(), 0);
}

TEST(SmgLeastLoad, DividesPromptsByTheGenerationRateAndAddsTheCache) {
  Stand stand(alike(2), make_smg_least_load(true));
  stand.at(0).pending_prompt_tokens = 4000;  // idle: 2,000 a second, 2 s
  stand.at(1).pending_prompt_tokens = 2000;  // 10 / 5.5 ms = 1,818 a second: 1.1 s
  running(stand.at(1), 10);
  stand.at(1).decode_context = 80'000;  // of 100,000: 0.15·0.8/0.2 = 0.6
  EXPECT_EQ(stand.choose(), 1);
  stand.at(1).decode_context = 90'000;  // 1.35
  EXPECT_EQ(stand.choose(), 0);
}

TEST(SmgLeastLoad, SeesItsLastPollAndWhatItSentSince) {
  Stand stand(alike(2), make_smg_least_load(false));
  stand.at(0).pending_prompt_tokens = 3000;
  stand.at(1).pending_prompt_tokens = 2000;
  EXPECT_EQ(stand.choose(), 1);
  stand.at(0).pending_prompt_tokens = 0;
  stand.now += seconds(9);
  EXPECT_EQ(stand.choose(), 1);
  stand.dispatched(1, 1001);
  EXPECT_EQ(stand.choose(), 0);
  stand.at(1).pending_prompt_tokens = 0;
  stand.at(0).pending_prompt_tokens = 1;
  stand.now += seconds(1);  // a report sets the sum back
  EXPECT_EQ(stand.choose(), 1);
}

TEST(SmgLeastLoad, CountsRequestsOfWhatReportsNothing) {
  Stand stand({{.name = "a"}, {.name = "rented", .kind = perf::ServingKind::kMetered}},
              make_smg_least_load(true));
  stand.at(0).pending_prompt_tokens = 1100;  // 0.55 s
  running(stand.at(1), 1);                   // 1024 / 2000 = 0.512 s
  EXPECT_EQ(stand.choose(), 1);
  running(stand.at(1), 2);
  EXPECT_EQ(stand.choose(), 0);
}

TEST(SmgCacheAware, TakesTheSmallestTreeUntilLoadsAreUnlike) {
  Stand stand(alike(2), make_smg_cache_aware(CacheAware::kCommandLine));
  EXPECT_EQ(stand.choose(), 0);
  stand.dispatched(0, 500);
  EXPECT_EQ(stand.choose(), 1);
  stand.dispatched(1, 501);
  EXPECT_EQ(stand.choose(), 0);
  running(stand.at(0), 64);  // 64 more than none
  EXPECT_EQ(stand.choose(), 0);
  running(stand.at(0), 65);
  EXPECT_EQ(stand.choose(), 1);
  running(stand.at(0), 270);
  running(stand.at(1), 180);  // 90 more, but not more than one and a half times
  EXPECT_EQ(stand.choose(), 0);
  running(stand.at(0), 271);
  EXPECT_EQ(stand.choose(), 1);
}

TEST(DynamoKv, AddsBlocksToPrefillAndBlocksThatDecode) {
  Stand stand(alike(2), make_dynamo_kv());
  stand.at(0).pending_prompt_tokens = 160;  // 10 blocks to prefill, active as well
  stand.at(1).decode_context = 304;         // 19 blocks
  EXPECT_EQ(stand.choose(), 1);
  stand.at(1).decode_context = 336;  // 21
  EXPECT_EQ(stand.choose(), 0);
  stand.at(1).decode_context = 320;  // 20: a tie
  EXPECT_EQ(stand.choose(), 0);
}

TEST(LlmdDefault, WeighsQueueAndCacheEqually) {
  Stand stand(alike(3), make_llmd_default(true));
  stand.at(0).decode_context = 60'000;  // 2 + 0.8
  stand.at(1).prefilling = 4;           // 0 + 2
  stand.at(2).prefilling = 1;           // 1.5 + 1.8
  stand.at(2).decode_context = 10'000;
  EXPECT_EQ(stand.choose(), 2);
  stand.at(2).prefilling = 3;  // 0.5 + 1.8
  EXPECT_EQ(stand.choose(), 0);
  stand.at(0).prefilling = stand.at(1).prefilling = stand.at(2).prefilling = 2;
  EXPECT_EQ(stand.choose(), 1);  // equal queues: the cache alone
}

TEST(LlmdDefault, SeesWhatItPolledEvery50Milliseconds) {
  Stand stand(alike(2), make_llmd_default(false));
  stand.now = Instant(milliseconds(1010));
  stand.at(0).prefilling = 1;
  EXPECT_EQ(stand.choose(), 1);
  stand.at(1).prefilling = 2;
  stand.now = Instant(milliseconds(1049));
  EXPECT_EQ(stand.choose(), 1);
  stand.now = Instant(milliseconds(1050));
  EXPECT_EQ(stand.choose(), 0);
}

std::vector<TestPool> fast_and_slow() {
  return {{.name = "fast", .step_s = 0.005}, {.name = "slow", .step_s = 0.01}};
}

TEST(LlmdHeadroom, PacksOrSpreadsAmongThoseThatMeetTheTargets) {
  Stand least(fast_and_slow(), make_llmd_headroom(Headroom::kLeast, true));
  EXPECT_EQ(least.choose(), 1);
  Stand most(fast_and_slow(), make_llmd_headroom(Headroom::kMost, true));
  EXPECT_EQ(most.choose(), 0);
  Request hard = least.request(ServiceClass::kStandard);
  hard.targets.tpot = milliseconds(7);        // 5.05 ms and 10.1 ms
  EXPECT_GE(least.count(500, 0, hard), 480);  // but for explorations
}

TEST(LlmdHeadroom, FallsBackToTheIdleAndThenToTheSmallerMiss) {
  for (const Headroom headroom : {Headroom::kLeast, Headroom::kMost}) {
    Stand stand(fast_and_slow(), make_llmd_headroom(headroom, true));
    Request impossible = stand.request(ServiceClass::kStandard);
    impossible.targets.tpot = milliseconds(1);
    running(stand.at(0), 1);
    EXPECT_GE(stand.count(500, 1, impossible), 480);
    running(stand.at(1), 1);
    EXPECT_EQ(stand.count(500, 0, impossible), 500);
    // Without targets the lowest prediction.
    EXPECT_EQ(stand.count(500, 0, stand.request(ServiceClass::kBatch)), 500);
  }
}

TEST(LlmdHeadroom, DrawsByFourFifthsOfTtftAndOneFifthOfTpot) {
  Stand stand(alike(2), make_llmd_headroom(Headroom::kLeast, true));
  stand.at(0).prefill_free_at = stand.now + milliseconds(300);  // closer to the TTFT target
  running(stand.at(1), 5);                                      // closer to the TPOT target
  EXPECT_NEAR(stand.count(5000, 0, stand.request(ServiceClass::kStandard)), 4000, 150);
}

// Replicas that cache prefixes.
TestFleet caching(int replicas) {
  TestFleet made = make_test_fleet(alike(replicas));
  made.fleet.pools[0].batching.prefix_caching = true;
  return made;
}

// A prompt of 10 blocks of 100 tokens, the first `shared` of them everybody's.
Request with_prefix(Stand& stand, std::uint64_t id, std::size_t shared) {
  Request request = stand.request(ServiceClass::kStandard, 1000);
  request.id = RequestId(id);
  PrefixChain chain{100, {}};
  for (std::size_t i = 0; i < 10; ++i)
    chain.blocks.push_back(i < shared ? i : 100 * id + i);
  request.prefix = std::make_shared<PrefixChain>(chain);
  return request;
}

// The replica has the first blocks of everybody's prompt, and is idle again.
void has_prefix(Stand& stand, std::uint64_t replica, std::uint64_t id, std::size_t shared) {
  stand.ledger().dispatched({.request = with_prefix(stand, id, shared),
                             .replica = ReplicaId(replica),
                             .reserved_tokens = 1100});
  stand.ledger().remove(RequestId(id));
}

TEST(SmgCacheAware, GoesWhereMoreThanThreeTenthsMatchUntilLoadsAreUnlike) {
  Stand stand(caching(2), make_smg_cache_aware(CacheAware::kCommandLine));
  stand.dispatched(1, 500);
  has_prefix(stand, 1, 1, 3);
  EXPECT_EQ(stand.choose(with_prefix(stand, 9, 10)), 0) << "no more than 0.3";
  has_prefix(stand, 1, 2, 4);
  EXPECT_EQ(stand.choose(with_prefix(stand, 9, 10)), 1);
  running(stand.at(1), 65);
  EXPECT_EQ(stand.choose(with_prefix(stand, 9, 10)), 0);
}

TEST(SmgCacheAware, HasTheLibrarysDefaultsByAnotherName) {
  Stand stand(caching(2), make_smg_cache_aware(CacheAware::kLibrary));
  stand.dispatched(1, 500);
  has_prefix(stand, 1, 1, 5);
  EXPECT_EQ(stand.choose(with_prefix(stand, 9, 10)), 0) << "no more than 0.5";
  has_prefix(stand, 1, 2, 6);
  EXPECT_EQ(stand.choose(with_prefix(stand, 9, 10)), 1);
  running(stand.at(1), 32);
  EXPECT_EQ(stand.choose(with_prefix(stand, 9, 10)), 1);
  running(stand.at(1), 33);
  EXPECT_EQ(stand.choose(with_prefix(stand, 9, 10)), 0);
  running(stand.at(0), 330);
  running(stand.at(1), 363);  // 33 more, but not more than 1.1 times
  EXPECT_EQ(stand.choose(with_prefix(stand, 9, 10)), 1);
  running(stand.at(1), 364);
  EXPECT_EQ(stand.choose(with_prefix(stand, 9, 10)), 0);
}

TEST(DynamoKv, CreditsTheBlocksThatAreThere) {
  Stand stand(caching(2), make_dynamo_kv());
  has_prefix(stand, 1, 1, 4);
  stand.at(1).decode_context = 384;  // 24 blocks for credits of 25
  EXPECT_EQ(stand.choose(with_prefix(stand, 9, 10)), 1);
  stand.at(1).decode_context = 416;
  EXPECT_EQ(stand.choose(with_prefix(stand, 9, 10)), 0);
}

TEST(LlmdDefault, WeighsTheMatchByThree) {
  Stand stand(caching(2), make_llmd_default(true));
  has_prefix(stand, 1, 1, 6);           // 1.8
  stand.at(1).decode_context = 80'000;  // 1.6 less for the cache
  EXPECT_EQ(stand.choose(with_prefix(stand, 9, 10)), 1);
  stand.at(1).decode_context = 96'000;  // 1.92
  EXPECT_EQ(stand.choose(with_prefix(stand, 9, 10)), 0);
}

TEST(LlmdHeadroom, StaysWithTheMatchWhereItIsNotMuchSlower) {
  Stand stand(caching(2), make_llmd_headroom(Headroom::kMost, true));
  has_prefix(stand, 1, 1, 9);
  running(stand.at(1), 2);
  EXPECT_EQ(stand.count(300, 1, with_prefix(stand, 9, 10)), 300);
  has_prefix(stand, 1, 2, 7);
  EXPECT_LT(stand.count(300, 1, with_prefix(stand, 9, 7)), 300) << "0.7 is too little";
}

TEST(SmgLeastLoad, CountsOnlyWhatIsNotCachedOfTheQueue) {
  Stand stand(caching(2), make_smg_least_load(true));
  stand.at(0).pending_prompt_tokens = 1000;
  stand.at(1).pending_prompt_tokens = 2000;
  stand.at(1).pending_cached_tokens = 1500;
  EXPECT_EQ(stand.choose(), 1);
}

TEST(AibrixPrefixCache, TakesTheBestMatchThatIsNotOverloaded) {
  Stand stand(caching(3), make_aibrix_prefix_cache());
  has_prefix(stand, 1, 1, 2);
  has_prefix(stand, 2, 2, 5);
  running(stand.at(1), 1);
  running(stand.at(2), 1);  // 0, 1, 1: the mean and a deviation is 1.14
  EXPECT_EQ(stand.choose(with_prefix(stand, 9, 10)), 2);
  running(stand.at(2), 4);  // 0, 1, 4: 3.4
  EXPECT_EQ(stand.choose(with_prefix(stand, 9, 10)), 1);
  running(stand.at(2), 9);  // nine more than none
  EXPECT_EQ(stand.choose(with_prefix(stand, 9, 10)), 0);
}

TEST(AibrixPrefixCache, IsTheFewestRunningWhereNothingMatches) {
  Stand stand(alike(3), make_aibrix_prefix_cache());
  running(stand.at(0), 2);
  running(stand.at(1), 1);
  running(stand.at(2), 1);
  EXPECT_EQ(stand.choose(), 1);
  running(stand.at(0), 30);
  EXPECT_EQ(stand.choose(), 1);
}

std::vector<TestPool> two_pools() { return {{.name = "a", .replicas = 2}, {.name = "b"}}; }

TEST(LitellmLatency, TakesTheLowestMeanAndTheUnseenFirst) {
  Stand stand(two_pools(), make_litellm_latency(Samples::kAsPublished));
  stand.choose();
  stand.finished(0, milliseconds(200));
  stand.finished(1, milliseconds(400));
  EXPECT_EQ(stand.choose(), 2);
  stand.finished(2, milliseconds(299));
  EXPECT_EQ(stand.choose(), 2);
  stand.finished(2, milliseconds(303));  // 0.301 against 0.3
  EXPECT_EQ(stand.choose(), 0);
  running(stand.at(0), 1);
  EXPECT_EQ(stand.choose(), 1);  // the balancer behind the address
  stand.finished(2, milliseconds(304));
  stand.now += hours(1);
  stand.finished(0, milliseconds(200));
  EXPECT_EQ(stand.choose(), 2);  // its samples are forgotten
}

TEST(LitellmLatency, KeepsNineOldSamplesAsPublishedAndNoneRepaired) {
  for (const Samples samples : {Samples::kAsPublished, Samples::kRepaired}) {
    Stand stand(two_pools(), make_litellm_latency(samples));
    stand.choose();
    for (int i = 0; i < 10; ++i)
      stand.finished(0, milliseconds(1000));
    for (int i = 0; i < 10; ++i)
      stand.finished(0, milliseconds(100));
    stand.finished(2, milliseconds(500));  // 0.91 as published, 0.1 repaired
    EXPECT_EQ(stand.choose(), samples == Samples::kAsPublished ? 2 : 0);
  }
}

TEST(LitellmCost, ComparesListPricesWithTheEnergyOfAToken) {
  // Owned: 100 W·(1/25,296 s + 5.4 ms/8) = 0.0715 J at 0.2 a kWh: 3.97e-9.
  const auto stand_with = [](double per_million) {
    return Stand({{.name = "a", .replicas = 2},
                  {.name = "rented",
                   .kind = perf::ServingKind::kMetered,
                   .metered = {per_million, per_million}}},
                 make_litellm_cost());
  };
  Stand cheap = stand_with(0.0019);  // 3.8e-9
  EXPECT_EQ(cheap.choose(), 2);
  running(cheap.at(2), 100);  // load does not enter
  EXPECT_EQ(cheap.choose(), 2);
  Stand dear = stand_with(0.0021);  // 4.2e-9
  EXPECT_EQ(dear.choose(), 0);
  running(dear.at(0), 1);
  EXPECT_EQ(dear.choose(), 1);
}

TEST(MultiFactor, AddsFourFactorsOfWhatPassesTheCeilings) {
  Stand stand(fast_and_slow(), make_multi_factor());
  stand.fleet().pools[0].model.parameters = 8e9;
  stand.fleet().pools[1].model.parameters = 70e9;
  EXPECT_EQ(stand.choose(), 0);  // 0 + 1 + 1 + 1 against 1 + 0 + 0 + 1
  running(stand.at(0), 1);
  EXPECT_EQ(stand.choose(), 0);  // two against two: a tie
  stand.fleet().pools[1].model.parameters = 8e9;
  running(stand.at(0), 7);
  EXPECT_EQ(stand.choose(), 0);  // 1 + 1 + 0 against 0 + 0 + 1
  running(stand.at(0), 8);       // all its sequences
  EXPECT_EQ(stand.choose(), 1);
  Request hard = stand.request(ServiceClass::kStandard);
  hard.targets.ttft = milliseconds(1);
  EXPECT_EQ(stand.choose(hard), 0);  // none passes: the cheapest
}

TEST(Splitwise, TakesTheShortestQueueUnlessItIsTooLong) {
  Stand stand(alike(3), make_splitwise());
  stand.at(0).pending_prompt_tokens = 9000;
  stand.at(1).pending_prompt_tokens = 8192;
  stand.at(2).pending_prompt_tokens = 9000;
  stand.at(1).reserved_tokens = 90'000;
  stand.at(0).reserved_tokens = 20'000;
  stand.at(2).reserved_tokens = 10'000;
  EXPECT_EQ(stand.choose(), 1);
  stand.at(1).pending_prompt_tokens = 8193;
  EXPECT_EQ(stand.choose(), 2);  // the most free memory
  stand.at(0).reserved_tokens = stand.at(1).reserved_tokens = stand.at(2).reserved_tokens = 99'900;
  EXPECT_EQ(stand.choose(), 1);  // full: the shortest queue
}

TEST(Polyserve, PacksItsTierAndThenTheSlackOfTighterOnes) {
  Stand stand({{.name = "tight", .max_running = 256, .step_s = 0.005},
               {.name = "loose", .replicas = 2, .max_running = 256, .step_s = 0.02}},
              make_polyserve());
  running(stand.at(1), 2);
  running(stand.at(2), 5);
  EXPECT_EQ(stand.choose(), 2);  // the most loaded
  running(stand.at(2), 155);     // 20 ms·2.56: no longer within 50 ms
  EXPECT_EQ(stand.choose(), 1);
  running(stand.at(1), 155);
  EXPECT_EQ(stand.choose(), 0);                                   // rides in the tighter tier
  running(stand.at(0), 70);                                       // 8.55 ms with it on board,
  stand.at(0).by_class[index_of(ServiceClass::kGuaranteed)] = 1;  // where 8 are promised
  running(stand.at(1), 154);
  EXPECT_EQ(stand.choose(), 1);  // late, but in its own tier
  running(stand.at(0), 10);
  EXPECT_EQ(stand.choose(ServiceClass::kGuaranteed), 0);
}

TEST(GreedyCheapest, TakesTheCheapestThatKeepsTheTargetsElseTheFastest) {
  Stand stand({{.name = "own"},
               {.name = "rented",
                .kind = perf::ServingKind::kMetered,
                .metered = {.per_million_prompt = 1e-6, .per_million_output = 1e-6}}},
              make_greedy_cheapest());
  EXPECT_EQ(stand.choose(), 1);
  EXPECT_EQ(stand.choose(ServiceClass::kGuaranteed), 0);  // 20 ms a token
  Request impossible = stand.request(ServiceClass::kStandard);
  impossible.targets.ttft = milliseconds(1);
  EXPECT_EQ(stand.choose(impossible), 0);
}

TEST(StaticGrid, KeepsTheFastForTightTargets) {
  Stand stand({{.name = "fast", .step_s = 0.002}, {.name = "slow", .replicas = 2, .step_s = 0.02}},
              make_static_grid());
  EXPECT_EQ(stand.choose(ServiceClass::kGuaranteed), 0);
  running(stand.at(1), 3);
  running(stand.at(2), 2);
  EXPECT_EQ(stand.choose(ServiceClass::kStandard), 2);
  EXPECT_EQ(stand.choose(ServiceClass::kBatch), 2);
  running(stand.at(2), 3);
  EXPECT_EQ(stand.choose(ServiceClass::kStandard), 1);
  // A prompt of 8,192 takes the slow pool 0.8 s, and half as long again with one ahead of it.
  EXPECT_EQ(stand.choose(stand.request(ServiceClass::kStandard, 8000)), 0);
  stand.ledger().set_live(ReplicaId(1), false);
  stand.ledger().set_live(ReplicaId(2), false);
  EXPECT_EQ(stand.choose(ServiceClass::kStandard), 0);
}

// 8 slots; a token takes 5.05 ms there: the profile allows all of them.
TestPool slots() { return {.name = "slots", .kind = perf::ServingKind::kSlotted}; }

class AibrixCore {
 public:
  explicit AibrixCore(const std::vector<TestPool>& pools)
      : made_(make_test_fleet(pools)),
        scheduler_((made_.fleet.placement = PlacementKind::kAibrixSlo, made_.fleet), made_.perf) {}
  // Where it sent what: "request:replica " each; "!" for a rejection.
  std::string tell(Duration at, const Event& event) {
    std::vector<Decision> decisions;
    scheduler_.handle(Instant(at), event, decisions);
    std::string words;
    for (const Decision& decision : decisions) {
      if (const auto* dispatch = std::get_if<Dispatch>(&decision)) {
        words += std::to_string(dispatch->request.number()) + ":" +
                 std::to_string(dispatch->replica.number()) + " ";
      } else if (std::holds_alternative<Reject>(decision)) {
        words += "!";
      }
    }
    return words;
  }
  std::string arrive(Duration at, std::uint64_t id, ServiceClass service_class) {
    Request request;
    request.id = RequestId(id);
    request.arrived_at = Instant(at);
    request.service_class = service_class;
    request.prompt_tokens = Tokens(1000);
    return tell(at, RequestArrived{request});
  }
  std::string finish(Duration at, std::uint64_t id) {
    return tell(at, RequestFinished{RequestId(id), Tokens(200)});
  }

 private:
  TestFleet made_;
  Scheduler scheduler_;
};

TEST(AibrixSlo, PullsWithinCapacityTheMostUrgentFirst) {
  AibrixCore core({slots()});
  for (std::uint64_t i = 1; i <= 8; ++i)
    EXPECT_EQ(core.arrive(seconds(1), i, ServiceClass::kStandard), std::to_string(i) + ":0 ");
  EXPECT_EQ(core.arrive(milliseconds(1000), 20, ServiceClass::kStandard), "");
  EXPECT_EQ(core.arrive(milliseconds(10'900), 21, ServiceClass::kGuaranteed), "");
  // An answer takes 1.04 s: 10 + 1.04 − 11 against 0.1 + 1.04 − 2.1.
  EXPECT_EQ(core.finish(milliseconds(11'000), 1), "20:0 ");
  EXPECT_EQ(core.arrive(milliseconds(11'010), 22, ServiceClass::kStandard), "");
  // 0.6 + 1.04 − 2.1 against 0.5 + 1.04 − 11.
  EXPECT_EQ(core.finish(milliseconds(11'500), 2), "21:0 ");
  // What waits stays, however late.
  EXPECT_EQ(core.tell(seconds(500), AlarmRang{}), "");
  EXPECT_EQ(core.finish(seconds(501), 3), "22:0 ");
}

TEST(AibrixSlo, TriesTheNextKindOnlyWhereItWouldBeInTime) {
  // The slow kind takes 22 ms a token, so 1 s more than 8 ms allow in an answer.
  AibrixCore core({slots(), {.name = "slow", .step_s = 0.02}});
  for (std::uint64_t i = 1; i <= 8; ++i)
    EXPECT_EQ(core.arrive(seconds(1), i, ServiceClass::kGuaranteed), std::to_string(i) + ":0 ");
  EXPECT_EQ(core.arrive(seconds(1), 20, ServiceClass::kGuaranteed), "");
  EXPECT_EQ(core.arrive(seconds(1), 21, ServiceClass::kStandard), "21:1 ");
  EXPECT_EQ(core.finish(seconds(2), 1), "20:0 ");
}

TEST(Baseline, SeesThatAFullReplicaMakesWait) {
  Stand stand({{.name = "a", .max_running = 2}}, make_p2c());
  running(stand.at(0), 2);
  const Request request = stand.request(ServiceClass::kStandard);
  const Forecast full = foreseen(stand.view(), request, {ReplicaId(0), PoolId(0), &stand.at(0)});
  running(stand.at(0), 1);
  const Forecast beside = foreseen(stand.view(), request, {ReplicaId(0), PoolId(0), &stand.at(0)});
  // It decodes beside one other. One of two answers of 200 tokens must end first: on average half
  // of one.
  EXPECT_DOUBLE_EQ(full.tpot_s, beside.tpot_s);
  EXPECT_NEAR(full.wait_s, (beside.work_s + 200 * beside.tpot_s) / 2, 1e-9);
  EXPECT_NEAR(full.ttft_s - beside.ttft_s, full.wait_s, 1e-9);
}

}  // namespace
}  // namespace medley::sched
