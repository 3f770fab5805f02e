#include "plan/replay.h"

#include <algorithm>
#include <cmath>

namespace medley::plan {

std::vector<ReplayedRow> replay(const std::vector<data::TraceRequest>& rows,
                                const std::vector<int>& hours, double rate_per_s, double window_s,
                                Prng prng) {
  constexpr double kDay = 86400, kHour = 3600;
  const double first = rows.front().arrived_s, span = rows.back().arrived_s - first;
  std::vector<ReplayedRow> loop;
  double length = 0;  // of the loop
  const auto keep = [&](const data::TraceRequest& row, double at) {
    loop.push_back({at, row.prompt.count(), row.output.count()});
  };
  if (span < kDay) {
    for (const data::TraceRequest& row : rows)
      keep(row, row.arrived_s - first);
    // Around the end there is a gap as others are on the mean.
    length = span * static_cast<double>(rows.size()) / static_cast<double>(rows.size() - 1);
  } else {
    const auto hours_in_all = static_cast<std::size_t>(std::floor(span / kDay)) * 24;
    std::vector<double> begins(hours_in_all, -1);  // of each hour in the loop; -1: not in it
    for (std::size_t hour = 0; hour < hours_in_all; ++hour) {
      if (std::find(hours.begin(), hours.end(), static_cast<int>(hour % 24)) == hours.end())
        continue;
      begins[hour] = length;
      length += kHour;
    }
    for (const data::TraceRequest& row : rows) {
      const double at = row.arrived_s - first;
      const auto hour = static_cast<std::size_t>(at / kHour);
      if (hour < hours_in_all && begins[hour] >= 0)
        keep(row, begins[hour] + at - static_cast<double>(hour) * kHour);
    }
  }
  std::vector<ReplayedRow> drawn;
  if (loop.empty())
    return drawn;
  const double stretch = static_cast<double>(loop.size()) / (length * rate_per_s);
  const double from = prng.uniform() * length;
  std::size_t next = 0;
  while (next < loop.size() && loop[next].at_s < from)
    ++next;
  for (double turn = 0;; turn += length, next = 0) {
    for (; next < loop.size(); ++next) {
      const double at = (turn + loop[next].at_s - from) * stretch;
      if (at >= window_s)
        return drawn;
      drawn.push_back({at, loop[next].prompt, loop[next].output});
    }
  }
}

}  // namespace medley::plan
