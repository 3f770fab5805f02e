// The OpenAI-compatible door: routes requests, hands completions to the driver and relays what
// comes back.
//
// First and last stop of the main path. Knows HTTP only as values: a socket server calls handle().
// One thread, the loop's.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "engine/loop.h"
#include "net/http_server.h"
#include "serve/driver.h"
#include "serve/openai/dialect.h"
#include "serve/openai/errors.h"
#include "serve/prefix_namer.h"
#include "serve/prompt_counter.h"
#include "telemetry/metrics.h"

namespace medley::serve {

struct GatewayOptions {
  std::int64_t started_at = 0;              // Unix seconds: `created` of the models
  std::function<std::int64_t()> unix_time;  // `created` of answers; empty: started_at
  // A stream that has said nothing for so long is sent a comment, which keeps proxies and clients
  // patient.
  Duration keep_alive_after = std::chrono::seconds(15);
  // Of text in an answer that is not streamed, and so is kept here until its end.
  std::size_t whole_answer_bytes = 8 << 20;
  SipHash::Key prefix_key;  // a secret of the process: see PrefixNamer
};

class Gateway {
 public:
  // All references must outlive the gateway.
  Gateway(engine::Loop& loop, const Fleet& fleet, Driver& driver, telemetry::Metrics& metrics,
          GatewayOptions options = {});
  ~Gateway();  // cancels what is under way

  // Answers at once or later. A client that leaves cancels its request. The request's id is its
  // number: no two may have the same.
  void handle(net::HttpRequest request, std::shared_ptr<net::HttpExchange> exchange);
  // The answer to what is no proper HTTP, in the same form as every other error.
  static net::HttpResponse protocol_error(int status, std::string_view message,
                                          std::uint64_t number);

  // Completions under way.
  std::size_t active() const { return calls_.size(); }

 private:
  class Call;

  void complete(const openai::Dialect& dialect, RequestId id, net::HttpRequest request,
                std::shared_ptr<net::HttpExchange> exchange);
  void refuse(RequestId id, const openai::ApiError& error, net::HttpExchange& exchange);
  std::string readiness(bool& ready) const;
  std::string metrics_text();
  std::vector<const engine::Engine*> counting_engines(const Offer& offer,
                                                      ServiceClass service_class) const;
  int replicas_up(PoolId pool) const;
  void set_own_counts(PoolId pool);
  void set_load_reports(PoolId pool);
  void finish(RequestId id);
  void ask_to_keep_alive();

  engine::Loop& loop_;
  const Fleet& fleet_;
  Driver& driver_;
  telemetry::Metrics& metrics_;
  const GatewayOptions options_;
  const PrefixNamer prefix_namer_;
  const std::vector<PoolId> owners_;  // by replica
  std::map<RequestId, std::unique_ptr<Call>> calls_;
  // Ended calls, until the loop comes round: they end inside their own callbacks.
  std::vector<std::unique_ptr<Call>> ended_;
  std::optional<engine::TimerId> sweep_, keep_alive_;
  PromptCounter counter_;  // first to go
};

}  // namespace medley::serve
