// Order statistics, as reports quote them.
#pragma once

#include <span>
#include <vector>

namespace medley {

struct Summary {
  std::size_t count = 0;
  double mean = 0, p50 = 0, p90 = 0, p99 = 0, max = 0;  // all 0 when count is 0
};

// Linear interpolation between order statistics: position q·(n − 1). Preconditions: sorted, not
// empty, q in [0, 1].
double percentile(std::span<const double> sorted, double q);
// In a time in proportion to their number. The mean is the sum in the order given.
Summary summarise(std::vector<double> values);

}  // namespace medley
