// The order of what happens within one instant, the same in virtual and in real time.
#pragma once

namespace medley::replica {

// Faults, then arrivals and their placement, then step ends and what they cause, then alarms and
// new prices; last of all idle replicas form their steps from everything that this instant brought
// (docs/simulate.md, "Time"). Within a phase the lower key (request or replica number) goes first.
enum class Phase { kFault, kArrival, kStepEnd, kAlarm, kPrices, kFormStep };

}  // namespace medley::replica
