// Which policy places the work: a name that a fleet file, a scenario or an arena gives.
//
//     NAME              docs/scheduling.md lists them
//     NAME+admission    the same behind a door that holds or refuses what it predicts to miss
//     medley-PART…      medley's own without a part of its score, for ablations
//     medley+lengths    medley's own, told the true length of every answer; a simulation only
//
// A new policy is a line in each of kind and name here, a file under sched/placement/ and a line in
// its factory.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace medley {

enum class PlacementKind {
  kMedley,
  kRoundRobin,
  kLeastQueued,
  kLeastOutstanding,
  kLeastPendingTokens,
  // The published baselines.
  kP2c,
  kSkypilotInstanceAware,
  kSmgLeastLoad,
  kSmgCacheAware,
  kSmgCacheAwareLibrary,
  kDynamoKv,
  kStaticGrid,
  kLlmdDefault,
  kLlmdHeadroom,
  kLlmdHeadroomMost,
  kAibrixSlo,
  kAibrixPrefixCache,
  kLitellmLatency,
  kLitellmLatencyRepaired,
  kLitellmCost,
  kMultiFactor,
  kSplitwise,
  kPolyserve,
  kGreedyCheapest,
  kEdfComposite,
};
inline constexpr int kPlacementKindCount = 25;
std::string_view name_of(PlacementKind kind);
// The names of all kinds, in their order.
std::vector<std::string> placement_names();
// Whether it decides by counts alone, and so without a step model.
bool counts_only(PlacementKind kind);

// What medley can be told to do without: parts of its score, the order of tenants, what it knows of
// the replicas' caches, preemption, and what engines report of others' work.
enum class ScorePart {
  kPrices,
  kLater,
  kResidents,
  kRefusal,
  kProbability,
  kFairness,
  kPrefixes,
  kDisplacement,
  kSignals
};
inline constexpr int kScorePartCount = 9;

struct PlacementPolicy {
  PlacementKind kind = PlacementKind::kMedley;
  bool admission = false;                        // not of kMedley, which has a door of its own
  std::array<bool, kScorePartCount> left_out{};  // of kMedley only
  bool knows_lengths = false;                    // of kMedley only

  PlacementPolicy() = default;
  PlacementPolicy(PlacementKind the_kind) : kind(the_kind) {}  // NOLINT: a kind is a policy
  bool has(ScorePart part) const { return !left_out[static_cast<std::size_t>(part)]; }
  // Whether it refuses whatever its forecast does not keep, even by an idle fleet.
  bool by_thresholds() const { return admission || kind == PlacementKind::kEdfComposite; }
  bool operator==(const PlacementPolicy&) const = default;
};
std::string name_of(const PlacementPolicy& policy);
// Empty: there is no such policy.
std::optional<PlacementPolicy> placement_named(std::string_view name);

}  // namespace medley
