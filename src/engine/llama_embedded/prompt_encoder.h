// From messages or a bare prompt to the tokens that a model is given.
#pragma once

#include <llama.h>

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "engine/prompt.h"

namespace medley::engine::llama_embedded {

// Renders a conversation by the chat template in the model file, as far as llama.cpp knows the
// template's family; a model without a (known) template is given "role: content" lines and
// "assistant:" at the end.
//
// What a client writes can never become a control token: the template is rendered with placeholders
// in place of the contents; control tokens are looked for in the template's own text only;
// contents, and the template's plain text around them, go through the tokenizer as plain text.
//
// Const and thread-safe: the loop counts tokens while the engine's thread encodes.
class PromptEncoder {
 public:
  // `model`, read from that file, outlives the encoder.
  explicit PromptEncoder(const llama_model& model, std::string path = {});

  // kInvalid, with the field at fault in `param`, when there is nothing to encode or a role is
  // unknown.
  Result<std::vector<llama_token>> encode(const Generation& generation) const;
  // Of this, which outlives it.
  Tokenizer tokenizer() const {
    return {path_, longest_token_,
            [this](const Generation& generation) { return encode(generation); }};
  }
  bool has_chat_template() const { return chat_template_.has_value(); }

 private:
  struct Special {
    std::string text;
    llama_token token;
    bool strips_before, strips_after;  // whitespace around it belongs to it
  };
  class Assembly;

  Result<std::vector<llama_token>> encode_chat(const std::vector<Message>& messages) const;
  std::optional<std::string> render(const std::vector<Message>& messages) const;
  const Special* special_at(std::string_view text) const;

  const llama_vocab* vocab_;
  const std::string path_;
  std::size_t longest_token_ = 4;  // of a character that it does not know
  std::optional<std::string> chat_template_;
  std::vector<Special> specials_;           // longest first
  std::array<bool, 256> starts_special_{};  // by first byte
};

}  // namespace medley::engine::llama_embedded
