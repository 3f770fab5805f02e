// From a prompt to tokens, once: what is counted for admission is what is read later, and what
// cannot fit by its bytes alone is not given to a tokenizer at all.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace medley::engine {

struct Tokenizer {
  std::string model;              // the file it stands in
  std::size_t longest_token = 1;  // bytes of a prompt that one token can stand for
  // From any thread. kInvalid, with the field at fault in `param`: nothing to encode, an unknown
  // role.
  std::function<Result<std::vector<int>>(const Generation&)> encode;
};

// Tokens that a prompt has at least. White space around a message is not counted, as templates may
// leave it out.
long long least_tokens(const Generation& generation, std::size_t longest_token);

// For Engine::count_prompt_tokens, of a model with a context of so many tokens.
std::optional<Tokens> count_prompt(const Tokenizer& tokenizer, long long context_tokens,
                                   Generation& generation);

// The tokens as counted or, where nobody did, as read now. Errors: encode's, and refusal()'s.
Result<std::vector<int>> read_prompt(const Tokenizer& tokenizer, long long context_tokens,
                                     Generation& generation);

}  // namespace medley::engine
