#include "sched/placement/medley/medley_placement.h"
#include "sched/placement/placement.h"
#include "sched/placement/simple/simple_placement.h"

namespace medley::sched {

std::unique_ptr<Placement> make_placement(const Fleet& fleet) {
  if (fleet.placement == PlacementKind::kMedley)
    return std::make_unique<MedleyPlacement>();
  return std::make_unique<SimplePlacement>(fleet.placement);
}

}  // namespace medley::sched
