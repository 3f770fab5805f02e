// litellm_latency, litellm_latency_repaired: the lowest mean of the latencies seen of late.
//
// Rule: the mean of up to 10 samples of time to first token (these are streams), kept for an hour
// after the last one; a deployment without samples counts as 0 and so goes first; random among
// those within (1 + 0)·the least.
//
// As published, once ten samples are there a new one overwrites the last: nine of ten stay as they
// were. `_repaired` forgets the oldest instead.
//
// Source: LiteLLM, router_strategy/lowest_latency.py as of November 2026; TTFT is no longer divided
// by the tokens of the answer (litellm PR #40202 of 2026-09).
//
// Signals: its own samples, each booked when its answer has ended.
//
// Made up here: a deployment is a pool with a balancer of its own behind its address: of its
// replicas, the one with the fewest in flight. (With replicas as deployments it kept less on the
// mixed fleet.) Time-outs, which append 1,000 s, do not occur.
#include <algorithm>
#include <numeric>

#include "base/prng.h"
#include "sched/placement/baselines/baseline.h"
#include "sched/placement/baselines/makers.h"

namespace medley::sched {
namespace {

constexpr std::size_t kMostSamples = 10;
constexpr Duration kKept = std::chrono::hours(1);
constexpr double kBuffer = 0;
constexpr std::uint64_t kSeed = 0x117e;

class LitellmLatency final : public Baseline {
 public:
  explicit LitellmLatency(Samples samples) : samples_kept_(samples) {}

  void left(Instant now, const Resident& resident, std::optional<Tokens> generated) override {
    if (!generated || !resident.first_token_at)
      return;
    Seen& seen = seen_.at(pools_.at(resident.replica.number()).number());
    if (now >= seen.until)
      seen.samples.clear();
    seen.until = now + kKept;
    if (seen.samples.size() >= kMostSamples) {
      if (samples_kept_ == Samples::kAsPublished)
        seen.samples.pop_back();
      else
        seen.samples.erase(seen.samples.begin());
    }
    seen.samples.push_back(to_seconds(*resident.first_token_at - resident.dispatched_at).value());
  }

 protected:
  const Option* pick(const View& view, const Request&, std::span<Option> options) override {
    if (seen_.empty()) {
      seen_.resize(view.fleet.pools.size());
      pools_ = view.fleet.pools_of_replicas();
    }
    for (Option& option : options)
      option.cost = mean(view.now, seen_[option.pool.number()]);
    const double limit = (1 + kBuffer) * least(options)->cost;
    drawn_.clear();
    for (const Option& option : options) {
      if (option.cost <= limit && (drawn_.empty() || drawn_.back() != option.pool))
        drawn_.push_back(option.pool);
    }
    const PoolId pool = drawn_[prng_.below(drawn_.size())];
    const Option* best = nullptr;
    for (const Option& option : options) {
      if (option.pool == pool &&
          (best == nullptr || option.account->outstanding() < best->account->outstanding()))
        best = &option;
    }
    return best;
  }

 private:
  struct Seen {
    std::vector<double> samples;  // in the order they came
    Instant until;
  };
  static double mean(Instant now, const Seen& seen) {
    if (seen.samples.empty() || now >= seen.until)
      return 0;
    return std::accumulate(seen.samples.begin(), seen.samples.end(), 0.0) /
           static_cast<double>(seen.samples.size());
  }

  Samples samples_kept_;
  Prng prng_{kSeed};
  std::vector<Seen> seen_;     // by pool
  std::vector<PoolId> pools_;  // by replica
  std::vector<PoolId> drawn_;  // scratch: those to draw from
};

}  // namespace

std::unique_ptr<Placement> make_litellm_latency(Samples samples) {
  return std::make_unique<LitellmLatency>(samples);
}

}  // namespace medley::sched
