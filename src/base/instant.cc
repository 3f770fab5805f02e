#include "base/instant.h"

#include <cmath>
#include <limits>

#include "base/check.h"

namespace medley {

Duration round_to_duration(Seconds seconds) {
  MEDLEY_CHECK(!std::isnan(seconds.value()));
  const double nanoseconds = std::round(seconds.value() * 1e9);
  constexpr double kLimit = 9.2e18;  // below 2^63
  if (nanoseconds >= kLimit)
    return Duration::max();
  if (nanoseconds <= -kLimit)
    return Duration::min();
  return Duration(static_cast<Duration::rep>(nanoseconds));
}

Instant round_to_instant(Seconds since_start) { return Instant(round_to_duration(since_start)); }

}  // namespace medley
