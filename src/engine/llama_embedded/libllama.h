// libllama behind owning handles and Results: nothing else of medley calls its loading functions.
#pragma once

#include <llama.h>

#include <memory>
#include <string>

#include "base/result.h"

namespace medley::engine::llama_embedded {

struct ModelDeleter {
  void operator()(llama_model* model) const { llama_model_free(model); }
};
struct ContextDeleter {
  void operator()(llama_context* context) const { llama_free(context); }
};
struct SamplerDeleter {
  void operator()(llama_sampler* sampler) const { llama_sampler_free(sampler); }
};
using ModelHandle = std::unique_ptr<llama_model, ModelDeleter>;
using ContextHandle = std::unique_ptr<llama_context, ContextDeleter>;
using SamplerHandle = std::unique_ptr<llama_sampler, SamplerDeleter>;

// Makes libllama ready, once per process (its state is global): checks its version, silences its
// log and loads the CPU code that fits this machine from the folder where libllama itself lies.
// Thread-safe.
Status open_library();

// Before anything is opened: this variant of libllama's CPU code ("haswell": AVX2 at most) in place
// of the best. For comparisons.
void choose_cpu_code(const std::string& variant);

// What libllama last logged as an error on this thread, one line; forgets it. "" when there was
// none.
std::string take_logged_error();

// A decoder model from a GGUF file, or its vocabulary alone. The error names the file and what is
// wrong with it.
Result<ModelHandle> load_model(const std::string& path, bool vocabulary_only = false);

// The bytes of a token in an answer.
std::string token_text(const llama_vocab& vocab, llama_token token);

struct ContextShape {
  int sequences = 1;             // generated at once
  long long context_tokens = 0;  // of one sequence
  int step_tokens = 256;         // of all sequences in one step
  int threads = 1;
  bool half_kv = true;  // the cache in F16, else F32
  bool flash_attention = false;
};
// Memory for that many sequences side by side (non-unified KV cache).
// `abort` may be null; it is asked during a step, on the computing threads, whether to give up.
Result<ContextHandle> make_context(llama_model& model, const ContextShape& shape,
                                   ggml_abort_callback abort, void* abort_data);

// How many sequences, and how many tokens of each: what was asked for, cut to what the model was
// trained for and to `kv_budget_bytes`. Gives up sequences before context, down to 2048 tokens.
struct Capacity {
  int sequences = 1;
  long long context_tokens = 0;
};
struct Wishes {
  int sequences = 8;
  long long context_tokens = 0;  // 0: as many as the model was trained for
  bool half_kv = true;           // as ContextShape's
};
Capacity fit_capacity(const Wishes& wishes, long long trained_tokens, double kv_bytes_per_token,
                      double kv_budget_bytes);
// The same for a loaded model and a quarter of this machine's memory.
Capacity fit_capacity(const Wishes& wishes, const llama_model& model);

}  // namespace medley::engine::llama_embedded
