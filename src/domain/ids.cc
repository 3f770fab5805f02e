#include "domain/ids.h"

#include <fmt/format.h>

#include <charconv>

namespace medley {

std::string name_of(RequestId request) { return fmt::format("req-{:08x}", request.number()); }

std::optional<RequestId> request_named(std::string_view text) {
  constexpr std::string_view kPrefix = "req-";
  const bool prefixed = text.substr(0, kPrefix.size()) == kPrefix;
  if (prefixed)
    text.remove_prefix(kPrefix.size());
  std::uint64_t number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, prefixed ? 16 : 10);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty())
    return std::nullopt;
  return RequestId(number);
}

}  // namespace medley
