#include "engine/prompt.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "engine/answer.h"

namespace medley::engine {
namespace {

std::size_t bytes_without_margin(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n\v\f\r";
  const std::size_t begin = text.find_first_not_of(kSpace);
  return begin == std::string_view::npos ? 0 : text.find_last_not_of(kSpace) + 1 - begin;
}

}  // namespace

long long least_tokens(const Generation& generation, std::size_t longest_token) {
  std::size_t bytes = bytes_without_margin(generation.prompt);
  for (const Message& message : generation.messages)
    bytes += bytes_without_margin(message.content);
  return static_cast<long long>(bytes / std::max<std::size_t>(1, longest_token));
}

std::optional<Tokens> count_prompt(const Tokenizer& tokenizer, long long context_tokens,
                                   Generation& generation) {
  if (const long long least = least_tokens(generation, tokenizer.longest_token);
      least >= context_tokens) {
    return Tokens(least);
  }
  Result<std::vector<int>> tokens = tokenizer.encode(generation);
  if (!tokens)
    return std::nullopt;
  generation.tokens = std::move(tokens).value();
  generation.tokens_of = tokenizer.model;
  return Tokens(static_cast<long long>(generation.tokens.size()));
}

Result<std::vector<int>> read_prompt(const Tokenizer& tokenizer, long long context_tokens,
                                     Generation& generation) {
  const long long least = least_tokens(generation, tokenizer.longest_token);
  if (std::optional<Error> error = refusal(generation, least, context_tokens, true))
    return *std::move(error);
  std::vector<int> tokens;
  if (generation.tokens_of == tokenizer.model && !generation.tokens.empty()) {
    tokens = std::move(generation.tokens);
    generation.tokens.clear();
  } else {
    MEDLEY_TRY(tokens, tokenizer.encode(generation));
  }
  if (std::optional<Error> error =
          refusal(generation, static_cast<long long>(tokens.size()), context_tokens))
    return *std::move(error);
  return tokens;
}

}  // namespace medley::engine
