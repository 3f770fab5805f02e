// litellm_cost: the lowest list price.
//
// Rule: among the healthy deployments the one where a token of the prompt and one of the answer
// together cost least.
//
// Source: LiteLLM, router_strategy/lowest_cost.py as read in November 2026. Limits on tokens or
// requests per minute have no default, so load does not enter. (They are counted when answers end:
// a deployment that drowns would not reach them.)
//
// Signals: none but health.
//
// Made up here: what owned hardware costs is the energy of a token at the operating point
// (list_price); a deployment is a pool with a balancer of its own behind its address: of its
// replicas, the one with the fewest in flight.
#include <algorithm>
#include <utility>

#include "sched/placement/baselines/baseline.h"
#include "sched/placement/baselines/makers.h"

namespace medley::sched {
namespace {

class LitellmCost final : public Baseline {
 protected:
  const Option* pick(const View& view, const Request&, std::span<Option> options) override {
    for (std::size_t i = 0; i < options.size(); ++i) {
      const bool same_pool = i > 0 && options[i].pool == options[i - 1].pool;
      options[i].cost =
          same_pool ? options[i - 1].cost : list_price(view, options[i].pool, Tokens(1), Tokens(1));
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
