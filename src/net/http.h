// The values of HTTP/1.1 that both sides of medley speak of. No sockets here, and no Beast.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace medley::net {

struct HttpHeader {
  std::string name, value;
};

// In the order sent; names are compared without case.
class HttpHeaders {
 public:
  HttpHeaders() = default;
  HttpHeaders(std::initializer_list<HttpHeader> headers) : headers_(headers) {}

  void add(std::string name, std::string value) {
    headers_.push_back({std::move(name), std::move(value)});
  }
  // The first of that name, or null.
  const std::string* find(std::string_view name) const;
  auto begin() const { return headers_.begin(); }
  auto end() const { return headers_.end(); }

 private:
  std::vector<HttpHeader> headers_;
};

struct HttpRequest {
  std::string method;
  std::string target;  // as sent: path and query, percent-encoded
  HttpHeaders headers;
  std::string body;
  std::uint64_t number = 0;  // from 1; the server's, unlike that of any other it has answered

  // The target without its query.
  std::string_view path() const { return std::string_view(target).substr(0, target.find('?')); }
};

struct HttpResponse {
  int status = 200;
  HttpHeaders headers;  // Content-Length and Connection are the server's to add
  std::string body;
};

// "Not Found" for 404; "Unknown" where there is no phrase.
std::string_view reason_phrase(int status);
// Undoes percent-encoding; a broken escape stays as it is. '+' stays '+'.
std::string percent_decode(std::string_view text);

struct HostPort {
  std::string host;  // without the brackets of an IPv6 address
  std::uint16_t port = 0;
};
// "127.0.0.1:8080", "[::1]:8080", "localhost:0", ":8080" or "8080" (both: loopback).
Result<HostPort> parse_host_port(std::string_view text);

struct HttpUrl {
  std::string host;
  std::uint16_t port = 80;
  std::string path;  // without a final '/'; "" for the root

  // What the Host header says.
  std::string authority() const;
};
// http:// only; https answers what to do instead.
Result<HttpUrl> parse_http_url(std::string_view text);

}  // namespace medley::net
