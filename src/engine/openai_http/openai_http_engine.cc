#include "engine/openai_http/openai_http_engine.h"

#include <fmt/format.h>

#include "engine/openai_http/upstream_body.h"
#include "net/sse.h"

namespace medley::engine {

// One request at the upstream.
class OpenaiHttpEngine::Call : public net::HttpListener {
 public:
  Call(OpenaiHttpEngine& engine, RequestId request, Tokens prompt_tokens, GenerationSink& sink)
      : engine_(engine),
        request_(request),
        prompt_tokens_(prompt_tokens),
        sink_(&sink),
        reader_(engine.options_.event_bytes) {}

  void send(net::HttpCall call) { http_call_ = engine_.client_.start(std::move(call), *this); }
  // No callback of the sink after this.
  void leave() {
    sink_ = nullptr;
    if (http_call_)
      engine_.client_.cancel(*http_call_);
  }
  void fail(const Error& error) {
    if (GenerationSink* sink = end())
      sink->on_failed(request_, error);
  }

  void on_head(int status, const net::HttpHeaders& headers) override {
    status_ = status;
    const std::string* type = headers.find("Content-Type");
    streamed_ = status == 200 && type != nullptr && type->starts_with("text/event-stream");
  }

  void on_data(std::string_view bytes) override {
    if (!streamed_) {
      // An error, or an answer in one piece; of an error its beginning is enough.
      if (whole_.size() + bytes.size() <= engine_.options_.answer_bytes) {
        whole_ += bytes;
      } else if (status_ == 200) {
        fail({ErrorCode::kGarbled,
              fmt::format("the upstream {} sent an answer without end", engine_.server_)});
      }
      return;
    }
    std::vector<net::SseEvent> events;
    const bool in_bounds = reader_.feed(bytes, events);
    for (const net::SseEvent& event : events) {
      if (sink_ == nullptr)
        return;
      take(event);
    }
    if (!in_bounds) {
      fail({ErrorCode::kGarbled,
            fmt::format("the upstream {} sent a frame without end", engine_.server_)});
    }
  }

  void on_complete() override {
    if (status_ != 200) {
      fail(upstream_error(status_, whole_, engine_.server_));
    } else if (streamed_) {
      finish_or_fail({ErrorCode::kGarbled,
                      fmt::format("the stream of the upstream {} ended before the answer did",
                                  engine_.server_)});
    } else {
      take_chunk(whole_);
      finish_or_fail({ErrorCode::kGarbled,
                      fmt::format("the answer of the upstream {} has no end", engine_.server_)});
    }
  }

  void on_error(const Error& error) override {
    // A server may break the connection once everything has been said.
    finish_or_fail(error);
  }

 private:
  void take(const net::SseEvent& event) {
    if (event.data.starts_with("[DONE]")) {
      if (!finish_)
        finish_ = FinishReason::kStop;
      finish_or_fail({});
    } else {
      take_chunk(event.data);
    }
  }

  void take_chunk(std::string_view data) {
    const Result<UpstreamChunk> parsed = parse_upstream_chunk(data);
    if (!parsed.ok()) {
      fail(parsed.error());
      return;
    }
    const UpstreamChunk& chunk = *parsed;
    if (chunk.prompt_tokens)
      prompt_tokens_ = *chunk.prompt_tokens;
    if (chunk.output_tokens)
      output_tokens_ = chunk.output_tokens;
    if (chunk.finish)
      finish_ = chunk.finish;
    if (chunk.text.empty() && !chunk.reasoned)
      return;
    // A frame counts as one token until usage says how many there were in all.
    ++frames_;
    sink_->on_tokens(request_, chunk.text, 1);
  }

  void finish_or_fail(const Error& error) {
    if (sink_ == nullptr)
      return;
    if (!finish_) {
      fail(error);
      return;
    }
    const Ending ending{*finish_, prompt_tokens_, output_tokens_.value_or(Tokens(frames_)),
                        std::nullopt};
    if (GenerationSink* sink = end())
      sink->on_end(request_, ending);
  }

  // Takes the call out of the engine; the sink to tell, once.
  GenerationSink* end() {
    GenerationSink* sink = sink_;
    if (sink == nullptr)
      return nullptr;
    leave();
    const auto own = engine_.calls_.find(request_);
    engine_.ended_.push_back(std::move(own->second));
    engine_.calls_.erase(own);
    engine_.loop_.post([&engine = engine_, alive = std::weak_ptr(engine_.alive_)] {
      if (!alive.expired())
        engine.ended_.clear();
    });
    return sink;
  }

  OpenaiHttpEngine& engine_;
  const RequestId request_;
  Tokens prompt_tokens_;
  std::optional<Tokens> output_tokens_;
  GenerationSink* sink_;  // null once nothing more may be told
  net::SseReader reader_;
  std::optional<net::HttpClient::CallId> http_call_;
  int status_ = 0;
  bool streamed_ = false;
  std::string whole_;
  std::optional<FinishReason> finish_;
  long long frames_ = 0;
};

OpenaiHttpEngine::OpenaiHttpEngine(AsioLoop& loop, net::HttpUrl base, Options options)
    : loop_(loop),
      base_(std::move(base)),
      server_(base_.authority()),
      options_(std::move(options)),
      client_(loop.events(), base_, options_.http) {}

OpenaiHttpEngine::~OpenaiHttpEngine() = default;

void OpenaiHttpEngine::start(Generation generation, GenerationSink& sink) {
  const RequestId id = generation.id;
  auto call = std::make_unique<Call>(*this, id, generation.prompt_tokens, sink);
  Call& started = *call;
  calls_.insert_or_assign(id, std::move(call));
  Result<std::string> body = upstream_body(generation, options_.model);
  if (!body.ok()) {
    loop_.post([this, id, error = body.error(), alive = std::weak_ptr(alive_)] {
      if (alive.expired())
        return;
      if (const auto found = calls_.find(id); found != calls_.end())
        found->second->fail(error);
    });
    return;
  }
  net::HttpCall http{
      .target = generation.chat ? "/chat/completions" : "/completions",
      .headers = {{"Content-Type", "application/json"}, {"Accept", "text/event-stream"}},
      .body = std::move(*body)};
  if (!options_.key.empty())
    http.headers.add("Authorization", "Bearer " + options_.key);
  started.send(std::move(http));
}

void OpenaiHttpEngine::cancel(RequestId request) {
  const auto found = calls_.find(request);
  if (found == calls_.end())
    return;
  found->second->leave();
  // It may be one of its own callbacks that led here.
  ended_.push_back(std::move(found->second));
  calls_.erase(found);
  loop_.post([this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired())
      ended_.clear();
  });
}

LoadSignal OpenaiHttpEngine::load() const {
  LoadSignal signal;
  signal.running = static_cast<int>(calls_.size());
  signal.as_of = loop_.now();
  signal.source = SignalSource::kLedger;
  return signal;
}

void OpenaiHttpEngine::report_load_to(LoadHeard hear) {
  if (options_.metrics.empty())
    return;
  poller_.emplace(loop_, base_,
                  LoadPoller::Options{options_.metrics, options_.key, options_.poll_every},
                  std::move(hear));
}

}  // namespace medley::engine
