#include "serve/openai/dialect.h"

#include <fmt/format.h>

#include "serve/openai/json_text.h"

namespace medley::serve::openai {

std::string usage_json(const AnswerEnd& end) {
  return fmt::format(R"({{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{}}})",
                     end.prompt_tokens.count(), end.output_tokens.count(),
                     (end.prompt_tokens + end.output_tokens).count());
}

std::string common_fields(const AnswerHead& head, std::string_view id_prefix,
                          std::string_view object) {
  std::string out = fmt::format(R"("id":"{}{}","object":"{}","created":{},"model":)", id_prefix,
                                name_of(head.request), object, head.created);
  append_json_string(out, head.model);
  if (head.service_tier) {
    out += R"(,"service_tier":)";
    append_json_string(out, *head.service_tier);
  }
  return out;
}

}  // namespace medley::serve::openai
