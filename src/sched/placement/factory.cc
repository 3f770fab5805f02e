#include "base/check.h"
#include "sched/placement/admission/admission_placement.h"
#include "sched/placement/baselines/makers.h"
#include "sched/placement/edf_composite/edf_composite.h"
#include "sched/placement/medley/medley_placement.h"
#include "sched/placement/placement.h"
#include "sched/placement/simple/simple_placement.h"

namespace medley::sched {

namespace {

std::unique_ptr<Placement> make_inner(const PlacementPolicy& policy) {
  switch (policy.kind) {
    case PlacementKind::kMedley:
      return std::make_unique<MedleyPlacement>(policy);
    case PlacementKind::kRoundRobin:
    case PlacementKind::kLeastQueued:
    case PlacementKind::kLeastOutstanding:
    case PlacementKind::kLeastPendingTokens:
      return std::make_unique<SimplePlacement>(policy.kind);
    case PlacementKind::kP2c:
      return make_p2c();
    case PlacementKind::kSkypilotInstanceAware:
      return make_skypilot_instance_aware();
    case PlacementKind::kSmgLeastLoad:
      return make_smg_least_load(policy.admission);
    case PlacementKind::kSmgCacheAware:
      return make_smg_cache_aware(CacheAware::kCommandLine);
    case PlacementKind::kSmgCacheAwareLibrary:
      return make_smg_cache_aware(CacheAware::kLibrary);
    case PlacementKind::kDynamoKv:
      return make_dynamo_kv();
    case PlacementKind::kStaticGrid:
      return make_static_grid();
    case PlacementKind::kLlmdDefault:
      return make_llmd_default(policy.admission);
    case PlacementKind::kLlmdHeadroom:
      return make_llmd_headroom(Headroom::kLeast, policy.admission);
    case PlacementKind::kLlmdHeadroomMost:
      return make_llmd_headroom(Headroom::kMost, policy.admission);
    case PlacementKind::kAibrixSlo:
      return make_aibrix_slo();
    case PlacementKind::kAibrixPrefixCache:
      return make_aibrix_prefix_cache();
    case PlacementKind::kLitellmLatency:
      return make_litellm_latency(Samples::kAsPublished);
    case PlacementKind::kLitellmLatencyRepaired:
      return make_litellm_latency(Samples::kRepaired);
    case PlacementKind::kLitellmCost:
      return make_litellm_cost();
    case PlacementKind::kMultiFactor:
      return make_multi_factor();
    case PlacementKind::kSplitwise:
      return make_splitwise();
    case PlacementKind::kPolyserve:
      return make_polyserve();
    case PlacementKind::kGreedyCheapest:
      return make_greedy_cheapest();
    case PlacementKind::kEdfComposite:
      return std::make_unique<EdfComposite>();
  }
  MEDLEY_CHECK(false, "a placement without a maker");
}

}  // namespace

std::unique_ptr<Placement> make_placement(const Fleet& fleet) {
  std::unique_ptr<Placement> placement = make_inner(fleet.placement);
  if (fleet.placement.admission)
    placement = std::make_unique<AdmissionPlacement>(std::move(placement));
  return placement;
}

}  // namespace medley::sched
