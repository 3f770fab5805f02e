// An OpenAI-compatible server for tests: says numbered tokens, and misbehaves when told to. Header
// only, tests only.
#pragma once

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/check.h"
#include "net/http_server.h"

namespace medley::engine {

class FakeOpenaiServer {
 public:
  enum class Manner {
    kProper,
    kSilent,        // takes the request and says nothing
    kSlowHead,      // the same, after the status line
    kRefuse,        // answers `status` with `body`
    kBreakAfter,    // cuts the connection after `tokens_before` tokens
    kEndAfter,      // a clean end of HTTP, no finish_reason, no [DONE]
    kErrorFrame,    // an error object in the stream after `tokens_before` tokens
    kGarbageFrame,  // something that is no JSON after `tokens_before` tokens
    kEndlessFrame,  // a frame that never ends
    kWhole,         // ignores "stream": one JSON answer
    kNoDone,        // finish_reason, but no usage and no [DONE]
    kHold,          // `tokens_before` tokens, then nothing more
  };

  explicit FakeOpenaiServer(net::EventLoop& loop) : loop_(loop) { listen(0); }

  void listen(std::uint16_t port) {
    server_.emplace(loop_, net::HttpServerOptions{},
                    [this](net::HttpRequest request, std::shared_ptr<net::HttpExchange> exchange) {
                      take(std::move(request), std::move(exchange));
                    });
    const auto bound = server_->listen({"127.0.0.1", port});
    MEDLEY_CHECK(bound.ok(), bound.ok() ? "" : bound.error().message);
    port_ = *bound;
  }
  // Cuts every connection and stops listening, as a process that was killed.
  void kill() {
    server_.reset();
    answers_.clear();
  }

  std::string url() const { return fmt::format("http://127.0.0.1:{}/v1", port_); }

  // The text of token `i` for a request whose prompt contains "marker=<digits>".
  static std::string token(long long marker, int i) { return fmt::format(" {}:{}", marker, i); }

  Manner manner = Manner::kProper;
  int tokens_before = 3;
  int status = 500;
  std::string body;
  int default_tokens = 20;
  // What it serves as its page of metrics; empty: it has none.
  std::string metrics;
  // Nobody is told a token before so many requests have come.
  int wait_for = 0;
  // Zero: a token each time the loop comes round.
  std::chrono::microseconds token_time{0};

  // What it saw.
  int asked_for_metrics = 0;
  int started = 0, completed = 0, left = 0;  // left: the other side closed first
  std::optional<net::EventLoop::Clock::time_point> left_at;
  std::vector<std::string> bodies;
  std::string last_target, last_authorization;
  std::size_t active() const { return answers_.size(); }

 private:
  struct Answer {
    explicit Answer(net::EventLoop& loop) : alarm(loop) {}
    std::shared_ptr<net::HttpExchange> exchange;
    net::EventLoop::Alarm alarm;
    long long marker = 0;
    int tokens = 0, said = 0;
  };

  static std::optional<long long> number_after(std::string_view text, std::string_view key) {
    const auto at = text.find(key);
    if (at == std::string_view::npos)
      return std::nullopt;
    long long number = 0;
    const char* begin = text.data() + at + key.size();
    if (std::from_chars(begin, text.data() + text.size(), number).ec != std::errc{})
      return std::nullopt;
    return number;
  }

  void take(net::HttpRequest request, std::shared_ptr<net::HttpExchange> exchange) {
    if (request.target == "/metrics") {
      ++asked_for_metrics;
      exchange->respond({metrics.empty() ? 404 : 200, {}, metrics});
      return;
    }
    ++started;
    last_target = request.target;
    const std::string* authorization = request.headers.find("Authorization");
    last_authorization = authorization != nullptr ? *authorization : "";
    const int number = started;
    auto answer = std::make_unique<Answer>(loop_);
    answer->exchange = exchange;
    answer->marker = number_after(request.body, "marker=").value_or(0);
    answer->tokens =
        static_cast<int>(number_after(request.body, "\"max_tokens\":").value_or(default_tokens));
    bodies.push_back(std::move(request.body));
    exchange->on_peer_gone([this, number] {
      ++left;
      left_at = net::EventLoop::Clock::now();
      answers_.erase(number);
    });
    if (manner == Manner::kRefuse) {
      exchange->respond({status, {{"Content-Type", "application/json"}}, body});
      return;
    }
    if (manner == Manner::kWhole) {
      std::string text;
      for (int i = 0; i < answer->tokens; ++i)
        text += token(answer->marker, i);
      exchange->respond(
          {200,
           {{"Content-Type", "application/json"}},
           fmt::format(
               R"({{"choices":[{{"index":0,"message":{{"role":"assistant","content":"{}"}},)"
               R"("finish_reason":"length"}}],"usage":{{"prompt_tokens":9,"completion_tokens":{}}}}})",
               text, answer->tokens)});
      return;
    }
    if (manner != Manner::kSilent) {
      exchange->start_stream(200, {{"Content-Type", "text/event-stream"}});
    }
    answers_.emplace(number, std::move(answer));
    if (manner == Manner::kSilent || manner == Manner::kSlowHead)
      return;
    exchange->write(": welcome\n\n" + frame(R"({"role":"assistant","content":""})", "null"));
    if (started < wait_for)
      return;
    for (const auto& [each, silent] : answers_) {
      if (silent->said == 0)
        next(each);
    }
  }

  static std::string frame(std::string_view delta, std::string_view finish) {
    return fmt::format(
        "data: {{\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"choices\":[{{\"index\":0,"
        "\"delta\":{},\"finish_reason\":{}}}]}}\r\n\r\n",
        delta, finish);
  }

  void next(int number) {
    const auto found = answers_.find(number);
    if (found == answers_.end())
      return;
    found->second->alarm.set(net::EventLoop::Clock::now() + token_time,
                             [this, number] { speak(number); });
  }

  void speak(int number) {
    Answer& answer = *answers_.at(number);
    net::HttpExchange& exchange = *answer.exchange;
    const bool misbehave = answer.said == tokens_before;
    if (misbehave && manner == Manner::kBreakAfter)
      return end(number, [&] { exchange.abort(); });
    if (misbehave && manner == Manner::kEndAfter)
      return end(number, [&] { exchange.finish(); });
    if (misbehave && manner == Manner::kErrorFrame) {
      exchange.write(
          "data: {\"error\":{\"message\":\"out of memory\",\"type\":\"server_error\"}}\n\n");
      return end(number, [&] { exchange.finish(); });
    }
    if (misbehave && manner == Manner::kGarbageFrame) {
      exchange.write("data: {\"choices\":[{\"delta\":{\"content\":\"ha\n\n");
      return next_after(answer, number);
    }
    if (misbehave && manner == Manner::kEndlessFrame) {
      exchange.write("data: " + std::string(3 << 20, 'x'));
      return;
    }
    if (misbehave && manner == Manner::kHold)
      return;
    if (answer.said < answer.tokens) {
      exchange.write(
          frame(fmt::format(R"({{"content":"{}"}})", token(answer.marker, answer.said)), "null"));
      return next_after(answer, number);
    }
    exchange.write(frame("{}", answer.said == answer.tokens ? "\"length\"" : "\"stop\""));
    if (manner == Manner::kNoDone)
      return end(number, [&] { exchange.finish(); });
    exchange.write(fmt::format(
        "data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":9,\"completion_tokens\":{}}}}}\n\n"
        "data: [DONE]\n\n",
        answer.tokens));
    end(number, [&] { exchange.finish(); });
  }

  void next_after(Answer& answer, int number) {
    ++answer.said;
    next(number);
  }

  template <typename How>
  void end(int number, How how) {
    how();
    ++completed;
    answers_.erase(number);
  }

  net::EventLoop& loop_;
  std::map<int, std::unique_ptr<Answer>> answers_;
  std::optional<net::HttpServer> server_;
  std::uint16_t port_ = 0;
};

}  // namespace medley::engine
