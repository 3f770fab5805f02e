// libllama's tokenizer and chat templates, without the weights.
#pragma once

#include <memory>
#include <string>

#include "engine/text_codec.h"

namespace medley::engine::llama_embedded {

Result<std::unique_ptr<TextCodec>> make_llama_codec(const std::string& model_path);

}  // namespace medley::engine::llama_embedded
