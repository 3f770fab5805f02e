// Work that is still to come, and what a dispatch takes from it.
//
// A lane that serves in turn (the prompts of a statically scheduled system) must keep room for
// bursts: work taken on now pushes later, dearer arrivals past their time to first token. The
// expected loss is the closed form of scheduling.md 3: with the dearest class of rate λ and work x
// on this lane, ρ = λE[x] (at most 0.9), its limit θ = TTFT target − E[x] − the join, a backlog L
// and added work w,
//
//   harm = v·K·(m(L + w) − m(L)),  m(B) = exp(−γ(θ − B)) up to θ and 1 + λ(B − θ) beyond,
//   γ = 2(1 − ρ)/(D·λ·E[x²]),  K = min(1.5, 1/(1 − ρ));
//
// at most v·λ(L + w), who come before it is done, and v·w/E[x], whom it displaces. Of the classes
// that are dearer, the one that loses most counts.
//
// On a batched replica the same is left to prices, which count the sooner the cheaper the work is
// (standing(); docs/decisions/0050-what-later-work-loses.md).
//
// Rates and lengths are running means by class, offer, label and length. Which replicas a class
// will come to is told by a fluid: dearer classes first, each spread over the pools that can keep
// its targets in proportion to what dearer ones leave there.
#pragma once

#include <array>
#include <limits>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "sched/predictor.h"

namespace medley::sched {

class Arrivals {
 public:
  // All three must outlive it.
  Arrivals(const Fleet& fleet, const perf::PerfModel& perf, const Ledger& ledger,
           const Predictor& predictor);

  void arrived(Instant now, const Request& request);
  // Brings what standing() and harm() go by up to date once a second; asked for at every event.
  void refresh(Instant now);

  // Where a request with this forecast would stand among those that come to the pool.
  struct Standing {
    // How near its limits the replica is: 1 where it just keeps the tightest targets of the classes
    // that come to the pool, 0 where it is idle but for prompts that keep on arriving.
    double nearness = 0;
    bool below_dearer = false;  // a class of more value comes to the pool
  };
  Standing standing(PoolId pool, double value, const Forecast& forecast) const;
  // Whether what waits on a replica already outlasts the tightest time to first token of those that
  // come to the pool, some of them dearer than `value`.
  bool outlasts_dearer(PoolId pool, double value, double wait_s) const;

  // Requests of one class, offer, label and about one length.
  struct Group {
    Request typical;    // arrived now
    double rate = 0;    // per second
    double spread = 1;  // mean square of the prompt's length over its square mean
  };
  // Those that came in the last minutes, the rarest left out.
  std::vector<Group> groups(Instant now) const;

  // Expected value, in money, that later arrivals of classes dearer than `worth` lose on a replica
  // of this pool when a request joins it with this forecast. Never negative; 0 but on a lane that
  // serves in turn.
  double harm(double worth, PoolId pool, const Forecast& forecast) const;

 private:
  static constexpr double kNoLimit = std::numeric_limits<double>::infinity();
  struct Kind {
    // Sums over arrivals, each weighed by its age.
    double count = 0, prompt = 0, prompt_squared = 0, output = 0;
    Instant last;
    Request sample;  // the last one
  };
  // What one class brings to a replica of a pool.
  struct Lane {
    double value = 0;
    double rate = 0;                                  // arrivals per second
    double work_s = 0, work_squared = 0, join_s = 0;  // of its prompts, means
    double usage_s = 0;                               // of the replica, mean
    double tpot_s = 0;  // of an idle replica, prompts keeping on arriving, mean
    std::optional<double> ttft_limit_s, tpot_limit_s;
    // Of the closed form: γ, θ, K.
    double decay = 0, limit_s = 0, affected = 0;
  };

  const Fleet& fleet_;
  const perf::PerfModel& perf_;
  const Ledger& ledger_;
  const Predictor& predictor_;
  std::optional<Instant> first_;
  // By class, offer, label and the power of two above the prompt's length.
  std::map<std::tuple<ServiceClass, OfferId, LabelId, int>, Kind> kinds_;
  // Renewed once a second: by pool, the classes that come to it.
  std::vector<std::vector<Lane>> lanes_;
  // What they mean for standing(): of those that have enough of the pool's work or value to set
  // limits there.
  struct Limits {
    double dearest = 0;        // value
    double ttft_s = kNoLimit;  // the tightest
    struct Tpot {
      double least_s, span_s;  // where nearness is 0; from there to where it is 1
    };
    std::vector<Tpot> tpot;
  };
  std::vector<Limits> limits_;
  std::optional<Instant> fresh_at_;
};

}  // namespace medley::sched
