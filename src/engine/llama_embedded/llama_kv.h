// The KV cache of a sequence of libllama's, taken out for another engine.
#pragma once

#include <llama.h>

#include "base/result.h"
#include "engine/kv_state.h"

namespace medley::engine::llama_embedded {

// Precondition: the context's cache is F32 (ContextShape::half_kv false), its sequences apart
// (not unified). Errors: a release of libllama that writes another format.
Result<KvState> export_kv(llama_context& context, llama_seq_id sequence);

}  // namespace medley::engine::llama_embedded
