// Hugging Face config.json: the architecture of a model, and the parameters that follow from it.
//
// Knows the llama shape (llama, mistral, qwen2, qwen3, gemma, …), mixtures of it (mixtral,
// qwen3_moe, gpt-oss) and deepseek's latent attention. Figures nobody states stay empty; a config
// without layers or width is an error.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "domain/model.h"

namespace medley::data {

Result<Model> read_model_config(const std::string& path);
Result<Model> parse_model_config(std::string_view json, const std::string& name);

}  // namespace medley::data
