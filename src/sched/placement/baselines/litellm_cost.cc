// litellm_cost: the lowest list price.
//
// Rule: among the healthy deployments the one with the lowest price of the request's tokens.
//
// Source: LiteLLM, router_strategy/lowest_cost.py as read in November 2026. Without limits on
// tokens or requests per minute, its default, load does not enter.
//
// Signals: none but health. Made up here: what owned hardware costs is the energy of a token at the
// operating point (list_price); a deployment is a pool with a balancer of its own behind its
// address: of its replicas, the one with the fewest in flight.
#include <algorithm>
#include <utility>

#include "sched/placement/baselines/baseline.h"
#include "sched/placement/baselines/makers.h"

namespace medley::sched {
namespace {

class LitellmCost final : public Baseline {
 protected:
  const Option* pick(const View& view, const Request& request, std::span<Option> options) override {
    for (std::size_t i = 0; i < options.size(); ++i) {
      const bool same_pool = i > 0 && options[i].pool == options[i - 1].pool;
      options[i].cost =
          same_pool ? options[i - 1].cost : list_price(view, request, options[i].pool);
    }
    return &*std::min_element(options.begin(), options.end(), [](const Option& a, const Option& b) {
      return std::pair(a.cost, a.account->outstanding()) <
             std::pair(b.cost, b.account->outstanding());
    });
  }
};

}  // namespace

std::unique_ptr<Placement> make_litellm_cost() { return std::make_unique<LitellmCost>(); }

}  // namespace medley::sched
