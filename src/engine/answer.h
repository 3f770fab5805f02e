// What the workers of threaded engines have in common: which requests they take, and how an answer
// grows and ends.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "engine/answer_text.h"
#include "engine/threaded_engine.h"

namespace medley::engine {

// Why a request with so many prompt tokens (or at least so many, if that is all that is known)
// cannot be served as it is; empty: it can.
std::optional<Error> refusal(const Generation& generation, long long prompt_tokens,
                             long long context_tokens, bool at_least = false);

// What a model answers whose logits are infinite or no numbers. Another replica may have another.
Error not_finite();

// Of one job, token by token.
class Answer {
 public:
  // Precondition: no refusal() for the same numbers.
  Answer(const Job& job, long long prompt_tokens, long long context_tokens);

  // One token more: its bytes, or nothing where the model ends with it. Tells of it, and of the end
  // where this is one: true. Then nothing may follow.
  bool add(std::optional<std::string_view> piece, std::vector<Happening>& happenings);
  std::uint64_t job() const { return job_; }

 private:
  std::uint64_t job_;
  long long prompt_tokens_, outputs_ = 0, most_outputs_;
  AnswerText text_;
};

}  // namespace medley::engine
