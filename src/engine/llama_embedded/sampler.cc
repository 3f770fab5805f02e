#include "engine/llama_embedded/sampler.h"

#include <charconv>
#include <cstring>
#include <optional>

namespace medley::engine::llama_embedded {
namespace {

std::optional<double> from_file(const llama_model& model, llama_model_meta_key key) {
  char text[64];
  const char* name = llama_model_meta_key_str(key);
  if (name == nullptr || llama_model_meta_val_str(&model, name, text, sizeof text) <= 0)
    return {};
  double number = 0;
  const auto [end, error] = std::from_chars(text, text + std::strlen(text), number);
  if (error != std::errc{})
    return {};
  return number;
}

// libllama takes 32 bits, and its LLAMA_DEFAULT_SEED means "roll one".
std::uint32_t folded(std::uint64_t seed) {
  const auto narrow = static_cast<std::uint32_t>(seed ^ (seed >> 32));
  return narrow == LLAMA_DEFAULT_SEED ? 0 : narrow;
}

}  // namespace

SamplingDefaults sampling_defaults(const llama_model& model) {
  const SamplingDefaults unsaid;
  return {.temperature =
              from_file(model, LLAMA_MODEL_META_KEY_SAMPLING_TEMP).value_or(unsaid.temperature),
          .top_p = from_file(model, LLAMA_MODEL_META_KEY_SAMPLING_TOP_P).value_or(unsaid.top_p)};
}

SamplerHandle make_sampler(const llama_model& model, const Sampling& sampling, std::uint64_t seed) {
  const SamplingDefaults defaults = sampling_defaults(model);
  const double temperature = sampling.temperature.value_or(defaults.temperature);
  const double top_p = sampling.top_p.value_or(defaults.top_p);

  SamplerHandle chain(llama_sampler_chain_init(llama_sampler_chain_default_params()));
  if (temperature <= 0) {
    llama_sampler_chain_add(chain.get(), llama_sampler_init_greedy());
    return chain;
  }
  llama_sampler_chain_add(chain.get(), llama_sampler_init_temp(static_cast<float>(temperature)));
  if (top_p < 1) {
    llama_sampler_chain_add(chain.get(), llama_sampler_init_top_p(static_cast<float>(top_p), 1));
  }
  llama_sampler_chain_add(chain.get(),
                          llama_sampler_init_dist(folded(sampling.seed.value_or(seed))));
  return chain;
}

}  // namespace medley::engine::llama_embedded
