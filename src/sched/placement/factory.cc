#include "base/check.h"
#include "sched/placement/medley/medley_placement.h"
#include "sched/placement/placement.h"
#include "sched/placement/simple/simple_placement.h"

namespace medley::sched {

std::unique_ptr<Placement> make_placement(const Fleet& fleet) {
  const PlacementPolicy& policy = fleet.placement;
  switch (policy.kind) {
    case PlacementKind::kMedley:
      return std::make_unique<MedleyPlacement>(policy);
    case PlacementKind::kRoundRobin:
    case PlacementKind::kLeastQueued:
    case PlacementKind::kLeastOutstanding:
    case PlacementKind::kLeastPendingTokens:
      return std::make_unique<SimplePlacement>(policy.kind);
  }
  MEDLEY_CHECK(false, "a placement without a maker");
}

}  // namespace medley::sched
