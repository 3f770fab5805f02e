// `medley model synth`: a model file with random weights.
#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

namespace medley::cli {

struct ModelSynthOptions {
  std::string out;
  std::string shape = "110m";  // 260k, 110m, 1.1b
  std::string format = "Q8_0";
  std::string family;  // empty: the shape's
  std::optional<int> layers, width, heads, kv_heads, head_size, inner, vocabulary, context;
  int experts = 0, experts_per_token = 2;  // 0: no mixture
  std::uint64_t seed = 1;
};

// Exit codes: 0 written, 1 it could not be written whole, 2 unusable options.
int run_model_synth(const ModelSynthOptions& options, std::FILE* out, std::FILE* err);

}  // namespace medley::cli
