// Time as the scheduler sees it: whole nanoseconds since the driver's start, so that ties are real
// ties.
#pragma once

#include <chrono>

#include "base/quantity.h"

namespace medley {

struct Timeline;  // has no now(): whoever holds an Instant was told it
using Duration = std::chrono::nanoseconds;
using Instant = std::chrono::time_point<Timeline, Duration>;

// The one way from double seconds to Duration: to the nearest nanosecond, halves away from zero;
// saturates at about ±292 years. Precondition: not NaN.
Duration round_to_duration(Seconds seconds);
Instant round_to_instant(Seconds since_start);

// Exact as far as a double goes: the correctly rounded quotient of the nanoseconds by 1e9.
constexpr Seconds to_seconds(Duration duration) {
  return Seconds(static_cast<double>(duration.count()) / 1e9);
}
constexpr Seconds to_seconds(Instant instant) { return to_seconds(instant.time_since_epoch()); }

}  // namespace medley
