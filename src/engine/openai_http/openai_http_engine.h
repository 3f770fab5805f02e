// Any OpenAI-compatible server as an engine: vLLM, llama-server, a rented service, another medley.
#pragma once

#include <map>
#include <memory>
#include <optional>

#include "engine/asio_loop.h"
#include "engine/engine.h"
#include "engine/openai_http/load_poller.h"
#include "net/http_client.h"

namespace medley::engine {

// Relays the client's own request with the model's upstream name and reads the answer as a stream.
// One base URL is one replica. cancel() closes the upstream connection, which is how such servers
// learn that nobody listens.
class OpenaiHttpEngine : public Engine {
 public:
  struct Options {
    std::string key;      // sent as a bearer token when not empty
    std::string model;    // the name to ask for
    std::string metrics;  // whose load metrics it has (load_metrics.h); empty: none
    Duration poll_every = std::chrono::seconds(1);
    net::HttpClientOptions http;
    std::size_t event_bytes = 1 << 20;   // of one frame
    std::size_t answer_bytes = 8 << 20;  // of an answer that comes in one piece
  };

  OpenaiHttpEngine(AsioLoop& loop, net::HttpUrl base, Options options);
  ~OpenaiHttpEngine() override;

  void start(Generation generation, GenerationSink& sink) override;
  void cancel(RequestId request) override;
  // Its tokenizer is far away.
  std::optional<Tokens> count_prompt_tokens(Generation&) const override { return std::nullopt; }
  LoadSignal load() const override;
  void report_load_to(LoadHeard hear) override;
  bool emulated() const override { return false; }

 private:
  class Call;

  AsioLoop& loop_;
  const net::HttpUrl base_;
  const std::string server_;
  const Options options_;
  std::map<RequestId, std::unique_ptr<Call>> calls_;
  std::vector<std::unique_ptr<Call>>
      ended_;  // until the loop comes round: they end inside their own callbacks
  std::optional<LoadPoller> poller_;
  net::HttpClient client_;  // last: its end cancels what the calls listen to
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace medley::engine
