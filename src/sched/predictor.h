// What a request would get on a replica, from the ledger and the step model; corrected by what was
// observed.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "sched/correction.h"
#include "sched/ledger.h"
#include "sched/lengths.h"

namespace medley::sched {

struct Forecast {
  double wait_s = 0;         // from now to the start of its own prefill
  double work_s = 0;         // its own prefill
  double ttft_s = 0;         // from now to its first token, wait included
  double tpot_s = 0;         // with it on board
  double tpot_before_s = 0;  // of those already there, without it
  double holds_up_s = 0;     // those already there, by the steps that have its prompt in them
  double joules = 0;         // its share of the replica's energy; 0 where unknown
  double money = 0;          // energy at the tariff, or the metered price
  // What the model alone says, before it is corrected by what was observed.
  double model_ttft_s = 0, model_tpot_s = 0;
  double ttft_ratio = 1;  // of that correction: observed to predicted
  // How uncertain it is what others have there: a relative deviation beside the pool's error bars.
  // Times grow with the sequences that are there at most in proportion.
  double load_error = 0;
};

// An error put upon forecasts on purpose, for studies: the times of each are multiplied by
// exp(share·z), z standard normal and drawn by a hash of the seed, the request, the replica and
// which of the two (to the first token, per token). So all policies meet the same errors, and who
// looks again meets the same one again: a predictor does not get better by being asked twice.
struct ForecastError {
  double share = 0;
  std::uint64_t seed = 0;
};

class Predictor {
 public:
  // All three references must outlive it. `heard_every`: how late first tokens and ends may be
  // heard of.
  Predictor(const Fleet& fleet, const perf::PerfModel& perf, const Ledger& ledger,
            const ForecastError& error = {}, Duration heard_every = {});

  // Expected tokens of the answer, at most its own cap; the true number where a study tells it.
  long long output_tokens(const Request& request) const;

  Forecast forecast(Instant now, const Request& request, PoolId pool,
                    const ReplicaAccount& account) const;
  // The same where patient work sends no more prompts to the pool: while what displaced it is
  // there.
  Forecast forecast_undisturbed(Instant now, const Request& request, PoolId pool,
                                const ReplicaAccount& account) const;
  // The same on a replica that holds nothing; imagined, and so without an error put upon it.
  Forecast forecast_idle(Instant now, const Request& request, PoolId pool) const;
  // The same where nothing else ever comes to the pool either: what it could do at best.
  Forecast forecast_alone(Instant now, const Request& request, PoolId pool) const;
  // From now to the start of its prefill there: the least that forecast() would say.
  double wait_s(Instant now, const Request& request, const ReplicaAccount& account) const;
  // Seconds until the prompts that medley sent to a replica are expected to be done. One whose
  // first token is overdue is taken to need as long again as it is overdue by: a replica that says
  // nothing is not idle.
  double lane_s(Instant now, const ReplicaAccount& account) const {
    double lane_s = std::max(0.0, to_seconds(account.prefill_free_at - now).value());
    if (account.prefilling > 0 && now > account.first_token_due)
      lane_s += std::max(0.0, to_seconds(now - account.first_token_due).value() - heard_every_s_);
    return lane_s;
  }
  // Seconds that the prompts waiting on a replica will take from now.
  double pending_prefill_s(PoolId pool, const ReplicaAccount& account) const;
  // Probability that a request arrived at `arrived_at` keeps `targets` with this forecast, by the
  // pool's error bars.
  double probability(Instant now, const Request& request, PoolId pool,
                     const Forecast& forecast) const;
  // Standard deviations of the logarithms of what is observed from what was predicted: the pool's
  // error bars, then what was learned.
  double ttft_error(PoolId pool) const { return observed_[pool.number()].ttft.error(); }
  double tpot_error(PoolId pool) const { return observed_[pool.number()].tpot.error(); }
  // What was learned of a pool's two signals.
  const Correction& ttft_correction(PoolId pool) const { return observed_[pool.number()].ttft; }
  const Correction& tpot_correction(PoolId pool) const { return observed_[pool.number()].tpot; }
  // Probability of the first token alone, where there is a target for it; else 1.
  double ttft_probability(Instant now, const Request& request, PoolId pool,
                          const Forecast& forecast) const;
  // Probability that it ends within `left_s` from now, by the error bars of times and by how far
  // answers of its kind stray from their mean length.
  double end_probability(const Request& request, PoolId pool, const Forecast& forecast,
                         double left_s) const;
  // Probability that a time per token of `tpot_s` keeps `target` on this pool.
  double tpot_probability(PoolId pool, double tpot_s, Duration target, double load_error = 0) const;
  // That the answer does not outgrow the pool's context, where it would be cut.
  double fits_probability(const Request& request, PoolId pool) const;
  // Tokens of prompt and answer per second that a replica at its operating point can do: its weight
  // in saturation.
  double capability(PoolId pool) const { return capability_.at(pool.number()); }
  // What a batched replica draws at that point; 0 elsewhere.
  double operating_watts(PoolId pool) const { return operating_watts_.at(pool.number()); }
  // Prompt tokens per second of an idle replica: what empties a backlog of prompts.
  double prefill_tokens_per_s(PoolId pool) const { return prefill_tokens_per_s_.at(pool.number()); }

  // How long a request stays on a replica of the pool, from its dispatch to its end: a mean of
  // those that ended lately. Empty: none has yet.
  std::optional<double> stay_s(PoolId pool) const {
    const Observed& observed = observed_[pool.number()];
    return observed.stays > 0 ? std::optional(observed.stay_s) : std::nullopt;
  }

  // Seconds of a replica that the request takes: of the prefill lane where that is what runs out
  // (slotted), of the whole elsewhere, at its operating point or in the smaller batch that the
  // request's time per token leaves (docs/decisions/0108-a-tight-target-takes-more.md).
  double usage_s(PoolId pool, const Request& request) const;

  // Doubts what was learned of pools that nothing was sent to for long. Call it now and then.
  void refresh(Instant now);
  // How many requests are still worth sending to the pool to learn what it does.
  int trials(PoolId pool) const { return observed_[pool.number()].trials; }

  // Observations.
  void dispatched(Instant now, PoolId pool, const Resident& resident);
  // It was taken off the pool, to start over: a prompt that was not processed was none.
  void preempted(const Resident& resident, PoolId pool);
  void first_token(const Resident& resident, PoolId pool, Instant at);
  void finished(const Resident& resident, PoolId pool, Instant at, Tokens generated);
  // It ended before its answer did, after so many tokens: its client left, or the replica gave up.
  void broken_off(const Resident& resident, PoolId pool, Instant at, Tokens generated);

 private:
  // A pool is known once so many requests were sent there.
  static constexpr int kTrials = 40;
  // What was learned of one is doubted after so long without a request, then after twice as long,
  // and every kMostUnusedS in the end; each time a few may find out what it does now.
  static constexpr double kUnusedS = 300, kMostUnusedS = 3600;
  static constexpr int kTrialsInDoubt = 3;
  // Prompt tokens to compute that were dispatched, a second, running.
  struct PromptRate {
    double all = 0, interactive = 0;  // as of `last`
    Instant last;
    double kept(Instant now) const;  // the share that is left of them
    void add(Instant now, const Resident& resident);
    void remove(const Resident& resident);
  };
  struct Observed {
    Correction ttft, tpot;
    PromptRate prompts;
    int trials = kTrials;
    Instant used;                // when a request was last sent there, or what was learned doubted
    double unused_s = kUnusedS;  // after which that is doubted
    double stay_s = 0;
    int stays = 0;  // no more than counts
  };
  // forecast(), where so many prompt tokens a second are to be expected. On a real replica with the
  // error put upon it, and corrected by what was learned; nothing was learned of imagined ones but
  // the pool's ratios.
  Forecast corrected(Instant now, const Request& request, PoolId pool,
                     const ReplicaAccount& account, double prompt_tokens_per_s) const;
  // By the model and these ratios.
  Forecast forecast_with(Instant now, const Request& request, PoolId pool,
                         const ReplicaAccount& account, double ttft_ratio, double tpot_ratio,
                         double prompt_tokens_per_s) const;
  // Prompt tokens a second that a replica has to expect. Those of the pool spread evenly, except
  // where prefixes are cached: there prompts go where their beginnings are.
  double arriving(Instant now, PoolId pool, const ReplicaAccount& account,
                  double PromptRate::*part) const;
  // Seconds until the prompts there, others' too, are done.
  double prompts_ahead_s(Instant now, const ReplicaAccount& account) const;
  void observe_tpot(const Resident& resident, PoolId pool, Instant at, Tokens generated);
  // A step of what decodes there; kept for as long as that does not change.
  perf::StepCost decode_step(const ReplicaAccount& account, long long context) const;
  struct Prefill {
    double own_s;        // these tokens alone
    double per_token_s;  // added to a step by each prompt token
  };
  // Of so many tokens after those that are cached. `without_s`: of a step of the decodes alone.
  Prefill prefill(const perf::PoolModel& model, long long tokens, long long cached,
                  long long decodes, long long context, double without_s) const;

  const Fleet& fleet_;
  const perf::PerfModel& perf_;
  const Ledger& ledger_;
  Lengths lengths_;
  const ForecastError error_;
  const double heard_every_s_;
  std::optional<Instant> refreshed_;
  std::vector<Observed> observed_;                                           // by pool
  std::vector<double> operating_watts_, capability_, prefill_tokens_per_s_;  // by pool
  // Tokens per second of a replica by how long its steps are, longer ones last; up to the operating
  // point.
  struct DecodeRate {
    double step_s, tokens_per_s;
  };
  double decode_rate(PoolId pool, const Request& request) const;
  std::vector<std::vector<DecodeRate>> decode_rates_;  // by pool; none of rented services
  struct DecodeStep {
    long long decodes = 0, context = 0;
    perf::StepCost cost;
  };
  mutable std::vector<DecodeStep> decode_steps_;  // by replica
  std::vector<PromptRate> sent_;                  // by replica
};

}  // namespace medley::sched
