// Models of a given shape with random weights: for measuring and for tests, they say nothing.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "lpu/tensor_format.h"

namespace medley::lpu {

struct SynthShape {
  std::string family = "llama";  // llama, qwen2, qwen3, qwen3moe, gemma
  int layers = 2, width = 64, heads = 4, kv_heads = 2, head_size = 16, inner = 96;
  int vocabulary = 512;  // at least 259: bytes and three control tokens
  int context = 512;
  bool tied = false;  // no output matrix of its own
  // Of mixtures (llama, qwen3moe): experts of `inner` numbers each; 0: none.
  int experts = 0, experts_per_token = 2;
  float attn_factor = 1;  // of queries and keys, beside their rotation; 1 is not written
  // Of matrices; vectors are F32. Formats without a quantiser get random blocks.
  TensorFormat format = TensorFormat::kF32;
  std::uint64_t seed = 1;
};

// The shapes that have a name: "260k" (stories260K's), "110m", "1.1b" (TinyLlama's).
Result<SynthShape> synth_shape(const std::string& name);

// The file's bytes, or the file. Weights are normal with deviation 1/√columns, so that activations
// keep their size; the vocabulary is made up, byte by byte and words w0, w1, ... Errors: a shape
// that cannot be, named.
Result<std::string> synthesise(const SynthShape& shape);
Status synthesise(const SynthShape& shape, const std::string& path);

}  // namespace medley::lpu
