#include "engine/manual_loop.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace medley::engine {

TimerId ManualLoop::call_at(Instant at, replica::Phase phase, std::uint64_t key,
                            Callback callback) {
  const TimerId timer = ++last_timer_;
  const Place place{std::max(at, now_), phase, key, timer};
  timers_.emplace(place, std::move(callback));
  places_.emplace(timer, place);
  return timer;
}

void ManualLoop::cancel(TimerId timer) {
  const auto found = places_.find(timer);
  if (found == places_.end())
    return;
  timers_.erase(found->second);
  places_.erase(found);
}

void ManualLoop::post(Callback callback) {
  const std::lock_guard lock(mutex_);
  posted_.push_back(std::move(callback));
  // Under the lock: once the waiter has seen the callback, this loop may be gone.
  posted_some_.notify_all();
}

void ManualLoop::advance_to(Instant to) {
  MEDLEY_CHECK(to >= now_, "a manual clock never goes back");
  while (run_one(to)) {
  }
  now_ = to;
}

bool ManualLoop::run_ready() {
  bool ran = false;
  while (run_one(now_))
    ran = true;
  return ran;
}

bool ManualLoop::run_until_idle(Instant limit) {
  MEDLEY_CHECK(limit >= now_, "a manual clock never goes back");
  while (run_one(limit)) {
  }
  return timers_.empty();
}

std::optional<Instant> ManualLoop::next_timer() const {
  if (timers_.empty())
    return std::nullopt;
  return timers_.begin()->first.at;
}

bool ManualLoop::wait_for_post(std::chrono::milliseconds at_most) {
  std::unique_lock lock(mutex_);
  return posted_some_.wait_for(lock, at_most, [this] { return !posted_.empty(); });
}

bool ManualLoop::run_one(Instant limit) {
  MEDLEY_CHECK(!running_, "a callback may not move the clock that runs it");
  if (run_posted())
    return true;
  if (timers_.empty() || *next_timer() > limit)
    return false;
  auto first = timers_.extract(timers_.begin());
  now_ = first.key().at;
  places_.erase(first.key().timer);
  run(first.mapped());
  return true;
}

bool ManualLoop::run_posted() {
  std::vector<Callback> posted;
  {
    const std::lock_guard lock(mutex_);
    posted.swap(posted_);
  }
  for (const Callback& callback : posted)
    run(callback);
  return !posted.empty();
}

void ManualLoop::run(const Callback& callback) {
  running_ = true;
  callback();
  running_ = false;
}

}  // namespace medley::engine
