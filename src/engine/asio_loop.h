// The real clock: serve's Loop. Its zero is the moment it was made.
#pragma once

#include <compare>
#include <map>
#include <optional>
#include <unordered_map>

#include "engine/loop.h"
#include "net/event_loop.h"

namespace medley::engine {

// What is due runs in the same order as on the manual clock (time asked for, phase, key, order of
// asking); only that several instants may have become due at once.
class AsioLoop : public Loop {
 public:
  // `events` must outlive the loop.
  explicit AsioLoop(net::EventLoop& events);

  Instant now() const override;
  TimerId call_at(Instant at, replica::Phase phase, std::uint64_t key, Callback callback) override;
  void cancel(TimerId timer) override;
  void post(Callback callback) override;

  net::EventLoop& events() { return events_; }

 private:
  struct Place {
    Instant at;
    replica::Phase phase;
    std::uint64_t key;
    TimerId timer;
    auto operator<=>(const Place&) const = default;
  };

  void set_alarm();
  void ring();

  net::EventLoop& events_;
  const net::EventLoop::Clock::time_point start_;
  net::EventLoop::Alarm alarm_;
  std::optional<Instant> alarm_at_;
  std::map<Place, Callback> queue_;
  std::unordered_map<TimerId, Place> places_;
  TimerId last_timer_ = 0;
  bool ringing_ = false;
};

}  // namespace medley::engine
