#include "engine/asio_loop.h"

#include <utility>

namespace medley::engine {

AsioLoop::AsioLoop(net::EventLoop& events)
    : events_(events), start_(net::EventLoop::Clock::now()), alarm_(events) {}

Instant AsioLoop::now() const { return Instant(net::EventLoop::Clock::now() - start_); }

TimerId AsioLoop::call_at(Instant at, replica::Phase phase, std::uint64_t key, Callback callback) {
  const TimerId timer = ++last_timer_;
  const Place place{at, phase, key, timer};
  queue_.emplace(place, std::move(callback));
  places_.emplace(timer, place);
  set_alarm();
  return timer;
}

void AsioLoop::cancel(TimerId timer) {
  // The alarm may then ring for nothing, which is cheaper than setting it back.
  const auto found = places_.find(timer);
  if (found == places_.end())
    return;
  queue_.erase(found->second);
  places_.erase(found);
}

void AsioLoop::post(Callback callback) { events_.post(std::move(callback)); }

void AsioLoop::set_alarm() {
  if (ringing_ || queue_.empty())
    return;
  const Instant first = queue_.begin()->first.at;
  if (alarm_at_ && *alarm_at_ <= first)
    return;
  alarm_at_ = first;
  alarm_.set(start_ + first.time_since_epoch(), [this] { ring(); });
}

void AsioLoop::ring() {
  alarm_at_.reset();
  ringing_ = true;
  // What becomes due while these run waits for the next alarm, so that sockets get their turn.
  const Instant limit = now();
  while (!queue_.empty() && queue_.begin()->first.at <= limit) {
    const auto first = queue_.begin();
    const Callback callback = std::move(first->second);
    places_.erase(first->first.timer);
    queue_.erase(first);
    callback();
  }
  ringing_ = false;
  set_alarm();
}

}  // namespace medley::engine
