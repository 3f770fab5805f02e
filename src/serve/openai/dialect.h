// The two forms of a completion on the wire: /v1/chat/completions and the older /v1/completions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "engine/engine.h"
#include "serve/openai/parse.h"

namespace medley::serve::openai {

// What every piece of one answer repeats.
struct AnswerHead {
  RequestId request;
  std::string model;                        // the name asked for
  std::int64_t created = 0;                 // Unix seconds
  std::optional<std::string> service_tier;  // as it came
};

struct AnswerEnd {
  engine::FinishReason reason = engine::FinishReason::kStop;
  Tokens prompt_tokens, output_tokens;
  std::string medley;  // the `medley` object, as JSON
};

// One dialect: reads its requests and writes its answers. All texts are JSON.
class Dialect {
 public:
  virtual ~Dialect() = default;

  virtual Result<CompletionRequest> parse(std::string_view body) const = 0;
  // The field that holds the prompt, for errors about it.
  virtual std::string_view prompt_param() const = 0;
  virtual std::string whole(const AnswerHead& head, std::string_view text,
                            const AnswerEnd& end) const = 0;

  // A stream's chunks are its opening, a choice, and "}". The opening is the same for all chunks of
  // an answer.
  virtual std::string opening(const AnswerHead& head) const = 0;
  // The first choice, before any text; empty: none.
  virtual std::string_view first_choice() const = 0;
  virtual void append_delta_choice(std::string& out, std::string_view text) const = 0;
  virtual std::string finish_choice(engine::FinishReason reason) const = 0;
};

const Dialect& chat_completions();
const Dialect& completions();

// {"prompt_tokens":…,"completion_tokens":…,"total_tokens":…}
std::string usage_json(const AnswerEnd& end);
// "id":…,"object":…,"created":…,"model":… and ,"service_tier":… where it was given: how every
// answer begins.
std::string common_fields(const AnswerHead& head, std::string_view id_prefix,
                          std::string_view object);

}  // namespace medley::serve::openai
