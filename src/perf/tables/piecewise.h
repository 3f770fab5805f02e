// A function known at some points: linear between them. What measured tables are looked up by.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "base/check.h"

namespace medley::perf {

// Where a value lies among ascending points: `share` of the way from point `low` to point `high`.
// Beyond the last point the share is above 1 (on the last segment); below the first it is 0 (flat),
// or negative where the first segment is asked to go on.
struct PlaceAmong {
  std::size_t low = 0, high = 0;
  double share = 0;

  double between(double at_low, double at_high) const {
    return at_low + (at_high - at_low) * share;
  }
};

enum class BelowFirst { kFlat, kFirstSegment };

// Precondition: `points` ascend strictly and there is at least one.
inline PlaceAmong place_among(const std::vector<double>& points, double value, BelowFirst below) {
  MEDLEY_CHECK(!points.empty());
  if (points.size() == 1)
    return {};
  const auto above = std::upper_bound(points.begin(), points.end(), value);
  const auto high = std::clamp<std::ptrdiff_t>(above - points.begin(), 1,
                                               static_cast<std::ptrdiff_t>(points.size()) - 1);
  PlaceAmong place{static_cast<std::size_t>(high - 1), static_cast<std::size_t>(high), 0};
  place.share = (value - points[place.low]) / (points[place.high] - points[place.low]);
  if (below == BelowFirst::kFlat)
    place.share = std::max(0.0, place.share);
  return place;
}

// Points with their values.
struct Piecewise {
  std::vector<double> points, values;  // of one size, not empty; points ascend strictly

  double at(double value, BelowFirst below) const {
    const PlaceAmong place = place_among(points, value, below);
    return place.between(values[place.low], values[place.high]);
  }
};

}  // namespace medley::perf
