// How the next token is chosen from what the model thinks of each.
#pragma once

#include <llama.h>

#include <cstdint>

#include "engine/engine.h"
#include "engine/llama_embedded/libllama.h"

namespace medley::engine::llama_embedded {

// What a model file says requests are to be drawn with that do not say it themselves
// (general.sampling.*), else temperature 0.7 and no top_p.
struct SamplingDefaults {
  double temperature = 0.7, top_p = 1;
};
SamplingDefaults sampling_defaults(const llama_model& model);

// The likeliest token at temperature 0, else temperature, then top_p, then a draw. What the request
// does not say is sampling_defaults(). The same seed draws the same numbers; without one in the
// request, `seed` is taken.
SamplerHandle make_sampler(const llama_model& model, const Sampling& sampling, std::uint64_t seed);

}  // namespace medley::engine::llama_embedded
