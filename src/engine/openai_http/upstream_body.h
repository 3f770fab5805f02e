// The JSON that goes to an OpenAI-compatible server, and the meaning of what comes back. No sockets
// here.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/engine.h"

namespace medley::engine {

// The client's own body with `model` replaced, streaming with usage asked for, and medley's own
// field service_tier taken out; or, where the generation has no body, one made from its parts.
Result<std::string> upstream_body(const Generation& generation, std::string_view model);

// What one frame of a stream, or a whole answer, says.
struct UpstreamChunk {
  std::string text;
  bool reasoned = false;  // carried reasoning text, which is not relayed but takes time
  std::optional<FinishReason> finish;
  std::optional<Tokens> prompt_tokens, output_tokens;
};

// One `data:` of the stream, "[DONE]" excepted, or the body of an answer that was not streamed. An
// error where the server reports one, where this is no such JSON, or where it holds what medley
// cannot relay (tool calls).
Result<UpstreamChunk> parse_upstream_chunk(std::string_view json);

// What an answer of another status than 200 means: which code, and the server's own message where
// it gave one.
Error upstream_error(int status, std::string_view body, std::string_view server);

}  // namespace medley::engine
