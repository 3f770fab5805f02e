// HTTP/1.1 calls to one server, answers streamed: what engines and probes speak through.
//
// One thread, the loop's. Keeps connections and uses them again. Everything that arrives is outside
// input and bounded: header, body and the time of each phase.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>

#include "net/event_loop.h"
#include "net/http.h"

namespace medley::net {

struct HttpCall {
  std::string method = "POST";
  std::string target;   // appended to the base URL's path
  HttpHeaders headers;  // Host and Content-Length are the client's to add
  std::string body;
};

// Hears of one call: on_head once, any number of on_data, on_complete; or on_error at any point
// (kUnavailable: refused or broken off, kTimedOut: silence, kGarbled: no HTTP). Then nothing;
// nothing at all after cancel().
class HttpListener {
 public:
  virtual ~HttpListener() = default;
  virtual void on_head(int status, const HttpHeaders& headers) = 0;
  virtual void on_data(std::string_view bytes) = 0;
  virtual void on_complete() = 0;
  virtual void on_error(const Error& error) = 0;
};

struct HttpClientOptions {
  std::chrono::milliseconds connect_time{2'000};
  std::chrono::milliseconds first_byte_time{
      120'000};  // from the request's last byte to the answer's header
  std::chrono::milliseconds idle_time{30'000};  // between two pieces of the answer
  std::size_t header_bytes = 32 << 10;
  std::size_t body_bytes = 256 << 20;
  std::size_t pooled_connections = 64;  // idle ones kept
};

class HttpClient {
 public:
  using CallId = std::uint64_t;

  // `loop` must outlive the client.
  HttpClient(EventLoop& loop, HttpUrl base, HttpClientOptions options = {});
  ~HttpClient();  // cancels every call

  // Never calls `listener` from inside; it must live until its end or cancel().
  CallId start(HttpCall call, HttpListener& listener);
  // Closes the call's connection, which tells the server; unknown and finished calls are ignored.
  void cancel(CallId call);

 private:
  struct Shared;
  struct Call;
  std::shared_ptr<Shared>
      shared_;  // also held by the calls' pending operations, which may end later
};

}  // namespace medley::net
