// polyserve: the fullest replica that still keeps the promise, in the request's own tier first.
//
// Rule: requests and servers are in tiers by time per token. A request goes to the most loaded
// server of its tier where its targets and those of the tier still hold; if there is none, looser
// work rides in the slack of the next tighter tier, and so on.
//
// Source: PolyServe, arXiv 2507.17769.
//
// Signals: the paper's scheduler predicts from a profile of its own state: live.
//
// Made up here: tiers are the classes' TPOT targets and one without. The paper gives servers to
// tiers as load moves; here a pool's tier is the tightest one that its replica keeps with a single
// sequence, since that is what unlike hardware differs in. With a request on board a server must
// keep the TPOT of the tightest class that it holds. Load is the share of sequences or of KV cache
// taken, whichever is more. Where nothing is feasible (the paper would scale out) the request goes
// where its answer ends first in its own tier, or in the nearest tier that has a server for it: it
// does not break the promises of tighter ones.
#include <algorithm>

#include "sched/placement/baselines/baseline.h"
#include "sched/placement/baselines/makers.h"

namespace medley::sched {
namespace {

class Polyserve final : public Baseline {
 public:
  bool predicts() const override { return true; }

 protected:
  const Option* pick(const View& view, const Request& request, std::span<Option> options) override {
    if (pool_tiers_.empty())
      make_tiers(view, request);
    const std::size_t tier = tier_of(request.targets.tpot);
    // Its own tier, then ever tighter ones; looser servers could not keep it at all.
    const Option* best = nullptr;
    std::size_t best_tier = 0;
    for (Option& option : options) {
      option.forecast = foreseen(view, request, option);
      const std::size_t there = pool_tiers_[option.pool.number()];
      if (there > tier || !meets_targets(view, request, *option.forecast) ||
          !keeps_residents(view, option))
        continue;
      option.cost = -load(view, option);
      if (best == nullptr || there > best_tier ||
          (there == best_tier && option.cost < best->cost)) {
        best = &option;
        best_tier = there;
      }
    }
    if (best != nullptr)
      return best;
    // Never in a tighter tier: those have promises of their own.
    std::optional<std::size_t> own;
    for (const Option& option : options) {
      const std::size_t there = pool_tiers_[option.pool.number()];
      if (!own || (there <= tier ? *own > tier || there > *own : *own > tier && there < *own))
        own = there;
    }
    for (Option& option : options) {
      option.cost = pool_tiers_[option.pool.number()] == *own
                        ? end_from_arrival_s(view, request, *option.forecast)
                        : std::numeric_limits<double>::infinity();
    }
    return least(options);
  }

 private:
  void make_tiers(const View& view, const Request& request) {
    for (const ServiceClass service_class : kServiceClasses) {
      if (const auto& tpot = view.fleet.policy(service_class).targets.tpot)
        targets_.push_back(*tpot);
    }
    std::sort(targets_.begin(), targets_.end());
    targets_.erase(std::unique(targets_.begin(), targets_.end()), targets_.end());
    for (std::size_t i = 0; i < view.fleet.pools.size(); ++i) {
      const double tpot = view.predictor.forecast_alone(view.now, request, PoolId(i)).tpot_s;
      std::size_t tier = 0;
      while (tier < targets_.size() && tpot > to_seconds(targets_[tier]).value())
        ++tier;
      pool_tiers_.push_back(tier);
    }
  }
  // The loosest tier that is tight enough; tiers count from the tightest.
  std::size_t tier_of(const std::optional<Duration>& target) const {
    if (!target)
      return targets_.size();
    std::size_t tier = 0;
    while (tier + 1 < targets_.size() && targets_[tier + 1] <= *target)
      ++tier;
    return tier;
  }
  static bool keeps_residents(const View& view, const Option& option) {
    for (const ServiceClass service_class : kServiceClasses) {
      const auto& tpot = view.fleet.policy(service_class).targets.tpot;
      if (tpot && option.account->by_class[index_of(service_class)] > 0 &&
          option.forecast->tpot_s > to_seconds(*tpot).value())
        return false;
    }
    return true;
  }
  static double load(const View& view, const Option& option) {
    const perf::PoolModel& model = view.perf.pool(option.pool);
    const double sequences =
        static_cast<double>(option.account->outstanding()) / std::max(1, model.max_running);
    if (model.kv_tokens <= 0)
      return sequences;
    return std::max(sequences, static_cast<double>(option.account->reserved_tokens) /
                                   static_cast<double>(model.kv_tokens));
  }

  std::vector<Duration> targets_;        // the tightest first
  std::vector<std::size_t> pool_tiers_;  // by pool; targets_.size(): it keeps none
};

}  // namespace

std::unique_ptr<Placement> make_polyserve() { return std::make_unique<Polyserve>(); }

}  // namespace medley::sched
