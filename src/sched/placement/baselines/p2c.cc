// p2c: power of two choices.
//
// Rule: two different replicas drawn uniformly, the one with fewer requests in flight takes it.
//
// Source: SMG, Ray Serve, Dynamo and AIBrix all offer it under this name (versions of August 2026).
//
// Signals: the gateway's own count of requests in flight, live in all of them.
//
// Made up here: nothing. The draws come from a fixed seed.
#include <algorithm>

#include "base/prng.h"
#include "sched/placement/baselines/baseline.h"
#include "sched/placement/baselines/makers.h"

namespace medley::sched {
namespace {

constexpr std::uint64_t kSeed = 0x9c2;

class P2c final : public Baseline {
 protected:
  const Option* pick(const View&, const Request&, std::span<Option> options) override {
    for (Option& option : options)
      option.cost = option.account->outstanding();
    if (options.size() == 1)
      return options.data();
    std::size_t one = prng_.below(options.size()), other = prng_.below(options.size() - 1);
    if (other >= one)
      ++other;
    if (other < one)
      std::swap(one, other);
    return options[other].cost < options[one].cost ? &options[other] : &options[one];
  }

 private:
  Prng prng_{kSeed};
};

}  // namespace

std::unique_ptr<Placement> make_p2c() { return std::make_unique<P2c>(); }

}  // namespace medley::sched
