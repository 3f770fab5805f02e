// Rows of a trace as they came in some hours of the day, for a window of simulation.
#pragma once

#include <vector>

#include "base/prng.h"
#include "data/trace.h"

namespace medley::plan {

struct ReplayedRow {
  double at_s = 0;  // since the window opened
  long long prompt = 1, output = 1;
};

// Of a trace that lasts a day or more: the rows of those hours of its whole days, hour 0 beginning
// with its first row, one such hour after the other. Of a shorter one: all rows. Their own times
// are stretched so that `rate_per_s` of them come on the mean, from a place on that is drawn and
// around the end. Precondition: rows at two different times, rate_per_s > 0.
std::vector<ReplayedRow> replay(const std::vector<data::TraceRequest>& rows,
                                const std::vector<int>& hours, double rate_per_s, double window_s,
                                Prng prng);

}  // namespace medley::plan
