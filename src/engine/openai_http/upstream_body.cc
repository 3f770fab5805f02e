#include "engine/openai_http/upstream_body.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <boost/json.hpp>

namespace medley::engine {
namespace {

namespace json = boost::json;
namespace dom = simdjson::dom;

// Upstream messages are outside text: one line, of bearable length.
std::string one_line(std::string_view text) {
  constexpr std::size_t kLongest = 300;
  std::string line(text.substr(0, kLongest));
  std::replace_if(
      line.begin(), line.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  // A cut may have split a character.
  if (text.size() > kLongest) {
    while (!line.empty() && (line.back() & 0x80) != 0)
      line.pop_back();
    line += "…";
  }
  return line;
}

json::object body_of_parts(const Generation& generation) {
  json::object body;
  if (generation.chat) {
    json::array messages;
    for (const Message& message : generation.messages) {
      messages.push_back(json::object{{"role", message.role}, {"content", message.content}});
    }
    body["messages"] = std::move(messages);
  } else {
    body["prompt"] = generation.prompt;
  }
  if (generation.max_tokens)
    body["max_tokens"] = generation.max_tokens->count();
  const Sampling& sampling = generation.sampling;
  if (sampling.temperature)
    body["temperature"] = *sampling.temperature;
  if (sampling.top_p)
    body["top_p"] = *sampling.top_p;
  if (sampling.seed)
    body["seed"] = *sampling.seed;
  if (!sampling.stop.empty())
    body["stop"] = json::value_from(sampling.stop);
  return body;
}

// The message of an OpenAI error object, or of the nearest thing to it; empty where there is none.
std::string message_of(const dom::element& root) {
  std::string_view message;
  if (root["error"]["message"].get(message) == simdjson::SUCCESS)
    return one_line(message);
  if (root["error"].get(message) == simdjson::SUCCESS)
    return one_line(message);
  if (root["message"].get(message) == simdjson::SUCCESS)
    return one_line(message);
  if (root["detail"].get(message) == simdjson::SUCCESS)
    return one_line(message);
  return {};
}

ErrorCode code_of_status(int status) {
  switch (status) {
    case 400:
    case 413:
    case 422:
      return ErrorCode::kInvalid;
    case 401:
    case 403:
      return ErrorCode::kDenied;
    case 408:
    case 504:
      return ErrorCode::kTimedOut;
    // A server without the model or the path is set up wrongly: no fault of the client's, another
    // replica may do.
    case 404:
    case 429:
    case 498:
    case 503:
    case 529:
      return ErrorCode::kUnavailable;
    default:
      return status >= 500 ? ErrorCode::kUnavailable : ErrorCode::kGarbled;
  }
}

void read_usage(const dom::element& usage, UpstreamChunk& chunk) {
  std::int64_t tokens = 0;
  if (usage["prompt_tokens"].get(tokens) == simdjson::SUCCESS && tokens >= 0)
    chunk.prompt_tokens = Tokens(tokens);
  if (usage["completion_tokens"].get(tokens) == simdjson::SUCCESS && tokens >= 0)
    chunk.output_tokens = Tokens(tokens);
}

bool has_elements(const dom::element& parent, std::string_view name) {
  dom::array array;
  return parent[name].get(array) == simdjson::SUCCESS && array.size() > 0;
}

Status read_choice(const dom::element& choice, UpstreamChunk& chunk) {
  dom::element
      delta;  // "delta" in streams, "message" in whole answers; bare "text" in the older dialect
  std::string_view text;
  if (choice["delta"].get(delta) == simdjson::SUCCESS ||
      choice["message"].get(delta) == simdjson::SUCCESS) {
    if (delta["content"].get(text) == simdjson::SUCCESS)
      chunk.text += text;
    for (const char* name : {"reasoning_content", "reasoning"}) {
      if (delta[name].get(text) == simdjson::SUCCESS && !text.empty())
        chunk.reasoned = true;
    }
    if (has_elements(delta, "tool_calls") || delta["function_call"].is_object()) {
      // The gateway takes no `tools`, but an upstream may have some of its own. It is well, and
      // another one would do the same.
      return Error{ErrorCode::kInvalid,
                   "the upstream answered with a tool call: tool calls are not supported yet"};
    }
  } else if (choice["text"].get(text) == simdjson::SUCCESS) {
    chunk.text += text;
  }
  std::string_view reason;
  if (choice["finish_reason"].get(reason) != simdjson::SUCCESS || reason.empty())
    return Done{};
  if (reason == "content_filter") {
    return Error{ErrorCode::kDenied, "the upstream's content filter ended the answer"};
  }
  chunk.finish = reason == "length" ? FinishReason::kLength : FinishReason::kStop;
  return Done{};
}

}  // namespace

Result<std::string> upstream_body(const Generation& generation, std::string_view model) {
  json::object body;
  if (generation.body.empty()) {
    body = body_of_parts(generation);
  } else {
    boost::system::error_code error;
    json::value parsed = json::parse(generation.body, error);
    if (error || !parsed.is_object())
      return Error{ErrorCode::kInvalid, "the body is no JSON object"};
    body = std::move(parsed.as_object());
  }
  body["model"] = model;
  body["stream"] = true;
  json::value& options = body["stream_options"];
  if (!options.is_object())
    options.emplace_object();
  options.as_object()["include_usage"] = true;
  // What medley itself heeds: an upstream that knows one of these would decide a second time, and
  // by `priority` let one tenant's work pass another's.
  for (const char* key : {"service_tier", "priority", "medley"})
    body.erase(key);
  return json::serialize(body);
}

Result<UpstreamChunk> parse_upstream_chunk(std::string_view text) {
  dom::parser parser;
  dom::element root;
  if (parser.parse(text.data(), text.size()).get(root) != simdjson::SUCCESS || !root.is_object()) {
    return Error{ErrorCode::kGarbled, fmt::format("the upstream sent what is no JSON object: {}",
                                                  one_line(text.substr(0, 80)))};
  }
  dom::element part;
  if (root["error"].get(part) == simdjson::SUCCESS && !part.is_null()) {
    const std::string message = message_of(root);
    return Error{
        ErrorCode::kUnavailable,
        fmt::format("the upstream broke off: {}", message.empty() ? "it gave no reason" : message)};
  }
  UpstreamChunk chunk;
  bool known = false;
  dom::array choices;
  if (root["choices"].get(choices) == simdjson::SUCCESS) {
    known = true;
    for (const dom::element choice : choices) {
      std::int64_t index = 0;
      if (choice["index"].get(index) == simdjson::SUCCESS && index != 0)
        continue;
      MEDLEY_TRY_STATUS(read_choice(choice, chunk));
    }
  }
  for (const auto& usage : {root["usage"], root["x_groq"]["usage"]}) {
    if (usage.get(part) == simdjson::SUCCESS && part.is_object()) {
      known = true;
      read_usage(part, chunk);
    }
  }
  if (!known && root["object"].error() != simdjson::SUCCESS) {
    return Error{ErrorCode::kGarbled,
                 "the upstream sent JSON that is no answer: it has no `choices`"};
  }
  return chunk;
}

Error upstream_error(int status, std::string_view body, std::string_view server) {
  const ErrorCode code = code_of_status(status);
  dom::parser parser;
  dom::element root;
  std::string message;
  if (parser.parse(body.data(), body.size()).get(root) == simdjson::SUCCESS)
    message = message_of(root);
  if (code == ErrorCode::kDenied) {
    // Its message may speak of the key.
    return {code,
            fmt::format("the upstream {} does not let medley in (status {}): see the pool's key",
                        server, status)};
  }
  if (code == ErrorCode::kInvalid && !message.empty()) {
    std::string_view param;
    Error error{code, message};
    if (root["error"]["param"].get(param) == simdjson::SUCCESS)
      error.param = one_line(param);
    return error;
  }
  return {code, fmt::format("the upstream {} answered {}{}{}", server, status,
                            message.empty() ? "" : ": ", message)};
}

}  // namespace medley::engine
