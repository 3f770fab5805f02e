// multi_factor: quality, latency, cost and load in equal parts.
//
// Rule: what exceeds a ceiling on TPOT, TTFT, price or requests in flight is out. Score (higher is
// better) = ¼ quality + ¼·(1 − latency) + ¼·(1 − cost) + ¼·(1 − load), each scaled to 0..1 over the
// candidates. If nothing is left: the cheapest.
//
// Source: vllm-project/semantic-router of 2026-08-22, `multi_factor`.
//
// Signals: live here; as published, TTFT and TPOT are 95th percentiles of what was observed.
//
// Made up here: the ceilings are the request's own targets and the sequences that a replica runs,
// with none on the price. Latency is the predicted time to the end of the answer, cost is
// list_price, load is what is in flight, and quality, which an operator writes down, is the number
// of the model's parameters.
#include <algorithm>

#include "sched/placement/baselines/baseline.h"
#include "sched/placement/baselines/makers.h"

namespace medley::sched {
namespace {

constexpr double kWeight = 0.25;  // of each factor

class MultiFactor final : public Baseline {
 public:
  bool predicts() const override { return true; }

 protected:
  const Option* pick(const View& view, const Request& request, std::span<Option> options) override {
    factors_.assign(options.size(), {});
    Spread quality, latency, cost, load;
    for (std::size_t i = 0; i < options.size(); ++i) {
      Option& option = options[i];
      Factors& factors = factors_[i];
      option.forecast = foreseen(view, request, option);
      const bool same_pool = i > 0 && option.pool == options[i - 1].pool;
      factors.cost = same_pool ? factors_[i - 1].cost
                               : list_price(view, option.pool, request.prompt_tokens,
                                            Tokens(view.predictor.output_tokens(request)));
      factors.quality = view.fleet.pool(option.pool).model.parameters;
      factors.latency = end_from_arrival_s(view, request, *option.forecast);
      factors.load = option.account->outstanding();
      factors.passes = meets_targets(view, request, *option.forecast) &&
                       option.account->outstanding() < view.perf.pool(option.pool).max_running;
      if (!factors.passes)
        continue;
      quality.take_in(factors.quality);
      latency.take_in(factors.latency);
      cost.take_in(factors.cost);
      load.take_in(factors.load);
    }
    bool any_passes = false;
    for (std::size_t i = 0; i < options.size(); ++i) {
      const Factors& factors = factors_[i];
      if (!factors.passes)
        continue;
      any_passes = true;
      options[i].cost =
          -kWeight * (quality.place(factors.quality) + 1 - latency.place(factors.latency) + 1 -
                      cost.place(factors.cost) + 1 - load.place(factors.load));
    }
    if (any_passes)
      return least(options);
    // The cheapest; of a pool's replicas, which cost the same, the one with the fewest in flight.
    std::size_t best = 0;
    for (std::size_t i = 0; i < options.size(); ++i) {
      options[i].cost = factors_[i].cost;
      if (std::pair(factors_[i].cost, factors_[i].load) <
          std::pair(factors_[best].cost, factors_[best].load))
        best = i;
    }
    return &options[best];
  }

 private:
  struct Factors {
    double quality = 0, latency = 0, cost = 0, load = 0;
    bool passes = false;
  };

  std::vector<Factors> factors_;  // scratch
};

}  // namespace

std::unique_ptr<Placement> make_multi_factor() { return std::make_unique<MultiFactor>(); }

}  // namespace medley::sched
