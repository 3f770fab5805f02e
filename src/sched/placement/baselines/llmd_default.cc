// llmd_default: queue, KV cache and prefix, scored and weighed.
//
// Rule (higher is better): 2·(q_max − q)/(q_max − q_min), 1 where all queues are equal; + 2·(1 −
// k); + 3·matched blocks / all blocks of the prompt. The highest score is picked.
//
// Source: llm-d-router of 2026-08-22, the default profile.
//
// Signals: metrics of the engines every 50 ms; nothing is booked between two of them.
//
// Made up here: q is what has no first token yet, k what decodes in the KV cache (a rented
// service's is 0). Matches are those of the core's own index, live, in the place of an LRU of
// 31,250 blocks a pod.
#include <algorithm>

#include "sched/placement/baselines/baseline.h"
#include "sched/placement/baselines/makers.h"

namespace medley::sched {
namespace {

constexpr Duration kPoll = std::chrono::milliseconds(50);
constexpr double kQueueWeight = 2, kKvWeight = 2, kPrefixWeight = 3;

class LlmdDefault final : public Baseline {
 public:
  explicit LlmdDefault(bool live) : Baseline(live ? Duration::zero() : kPoll) {}

 protected:
  const Option* pick(const View& view, const Request& request, std::span<Option> options) override {
    const auto [min, max] =
        std::minmax_element(options.begin(), options.end(), [](const Option& a, const Option& b) {
          return a.account->prefilling < b.account->prefilling;
        });
    const double longest = max->account->prefilling, shortest = min->account->prefilling;
    for (Option& option : options) {
      const double queue =
          longest > shortest ? (longest - option.account->prefilling) / (longest - shortest) : 1;
      const double kv = 1 - kv_fraction(view, *option.account);
      const double prefix = cached_share(view, request, option);
      option.cost = -(kQueueWeight * queue + kKvWeight * kv + kPrefixWeight * prefix);
    }
    return least(options);
  }
};

}  // namespace

std::unique_ptr<Placement> make_llmd_default(bool live) {
  return std::make_unique<LlmdDefault>(live);
}

}  // namespace medley::sched
