// What is promised of an answer's tokens where the device's schedule is fixed: each of them, not
// their mean.
#pragma once

#include "base/instant.h"
#include "domain/service_class.h"

namespace medley {

// The others are content with a quantile, and pay for no more.
constexpr bool is_promised_windows(ServiceClass service_class) {
  return service_class == ServiceClass::kGuaranteed;
}

// A promise has so many deviations of the pool's error bar on top of every time (decision 0054).
inline constexpr double kPromiseDeviations = 6;

struct TokenWindow {
  Duration first_token_within;  // of the arrival
  Duration every_token_within;  // of the one before it

  bool operator==(const TokenWindow&) const = default;

  // Of a whole answer; one that broke off has broken its window, whatever it kept until then.
  // `itl_max` is the longest gap between two tokens, 0 where there is one token only.
  bool kept_by(Duration ttft, Duration itl_max) const {
    return ttft <= first_token_within && itl_max <= every_token_within;
  }
};

}  // namespace medley
