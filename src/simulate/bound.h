// The most that any policy could earn on a workload: what a run's own earnings are a share of.
//
// Earned is the sum of the values of the requests kept (RequestRecord::kept) less the sum of
// RequestRecord::money; idle power and capital are nobody's. With the whole workload known, true
// lengths included, `bound` gives a number that no run of simulate() exceeds: the Lagrangian dual
// of a fluid model (DESIGN.md section 4, reference/scheduling.md section 4),
//
//   min over prices ≥ 0 of  Σ capacity·price + Σ requests max(0, max over pools of
//                           value − cost − Σ needs amount·(least price in the need's window))
//
// for which any prices give a bound, and the least one found is kept. In it
//
//   - a request may have any pool that the law, its context and its targets on an idle replica
//   leave
//     it, and may be split over pools and over the moments of its window: a prompt between arrival
//     and the TTFT target, an answer until the last token is due;
//   - it takes of a batched replica seconds, in steps as full as the batching allows: a step's
//   fixed
//     time is shared by as many tokens as could be in it. Of a slotted one it takes seconds of the
//     prompt lane and of a slot, of a rented service tokens of a minute and requests of a day;
//   - it costs the metered price, or its energy at the least tariff of its hours: of full steps; on
//   a
//     static schedule the power of all the time in which somebody who can go nowhere else must be
//     running, or of the lane's or the slots' time where that is more;
//   - of its prompt it computes nothing that another request has too, where the pool caches
//   prefixes
//     and that one came before this one's first token is due;
//   - each capacity is cut into slices of several widths at once. Work counts in the slices that
//   are
//     narrow beside its window and in all wider ones, so bursts on a serial lane are seen.
//
// Where a run must stay below it, so where it is loose: steps that are not full, prompts that are
// served whole one after the other (a lane whose deadlines come in the order of arrival loses only
// the parts of requests), KV caches (and whose replica has what of a prompt), lengths that nobody
// knows beforehand, the delay of a rented service (taken as none), replicas lost or slow.
//
// It leans on two things. Energy is somebody's money: what a policy cancels midway is in no
// record's. And quotas are spent by true lengths: the core spends forecasts, and may by chance send
// a little more in a minute.
#pragma once

#include <functional>
#include <vector>

#include "domain/fleet.h"
#include "perf/perf_model.h"
#include "simulate/simulation.h"

namespace medley::simulate {

struct BoundOptions {
  // Seconds of the narrowest slices. One that a window touches counts whole for it: a quarter of
  // the tightest TTFT target sees its bursts. Wider for workloads of hours.
  double slice_s = 0.125;
  int iterations = 300;  // each costs one look at every request
  // False: what is kept is worth its value whatever it costs, and the bound is one on value.
  bool count_costs = true;
};

struct Bound {
  double value = 0;      // money: no policy earns more
  double all_value = 0;  // money: of every request, kept or not
  // Money: what one solution of the same fluid model earns, found by filling it greedily by the
  // prices. The best bound of this form lies between it and `value`.
  double reached = 0;
  double lowered = 0;  // money: by how much the last tenth of the iterations lowered `value`
  int iterations = 0;

  double share() const { return all_value > 0 ? value / all_value : 0; }
  double gap() const { return value > 0 ? (value - reached) / value : 0; }  // share of `value`
};

// Preconditions as of simulate(). The same arguments give the same bound; more iterations never
// raise it.
Bound bound(const Fleet& fleet, const perf::PerfModel& perf, const std::vector<Arrival>& arrivals,
            const BoundOptions& options = {});

struct LoadOne {
  double load = 0;  // what `arrivals_at` was given
  Bound bound;      // there, on value
};

// The largest load at which the bound on value, costs not counted, is still kLoadOneShare of all of
// it (reference/scheduling.md section 1.1), to within a hundredth, between `least` and `most`:
// `least` where even that is too much, `most` where it is not. Preconditions: 0 < least <= most; a
// larger load is the same work in less time.
inline constexpr double kLoadOneShare = 0.997;
LoadOne load_one(const Fleet& fleet, const perf::PerfModel& perf,
                 const std::function<std::vector<Arrival>(double)>& arrivals_at, double least,
                 double most, const BoundOptions& options = {});

}  // namespace medley::simulate
