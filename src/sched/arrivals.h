// Work that is still to come, and what a dispatch takes from it.
//
// A lane that serves in turn (the prefill of a replica) must keep room for bursts: work taken on
// now pushes later, dearer arrivals past their time to first token. The expected loss is the closed
// form of scheduling.md 3: with the dearest class of rate λ and work x on this lane, ρ = λE[x] (at
// most 0.9), its limit θ = TTFT target − E[x] − the join, a backlog L and added work w,
//
//   harm = v·K·(m(L + w) − m(L)),  m(B) = exp(−γ(θ − B)) up to θ and 1 + λ(B − θ) beyond,
//   γ = 2(1 − ρ)/(D·λ·E[x²]),  K = min(1.5, 1/(1 − ρ)),  at most v·w/E[x].
//
// Rates and lengths are running means by class and offer.
#pragma once

#include <map>
#include <vector>

#include "sched/predictor.h"

namespace medley::sched {

class Arrivals {
 public:
  // All three must outlive it.
  Arrivals(const Fleet& fleet, const perf::PerfModel& perf, const Predictor& predictor);

  void arrived(Instant now, const Request& request);

  // Expected value, in money, that later arrivals of classes dearer than `worth` lose on a replica
  // of this pool when the request joins it with this forecast. Never negative.
  double harm(Instant now, const Request& request, double worth, PoolId pool,
              const Forecast& forecast) const;

 private:
  struct Kind {
    double value = 0;  // of one request kept
    std::optional<Duration> ttft;
    // Sums over arrivals, each weighed by its age.
    double count = 0, prompt = 0, prompt_squared = 0;
    Instant last;
    Request sample;  // the last one
    // By pool, as of `fresh_at`.
    struct Lane {
      double rate = 0;  // arrivals per second and replica; 0: not served there
      double work_s = 0, work_squared = 0, join_s = 0;  // of the prefill lane
      double usage_s = 0;                               // of the replica
    };
    std::vector<Lane> lanes;
    std::optional<Instant> fresh_at;
  };
  void refresh(Instant now, Kind& kind) const;

  const Fleet& fleet_;
  const perf::PerfModel& perf_;
  const Predictor& predictor_;
  std::optional<Instant> first_;
  mutable std::map<std::pair<ServiceClass, OfferId>, Kind> kinds_;
};

}  // namespace medley::sched
