#include "replica/token_streams.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/check.h"

namespace medley::replica {

void TokenStreams::push(const Event& event) {
  events_.push_back(event);
  std::push_heap(events_.begin(), events_.end(), std::greater<>());
}

void TokenStreams::drop_stale() {
  while (!events_.empty()) {
    const auto found = streams_.find(events_.front().request);
    if (found != streams_.end() && found->second.number == events_.front().number)
      return;
    std::pop_heap(events_.begin(), events_.end(), std::greater<>());
    events_.pop_back();
  }
}

void TokenStreams::add(RequestId request, const Stream& stream) {
  MEDLEY_CHECK(stream.tokens >= 1);
  const std::uint64_t number = next_number_++;
  const bool is_new = streams_.emplace(request, Known{stream, number}).second;
  MEDLEY_CHECK(is_new);
  push({stream.first_s, number, request, 1});
}

std::optional<long long> TokenStreams::remove(RequestId request, double at_s) {
  const auto found = streams_.find(request);
  if (found == streams_.end())
    return std::nullopt;
  const Stream stream = found->second.stream;
  streams_.erase(found);
  drop_stale();
  if (at_s < stream.first_s)
    return 0;
  if (stream.gap_s <= 0)
    return stream.tokens;
  const double after_first = std::floor((at_s - stream.first_s) / stream.gap_s);
  return 1 + std::min(stream.tokens - 1, static_cast<long long>(after_first));
}

std::optional<double> TokenStreams::next_s() const {
  if (events_.empty())
    return std::nullopt;
  return events_.front().at_s;
}

TokenStreams::Token TokenStreams::pop() {
  MEDLEY_CHECK(!events_.empty());
  const Event event = events_.front();
  std::pop_heap(events_.begin(), events_.end(), std::greater<>());
  events_.pop_back();
  const auto found = streams_.find(event.request);
  const Stream stream = found->second.stream;
  const bool last = event.generated == stream.tokens;
  if (last) {
    streams_.erase(found);
  } else {
    const long long next = every_token_ ? event.generated + 1 : stream.tokens;
    push({stream.first_s + static_cast<double>(next - 1) * stream.gap_s, event.number,
          event.request, next});
  }
  drop_stale();
  return {event.request, event.at_s, event.generated, last};
}

}  // namespace medley::replica
