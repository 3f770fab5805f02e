// Asks an inference server for its load, again and again.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "engine/asio_loop.h"
#include "engine/engine.h"
#include "net/http_client.h"

namespace medley::engine {

// One question at a time. The next is asked a period after the last, or when that was answered,
// whichever is later; a server that says nothing for two seconds has failed to answer.
class LoadPoller {
 public:
  struct Options {
    std::string server;  // whose page it is (load_metrics.h)
    std::string key;     // sent as a bearer token when not empty
    Duration period = std::chrono::seconds(1);
  };

  // `api` is the base URL of the OpenAI API; the page of metrics stands beside that, not below:
  // http://host:8000/v1 has it at http://host:8000/metrics. `hear` is never called from inside this
  // and not after destruction. `loop` must outlive the poller.
  LoadPoller(AsioLoop& loop, const net::HttpUrl& api, Options options, LoadHeard hear);
  ~LoadPoller();

 private:
  class Question;

  void ask();
  void heard(const Result<LoadSignal>& signal);

  AsioLoop& loop_;
  const Options options_;
  const std::string address_;
  const LoadHeard hear_;
  Instant asked_at_;
  std::optional<TimerId> timer_;
  std::unique_ptr<Question> question_;
  net::HttpClient client_;  // last: its end cancels what the question listens to
};

}  // namespace medley::engine
