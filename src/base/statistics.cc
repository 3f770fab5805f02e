#include "base/statistics.h"

#include <algorithm>
#include <array>
#include <cmath>
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

double student_t(std::size_t degrees) {
  MEDLEY_CHECK(degrees >= 1);
  // Any table of the distribution; three digits are as many as anybody quotes.
  constexpr std::array<double, 30> kTable = {
      12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
      2.201,  2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
      2.080,  2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042};
  if (degrees <= kTable.size())
    return kTable[degrees - 1];
  // Beyond, the expansion about the normal distribution (Abramowitz and Stegun 26.7.5).
  constexpr double z = 1.959964;
  const auto n = static_cast<double>(degrees);
  return z + (std::pow(z, 3) + z) / (4 * n) +
         (5 * std::pow(z, 5) + 16 * std::pow(z, 3) + 3 * z) / (96 * n * n);
}

double jain_index(std::span<const double> shares) {
  double sum = 0, squares = 0;
  for (const double share : shares) {
    sum += share;
    squares += share * share;
  }
  return squares > 0 ? sum * sum / (static_cast<double>(shares.size()) * squares) : 1;
}

Estimate estimate(std::span<const double> values) {
  MEDLEY_CHECK(!values.empty());
  const auto n = static_cast<double>(values.size());
  Estimate result;
  result.mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  if (values.size() < 2)
    return result;
  double squares = 0;
  for (const double value : values)
    squares += (value - result.mean) * (value - result.mean);
  result.margin = student_t(values.size() - 1) * std::sqrt(squares / (n - 1) / n);
  return result;
}

}  // namespace medley
