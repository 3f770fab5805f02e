// greedy_cheapest: the cheapest replica that is predicted to meet the targets, else the fastest.
//
// Rule: of the replicas where the forecast meets every target, the one where the request costs
// least; where none does, the one where its answer ends first.
//
// Source: no product; what a cost-minded operator writes first, and what the study behind medley
// compared with.
//
// Signals: live. The predictor is medley's own.
#include <algorithm>

#include "sched/placement/baselines/baseline.h"
#include "sched/placement/baselines/makers.h"

namespace medley::sched {
namespace {

class GreedyCheapest final : public Baseline {
 public:
  bool predicts() const override { return true; }

 protected:
  const Option* pick(const View& view, const Request& request, std::span<Option> options) override {
    bool any_meets = false;
    for (Option& option : options) {
      option.forecast = foreseen(view, request, option);
      const bool meets = meets_targets(view, request, *option.forecast);
      any_meets = any_meets || meets;
      if (meets)
        option.cost = option.forecast->money;
    }
    if (!any_meets) {
      for (Option& option : options)
        option.cost = end_from_arrival_s(view, request, *option.forecast);
    }
    return least(options);
  }
};

}  // namespace

std::unique_ptr<Placement> make_greedy_cheapest() { return std::make_unique<GreedyCheapest>(); }

}  // namespace medley::sched
