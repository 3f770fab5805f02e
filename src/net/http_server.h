// HTTP/1.1 on a listening socket: parses requests, hands each to a handler, writes what the handler
// answers.
//
// The first stop of the main path and no business in it. One thread, the loop's. While an answer is
// under way the connection is still read, so that a client that leaves is noticed at once. A client
// that only closes its sending side counts as gone: it could not be told from one that left.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "base/result.h"
#include "net/event_loop.h"
#include "net/http.h"

namespace medley::net {

// One request waiting for its answer. Give either respond(), or start_stream(), write()… and one of
// finish() and abort(). Dropping it unanswered closes the connection. Calls after the end, or after
// the peer has gone, do nothing.
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;
  virtual void respond(HttpResponse response) = 0;
  // A chunked answer whose length nobody knows yet.
  virtual void start_stream(int status, const HttpHeaders& headers) = 0;
  virtual void write(std::string_view piece) = 0;  // empty pieces are not sent
  // The clean end: the final chunk, the connection stays.
  virtual void finish() = 0;
  // The unclean end: sends what was written, then closes without the final chunk.
  virtual void abort() = 0;
  // `callback` is called once, from the loop, if the client leaves before the end (or reads so
  // slowly that it might as well have left). Never called from inside another call of this object.
  virtual void on_peer_gone(std::function<void()> callback) = 0;
};

struct HttpServerOptions {
  std::size_t header_bytes = 16 << 10;
  std::size_t body_bytes = 8 << 20;
  std::size_t unsent_bytes = 8 << 20;  // a streaming client this far behind is cut off
  std::size_t connections = 4096;
  std::chrono::milliseconds header_time{10'000};  // from the first byte to the end of the header
  std::chrono::milliseconds body_time{60'000};    // then to the end of the body
  std::chrono::milliseconds idle_time{75'000};    // between requests
  std::chrono::milliseconds write_time{30'000};   // for the peer to take what was written
  std::chrono::milliseconds linger_time{2'000};   // after an error, for the peer to read it
  // The answer to what is no proper request: status 400, 408, 413 or 431 and what is wrong. It has
  // its number (HttpRequest::number) all the same.
  std::function<HttpResponse(int status, std::string_view message, std::uint64_t number)>
      error_response;
};

class HttpServer {
 public:
  // The handler runs on the loop; it may answer at once or later.
  using Handler = std::function<void(HttpRequest request, std::shared_ptr<HttpExchange> exchange)>;

  // `loop` must outlive the server.
  HttpServer(EventLoop& loop, HttpServerOptions options, Handler handler);
  ~HttpServer();  // closes every connection; no handler or callback runs afterwards

  // Port 0 asks the system for a free one; the answer is the port in use.
  Result<std::uint16_t> listen(const HostPort& address);
  // Takes no new connections and closes those that wait for a request.
  void drain();
  std::size_t connections() const;
  std::size_t exchanges() const;  // requests that are being answered

 private:
  struct Shared;
  class Session;
  class Exchange;
  std::shared_ptr<Shared>
      shared_;  // also held by the sessions' pending operations, which may end later
};

}  // namespace medley::net
