// What the published policies have in common: they look at every replica that may have the request,
// give each a cost, and take the least.
//
// They pass the same filters as all (placement.h), dispatch at arrival and refuse nothing, unless
// their file says otherwise. One file a policy; its comment has the rule, the source, the
// constants, how stale its signals are as published, and what had to be made up for it here.
//
// None of them sees what the simulator knows: `ReplicaAccount`, the core's own ledger, stands for
// what an engine reports. `prefilling` is its queue, `decoding` what runs, `decode_context` what
// its KV cache holds (what waits holds nothing yet).
#pragma once

#include <algorithm>
#include <limits>

#include "sched/placement/baselines/polled.h"
#include "sched/placement/placement.h"

namespace medley::sched {

// A live, lawful replica that has not failed the request.
struct Option {
  ReplicaId replica;
  PoolId pool;
  const ReplicaAccount* account;  // as the policy sees it: live, or as of its last poll
  double cost = std::numeric_limits<double>::infinity();
  std::optional<Forecast> forecast{};  // where the policy predicts
};

class Baseline : public Placement {
 public:
  Choice choose(const View& view, const Request& request, std::span<const Forbidden> filtered,
                std::span<const ReplicaId> avoid, bool last_chance,
                std::vector<Candidate>* candidates) final;
  bool holds_back() const override { return false; }

 protected:
  // Polls its signals every `interval`; zero: it sees them live.
  explicit Baseline(Duration interval = Duration::zero()) : polled_(interval) {}

  // The one to take, of at least one, in the order of replicas; null: none should have it now.
  virtual const Option* pick(const View& view, const Request& request,
                             std::span<Option> options) = 0;
  // Before pick(), when the accounts were polled anew.
  virtual void refreshed(const View& view, const Request& request) { (void)view, (void)request; }

  const Polled& signals() const { return polled_; }

 private:
  Polled polled_;
  std::vector<Option> options_;     // scratch, as is the next
  std::vector<double> cost_shown_;  // by pool, to a log
};

// The ends of some figures, to scale them to 0..1.
struct Spread {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  void take_in(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  double width() const { return high > low ? high - low : 0; }
  // 0 at the low end, 1 at the high one; 0 without a width.
  double place(double value) const { return width() > 0 ? (value - low) / width() : 0; }
};

// Of equal costs the lower replica. Precondition: at least one.
const Option* least(std::span<const Option> options);

// Share of the prompt that a replica is believed to have (Ledger::cached_tokens), 0 to 1.
double cached_share(const View& view, const Request& request, const Option& option);

// Share of a replica's KV cache that decoding sequences take, 0 to 1; 0 where it has none.
double kv_fraction(const View& view, const ReplicaAccount& account);

// The predictor's forecast, and the wait for a sequence or for KV cache where the replica has none
// left: what a published predictor, trained on queue and KV cache, would know. Medley's own policy
// never sends anything to a full replica and so does without.
Forecast foreseen(const View& view, const Request& request, const Option& option);

// From arrival to first token and to the end, were it dispatched now.
double ttft_from_arrival_s(const View& view, const Request& request, const Forecast& forecast);
double end_from_arrival_s(const View& view, const Request& request, const Forecast& forecast);
// Whether every target that the request has would be met.
bool meets_targets(const View& view, const Request& request, const Forecast& forecast);

// Of an owned pool nobody publishes a price: the energy of a token at its operating point (64
// sequences of a thousand tokens, or what it can hold), at the tariff of the hour; capital is not
// in it. A rented service's is its list price.
double list_price(const View& view, PoolId pool, Tokens prompt, Tokens output);

}  // namespace medley::sched
