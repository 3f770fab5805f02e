// smg_cache_aware, smg_cache_aware_library: the longest matching prefix while loads are alike, else
// the shortest queue.
//
// Rule: if max − min > A and max > R·min of the requests in flight: the fewest in flight. Else, if
// the best match covers more than T of the prompt: that worker. Else the worker with the smallest
// tree of prompts.
//
// Source: lightseekorg/smg of 2026-08-07, `cache_aware`. It has two sets of defaults: those of the
// command line and, with `_library`, those of the library.
//
// Signals: its own counts and trees, live.
//
// Made up here: matches are those of the core's own index, which knows only of pools that cache
// prefixes and forgets what has left their memory; a tree of text knows neither. A tree is as large
// as what was sent there beyond what matched; it is cut at sizes that such a run does not reach.
#include <algorithm>

#include "sched/placement/baselines/baseline.h"
#include "sched/placement/baselines/makers.h"

namespace medley::sched {
namespace {

struct Constants {
  double match;     // T
  int absolute;     // A
  double relative;  // R
};
constexpr Constants kCommandLine = {.match = 0.3, .absolute = 64, .relative = 1.5};
constexpr Constants kLibrary = {.match = 0.5, .absolute = 32, .relative = 1.1};

class SmgCacheAware final : public Baseline {
 public:
  explicit SmgCacheAware(const Constants& constants) : constants_(constants) {}
  void dispatched(Instant, const Resident& resident) override {
    const std::size_t replica = resident.replica.number();
    if (tree_tokens_.size() <= replica)
      tree_tokens_.resize(replica + 1);
    tree_tokens_[replica] += resident.request.prompt_tokens.count() - resident.cached_tokens;
  }

 protected:
  const Option* pick(const View& view, const Request& request, std::span<Option> options) override {
    tree_tokens_.resize(view.ledger.replicas().size());
    const auto [min, max] =
        std::minmax_element(options.begin(), options.end(), [](const Option& a, const Option& b) {
          return a.account->outstanding() < b.account->outstanding();
        });
    const int most = max->account->outstanding(), fewest = min->account->outstanding();
    const bool unbalanced =
        most - fewest > constants_.absolute && most > constants_.relative * fewest;
    for (Option& option : options) {
      const double match = cached_share(view, request, option);
      option.cost = unbalanced ? option.account->outstanding()
                               : static_cast<double>(tree_tokens_[option.replica.number()]);
      if (!unbalanced && match > constants_.match)
        option.cost = -match;  // before every tree
    }
    return least(options);
  }

 private:
  const Constants constants_;
  std::vector<long long> tree_tokens_;  // by replica
};

}  // namespace

std::unique_ptr<Placement> make_smg_cache_aware(CacheAware defaults) {
  return std::make_unique<SmgCacheAware>(defaults == CacheAware::kLibrary ? kLibrary
                                                                          : kCommandLine);
}

}  // namespace medley::sched
