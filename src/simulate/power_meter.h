// What the pools of owned hardware draw over time, in slices of ten seconds: for what energy costs
// at the tariff of its hour, and for the peak against the site's limit.
//
// Steps count when they ran, and where the idle draw is known the time between them, but not while
// a replica is lost. Like the figures of a report it leaves out what is unknown.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "domain/fleet.h"
#include "perf/perf_model.h"
#include "replica/replica.h"

namespace medley::simulate {

// At the site's meter, PUE included; means over slices.
struct PowerFigures {
  double peak_kw = 0;
  std::optional<double> peak_of_limit;  // the largest draw as a share of its hour's limit
  double over_limit_s = 0;
};

class PowerMeter {
 public:
  static constexpr double kSliceS = 10;
  // Beyond so many, neighbours are joined: after four months.
  static constexpr std::size_t kMostSlices = std::size_t{1} << 20;

  // Both must outlive it.
  PowerMeter(const Fleet& fleet, const perf::PerfModel& perf);

  // What the replica has done since the start: the time it was busy since it was last told lies
  // right before `now_s`.
  void worked(std::size_t replica, double now_s, const replica::Usage& usage);
  void lost(std::size_t replica, double from_s, double until_s);
  // Once, when the run has ended and every loss is told.
  void end(double end_s);

  // After end(). What the pool's energy cost.
  Money money(PoolId pool) const;
  PowerFigures figures() const;

 private:
  struct Replica {
    PoolId pool;
    double idle_watts = 0;
    double busy_s = 0, joules = 0;  // told so far
  };
  void add(PoolId pool, double from_s, double until_s, double watts);
  Instant middle(std::size_t slice) const;

  const Fleet& fleet_;
  std::vector<Replica> replicas_;
  double width_s_ = kSliceS, end_s_ = 0;
  std::vector<std::vector<double>> joules_;  // by pool and slice
};

}  // namespace medley::simulate
