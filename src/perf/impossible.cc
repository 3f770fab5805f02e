#include "perf/impossible.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>

namespace medley::perf {
namespace {

struct Fastest {
  double ttft_s = std::numeric_limits<double>::infinity();
  double tpot_s = std::numeric_limits<double>::infinity();
};

// Of a prompt of one token on an idle replica.
Fastest fastest(const Pool& pool, const PoolModel& model) {
  if (pool.metered)  // its law has no least time to first token
    return {pool.metered->ttft_sigma > 0 ? 0 : pool.metered->ttft_median_s, pool.metered->tpot_s};
  const PrefillChunk chunk{1, 0};
  const StepShape decode{
      .decodes = 1, .decode_context = 1, .decode_context_min = 1, .decode_context_max = 1};
  return {model.steps->step({.chunks = {&chunk, 1}}).time.value(),
          model.steps->step(decode).time.value()};
}

}  // namespace

std::vector<std::string> impossible(const Fleet& fleet, const PerfModel& perf) {
  std::vector<std::string> sentences;
  for (const ServiceClass service_class : kServiceClasses) {
    const Targets& targets = fleet.policy(service_class).targets;
    std::set<PoolId> pools;
    for (const Offer& offer : fleet.offers)
      pools.insert(offer.pools[index_of(service_class)].begin(),
                   offer.pools[index_of(service_class)].end());
    if (pools.empty())
      continue;  // offered to nobody
    Fastest best;
    bool kept = false;
    const auto within = [](double seconds, const std::optional<Duration>& target) {
      return !target || seconds <= to_seconds(*target).value();
    };
    for (const PoolId pool : pools) {
      const Fastest here = fastest(fleet.pool(pool), perf.pool(pool));
      kept = kept || (within(here.ttft_s, targets.ttft) && within(here.tpot_s, targets.tpot) &&
                      within(here.ttft_s, targets.deadline));
      best.ttft_s = std::min(best.ttft_s, here.ttft_s);
      best.tpot_s = std::min(best.tpot_s, here.tpot_s);
    }
    if (!kept) {
      sentences.push_back(fmt::format(
          "no pool keeps the targets of class {}, however idle it is: the least of any pool is "
          "ttft_s {:.3g}, of any tpot_s {:.3g}",
          name_of(service_class), best.ttft_s, best.tpot_s));
    }
  }
  for (const Label& label : fleet.labels) {
    if (!label.any_zone && !label.zones.empty() &&
        std::none_of(fleet.pools.begin(), fleet.pools.end(),
                     [&](const Pool& pool) { return label.allows(pool.zone); })) {
      sentences.push_back(fmt::format(
          "no pool stands in a zone of label {}: every request with it is refused", label.name));
    }
  }
  return sentences;
}

}  // namespace medley::perf
