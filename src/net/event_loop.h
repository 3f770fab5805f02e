// The one thread and its io_context, with Asio hidden: everything that waits for sockets or time
// hangs on it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

namespace medley::net {

// Not thread-safe but for post() and stop(). Callbacks run on the thread that is inside run() or
// run_until().
class EventLoop {
 public:
  using Clock = std::chrono::steady_clock;
  using Callback = std::function<void()>;

  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Serves until stop().
  void run();
  // Serves until `done()` holds, looked at after every callback; false when `limit` passed first.
  bool run_until(const std::function<bool()>& done, Clock::duration limit);
  void stop();
  void post(Callback callback);
  // Calls `callback` with the number of each of these signals that comes; at most one registration.
  void on_signals(const std::vector<int>& signals, std::function<void(int)> callback);

  // One point in time to wait for. Setting it again replaces what it waited for.
  class Alarm {
   public:
    explicit Alarm(EventLoop& loop);
    ~Alarm();
    // Calls `callback` once `at` has come, never inside this call.
    void set(Clock::time_point at, Callback callback);
    void cancel();

   private:
    struct State;
    std::shared_ptr<State> state_;  // shared with the waiting handler, which may outlive the alarm
  };

  struct Impl;  // net's own sources reach the io_context through it
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace medley::net
