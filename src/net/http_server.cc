#include "net/http_server.h"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <set>

#include "net/asio.h"

namespace medley::net {

namespace http = boost::beast::http;

namespace {

// What a client may send ahead while its answer is under way.
constexpr std::size_t kPipelineBytes = 64 << 10;

// Header values are our own, but parts of them may come from outside: no value breaks out of its
// line.
void append_header(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  out += ": ";
  for (const char c : value)
    out += c == '\r' || c == '\n' || c == '\0' ? ' ' : c;
  out += "\r\n";
}

}  // namespace

struct HttpServer::Shared {
  Shared(EventLoop& event_loop, HttpServerOptions o, Handler h)
      : loop(event_loop),
        options(std::move(o)),
        handler(std::move(h)),
        acceptor(loop.impl().io.get_executor()) {}

  HttpResponse error_response(int status, std::string_view message) {
    ++requests;
    if (options.error_response)
      return options.error_response(status, message, requests);
    return {status, {{"Content-Type", "text/plain"}}, std::string(message) + "\n"};
  }

  EventLoop& loop;
  HttpServerOptions options;
  Handler handler;  // null once the server is gone
  Acceptor acceptor;
  std::set<Session*> sessions;
  std::size_t exchanges = 0;
  std::uint64_t requests = 0;  // so far, refused ones too
  bool draining = false;
};

// One connection. Kept alive by its read loop and by the exchange under way.
class HttpServer::Session : public std::enable_shared_from_this<Session> {
 public:
  Session(std::shared_ptr<Shared> shared, Socket socket)
      : shared_(std::move(shared)), socket_(std::move(socket)), deadline_(socket_.get_executor()) {
    shared_->sessions.insert(this);
  }
  ~Session() { shared_->sessions.erase(this); }

  Task<void> read_loop() {
    const auto self = shared_from_this();
    begin_request();
    std::array<char, 8192> piece;
    while (state_ != State::kClosed) {
      if (state_ == State::kAnswering && in_.size() >= kPipelineBytes) {
        // Enough sent ahead: wait until the answer is out. A client that leaves now is noticed by
        // writing.
        resume_.emplace(socket_.get_executor(), Timer::time_point::max());
        co_await resume_->async_wait(kAwait);
        resume_.reset();
        continue;
      }
      const auto [error, size] = co_await socket_.async_read_some(asio::buffer(piece), kAwait);
      if (error) {
        peer_gone();
        break;
      }
      if (state_ == State::kLingering)
        continue;
      if (state_ == State::kReading && in_.empty() && !header_done_)
        set_deadline(shared_->options.header_time);
      in_.append(piece.data(), size);
      pump();
    }
  }

  // The exchange's side. `number` tells whether the call still speaks of the request under way.
  bool answering(std::uint64_t number) const {
    return state_ == State::kAnswering && number == exchange_number_;
  }

  void respond(HttpResponse response) {
    append_head(response.status, response.headers);
    out_ += fmt::format("Content-Length: {}\r\n\r\n", response.body.size());
    if (method_ != "HEAD")
      out_ += response.body;
    ended_ = true;
    flush();
  }

  void start_stream(int status, const HttpHeaders& headers) {
    if (!http_1_1_)
      keep_alive_ = false;  // HTTP/1.0 has no chunks: the end of the connection ends the answer
    append_head(status, headers);
    out_ += http_1_1_ ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n";
    flush();
  }

  void write(std::string_view piece) {
    if (piece.empty() || cut_off_)
      return;
    if (out_.size() + piece.size() > shared_->options.unsent_bytes) {
      cut_off_ = true;  // what follows is not sent either: no answer with a hole in it ends cleanly
      // Not from inside the caller's write(): it would hear of its own peer in the middle of a
      // sentence.
      shared_->loop.post([self = shared_from_this(), number = exchange_number_] {
        if (self->answering(number))
          self->peer_gone();
      });
      return;
    }
    if (http_1_1_) {
      fmt::format_to(std::back_inserter(out_), "{:x}\r\n", piece.size());
      out_ += piece;
      out_ += "\r\n";
    } else {
      out_ += piece;
    }
    flush();
  }

  void finish() {
    if (cut_off_)
      return;
    if (http_1_1_)
      out_ += "0\r\n\r\n";
    ended_ = true;
    flush();
  }

  void abort() {
    keep_alive_ = false;
    ended_ = true;
    flush();
  }

  void on_peer_gone(std::function<void()> callback) { peer_gone_ = std::move(callback); }

  bool idle() const { return state_ == State::kReading && in_.empty() && !header_done_; }
  void close_after_answer() { keep_alive_ = false; }

  void close() {
    if (state_ == State::kAnswering)
      --shared_->exchanges;
    state_ = State::kClosed;
    peer_gone_ = nullptr;
    ++deadline_setting_;
    deadline_.cancel();
    error_code ignored;
    socket_.shutdown(Socket::shutdown_both, ignored);
    socket_.close(ignored);
    if (resume_)
      resume_->cancel();
  }

 private:
  enum class State { kReading, kAnswering, kLingering, kClosed };

  void begin_request() {
    state_ = State::kReading;
    header_done_ = false;
    ended_ = cut_off_ = false;
    parser_.emplace();
    parser_->header_limit(static_cast<std::uint32_t>(shared_->options.header_bytes));
    parser_->body_limit(shared_->options.body_bytes);
    parser_->eager(true);
    set_deadline(in_.empty() ? shared_->options.idle_time : shared_->options.header_time);
  }

  // Parses what has been read; calls the handler when a request is whole.
  void pump() {
    while (state_ == State::kReading && !in_.empty()) {
      error_code error;
      const std::size_t used = parser_->put(asio::const_buffer(in_.data(), in_.size()), error);
      in_.erase(0, used);
      if (error == http::error::need_more)
        error = {};
      if (error) {
        refuse(error);
        return;
      }
      if (parser_->is_header_done() && !header_done_) {
        header_done_ = true;
        set_deadline(shared_->options.body_time);
        if (!parser_->is_done() &&
            boost::beast::iequals(parser_->get()[http::field::expect], "100-continue")) {
          out_ += "HTTP/1.1 100 Continue\r\n\r\n";
          flush();
        }
      }
      if (parser_->is_done()) {
        dispatch();
      } else if (used == 0) {
        return;
      }
    }
  }

  void dispatch();

  void refuse(const error_code& error) {
    if (error == http::error::body_limit) {
      refuse(413, fmt::format("the body is larger than the {} bytes allowed",
                              shared_->options.body_bytes));
    } else if (error == http::error::header_limit) {
      refuse(431, fmt::format("the header is larger than the {} bytes allowed",
                              shared_->options.header_bytes));
    } else {
      refuse(400, fmt::format("this is not proper HTTP: {}", error.message()));
    }
  }

  void refuse(int status, std::string_view message) {
    const HttpResponse response = shared_->error_response(status, message);
    keep_alive_ = false;
    append_head(response.status, response.headers);
    out_ += fmt::format("Content-Length: {}\r\n\r\n{}", response.body.size(), response.body);
    // The peer may still be sending: closing now would reset the connection under the answer.
    state_ = State::kLingering;
    in_.clear();
    set_deadline(shared_->options.linger_time);
    flush();
  }

  void append_head(int status, const HttpHeaders& headers) {
    fmt::format_to(std::back_inserter(out_), "HTTP/1.1 {} {}\r\n", status, reason_phrase(status));
    for (const HttpHeader& header : headers)
      append_header(out_, header.name, header.value);
    if (shared_->draining)
      keep_alive_ = false;
    if (!keep_alive_)
      out_ += "Connection: close\r\n";
  }

  void flush() {
    if (writing_ || state_ == State::kClosed)
      return;
    if (out_.empty()) {
      flushed();
      return;
    }
    writing_ = true;
    sending_.clear();
    sending_.swap(out_);
    if (state_ == State::kAnswering)
      set_deadline(shared_->options.write_time);
    asio::async_write(socket_, asio::buffer(sending_),
                      [self = shared_from_this()](error_code error, std::size_t) {
                        self->writing_ = false;
                        if (self->state_ == State::kClosed)
                          return;
                        if (error) {
                          self->peer_gone();
                          return;
                        }
                        if (self->state_ == State::kAnswering)
                          self->clear_deadline();
                        self->flush();
                      });
  }

  // Everything written has been taken by the system.
  void flushed() {
    if (state_ == State::kLingering) {
      error_code ignored;
      socket_.shutdown(Socket::shutdown_send, ignored);
    }
    if (state_ != State::kAnswering || !ended_)
      return;
    if (!keep_alive_ || shared_->draining) {
      close();
      return;
    }
    peer_gone_ = nullptr;
    --shared_->exchanges;
    begin_request();
    if (resume_)
      resume_->cancel();
    // Posted: the caller may be the handler of the request before, whose stack should not grow with
    // each one.
    if (!in_.empty())
      shared_->loop.post([self = shared_from_this()] { self->pump(); });
  }

  void peer_gone() {
    if (state_ == State::kClosed)
      return;
    const std::function<void()> tell = ended_ ? nullptr : std::move(peer_gone_);
    close();
    if (tell)
      tell();
  }

  void set_deadline(std::chrono::milliseconds time) {
    const std::uint64_t setting = ++deadline_setting_;
    deadline_.expires_after(time);
    deadline_.async_wait([weak = weak_from_this(), setting](error_code) {
      const auto self = weak.lock();
      if (self && self->deadline_setting_ == setting)
        self->too_slow();
    });
  }
  void clear_deadline() {
    ++deadline_setting_;
    deadline_.cancel();
  }

  void too_slow() {
    if (state_ == State::kReading && !idle()) {
      refuse(408, "the request took too long to arrive");
    } else {
      peer_gone();
    }
  }

  const std::shared_ptr<Shared> shared_;
  Socket socket_;
  Timer deadline_;
  std::uint64_t deadline_setting_ = 0;
  std::optional<Timer> resume_;
  State state_ = State::kReading;
  std::optional<http::request_parser<http::string_body>> parser_;
  std::string in_;             // read, not yet parsed
  std::string out_, sending_;  // written, not yet handed over; being handed over
  bool writing_ = false;
  bool header_done_ = false;
  bool cut_off_ = false;  // the peer reads too slowly
  bool ended_ = false;    // the answer is complete in out_ and sending_
  bool keep_alive_ = true;
  bool http_1_1_ = true;
  std::string method_;
  std::uint64_t exchange_number_ = 0;
  std::function<void()> peer_gone_;

  friend class Exchange;
};

class HttpServer::Exchange : public HttpExchange {
 public:
  Exchange(std::shared_ptr<Session> session, std::uint64_t number)
      : session_(std::move(session)), number_(number) {}
  ~Exchange() override {
    if (live() && !session_->ended_)
      session_->close();
  }

  void respond(HttpResponse response) override {
    if (live() && !started_)
      end().respond(std::move(response));
  }
  void start_stream(int status, const HttpHeaders& headers) override {
    if (live() && !started_)
      session_->start_stream(status, headers);
    started_ = true;
  }
  void write(std::string_view piece) override {
    if (live() && started_)
      session_->write(piece);
  }
  void finish() override {
    if (live() && started_)
      end().finish();
  }
  void abort() override {
    if (live())
      end().abort();
  }
  void on_peer_gone(std::function<void()> callback) override {
    if (live())
      session_->on_peer_gone(std::move(callback));
  }

 private:
  bool live() const { return !ended_ && session_->answering(number_); }
  Session& end() {
    ended_ = true;
    session_->on_peer_gone(nullptr);  // its owner may go now
    return *session_;
  }

  const std::shared_ptr<Session> session_;
  const std::uint64_t number_;
  bool started_ = false, ended_ = false;
};

void HttpServer::Session::dispatch() {
  http::request<http::string_body> message = parser_->release();
  keep_alive_ = message.keep_alive();
  http_1_1_ = message.version() >= 11;
  HttpRequest request;
  request.number = ++shared_->requests;
  method_ = request.method = std::string(message.method_string());
  request.target = std::string(message.target());
  for (const auto& field : message) {
    request.headers.add(std::string(field.name_string()), std::string(field.value()));
  }
  request.body = std::move(message.body());
  clear_deadline();
  state_ = State::kAnswering;
  ++shared_->exchanges;
  const auto exchange = std::make_shared<Exchange>(shared_from_this(), ++exchange_number_);
  if (shared_->handler)
    shared_->handler(std::move(request), exchange);
}

namespace {

template <typename Shared, typename Session>
Task<void> accept_loop(std::shared_ptr<Shared> shared) {
  while (shared->acceptor.is_open()) {
    auto [error, socket] = co_await shared->acceptor.async_accept(kAwait);
    if (error == asio::error::operation_aborted || !shared->acceptor.is_open())
      break;
    if (error) {
      // Out of file descriptors, most likely: let some connections end before trying again.
      Timer pause(socket.get_executor(), std::chrono::milliseconds(50));
      co_await pause.async_wait(kAwait);
      continue;
    }
    if (shared->sessions.size() >= shared->options.connections)
      continue;  // closes it
    error_code ignored;
    socket.set_option(asio::ip::tcp::no_delay(true), ignored);
    const auto session = std::make_shared<Session>(shared, std::move(socket));
    asio::co_spawn(shared->loop.impl().io, session->read_loop(), asio::detached);
  }
}

}  // namespace

HttpServer::HttpServer(EventLoop& loop, HttpServerOptions options, Handler handler)
    : shared_(std::make_shared<Shared>(loop, std::move(options), std::move(handler))) {}

HttpServer::~HttpServer() {
  error_code ignored;
  shared_->acceptor.close(ignored);
  shared_->handler = nullptr;
  const std::set<Session*> sessions = shared_->sessions;
  for (Session* session : sessions)
    session->close();
}

Result<std::uint16_t> HttpServer::listen(const HostPort& address) {
  const auto fail = [&address](const error_code& error) {
    return Error{ErrorCode::kUnavailable, fmt::format("cannot listen on {}:{}: {}", address.host,
                                                      address.port, error.message())};
  };
  error_code error;
  asio::ip::address ip = asio::ip::make_address(address.host, error);
  if (error) {
    asio::ip::basic_resolver<asio::ip::tcp, Executor> resolver(
        shared_->loop.impl().io.get_executor());
    const auto found = resolver.resolve(address.host, "", asio::ip::tcp::resolver::passive, error);
    if (error || found.empty())
      return fail(error);
    ip = found.begin()->endpoint().address();
  }
  const asio::ip::tcp::endpoint endpoint(ip, address.port);
  Acceptor& acceptor = shared_->acceptor;
  if (acceptor.open(endpoint.protocol(), error); error)
    return fail(error);
  acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (acceptor.bind(endpoint, error); error)
    return fail(error);
  if (acceptor.listen(asio::socket_base::max_listen_connections, error); error)
    return fail(error);
  asio::co_spawn(shared_->loop.impl().io, accept_loop<Shared, Session>(shared_), asio::detached);
  return acceptor.local_endpoint().port();
}

void HttpServer::drain() {
  shared_->draining = true;
  error_code ignored;
  shared_->acceptor.close(ignored);
  const std::set<Session*> sessions = shared_->sessions;
  for (Session* session : sessions) {
    if (session->idle())
      session->close();
  }
}

std::size_t HttpServer::connections() const { return shared_->sessions.size(); }
std::size_t HttpServer::exchanges() const { return shared_->exchanges; }

}  // namespace medley::net
