// POST /v1/chat/completions.
#include <fmt/format.h>

#include "serve/openai/dialect.h"
#include "serve/openai/json_text.h"

namespace medley::serve::openai {
namespace {

class ChatCompletions final : public Dialect {
 public:
  Result<CompletionRequest> parse(std::string_view body) const override {
    return parse_chat_completion(body);
  }
  std::string_view prompt_param() const override { return "messages"; }

  std::string whole(const AnswerHead& head, std::string_view text,
                    const AnswerEnd& end) const override {
    std::string out = "{" + common_fields(head, "chatcmpl-", "chat.completion");
    out += R"(,"choices":[{"index":0,"message":{"role":"assistant","content":)";
    append_json_string(out, text);
    out += fmt::format(
        R"(,"refusal":null}},"logprobs":null,"finish_reason":"{}"}}],"usage":{},"medley":{}}})",
        name_of(end.reason), usage_json(end), end.medley);
    return out;
  }

  std::string opening(const AnswerHead& head) const override {
    return "{" + common_fields(head, "chatcmpl-", "chat.completion.chunk");
  }
  std::string_view first_choice() const override {
    return R"({"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null})";
  }
  void append_delta_choice(std::string& out, std::string_view text) const override {
    out += R"({"index":0,"delta":{"content":)";
    append_json_string(out, text);
    out += R"(},"logprobs":null,"finish_reason":null})";
  }
  std::string finish_choice(engine::FinishReason reason) const override {
    return fmt::format(R"({{"index":0,"delta":{{}},"logprobs":null,"finish_reason":"{}"}})",
                       name_of(reason));
  }
};

}  // namespace

const Dialect& chat_completions() {
  static const ChatCompletions dialect;
  return dialect;
}

}  // namespace medley::serve::openai
