// aibrix_prefix_cache: the best match that is not overloaded, else the least loaded.
//
// Rule: if max − min running > 8: the fewest running. Else among pods that hold some of the prompt,
// by descending match, the first whose load is at most mean + 1 standard deviation. Else the fewest
// running.
//
// Source: vllm-project/aibrix of 2026-08-22, `prefix-cache`.
//
// Signals: the gateway's own count of running requests, live.
//
// Made up here: matches are those of the core's own index, in the place of a table of hashes. Where
// nothing matches the rule is least_outstanding.
#include <algorithm>
#include <cmath>

#include "sched/placement/baselines/baseline.h"
#include "sched/placement/baselines/makers.h"

namespace medley::sched {
namespace {

constexpr int kImbalance = 8;
constexpr double kDeviations = 1;

class AibrixPrefixCache final : public Baseline {
 protected:
  const Option* pick(const View& view, const Request& request, std::span<Option> options) override {
    double sum = 0, squares = 0;
    int most = 0, fewest = options.front().account->outstanding();
    for (Option& option : options) {
      const int running = option.account->outstanding();
      option.cost = running;
      sum += running;
      squares += static_cast<double>(running) * running;
      most = std::max(most, running);
      fewest = std::min(fewest, running);
    }
    if (most - fewest > kImbalance)
      return least(options);
    const auto count = static_cast<double>(options.size());
    const double mean = sum / count;
    const double limit =
        mean + kDeviations * std::sqrt(std::max(0.0, squares / count - mean * mean));
    const Option* best = nullptr;
    double best_match = 0;
    for (const Option& option : options) {
      const double match = cached_share(view, request, option);
      if (match > best_match && option.cost <= limit) {
        best = &option;
        best_match = match;
      }
    }
    return best != nullptr ? best : least(options);
  }
};

}  // namespace

std::unique_ptr<Placement> make_aibrix_prefix_cache() {
  return std::make_unique<AibrixPrefixCache>();
}

}  // namespace medley::sched
