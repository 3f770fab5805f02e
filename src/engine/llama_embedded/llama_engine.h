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
// A generation that is only to be read (Generation::only_read) is handed over from a cache in F32
// (engine.full_kv); from another it fails. `context.pool` and `context.model` are read here alone.
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
  std::shared_ptr<Preloaded> preloaded;
};

// Loads the model and runs a few steps: at most a third of a second where a step takes
// milliseconds, else one step of each kind. Uses pool.model_path, engine.threads, slots and
// batching.
Result<MeasuredSpeed> measure(const Pool& pool);

// What it takes to read a prompt alone and hand its cache over: about per_step + tokens ·
// per_token.
struct ReadingSpeed {
  Seconds per_step, per_token;
  std::shared_ptr<Preloaded> preloaded;
};

// The same for a pool that only reads, with a cache of that many tokens: about a third of a second.
// Precondition: engine.full_kv.
Result<ReadingSpeed> measure_reading(const Pool& pool, long long context_tokens);

}  // namespace medley::engine::llama_embedded
