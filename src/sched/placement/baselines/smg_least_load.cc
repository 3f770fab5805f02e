// smg_least_load: seconds of queued prompts by the engine's reported rate, and a term for its KV
// cache.
//
// Rule: argmin of (queued_uncached_tokens + dispatched_since_poll) / throughput + 0.15·k/(1 − k).
// Throughput is the generation rate that the engine reports, 2,000 tokens/s where that is 0; k is
// the share of the KV cache in use, at most 0.999. A worker without a report: in flight · 1,024 /
// mean throughput of the fleet; without any report the least in flight.
//
// Source: lightseekorg/smg of 2026-08-07, model_gateway/src/policies/least_load.rs.
//
// Signals: polled every 10 s, and its own dispatches since, which a report sets back to nothing. It
// divides prompts by a rate of answers, as published.
//
// Made up here: a prompt's tokens are known at dispatch, as over gRPC (over HTTP each counts
// 1,024). The rate of an engine is its sequences over the time per token that the step model and
// the prompts of late give them. A rented service reports no load. Which of the queued tokens are
// uncached is told by the core's own index.
#include <algorithm>

#include "sched/placement/baselines/baseline.h"
#include "sched/placement/baselines/makers.h"

namespace medley::sched {
namespace {

constexpr Duration kPoll = std::chrono::seconds(10);
constexpr double kUnknownThroughput = 2000;
constexpr double kUnknownTokens = 1024;
constexpr double kKvWeight = 0.15;
constexpr double kMostKv = 0.999;

class SmgLeastLoad final : public Baseline {
 public:
  explicit SmgLeastLoad(bool live) : Baseline(live ? Duration::zero() : kPoll) {}

  void dispatched(Instant, const Resident& resident) override {
    if (!signals().is_live() && resident.replica.number() < since_poll_.size())
      since_poll_[resident.replica.number()] += resident.request.prompt_tokens.count();
  }

 protected:
  void refreshed(const View& view, const Request& request) override {
    since_poll_.assign(view.ledger.replicas().size(), 0);
    throughput_.assign(since_poll_.size(), 0);
    for (std::size_t i = 0; i < throughput_.size(); ++i)
      throughput_[i] = reported(view, request, signals().seen(view, ReplicaId(i)));
  }

  const Option* pick(const View& view, const Request& request, std::span<Option> options) override {
    if (signals().is_live())
      refreshed(view, request);
    double sum = 0;
    int reports = 0;
    for (const Option& option : options) {
      if (!reports_load(view, option.pool))
        continue;
      sum += throughput_[option.replica.number()];
      ++reports;
    }
    for (Option& option : options) {
      const ReplicaAccount& account = *option.account;
      if (reports == 0) {
        option.cost = view.ledger.replica(option.replica).outstanding();
      } else if (!reports_load(view, option.pool)) {
        option.cost =
            view.ledger.replica(option.replica).outstanding() * kUnknownTokens * reports / sum;
      } else {
        const std::size_t i = option.replica.number();
        const double k = std::min(kMostKv, kv_fraction(view, account));
        option.cost =
            static_cast<double>(account.tokens_to_prefill() + since_poll_[i]) / throughput_[i] +
            kKvWeight * k / (1 - k);
      }
    }
    return least(options);
  }

 private:
  static bool reports_load(const View& view, PoolId pool) {
    return view.perf.pool(pool).kind != perf::ServingKind::kMetered;
  }
  // Tokens per second that it generates.
  static double reported(const View& view, const Request& request, const ReplicaAccount& account) {
    if (account.decoding == 0)
      return kUnknownThroughput;
    ReplicaAccount measured = account;
    measured.id.reset();  // a report is no prediction: no error is put upon it
    const double tpot =
        view.predictor.forecast(view.now, request, account.pool, measured).tpot_before_s;
    return tpot > 0 ? account.decoding / tpot : kUnknownThroughput;
  }

  std::vector<long long> since_poll_;  // prompt tokens, by replica
  std::vector<double> throughput_;     // by replica, as of the poll
};

}  // namespace

std::unique_ptr<Placement> make_smg_least_load(bool live) {
  return std::make_unique<SmgLeastLoad>(live);
}

}  // namespace medley::sched
