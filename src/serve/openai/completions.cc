// POST /v1/completions, the older form: a bare prompt in, text out.
#include <fmt/format.h>

#include "serve/openai/dialect.h"
#include "serve/openai/json_text.h"

namespace medley::serve::openai {
namespace {

class Completions final : public Dialect {
 public:
  Result<CompletionRequest> parse(std::string_view body) const override {
    return parse_completion(body);
  }
  std::string_view prompt_param() const override { return "prompt"; }

  std::string whole(const AnswerHead& head, std::string_view text,
                    const AnswerEnd& end) const override {
    std::string out = "{" + common_fields(head, "cmpl-", "text_completion");
    out += R"(,"choices":[{"index":0,"text":)";
    append_json_string(out, text);
    out += fmt::format(R"(,"logprobs":null,"finish_reason":"{}"}}],"usage":{},"medley":{}}})",
                       name_of(end.reason), usage_json(end), end.medley);
    return out;
  }

  std::string opening(const AnswerHead& head) const override {
    return "{" + common_fields(head, "cmpl-", "text_completion");
  }
  std::string_view first_choice() const override { return ""; }
  void append_delta_choice(std::string& out, std::string_view text) const override {
    out += R"({"index":0,"text":)";
    append_json_string(out, text);
    out += R"(,"logprobs":null,"finish_reason":null})";
  }
  std::string finish_choice(engine::FinishReason reason) const override {
    return fmt::format(R"({{"index":0,"text":"","logprobs":null,"finish_reason":"{}"}})",
                       name_of(reason));
  }
};

}  // namespace

const Dialect& completions() {
  static const Completions dialect;
  return dialect;
}

}  // namespace medley::serve::openai
