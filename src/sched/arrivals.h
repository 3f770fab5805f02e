// Work that is still to come, and what a dispatch takes from it.
//
// A lane that serves in turn (the prefill of a replica) must keep room for bursts: work taken on
// now pushes later, dearer arrivals past their time to first token. The expected loss is the closed
// form of scheduling.md 3: with the dearest class of rate λ and work x on this lane, ρ = λE[x] (at
// most 0.9), its limit θ = TTFT target − E[x] − the join, a backlog L and added work w,
//
//   harm = v·K·(m(L + w) − m(L)),  m(B) = exp(−γ(θ − B)) up to θ and 1 + λ(B − θ) beyond,
//   γ = 2(1 − ρ)/(D·λ·E[x²]),  K = min(1.5, 1/(1 − ρ)).
//
// and at most λ(L + w), who come before it is done. Near saturation that is flat: all is lost
// already. There what joins displaces v·a/E[a], a the seconds of a replica that each takes
// (Predictor::usage_s), in the measure in which the classes as dear or dearer fill the replica
// (from 0.8 to 1 of it) and the replica is busy now. Harm is the larger of both, at most v·a/E[a],
// of the class that loses most (docs/decisions/0050-what-later-work-loses.md).
//
// Rates and lengths are running means by class, offer and label. Which replicas a class will come
// to is told by a fluid: dearer classes first, each spread over the pools that can keep its targets
// in proportion to what dearer ones leave there.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "sched/predictor.h"

namespace medley::sched {

class Arrivals {
 public:
  // All three must outlive it.
  Arrivals(const Fleet& fleet, const perf::PerfModel& perf, const Predictor& predictor);

  void arrived(Instant now, const Request& request);

  // How near its limits a replica of this pool is where such a request would get this forecast
  // there: 1 where it just keeps the tightest targets of the classes that come to the pool.
  double nearness(Instant now, PoolId pool, const Forecast& forecast) const;

  // Requests of one class, offer, label and about one length.
  struct Group {
    Request typical;    // arrived now
    double rate = 0;    // per second
    double spread = 1;  // mean square of the prompt's length over its square mean
  };
  // Those that came in the last minutes, the rarest left out.
  std::vector<Group> groups(Instant now) const;

  // Expected value, in money, that later arrivals of classes dearer than `worth` lose on a replica
  // of this pool when the request joins it with this forecast. Never negative.
  double harm(Instant now, const Request& request, double worth, PoolId pool,
              const Forecast& forecast) const;

 private:
  struct Kind {
    // Sums over arrivals, each weighed by its age.
    double count = 0, prompt = 0, prompt_squared = 0;
    Instant last;
    Request sample;  // the last one
  };
  // What one class brings to a replica of a pool.
  struct Lane {
    double rate = 0;                                  // arrivals per second; 0: not served there
    double work_s = 0, work_squared = 0, join_s = 0;  // of its prefill lane, means
    double usage_s = 0;                               // of the replica, mean
    double load = 0;  // share of the replica that this class and dearer ones take
  };
  void refresh(Instant now) const;

  const Fleet& fleet_;
  const perf::PerfModel& perf_;
  const Predictor& predictor_;
  std::optional<Instant> first_;
  // By class, offer, label and the power of two above the prompt's length.
  std::map<std::tuple<ServiceClass, OfferId, LabelId, int>, Kind> kinds_;
  // Renewed once a second.
  mutable std::array<std::vector<Lane>, kServiceClassCount> lanes_;
  mutable std::optional<Instant> fresh_at_;
};

}  // namespace medley::sched
