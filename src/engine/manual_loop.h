// A loop whose clock stands still until a test moves it.
#pragma once

#include <chrono>
#include <compare>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "engine/loop.h"

namespace medley::engine {

// Runs callbacks by (instant, phase, key, order of asking), one after the other on the caller's
// thread, so that the same calls give the same run. A callback asked for the past is due now. What
// was posted runs before the next timer, in the order of posting. post() and wait_for_post() are
// for engines with threads of their own; everything else belongs to one thread.
class ManualLoop final : public Loop {
 public:
  explicit ManualLoop(Instant start = Instant{}) : now_(start) {}

  Instant now() const override { return now_; }
  TimerId call_at(Instant at, replica::Phase phase, std::uint64_t key, Callback callback) override;
  void cancel(TimerId timer) override;
  void post(Callback callback) override;

  // Runs what is due up to and including `to`, what that asks for in the meantime too, and stands
  // at `to`. Preconditions of all four: `to` is not in the past, and no callback is running.
  void advance_to(Instant to);
  void advance_by(Duration duration) { advance_to(now_ + duration); }
  // Runs everything posted and what is due now. False: there was nothing.
  bool run_ready();
  // Moves from one timer to the next until none is left: true. False: the next one is after
  // `limit`. The clock stands at the last callback.
  bool run_until_idle(Instant limit = Instant::max());

  // When the next timer is due; empty: there is none.
  std::optional<Instant> next_timer() const;
  // Waits for another thread's post() in real time, up to `at_most`: false when none came.
  bool wait_for_post(std::chrono::milliseconds at_most);

 private:
  struct Place {
    Instant at;
    replica::Phase phase;
    std::uint64_t key;
    TimerId timer;
    auto operator<=>(const Place&) const = default;
  };

  // Runs one callback due by `limit`, posted ones first.
  bool run_one(Instant limit);
  bool run_posted();
  void run(const Callback& callback);

  Instant now_;
  std::map<Place, Callback> timers_;
  std::unordered_map<TimerId, Place> places_;
  TimerId last_timer_ = 0;
  bool running_ = false;

  std::mutex mutex_;  // guards posted_
  std::condition_variable posted_some_;
  std::vector<Callback> posted_;
};

}  // namespace medley::engine
