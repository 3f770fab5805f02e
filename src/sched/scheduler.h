// The core: decides which replica serves which request, which requests wait, and which are turned
// away.
//
// simulate drives it with virtual time, serve with real time, a test with either. It hears of
// arrivals, first tokens, ends and reports, never of engine steps, and answers with decisions.
#pragma once

#include <memory>
#include <vector>

#include "base/digest.h"
#include "domain/fleet.h"
#include "perf/perf_model.h"
#include "sched/decision.h"
#include "sched/event.h"
#include "sched/explanation.h"
#include "sched/predictor.h"

namespace medley::sched {

// Every request that arrived is waiting, in flight, or one of rejected, finished, broken and
// cancelled.
struct ClassStats {
  long long arrived = 0, rejected = 0, cancelled = 0, waiting = 0, in_flight = 0;
  long long finished = 0;    // whole answers
  long long broken = 0;      // answers that broke after their first token
  long long dispatched = 0;  // dispatches: a request that failed somewhere has several
  long long preempted = 0;   // of the dispatches: those that guaranteed work cut short
};

struct SchedulerStats {
  std::array<ClassStats, kServiceClassCount> classes;
  // Share of what the live fleet can do that is taken, replicas weighted by their tokens per
  // second.
  double saturation = 0;
  long long in_flight = 0;
};

// The latest prediction made for a request that was dispatched.
struct Prediction {
  double ttft_s = 0, tpot_s = 0;  // ttft from arrival
};

// What was observed of a pool by what its step model says, running; empty before anything was.
struct Calibration {
  std::optional<double> ttft_ratio, tpot_ratio;
};

struct SchedulerOptions {
  ForecastError forecast_error;  // a study's; none by default
  Duration heard_every{};  // how late first tokens and ends may be heard of; zero: they are not
};

// Pure: the same build and the same events give the same decisions. `now` never goes backwards. Not
// thread-safe: one driver owns it. Events about requests that it does not hold are ignored (they
// raced).
class Scheduler {
 public:
  // `perf` must outlive the scheduler and describe `fleet`'s pools.
  Scheduler(const Fleet& fleet, const perf::PerfModel& perf, const SchedulerOptions& options = {});
  ~Scheduler();
  Scheduler(Scheduler&&) noexcept;

  // Appends to `decisions`, in the order they are to be carried out.
  void handle(Instant now, const Event& event, std::vector<Decision>& decisions);

  // `sink` hears of every placement decision until set to null; it must outlive its use.
  void explain_to(ExplanationSink* sink);
  SchedulerStats stats() const;
  // Of a request in flight; empty when the policy predicts nothing.
  std::optional<Prediction> prediction(RequestId request) const;
  Calibration calibration(PoolId pool) const;
  // Of all decisions, in order, with their times: equal for equal runs.
  const Digest& digest() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace medley::sched
