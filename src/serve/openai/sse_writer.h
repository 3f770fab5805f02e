// The last step of the main path: tokens become server-sent events.
#pragma once

#include <string>
#include <string_view>

#include "net/http.h"
#include "net/http_server.h"
#include "serve/openai/dialect.h"
#include "serve/openai/errors.h"

namespace medley::serve::openai {

// One answer as a stream: the role, a chunk per piece of text, the finish reason, usage where it
// was asked for,
// "[DONE]". The `medley` object is on the chunk with usage, else on the one with the finish reason.
// A stream that broke says so in an error frame and ends uncleanly: some clients take a mere end
// for success.
class SseWriter {
 public:
  SseWriter(net::HttpExchange& exchange, const Dialect& dialect, const AnswerHead& head,
            bool include_usage);

  bool started() const { return started_; }
  // Sends the status line, `headers` and the first chunk; later calls do nothing.
  void start(net::HttpHeaders headers);
  void text(std::string_view piece);
  void keep_alive();
  void end(const AnswerEnd& end);
  void fail(const ApiError& error);

 private:
  void begin_chunk();
  void send_chunk();

  net::HttpExchange& exchange_;
  const Dialect& dialect_;
  const std::string opening_;  // "data: {…" up to the choices
  const bool include_usage_;
  bool started_ = false;
  std::string chunk_;
};

}  // namespace medley::serve::openai
