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

// About the mean of the Azure 2023 conversation trace (1,155 and 211 tokens).
constexpr long long kTypicalPrompt = 1000, kTypicalAnswer = 200;

// Money of a typical request, in steps as full as they can be and at the cheapest hour; 0 where its
// energy is unknown.
double least_cost(const Fleet& fleet, const Pool& pool, const PoolModel& model) {
  if (pool.metered)
    return pool.metered->price(Tokens(kTypicalPrompt), Tokens(kTypicalAnswer));
  const long long context = kTypicalPrompt + kTypicalAnswer / 2;
  long long decodes = std::max(1, model.max_running);
  if (model.kv_tokens > 0)
    decodes = std::max(1LL, std::min(decodes, model.kv_tokens / (kTypicalPrompt + kTypicalAnswer)));
  const long long chunk_tokens = model.chunk_tokens > 0 ? model.chunk_tokens : kTypicalPrompt;
  const PrefillChunk chunk{chunk_tokens, 0};
  const StepShape decode{.decodes = decodes,
                         .decode_context = decodes * context,
                         .decode_context_min = context,
                         .decode_context_max = context};
  const double of_prompt = model.steps->step({.chunks = {&chunk, 1}}).energy.value() *
                           static_cast<double>(kTypicalPrompt) / static_cast<double>(chunk_tokens);
  const double of_answer = model.steps->step(decode).energy.value() *
                           static_cast<double>(kTypicalAnswer) / static_cast<double>(decodes);
  const std::array<double, 24>& hours = fleet.site.tariff_per_kwh;
  const auto cheapest = std::min_element(hours.begin(), hours.end()) - hours.begin();
  const MoneyPerJoule price = fleet.energy_price(Instant(std::chrono::hours(cheapest)));
  return (Joules(of_prompt + of_answer) * price).value();
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
    double cost = std::numeric_limits<double>::infinity();
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
      cost = std::min(cost, least_cost(fleet, fleet.pool(pool), perf.pool(pool)));
    }
    if (const double value = fleet.policy(service_class).value.value(); value < cost) {
      sentences.push_back(
          fmt::format("class {} is hardly worth serving: its value is {:.3g}, and a request of {} "
                      "prompt and {} "
                      "answer tokens costs {:.3g} or more on each of its pools",
                      name_of(service_class), value, kTypicalPrompt, kTypicalAnswer, cost));
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
