#include "net/http_client.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "net/asio.h"

namespace medley::net {

namespace http = boost::beast::http;

namespace {

// A kept connection that has something to read was closed by the server, or is out of step.
bool is_quiet(Socket& socket) {
  char byte;
  const auto got = ::recv(socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

}  // namespace

struct HttpClient::Call {
  Call(CallId number, HttpCall what, HttpListener& who, asio::io_context& io)
      : id(number), call(std::move(what)), listener(&who), timer(io.get_executor()) {}

  const CallId id;
  const HttpCall call;
  HttpListener* listener;  // null after cancel(), and once the end has been told
  std::optional<Socket> socket;
  Timer timer;
  std::uint64_t timer_setting = 0;
  const char* too_slow = nullptr;  // the phase that took too long
};

struct HttpClient::Shared : std::enable_shared_from_this<HttpClient::Shared> {
  Shared(EventLoop& l, HttpUrl b, HttpClientOptions o) : loop(l), base(std::move(b)), options(o) {}

  Task<void> run(std::shared_ptr<Call> call) {
    const auto self = shared_from_this();
    for (int attempt = 0; call->listener != nullptr; ++attempt) {
      const bool reused = attempt == 0 && take_pooled(*call);
      if (!reused) {
        if (const error_code error = co_await connect(*call)) {
          fail(*call, error, "cannot connect to");
          break;
        }
        if (call->listener == nullptr)
          break;
      }
      // A kept connection may close just as we write to it; then nothing came back and a new one
      // may do.
      if (co_await exchange(*call, reused))
        break;
    }
    call->timer.cancel();
    call->socket.reset();
    calls.erase(call->id);
  }

  bool take_pooled(Call& call) {
    while (!pool.empty()) {
      Socket socket = std::move(pool.back());
      pool.pop_back();
      if (!is_quiet(socket))
        continue;
      call.socket.emplace(std::move(socket));
      return true;
    }
    return false;
  }

  Task<error_code> connect(Call& call) {
    const Executor executor = loop.impl().io.get_executor();
    call.socket.emplace(executor);
    set_timer(call, options.connect_time, "connecting to");
    error_code error;
    const asio::ip::address address = asio::ip::make_address(base.host, error);
    if (!error) {
      std::tie(error) = co_await call.socket->async_connect({address, base.port}, kAwait);
    } else {
      asio::ip::basic_resolver<asio::ip::tcp, Executor> resolver(executor);
      auto [resolve_error, found] =
          co_await resolver.async_resolve(base.host, std::to_string(base.port), kAwait);
      error = resolve_error;
      if (!error && call.listener != nullptr && call.too_slow == nullptr) {
        std::tie(error, std::ignore) = co_await asio::async_connect(*call.socket, found, kAwait);
      }
    }
    if (!error && call.too_slow != nullptr)
      error = asio::error::timed_out;
    if (!error) {
      error_code ignored;
      call.socket->set_option(asio::ip::tcp::no_delay(true), ignored);
    }
    co_return error;
  }

  // One request and its answer. False: the kept connection had closed, try another.
  Task<bool> exchange(Call& call, bool reused) {
    Socket& socket = *call.socket;
    set_timer(call, options.first_byte_time, "waiting for an answer of");
    const std::string head = request_head(call.call);
    const std::array<asio::const_buffer, 2> request = {asio::buffer(head),
                                                       asio::buffer(call.call.body)};
    auto [error, written] = co_await asio::async_write(socket, request, kAwait);
    if (call.listener == nullptr)
      co_return true;
    if (error) {
      if (reused && call.too_slow == nullptr)
        co_return false;
      fail(call, error, "lost the connection to");
      co_return true;
    }

    std::optional<http::response_parser<http::string_body>> parser;
    const auto begin_answer = [&] {
      parser.emplace();
      parser->header_limit(static_cast<std::uint32_t>(options.header_bytes));
      parser->body_limit(options.body_bytes);
      parser->eager(true);
      if (call.call.method == "HEAD")
        parser->skip(true);
    };
    begin_answer();
    bool any_byte = false, head_told = false;
    std::string in;
    std::array<char, 16384> piece;
    while (!parser->is_done()) {
      auto [read_error, size] = co_await socket.async_read_some(asio::buffer(piece), kAwait);
      if (call.listener == nullptr)
        co_return true;
      error_code parse_error;
      if (read_error == asio::error::eof && any_byte && call.too_slow == nullptr) {
        parser->put_eof(
            parse_error);  // proper where neither length nor chunks said how much would come
        if (parse_error || !parser->is_done()) {
          fail(call, read_error, "the answer was broken off by");
          co_return true;
        }
      } else if (read_error) {
        if (reused && !any_byte && call.too_slow == nullptr)
          co_return false;
        fail(call, read_error, any_byte ? "the answer was broken off by" : "no answer from");
        co_return true;
      }
      any_byte = true;
      in.append(piece.data(), size);
      for (bool progress = true; progress && !parser->is_done() && !in.empty();) {
        const std::size_t used = parser->put(asio::const_buffer(in.data(), in.size()), parse_error);
        in.erase(0, used);
        progress = used > 0;
        if (parse_error && parse_error != http::error::need_more) {
          tell_error(call,
                     {ErrorCode::kGarbled, fmt::format("{} sent what is no proper HTTP: {}",
                                                       base.authority(), parse_error.message())});
          co_return true;
        }
      }
      if (!parser->is_header_done())
        continue;
      const int status = static_cast<int>(parser->get().result_int());
      if (status / 100 == 1) {
        begin_answer();  // an interim answer; the real one follows
        continue;
      }
      set_timer(call, options.idle_time, "waiting for more of the answer of");
      if (!std::exchange(head_told, true)) {
        HttpHeaders headers;
        for (const auto& field : parser->get()) {
          headers.add(std::string(field.name_string()), std::string(field.value()));
        }
        call.listener->on_head(status, headers);
        if (call.listener == nullptr)
          co_return true;
      }
      if (std::string& body = parser->get().body(); !body.empty()) {
        call.listener->on_data(body);
        if (call.listener == nullptr)
          co_return true;
        body.clear();
      }
    }
    if (parser->keep_alive() && in.empty() && pool.size() < options.pooled_connections && open) {
      pool.push_back(std::move(socket));
      call.socket.reset();
    }
    ++call.timer_setting;
    std::exchange(call.listener, nullptr)->on_complete();
    co_return true;
  }

  std::string request_head(const HttpCall& call) const {
    std::string head =
        fmt::format("{} {}{} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n", call.method,
                    base.path, call.target, base.authority(), call.body.size());
    for (const HttpHeader& header : call.headers) {
      head += header.name;
      head += ": ";
      for (const char c : header.value)
        head += c == '\r' || c == '\n' ? ' ' : c;
      head += "\r\n";
    }
    return head += "\r\n";
  }

  void set_timer(Call& call, std::chrono::milliseconds time, const char* phase) {
    const std::uint64_t setting = ++call.timer_setting;
    call.timer.expires_after(time);
    call.timer.async_wait([weak = std::weak_ptr(calls.at(call.id)), setting, phase](error_code) {
      const auto late = weak.lock();
      if (!late || late->timer_setting != setting || late->listener == nullptr)
        return;
      late->too_slow = phase;
      close(*late);
    });
  }

  static void close(Call& call) {
    error_code ignored;
    if (call.socket)
      call.socket->close(ignored);
  }

  void fail(Call& call, const error_code& error, std::string_view what) {
    if (call.too_slow != nullptr) {
      tell_error(call, {ErrorCode::kTimedOut,
                        fmt::format("gave up {} {}", call.too_slow, base.authority())});
    } else {
      tell_error(call, {ErrorCode::kUnavailable,
                        fmt::format("{} {}: {}", what, base.authority(), error.message())});
    }
  }

  void tell_error(Call& call, const Error& error) {
    ++call.timer_setting;
    close(call);
    if (HttpListener* listener = std::exchange(call.listener, nullptr))
      listener->on_error(error);
  }

  EventLoop& loop;
  const HttpUrl base;
  const HttpClientOptions options;
  std::map<CallId, std::shared_ptr<Call>> calls;
  std::vector<Socket> pool;
  CallId last_call = 0;
  bool open = true;
};

HttpClient::HttpClient(EventLoop& loop, HttpUrl base, HttpClientOptions options)
    : shared_(std::make_shared<Shared>(loop, std::move(base), options)) {}

HttpClient::~HttpClient() {
  shared_->open = false;
  shared_->pool.clear();
  for (const auto& [id, call] : shared_->calls) {
    call->listener = nullptr;
    Shared::close(*call);
    call->timer.cancel();
  }
}

HttpClient::CallId HttpClient::start(HttpCall call, HttpListener& listener) {
  const CallId id = ++shared_->last_call;
  asio::io_context& io = shared_->loop.impl().io;
  const auto state = std::make_shared<Call>(id, std::move(call), listener, io);
  shared_->calls.emplace(id, state);
  // Posted: co_spawn would run up to the first wait in here.
  asio::post(io, [shared = shared_, state] {
    asio::co_spawn(shared->loop.impl().io, shared->run(state), asio::detached);
  });
  return id;
}

void HttpClient::cancel(CallId id) {
  const auto found = shared_->calls.find(id);
  if (found == shared_->calls.end())
    return;
  Call& call = *found->second;
  call.listener = nullptr;
  call.timer.cancel();
  Shared::close(call);
}

}  // namespace medley::net
