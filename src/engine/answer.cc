#include "engine/answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace medley::engine {

std::optional<Error> refusal(const Generation& generation, long long prompt_tokens,
                             long long context_tokens, bool at_least) {
  if (generation.max_tokens && generation.max_tokens->count() < 1)
    return Error{ErrorCode::kInvalid, "max_tokens must be at least 1", "max_tokens"};
  if (prompt_tokens < context_tokens)
    return std::nullopt;
  return Error{
      ErrorCode::kInvalid,
      fmt::format("the prompt has {}{} tokens, but the model's context is {} tokens, prompt "
                  "and answer together",
                  at_least ? "at least " : "", prompt_tokens, context_tokens),
      generation.chat ? "messages" : "prompt"};
}

Error not_finite() {
  return {
      ErrorCode::kGarbled,
      "the model computes logits that are no finite numbers: its weights are damaged, or too large "
      "for 32 bits",
      {}};
}

Answer::Answer(const Job& job, long long prompt_tokens, long long context_tokens)
    : job_(job.number),
      prompt_tokens_(prompt_tokens),
      most_outputs_(context_tokens - prompt_tokens),
      text_(job.generation.sampling.stop) {
  if (const auto& most = job.generation.max_tokens)
    most_outputs_ = std::min(most_outputs_, most->count());
}

bool Answer::add(std::optional<std::string_view> piece, std::vector<Happening>& happenings) {
  ++outputs_;
  std::optional<FinishReason> finish;
  std::string text;
  if (!piece) {
    // Counted, as vLLM and llama.cpp's own server do (it took a step), but not shown.
    text = text_.finish();
    finish = FinishReason::kStop;
  } else {
    text = text_.add(*piece);
    if (text_.stopped()) {
      finish = FinishReason::kStop;
    } else if (outputs_ >= most_outputs_) {
      text += text_.finish();
      finish = FinishReason::kLength;
    }
  }
  happenings.push_back({job_, NewText{std::move(text), 1}});
  if (finish) {
    happenings.push_back({job_, Ending{.reason = *finish,
                                       .prompt_tokens = Tokens(prompt_tokens_),
                                       .output_tokens = Tokens(outputs_),
                                       .joules = std::nullopt}});
  }
  return finish.has_value();
}

}  // namespace medley::engine
