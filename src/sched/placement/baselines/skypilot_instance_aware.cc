// skypilot_instance_aware: requests in flight over what the kind of machine is meant to take.
//
// Rule: argmin over replicas of inflight / target_qps(accelerator).
//
// Source: SkyPilot, `instance_aware_least_load` of sky/serve/load_balancing_policies.py as read in
// November 2026. Constants: a target of 1.0 for every accelerator that the service does not name.
//
// Signals: the load balancer's own count, live.
//
// Made up here: the targets, which a user writes by hand. They are the requests per second of a
// thousand prompt tokens and the usual answer that a replica can do at its operating point, by the
// step model; all 1.0 would be least_outstanding.
#include "sched/placement/baselines/baseline.h"
#include "sched/placement/baselines/makers.h"

namespace medley::sched {
namespace {

constexpr long long kTypicalPrompt = 1000;

class SkypilotInstanceAware final : public Baseline {
 protected:
  const Option* pick(const View& view, const Request&, std::span<Option> options) override {
    if (target_qps_.empty()) {
      Request typical;
      typical.prompt_tokens = Tokens(kTypicalPrompt);
      for (std::size_t i = 0; i < view.fleet.pools.size(); ++i)
        target_qps_.push_back(1 / view.predictor.usage_s(PoolId(i), typical));
    }
    for (Option& option : options)
      option.cost = option.account->outstanding() / target_qps_[option.pool.number()];
    return least(options);
  }

 private:
  std::vector<double> target_qps_;  // by pool
};

}  // namespace

std::unique_ptr<Placement> make_skypilot_instance_aware() {
  return std::make_unique<SkypilotInstanceAware>();
}

}  // namespace medley::sched
