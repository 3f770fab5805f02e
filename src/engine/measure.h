// Engines that run on this machine can say how fast it is, before the scheduler predicts with it.
#pragma once

#include "base/result.h"
#include "domain/fleet.h"

namespace medley::engine {

// Replaces what the pool's constants guess by what its engine measures here: step times, sequences
// at once, context. Runs the engine for a fraction of a second. Pools whose engine is elsewhere
// stay as they are.
Status measure(Pool& pool);

}  // namespace medley::engine
