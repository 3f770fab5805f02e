// When things happen for engines and drivers: real time in serve, a manual clock in tests.
#pragma once

#include <cstdint>
#include <functional>

#include "base/instant.h"
#include "replica/phase.h"

namespace medley::engine {

using TimerId = std::uint64_t;

// Everything runs on one thread, the loop's; only post() may be called from others.
class Loop {
 public:
  using Callback = std::function<void()>;

  virtual ~Loop() = default;
  virtual Instant now() const = 0;
  // Runs `callback` once `at` has come (at once, but never inside this call, if it has). A manual
  // clock runs what is due at one instant by (phase, key, order of asking); a real one by time
  // alone.
  virtual TimerId call_at(Instant at, replica::Phase phase, std::uint64_t key,
                          Callback callback) = 0;
  virtual void cancel(TimerId timer) = 0;  // unknown or past timers are ignored
  virtual void post(Callback callback) = 0;
};

}  // namespace medley::engine
