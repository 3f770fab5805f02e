#include "net/event_loop.h"

#include <boost/asio/post.hpp>

#include "net/asio.h"

namespace medley::net {

EventLoop::EventLoop() : impl_(std::make_unique<Impl>()) {}
EventLoop::~EventLoop() = default;

void EventLoop::run() {
  impl_->io.restart();
  impl_->io.run();
}

bool EventLoop::run_until(const std::function<bool()>& done, Clock::duration limit) {
  impl_->io.restart();
  const Clock::time_point end = Clock::now() + limit;
  while (!done()) {
    if (Clock::now() >= end)
      return false;
    impl_->io.run_one_until(end);
  }
  return true;
}

void EventLoop::stop() { impl_->io.stop(); }

void EventLoop::post(Callback callback) { asio::post(impl_->io, std::move(callback)); }

void EventLoop::on_signals(const std::vector<int>& signals, std::function<void(int)> callback) {
  impl_->signals.emplace(impl_->io.get_executor());
  for (const int signal : signals)
    impl_->signals->add(signal);
  // The handler asks for the next signal before it tells of this one.
  struct Wait {
    Impl& impl;
    std::function<void(int)> callback;
    void operator()(error_code error, int signal) {
      if (error)
        return;
      const auto tell = callback;
      impl.signals->async_wait(std::move(*this));
      tell(signal);
    }
  };
  impl_->signals->async_wait(Wait{*impl_, std::move(callback)});
}

struct EventLoop::Alarm::State {
  explicit State(asio::io_context& io) : timer(io.get_executor()) {}
  Timer timer;
  Callback callback;
  std::uint64_t setting =
      0;  // a handler that was queued before the latest set() or cancel() is stale
};

EventLoop::Alarm::Alarm(EventLoop& loop) : state_(std::make_shared<State>(loop.impl().io)) {}

EventLoop::Alarm::~Alarm() { cancel(); }

void EventLoop::Alarm::set(Clock::time_point at, Callback callback) {
  const std::uint64_t setting = ++state_->setting;
  state_->callback = std::move(callback);
  state_->timer.expires_at(at);
  state_->timer.async_wait([state = state_, setting](error_code) {
    if (setting != state->setting)
      return;
    const Callback ring = std::move(state->callback);
    state->callback = nullptr;
    if (ring)
      ring();
  });
}

void EventLoop::Alarm::cancel() {
  ++state_->setting;
  state_->callback = nullptr;
  state_->timer.cancel();
}

}  // namespace medley::net
