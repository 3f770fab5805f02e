// Engines that run on this machine can say how fast it is, before the scheduler predicts with it.
#pragma once

#include "base/result.h"
#include "domain/fleet.h"
#include "engine/engine.h"

namespace medley::engine {

// Replaces what the pool's constants guess by what its engine measures here: step times, sequences
// at once, context. Runs the engine for a fraction of a second. Pools whose engine is elsewhere
// stay as they are. Answers what it loaded for that, for EngineContext::preloaded; null where that
// was nothing.
Result<std::shared_ptr<Preloaded>> measure(Pool& pool);

}  // namespace medley::engine
