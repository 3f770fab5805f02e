// static_grid: a hand-written table, the "static expert".
//
// Rule: a table says which pools serve a request, by its prompt length, TTFT target and TPOT
// target; a target that is missing counts as the middle of the range; rules by priority go before
// the table.
//
// Source: NVIDIA Dynamo ~1.4 of 2026-08-21, GlobalRouter, aggregated grid with prompt lengths.
//
// Signals: the table has none; inside it, requests in flight, live.
//
// Made up here: the table itself, as an expert would write it who knows the step models and the
// classes but not the load of the moment.
//
// - Targets are binned by those of the classes, prompts at 512, 1k, 2k, 4k, 8k and 16k tokens.
//
// - A pool serves a cell if a replica that decodes a moderate batch (32 sequences of a thousand
// tokens, or half of what it can hold) meets both targets with the longest prompt of the cell: TTFT
// with half a prompt of that length ahead, TPOT with a prompt in every second step.
//
// - What serves a tighter TPOT is kept for it: a cell is given to the pools of the loosest tier
// that serve it. Only where none of them is lawful or alive does the next tier get it; where no
// pool serves the cell, the tightest. A tier with less than a tenth of what the fleet can do is too
// weak to stand alone and stands with the next.
//
// - Within a tier a request goes where fewest are in flight for what a replica can do.
//
// - The one rule by priority: work without any target but a deadline is of the loosest cell.
#include <algorithm>
#include <array>
#include <cmath>

#include "sched/placement/baselines/baseline.h"
#include "sched/placement/baselines/makers.h"

namespace medley::sched {
namespace {

constexpr std::array<long long, 6> kPromptBins = {512, 1024, 2048, 4096, 8192, 16384};
constexpr int kModerateBatch = 32;
constexpr long long kModerateContext = 1000;
constexpr double kLeastShare = 0.1;

class StaticGrid final : public Baseline {
 protected:
  const Option* pick(const View& view, const Request& request, std::span<Option> options) override {
    if (tiers_.empty())
      make_table(view);
    const std::size_t prompt = prompt_bin(request.prompt_tokens.count());
    const bool patient = !request.targets.ttft && !request.targets.tpot;
    const std::size_t ttft = patient ? ttfts_.size() : target_bin(ttfts_, request.targets.ttft);
    const std::size_t tpot = patient ? tpots_.size() : target_bin(tpots_, request.targets.tpot);
    const std::vector<bool>& serves =
        table_[(prompt * (ttfts_.size() + 1) + ttft) * (tpots_.size() + 1) + tpot];
    // The loosest tier that serves the cell and is there; if none serves it, the tightest there is.
    std::optional<std::size_t> serving, tightest;
    for (const Option& option : options) {
      const std::size_t tier = tiers_[option.pool.number()];
      if (serves[option.pool.number()] && (!serving || tier > *serving))
        serving = tier;
      if (!tightest || tier < *tightest)
        tightest = tier;
    }
    for (Option& option : options) {
      const std::size_t pool = option.pool.number();
      if (serving ? serves[pool] && tiers_[pool] == *serving : tiers_[pool] == *tightest)
        option.cost = (option.account->outstanding() + 1) / requests_per_s_[pool];
    }
    return least(options);
  }

 private:
  static std::size_t prompt_bin(long long tokens) {
    std::size_t bin = 0;
    while (bin + 1 < kPromptBins.size() && tokens > kPromptBins[bin])
      ++bin;
    return bin;
  }
  // The loosest bin that is tight enough.
  static std::size_t target_bin(const std::vector<double>& bins,
                                const std::optional<Duration>& target) {
    if (!target)
      return bins.size() / 2;
    const double target_s = to_seconds(*target).value();
    std::size_t bin = 0;
    while (bin + 1 < bins.size() && bins[bin + 1] <= target_s)
      ++bin;
    return bin;
  }

  struct Idle {
    double ttft_s, tpot_s;
  };
  static Idle idle(const View& view, PoolId pool, long long prompt) {
    const perf::PoolModel& model = view.perf.pool(pool);
    Request request;
    request.prompt_tokens = Tokens(prompt);
    ReplicaAccount account;
    account.pool = pool;
    account.decoding = std::clamp(model.max_running / 2, 1, kModerateBatch);
    account.decode_context = account.decoding * kModerateContext;
    const Forecast forecast = view.predictor.forecast(view.now, request, pool, account);
    if (model.kind != perf::ServingKind::kBatched)
      return {1.5 * forecast.ttft_s, forecast.tpot_s};
    perf::StepShape shape;
    shape.decodes = account.decoding;
    shape.decode_context = account.decode_context;
    shape.decode_context_min = shape.decode_context_max = kModerateContext;
    const double without_s = model.steps->step(shape).time.value();
    const long long tokens =
        model.chunk_tokens > 0 ? std::max(1LL, model.chunk_tokens - account.decoding) : prompt;
    const perf::PrefillChunk chunk{std::min(prompt, tokens), 0};
    shape.chunks = {&chunk, 1};
    const double with_s = model.steps->step(shape).time.value();
    return {1.5 * forecast.ttft_s, (without_s + with_s) / 2};
  }

  void make_table(const View& view) {
    for (const ServiceClass service_class : kServiceClasses) {
      const Targets& targets = view.fleet.policy(service_class).targets;
      if (targets.ttft)
        ttfts_.push_back(to_seconds(*targets.ttft).value());
      if (targets.tpot)
        tpots_.push_back(to_seconds(*targets.tpot).value());
    }
    for (auto* bins : {&ttfts_, &tpots_}) {
      std::sort(bins->begin(), bins->end());
      bins->erase(std::unique(bins->begin(), bins->end()), bins->end());
    }
    const std::size_t pools = view.fleet.pools.size();
    for (std::size_t i = 0; i < pools; ++i) {
      const Idle typical = idle(view, PoolId(i), kModerateContext);
      std::size_t tier = 0;
      while (tier < tpots_.size() && typical.tpot_s > tpots_[tier])
        ++tier;
      tiers_.push_back(tier);
      Request request;
      request.prompt_tokens = Tokens(kModerateContext);
      requests_per_s_.push_back(1 / view.predictor.usage_s(PoolId(i), request));
    }
    // From the loosest tier on: what is too weak to stand alone stands with the next.
    double all = 0;
    for (std::size_t i = 0; i < pools; ++i)
      all += requests_per_s_[i] * view.fleet.pools[i].replicas;
    for (std::size_t tier = tpots_.size(); tier > 0; --tier) {
      double in_tier = 0;
      for (std::size_t i = 0; i < pools; ++i) {
        if (tiers_[i] == tier)
          in_tier += requests_per_s_[i] * view.fleet.pools[i].replicas;
      }
      if (in_tier < kLeastShare * all)
        std::replace(tiers_.begin(), tiers_.end(), tier, tier - 1);
    }
    for (const long long prompt : kPromptBins) {
      for (std::size_t ttft = 0; ttft <= ttfts_.size(); ++ttft) {
        for (std::size_t tpot = 0; tpot <= tpots_.size(); ++tpot) {
          std::vector<bool>& serves = table_.emplace_back();
          for (std::size_t i = 0; i < pools; ++i) {
            const Idle there = idle(view, PoolId(i), prompt);
            serves.push_back((ttft == ttfts_.size() || there.ttft_s <= ttfts_[ttft]) &&
                             (tpot == tpots_.size() || there.tpot_s <= tpots_[tpot]));
          }
        }
      }
    }
  }

  std::vector<double> ttfts_, tpots_;   // the classes' targets, the tightest first
  std::vector<std::size_t> tiers_;      // by pool: the tightest TPOT it serves; past the last: none
  std::vector<double> requests_per_s_;  // by pool, of a replica
  std::vector<std::vector<bool>> table_;  // by prompt, TTFT and TPOT; in each by pool: it serves
};

}  // namespace

std::unique_ptr<Placement> make_static_grid() { return std::make_unique<StaticGrid>(); }

}  // namespace medley::sched
