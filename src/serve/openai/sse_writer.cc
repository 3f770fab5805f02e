#include "serve/openai/sse_writer.h"

#include <fmt/format.h>

namespace medley::serve::openai {

SseWriter::SseWriter(net::HttpExchange& exchange, const Dialect& dialect, const AnswerHead& head,
                     bool include_usage)
    : exchange_(exchange),
      dialect_(dialect),
      opening_("data: " + dialect.opening(head) + R"(,"choices":[)"),
      include_usage_(include_usage) {}

void SseWriter::start(net::HttpHeaders headers) {
  if (started_)
    return;
  started_ = true;
  headers.add("Content-Type", "text/event-stream; charset=utf-8");
  headers.add("Cache-Control", "no-cache");
  headers.add("X-Accel-Buffering", "no");  // nginx in front would hold tokens back
  exchange_.start_stream(200, headers);
  if (dialect_.first_choice().empty())
    return;
  begin_chunk();
  chunk_ += dialect_.first_choice();
  send_chunk();
}

void SseWriter::text(std::string_view piece) {
  if (piece.empty())
    return;
  begin_chunk();
  dialect_.append_delta_choice(chunk_, piece);
  send_chunk();
}

void SseWriter::keep_alive() { exchange_.write(": keep-alive\n\n"); }

void SseWriter::end(const AnswerEnd& end) {
  const std::string medley = R"(,"medley":)" + end.medley;
  std::string out = opening_ + dialect_.finish_choice(end.reason) + "]";
  if (include_usage_) {
    out += fmt::format("}}\n\n{}],\"usage\":{}", opening_, usage_json(end));
  }
  out += medley + "}\n\ndata: [DONE]\n\n";
  exchange_.write(out);
  exchange_.finish();
}

void SseWriter::fail(const ApiError& error) {
  exchange_.write("data: " + error_json(error) + "\n\n");
  exchange_.abort();
}

void SseWriter::begin_chunk() { chunk_ = opening_; }

void SseWriter::send_chunk() {
  chunk_ += "]}\n\n";
  exchange_.write(chunk_);
}

}  // namespace medley::serve::openai
