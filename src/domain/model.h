// The architecture of a language model: what its speed and memory follow from. Unknown is empty.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "domain/accelerator.h"

namespace medley {

struct Model {
  std::string id, name, family, license;
  std::vector<std::string> aliases;  // Hugging Face ids and other people's spellings
  std::optional<int> year;
  double parameters = 0;         // all weights
  double active_parameters = 0;  // weights one token passes through; = parameters when dense
  int layers = 0;
  int hidden_size = 0;
  int heads = 0, kv_heads = 0, head_size = 0;
  int intermediate_size = 0;
  int vocabulary = 0;
  std::optional<long long> max_context;  // tokens
  // Numbers kept in the KV cache per token and layer; 2·kv_heads·head_size unless the attention is
  // compressed (MLA) or windowed.
  double kv_numbers_per_token_and_layer = 0;
  // Layers whose attention sees only the last `sliding_window` tokens; 0: none.
  long long sliding_window = 0;
  int sliding_layers = 0;
  // Mixture of experts; 0 experts means dense.
  int experts = 0, experts_per_token = 0;
  double expert_parameters = 0;  // of one expert in one layer
  int expert_layers = 0;         // layers that have experts
  std::optional<Precision> native_precision;
  // Of the weights outside routed experts, where the native format is that of the experts alone.
  std::optional<Precision> outside_experts_precision;
  std::string confidence, source, note;
  // Size of the weights where a file says so (GGUF, safetensors); else parameters × bytes per
  // number.
  std::optional<Bytes> weight_bytes;

  bool is_mixture() const { return experts > 0; }
  // One latent for all heads (MLA): the cache is narrower than keys and values of its heads, and
  // tensor parallelism does not split it.
  bool shares_kv_latent() const {
    return kv_heads > 0 && kv_numbers_per_token_and_layer < 2.0 * kv_heads * head_size;
  }
};

// Bytes of all weights at `precision`, or those of the file that the facts came from.
Bytes weight_bytes(const Model& model, Precision precision);
// Those of the routed experts, within weight_bytes(); 0 for a dense model.
Bytes expert_weight_bytes(const Model& model, Precision precision);
// Bytes that one token of context takes in the KV cache, whole model; `kv_precision` is that of the
// cache.
Bytes kv_bytes_per_token(const Model& model, Precision kv_precision);

}  // namespace medley
