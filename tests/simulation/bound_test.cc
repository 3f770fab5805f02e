// No policy earns more than the bound: random fleets under every rule of batching, with joules so
// dear that costs count as much as values.
#include "simulate/bound.h"

#include <gtest/gtest.h>

#include "random_run.h"

namespace medley::simulate {
namespace {

double earned(const Fleet& fleet, const SimulationResult& result) {
  double earned = 0;
  for (const RequestRecord& record : result.requests) {
    earned -= record.money;
    if (record.kept)
      earned += fleet.policy(record.request.service_class).value.value();
  }
  return earned;
}

TEST(BoundSimulation, IsMoreThanAnyPolicyEarns) {
  constexpr PlacementKind kPlacements[] = {
      PlacementKind::kMedley, PlacementKind::kRoundRobin, PlacementKind::kLeastQueued,
      PlacementKind::kLeastOutstanding, PlacementKind::kLeastPendingTokens};
  constexpr BatchingKind kBatchings[] = {BatchingKind::kChunkedPrefill, BatchingKind::kPrefillFirst,
                                         BatchingKind::kTokenBudget, BatchingKind::kMixed};
  double earned_by_best = 0, bounds = 0;
  for (const std::uint64_t seed : seeds_for_this_run(400)) {
    RandomRun run = random_run(seed);
    Fleet& fleet = run.made.fleet;
    Prng prng = Prng::stream(seed, 0x626f756e64);
    fleet.site.tariff_per_kwh.fill(prng.below(2) == 0 ? 0.2 : 200 * prng.uniform());
    for (Pool& pool : fleet.pools) {
      pool.batching.kind = kBatchings[prng.below(4)];
      pool.batching.max_batched_tokens = 512 + static_cast<long long>(prng.below(4096));
    }
    // From a trickle to all at once.
    const double crowding = std::exp(-4 * prng.uniform());
    for (Arrival& arrival : run.arrivals) {
      arrival.request.arrived_at =
          round_to_instant(to_seconds(arrival.request.arrived_at) * crowding);
    }
    const BoundOptions options{.iterations = 100};
    const Bound most = bound(fleet, run.made.perf, run.arrivals, options);
    double best = 0;
    for (const PlacementKind placement : kPlacements) {
      fleet.placement = placement;
      const SimulationResult result =
          simulate(fleet, run.made.perf, run.arrivals, run.faults, {.seed = seed});
      SCOPED_TRACE(replay_command(seed));
      ASSERT_LE(earned(fleet, result), most.value + 1e-9) << name_of(placement);
      best = std::max(best, earned(fleet, result));
    }
    earned_by_best += best;
    bounds += most.value;
  }
  RecordProperty("best_share_of_bound_percent", static_cast<int>(100 * earned_by_best / bounds));
  EXPECT_GT(earned_by_best, 0.5 * bounds);  // a bound of all value would be no news
}

}  // namespace
}  // namespace medley::simulate
