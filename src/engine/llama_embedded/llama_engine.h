// The real engine: libllama inside this process, on the processor's cores.
#pragma once

#include <memory>

#include "base/quantity.h"
#include "base/result.h"
#include "engine/engine.h"

namespace medley::engine::llama_embedded {

// Serves `context.pool.model_path` with continuous batching on one thread of its own, which
// computes with `pool.engine.threads` threads. The limits of what runs at once are those of
// measure(), cut to what `context.model` says where it says something.
//
// The last token of an answer that the model ends itself is counted but not shown, so the counts of
// on_tokens add up to Ending::output_tokens.
//
// Errors: a missing or broken model file, a libllama of another release, too little memory.
Result<std::unique_ptr<Engine>> make_llama_engine(const EngineContext& context);

// What this machine does with a pool's model, measured with short contexts. A step that decodes n
// sequences and reads p prompt tokens takes about per_step + n · per_sequence_step + p /
// prefill_tokens_per_s. All are positive.
struct MeasuredSpeed {
  Seconds per_step, per_sequence_step;
  double prefill_tokens_per_s = 0;
  int max_running = 0;          // sequences at once
  long long max_context = 0;    // tokens of one, prompt and answer
  long long prefill_chunk = 0;  // tokens that one step takes at most
};

// Loads the model and runs a few steps: at most a third of a second where a step takes
// milliseconds, else one step of each kind. Uses pool.model_path, engine.threads, slots and
// batching.
Result<MeasuredSpeed> measure(const Pool& pool);

}  // namespace medley::engine::llama_embedded
