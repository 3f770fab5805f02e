// splitwise: shortest queue of prompts, then most free memory.
//
// Rule: the prompt goes where the fewest tokens are pending, unless these exceed 8,192; the answer
// where most memory is free, unless that is full; otherwise the other pool's machines are borrowed,
// which then do both ("mixed").
//
// Source: Mutinifni/splitwise-sim, `mixed_pool` as read in November 2026.
//
// Signals: the cluster scheduler's own, live.
//
// Made up here: nothing moves a KV cache between our replicas, so every replica is a mixed machine
// and serves a request from prompt to end. By fewest pending tokens; where even those exceed 8,192,
// by most free KV cache; where no cache has room for it, by fewest pending tokens again.
#include <algorithm>

#include "sched/placement/baselines/baseline.h"
#include "sched/placement/baselines/makers.h"

namespace medley::sched {
namespace {

constexpr long long kMostPendingTokens = 8192;

class Splitwise final : public Baseline {
 protected:
  const Option* pick(const View& view, const Request& request, std::span<Option> options) override {
    for (Option& option : options)
      option.cost = static_cast<double>(option.account->pending_prompt_tokens);
    const Option* shortest = least(options);
    if (shortest->account->pending_prompt_tokens <= kMostPendingTokens)
      return shortest;
    const Option* roomiest = nullptr;
    long long most_free = request.prompt_tokens.count() + view.predictor.output_tokens(request) - 1;
    for (const Option& option : options) {
      const long long free =
          view.perf.pool(option.pool).kv_tokens - option.account->reserved_tokens;
      if (free > most_free) {
        most_free = free;
        roomiest = &option;
      }
    }
    return roomiest != nullptr ? roomiest : shortest;
  }
};

}  // namespace

std::unique_ptr<Placement> make_splitwise() { return std::make_unique<Splitwise>(); }

}  // namespace medley::sched
