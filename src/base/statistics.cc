#include "base/statistics.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace medley {

double percentile(std::span<const double> sorted, double q) {
  MEDLEY_CHECK(!sorted.empty() && q >= 0 && q <= 1);
  const double position = q * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<std::size_t>(position);
  const std::size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (sorted[high] - sorted[low]) * (position - static_cast<double>(low));
}

namespace {

// As percentile(), of values that are sorted only so far: those before `from` are not above those
// from there on. Leaves them so at the position it looked at, which it answers in `from`.
double select_percentile(std::vector<double>& values, std::size_t& from, double q) {
  const double position = q * static_cast<double>(values.size() - 1);
  const auto low = static_cast<std::size_t>(position);
  const auto at = [&](std::size_t place) {
    return values.begin() + static_cast<std::ptrdiff_t>(place);
  };
  std::nth_element(at(from), at(low), values.end());
  from = low;
  const double share = position - static_cast<double>(low);
  if (low + 1 == values.size())
    return values[low];
  const double next = *std::min_element(at(low + 1), values.end());
  return values[low] + (next - values[low]) * share;
}

}  // namespace

Summary summarise(std::vector<double> values) {
  if (values.empty())
    return {};
  Summary summary;
  summary.count = values.size();
  summary.mean =
      std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  summary.max = *std::max_element(values.begin(), values.end());
  std::size_t from = 0;
  summary.p50 = select_percentile(values, from, 0.5);
  summary.p90 = select_percentile(values, from, 0.9);
  summary.p99 = select_percentile(values, from, 0.99);
  return summary;
}

}  // namespace medley
