#include "net/http.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace medley::net {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

int hex_digit(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  const char small = lower(c);
  return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

std::optional<std::uint16_t> port_number(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size())
    return std::nullopt;
  return port;
}

}  // namespace

const std::string* HttpHeaders::find(std::string_view name) const {
  const auto found =
      std::find_if(headers_.begin(), headers_.end(), [name](const HttpHeader& header) {
        return std::equal(header.name.begin(), header.name.end(), name.begin(), name.end(),
                          [](char a, char b) { return lower(a) == lower(b); });
      });
  return found == headers_.end() ? nullptr : &found->value;
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Unknown";
  }
}

std::string percent_decode(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      const int high = hex_digit(text[i + 1]);
      const int low = hex_digit(text[i + 2]);
      if (high >= 0 && low >= 0) {
        decoded += static_cast<char>(high * 16 + low);
        i += 2;
        continue;
      }
    }
    decoded += text[i];
  }
  return decoded;
}

Result<HostPort> parse_host_port(std::string_view text) {
  const Error error{
      ErrorCode::kInvalid,
      fmt::format("'{}' is no address to listen on: HOST:PORT expected, such as 127.0.0.1:8080 "
                  "or [::1]:8080",
                  text)};
  std::string_view host;
  std::string_view port = text;
  if (const auto colon = text.rfind(':'); colon != std::string_view::npos) {
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
  }
  if (!host.empty() && host.front() == '[') {
    if (host.back() != ']' || host.size() < 3)
      return error;
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return error;  // an IPv6 address without brackets: which colon is the port's?
  }
  const auto number = port_number(port);
  if (!number)
    return error;
  return HostPort{host.empty() ? "127.0.0.1" : std::string(host), *number};
}

std::string HttpUrl::authority() const {
  const bool v6 = host.find(':') != std::string::npos;
  const std::string name = v6 ? fmt::format("[{}]", host) : host;
  return port == 80 ? name : fmt::format("{}:{}", name, port);
}

Result<HttpUrl> parse_http_url(std::string_view text) {
  constexpr std::string_view kScheme = "http://";
  if (text.starts_with("https://")) {
    return Error{
        ErrorCode::kInvalid,
        fmt::format(
            "'{}': https is not supported yet; put a TLS proxy in front and name it with http://",
            text)};
  }
  const Error error{
      ErrorCode::kInvalid,
      fmt::format("'{}' is no URL that can be called: http://HOST[:PORT]/PATH expected", text)};
  if (!text.starts_with(kScheme))
    return error;
  std::string_view rest = text.substr(kScheme.size());
  HttpUrl url;
  const auto slash = rest.find('/');
  std::string_view authority = rest.substr(0, slash);
  if (slash != std::string_view::npos)
    url.path = rest.substr(slash);
  while (url.path.ends_with('/'))
    url.path.pop_back();
  if (authority.find('@') != std::string_view::npos ||
      url.path.find_first_of("?# \r\n") != std::string::npos) {
    return error;
  }
  std::string_view host = authority;
  const auto bracket = authority.rfind(']');
  const auto colon = authority.rfind(':');
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
    const auto port = port_number(authority.substr(colon + 1));
    if (!port || *port == 0)
      return error;
    url.port = *port;
    host = authority.substr(0, colon);
  }
  if (host.starts_with('[') && host.ends_with(']'))
    host = host.substr(1, host.size() - 2);
  if (host.empty() || host.find_first_of(" \r\n[]") != std::string_view::npos)
    return error;
  url.host = host;
  return url;
}

}  // namespace medley::net
