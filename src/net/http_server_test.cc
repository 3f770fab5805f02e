// Server and client against each other over loopback, and the server against raw bytes.
#include "net/http_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/http_client.h"

namespace medley::net {
namespace {

using namespace std::chrono_literals;
constexpr auto kLimit = 20s;  // for hangs; no test takes so long

// A client socket that says exactly what it is told.
class RawClient {
 public:
  RawClient(EventLoop& loop, std::uint16_t port)
      : loop_(loop), fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    ::fcntl(fd_, F_SETFL, O_NONBLOCK);
  }
  ~RawClient() { close(); }
  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent > 0) {
        bytes.remove_prefix(static_cast<std::size_t>(sent));
      } else if (errno == EAGAIN) {
        turn();
      } else {
        return;  // the server has had enough
      }
    }
  }
  void close() {
    if (fd_ >= 0)
      ::close(fd_);
    fd_ = -1;
  }
  // Everything up to the server's end of the connection.
  std::string read_to_end() {
    EXPECT_TRUE(read_until([this] { return ended_; }));
    return text_;
  }
  std::string read_until_text(std::string_view what) {
    EXPECT_TRUE(read_until([&] { return text_.find(what) != std::string::npos; })) << text_;
    return text_;
  }
  bool ended() const { return ended_; }

 private:
  bool read_until(const std::function<bool()>& done) {
    return loop_.run_until(
        [&] {
          char buffer[65536];
          for (;;) {
            const auto got = ::recv(fd_, buffer, sizeof(buffer), 0);
            if (got > 0) {
              text_.append(buffer, static_cast<std::size_t>(got));
              continue;
            }
            if (got == 0 || errno != EAGAIN)
              ended_ = true;
            break;
          }
          if (!done())
            loop_.post([] {});  // look again
          return done();
        },
        kLimit);
  }
  void turn() {
    bool turned = false;
    loop_.post([&turned] { turned = true; });
    EXPECT_TRUE(loop_.run_until([&turned] { return turned; }, kLimit));
  }

  EventLoop& loop_;
  int fd_;
  std::string text_;
  bool ended_ = false;
};

class HttpServerTest : public testing::Test {
 protected:
  void start(HttpServerOptions options, HttpServer::Handler handler) {
    server_.emplace(loop_, std::move(options), std::move(handler));
    const auto port = server_->listen({"127.0.0.1", 0});
    ASSERT_TRUE(port.ok()) << port.error().message;
    port_ = *port;
  }
  void start_echo(HttpServerOptions options = {}) {
    start(std::move(options), [](HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
      exchange->respond({200, {}, request.method + " " + request.target + " " + request.body});
    });
  }
  std::string answer_to(std::string_view bytes) {
    RawClient client(loop_, port_);
    client.send(bytes);
    return client.read_to_end();
  }

  EventLoop loop_;
  std::optional<HttpServer> server_;
  std::uint16_t port_ = 0;
};

TEST_F(HttpServerTest, AnswersAndKeepsTheConnection) {
  start_echo();
  RawClient client(loop_, port_);
  client.send("GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string first = client.read_until_text("GET /a?b=c ");
  EXPECT_TRUE(first.starts_with("HTTP/1.1 200 OK\r\n")) << first;
  client.send("POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody");
  EXPECT_NE(client.read_to_end().find("POST /b body"), std::string::npos);
}

TEST_F(HttpServerTest, AnswersPipelinedRequestsInOrder) {
  start_echo();
  std::string requests;
  for (int i = 0; i < 50; ++i)
    requests += "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: x\r\n\r\n";
  const std::string text =
      answer_to(requests + "GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  std::size_t at = 0;
  for (int i = 0; i < 50; ++i) {
    at = text.find("GET /" + std::to_string(i) + " ", at);
    ASSERT_NE(at, std::string::npos) << i;
  }
  EXPECT_NE(text.find("GET /last"), std::string::npos);
}

TEST_F(HttpServerTest, NumbersEveryRequestRefusedOnesToo) {
  HttpServerOptions options;
  options.error_response = [](int status, std::string_view, std::uint64_t number) {
    return HttpResponse{status, {}, "refused " + std::to_string(number)};
  };
  start(options, [](HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
    exchange->respond({200, {}, "answered " + std::to_string(request.number)});
  });
  const std::string close = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  EXPECT_NE(answer_to(close).find("answered 1"), std::string::npos);
  EXPECT_NE(answer_to("hello\r\n\r\n").find("refused 2"), std::string::npos);
  EXPECT_NE(answer_to(close).find("answered 3"), std::string::npos);
}

TEST_F(HttpServerTest, TakesChunkedBodies) {
  start_echo();
  EXPECT_NE(
      answer_to(
          "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
          "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n")
          .find("POST / abcdefg"),
      std::string::npos);
}

TEST_F(HttpServerTest, SendsContinueWhenAsked) {
  start_echo();
  RawClient client(loop_, port_);
  client.send(
      "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: "
      "2\r\n\r\n");
  client.read_until_text("HTTP/1.1 100 Continue\r\n\r\n");
  client.send("ok");
  EXPECT_NE(client.read_to_end().find("POST / ok"), std::string::npos);
}

TEST_F(HttpServerTest, AnswersWhatIsNoHttpWith400) {
  start_echo();
  for (const char* bytes :
       {"\x16\x03\x01 TLS, perhaps\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: ten\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    const std::string text = answer_to(bytes);
    EXPECT_TRUE(text.starts_with("HTTP/1.1 400 ")) << bytes << "\n" << text;
    EXPECT_NE(text.find("Connection: close"), std::string::npos);
  }
}

TEST_F(HttpServerTest, RefusesWhatIsTooLarge) {
  start_echo({.header_bytes = 1024, .body_bytes = 1000});
  EXPECT_TRUE(
      answer_to("POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n").starts_with("HTTP/1.1 413 "));
  EXPECT_TRUE(
      answer_to("POST / HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n" + std::string(3'000'000, 'x'))
          .starts_with("HTTP/1.1 413 "));
  EXPECT_TRUE(answer_to("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n" +
                        std::string(1024, 'x') + "\r\n")
                  .starts_with("HTTP/1.1 413 "));
  EXPECT_TRUE(
      answer_to("GET / HTTP/1.1\r\nX: " + std::string(2000, 'x')).starts_with("HTTP/1.1 431 "));
}

TEST_F(HttpServerTest, GivesUpOnSlowRequests) {
  start_echo({.header_time = 50ms, .body_time = 50ms, .idle_time = 50ms});
  EXPECT_TRUE(answer_to("GET / HT").starts_with("HTTP/1.1 408 "));
  EXPECT_TRUE(
      answer_to("POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc").starts_with("HTTP/1.1 408 "));
  EXPECT_EQ(answer_to(""), "");
}

TEST_F(HttpServerTest, StreamsChunksAndEndsCleanlyOrNot) {
  for (const bool clean : {true, false}) {
    server_.reset();
    start({}, [clean](HttpRequest, std::shared_ptr<HttpExchange> exchange) {
      exchange->start_stream(200, {{"X-Injected", "a\r\nEvil: b"}});
      exchange->write("one");
      exchange->write("");
      exchange->write("two");
      clean ? exchange->finish() : exchange->abort();
      exchange->write("three");
    });
    RawClient client(loop_, port_);
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    const std::string text = client.read_until_text("two\r\n");
    EXPECT_NE(text.find("X-Injected: a  Evil: b\r\n"), std::string::npos) << text;
    EXPECT_NE(text.find("3\r\none\r\n3\r\ntwo\r\n"), std::string::npos) << text;
    EXPECT_EQ(text.find("three"), std::string::npos);
    if (clean) {
      EXPECT_TRUE(client.read_until_text("0\r\n\r\n").ends_with("0\r\n\r\n"));
      EXPECT_FALSE(client.ended());
    } else {
      EXPECT_EQ(client.read_to_end().find("0\r\n\r\n"), std::string::npos);
    }
  }
}

TEST_F(HttpServerTest, NoticesAtOnceThatTheClientLeft) {
  std::shared_ptr<HttpExchange> kept;
  bool gone = false;
  EventLoop::Clock::time_point gone_at;
  start({}, [&](HttpRequest, std::shared_ptr<HttpExchange> exchange) {
    kept = exchange;
    exchange->start_stream(200, {});
    exchange->write("hello");
    exchange->on_peer_gone([&] {
      gone = true;
      gone_at = EventLoop::Clock::now();
    });
  });
  RawClient client(loop_, port_);
  client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  client.read_until_text("hello");
  const auto left_at = EventLoop::Clock::now();
  client.close();
  ASSERT_TRUE(loop_.run_until([&] { return gone; }, kLimit));
  EXPECT_LT(gone_at - left_at, 1s);
  kept->write("nobody listens");
  kept->finish();
  kept.reset();
  EXPECT_EQ(server_->exchanges(), 0U);
}

TEST_F(HttpServerTest, CutsOffAClientThatDoesNotRead) {
  std::shared_ptr<HttpExchange> kept;
  bool gone = false;
  start({.unsent_bytes = 100'000}, [&](HttpRequest, std::shared_ptr<HttpExchange> exchange) {
    kept = exchange;
    exchange->start_stream(200, {});
    exchange->on_peer_gone([&] { gone = true; });
  });
  RawClient client(loop_, port_);
  client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(loop_.run_until([&] { return kept != nullptr; }, kLimit));
  const std::string piece(50'000, 'x');
  ASSERT_TRUE(loop_.run_until(
      [&] {
        kept->write(piece);
        loop_.post([] {});
        return gone;
      },
      kLimit));
}

TEST_F(HttpServerTest, ClosesWhatNobodyAnswers) {
  start({}, [](HttpRequest, std::shared_ptr<HttpExchange>) {});
  EXPECT_EQ(answer_to("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "");
  EXPECT_EQ(server_->exchanges(), 0U);
}

TEST_F(HttpServerTest, DrainsWithoutLosingTheAnswerUnderWay) {
  std::shared_ptr<HttpExchange> kept;
  start({}, [&](HttpRequest, std::shared_ptr<HttpExchange> exchange) { kept = exchange; });
  RawClient idle(loop_, port_);
  RawClient busy(loop_, port_);
  busy.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(
      loop_.run_until([&] { return kept != nullptr && server_->connections() == 2; }, kLimit));
  server_->drain();
  EXPECT_EQ(idle.read_to_end(), "");
  EXPECT_EQ(server_->exchanges(), 1U);
  kept->respond({200, {}, "late"});
  EXPECT_TRUE(busy.read_to_end().ends_with("late"));
}

// --- the client
// ---------------------------------------------------------------------------------------------

struct Heard : HttpListener {
  void on_head(int s, const HttpHeaders&) override { status = s; }
  void on_data(std::string_view bytes) override { text += bytes; }
  void on_complete() override { complete = true; }
  void on_error(const Error& e) override { error = e; }
  bool over() const { return complete || error.has_value(); }

  int status = 0;
  std::string text;
  bool complete = false;
  std::optional<Error> error;
};

class HttpClientTest : public HttpServerTest {
 protected:
  HttpClient client(HttpClientOptions options = {}) {
    return {loop_, HttpUrl{"127.0.0.1", port_, "/base"}, options};
  }
  void wait(const Heard& heard) {
    ASSERT_TRUE(loop_.run_until([&] { return heard.over(); }, kLimit));
  }
};

TEST_F(HttpClientTest, CallsAndKeepsConnections) {
  start_echo();
  HttpClient calls = client();
  for (int i = 0; i < 3; ++i) {
    Heard heard;
    calls.start({.target = "/x", .body = "hello"}, heard);
    wait(heard);
    EXPECT_TRUE(heard.complete);
    EXPECT_EQ(heard.status, 200);
    EXPECT_EQ(heard.text, "POST /base/x hello");
    EXPECT_EQ(server_->connections(), 1U);
  }
}

TEST_F(HttpClientTest, TriesAnewWhenAKeptConnectionHasClosed) {
  start_echo({.idle_time = 150ms});
  HttpClient calls = client();
  for (int i = 0; i < 2; ++i) {
    Heard heard;
    calls.start({.target = "/x"}, heard);
    wait(heard);
    EXPECT_TRUE(heard.complete) << heard.error->message;
    ASSERT_TRUE(loop_.run_until([&] { return server_->connections() == 0; }, kLimit));
  }
}

TEST_F(HttpClientTest, SaysWhatWentWrong) {
  enum { kBreak, kGarbage, kSilence, kStall } what = kBreak;
  std::vector<std::shared_ptr<HttpExchange>> kept;
  start({}, [&](HttpRequest, std::shared_ptr<HttpExchange> exchange) {
    if (what == kSilence) {
      kept.push_back(exchange);
      return;
    }
    exchange->start_stream(200, what == kGarbage ? HttpHeaders{{"Bad Name", "x"}} : HttpHeaders{});
    exchange->write("half");
    if (what == kStall) {
      kept.push_back(exchange);
    } else {
      exchange->abort();
    }
  });
  HttpClient patient = client();
  HttpClient hasty = client({.first_byte_time = 100ms, .idle_time = 100ms});
  const auto code = [&] {
    Heard heard;
    (what == kSilence || what == kStall ? hasty : patient).start({}, heard);
    wait(heard);
    EXPECT_TRUE(heard.error.has_value());
    EXPECT_FALSE(heard.complete);
    return heard.error ? heard.error->code : ErrorCode::kInternal;
  };
  EXPECT_EQ(code(), ErrorCode::kUnavailable);
  what = kGarbage;
  EXPECT_EQ(code(), ErrorCode::kGarbled);
  what = kSilence;
  EXPECT_EQ(code(), ErrorCode::kTimedOut);
  what = kStall;
  EXPECT_EQ(code(), ErrorCode::kTimedOut);
  kept.clear();
  server_.reset();  // nobody listens on that port now
  EXPECT_EQ(code(), ErrorCode::kUnavailable);
}

TEST_F(HttpClientTest, CancelClosesTheConnectionAndIsSilent) {
  std::shared_ptr<HttpExchange> kept;
  bool gone = false;
  start({}, [&](HttpRequest, std::shared_ptr<HttpExchange> exchange) {
    kept = exchange;
    exchange->start_stream(200, {});
    exchange->write("half");
    exchange->on_peer_gone([&] { gone = true; });
  });
  HttpClient calls = client();
  Heard heard;
  const auto id = calls.start({}, heard);
  ASSERT_TRUE(loop_.run_until([&] { return heard.text == "half"; }, kLimit));
  calls.cancel(id);
  ASSERT_TRUE(loop_.run_until([&] { return gone; }, kLimit));
  EXPECT_FALSE(heard.over());
  // At every earlier moment too.
  const auto early = calls.start({}, heard);
  calls.cancel(early);
  {
    HttpClient short_lived = client();
    short_lived.start({}, heard);
  }
  bool turned = false;
  loop_.post([&] { loop_.post([&] { turned = true; }); });
  ASSERT_TRUE(loop_.run_until([&] { return turned; }, kLimit));
  EXPECT_FALSE(heard.over());
}

}  // namespace
}  // namespace medley::net
