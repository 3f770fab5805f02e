// medley's own engine: a model compiled to a static schedule for this processor, streams in a fixed
// rotation, every token on the beat of a window.
#pragma once

#include <memory>
#include <string>

#include "engine/engine.h"
#include "engine/text_codec.h"

namespace medley::engine::static_schedule {

// Serves `context.pool.model_path` with `pool.engine.threads` threads. Slots and window are those
// of measure(); without it they are found out here.
//
// Errors: a model that cannot be compiled (named), a codec for another one, too little memory, a
// token_window that the slots do not fit.
Result<std::unique_ptr<Engine>> make_static_engine(const EngineContext& context,
                                                   std::unique_ptr<TextCodec> codec);

// What this machine does with a pool's model. Every stream has one token a window, however many
// there are; the error of that is how late tokens may be let go.
struct MeasuredPace {
  LinearConstants rotation;  // perf::in_rotation
  int slots = 0;
  long long context = 0;
  std::shared_ptr<Preloaded> preloaded;
};
Result<MeasuredPace> measure(const Pool& pool);

}  // namespace medley::engine::static_schedule
