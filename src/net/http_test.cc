#include "net/http.h"

#include <gtest/gtest.h>

namespace medley::net {
namespace {

TEST(HostPort, KnowsTheUsualForms) {
  const auto check = [](std::string_view text, std::string_view host, int port) {
    const auto parsed = parse_host_port(text);
    ASSERT_TRUE(parsed.ok()) << text;
    EXPECT_EQ(parsed->host, host);
    EXPECT_EQ(parsed->port, port);
  };
  check("127.0.0.1:8080", "127.0.0.1", 8080);
  check("localhost:0", "localhost", 0);
  check("[::1]:9", "::1", 9);
  check(":8080", "127.0.0.1", 8080);
  check("8080", "127.0.0.1", 8080);
  for (const char* wrong : {"", "host", "host:", "host:99999", "::1", "::1:80", "[::1]", "a:b:1",
                            "1.2.3.4:-1", "[]:1"}) {
    EXPECT_FALSE(parse_host_port(wrong).ok()) << wrong;
  }
}

TEST(HttpUrl, KnowsTheUsualForms) {
  const auto url = parse_http_url("http://10.0.0.1:8000/v1/");
  ASSERT_TRUE(url.ok());
  EXPECT_EQ(url->host, "10.0.0.1");
  EXPECT_EQ(url->port, 8000);
  EXPECT_EQ(url->path, "/v1");
  EXPECT_EQ(url->authority(), "10.0.0.1:8000");
  const auto v6 = parse_http_url("http://[::1]/openai");
  ASSERT_TRUE(v6.ok());
  EXPECT_EQ(v6->host, "::1");
  EXPECT_EQ(v6->authority(), "[::1]");
  for (const char* wrong : {"", "ftp://x", "10.0.0.1:8000", "http://", "http://:80", "http://a:0",
                            "http://a:x/v1", "http://user@host/", "http://a/?q", "http://a /"}) {
    EXPECT_FALSE(parse_http_url(wrong).ok()) << wrong;
  }
  EXPECT_NE(parse_http_url("https://x/v1")
                .error()
                .message.find("not supported yet; put a TLS proxy in front"),
            std::string::npos);
}

TEST(PercentDecode, LeavesBrokenEscapesAlone) {
  EXPECT_EQ(percent_decode("meta%2Fllama%20x+y"), "meta/llama x+y");
  EXPECT_EQ(percent_decode("%2"), "%2");
  EXPECT_EQ(percent_decode("%zz%4"), "%zz%4");
}

TEST(HttpHeaders, CompareNamesWithoutCase) {
  const HttpHeaders headers = {{"Content-Type", "a"}, {"content-type", "b"}};
  ASSERT_NE(headers.find("CONTENT-TYPE"), nullptr);
  EXPECT_EQ(*headers.find("CONTENT-TYPE"), "a");
  EXPECT_EQ(headers.find("Content-Typ"), nullptr);
}

}  // namespace
}  // namespace medley::net
