#include "domain/fleet.h"

#include <algorithm>

namespace medley {
namespace {

constexpr std::array<std::string_view, 4> kBatchings = {"chunked_prefill", "prefill_first",
                                                        "token_budget", "mixed"};
constexpr std::array<std::string_view, 4> kEngines = {"emulated", "llama_embedded", "openai_http",
                                                      "static_schedule"};

std::size_t hour_of_day(Instant at) {
  const auto hours = std::chrono::floor<std::chrono::hours>(at.time_since_epoch()).count();
  return static_cast<std::size_t>(((hours % 24) + 24) % 24);
}

}  // namespace

std::string_view name_of(BatchingKind kind) { return kBatchings[static_cast<std::size_t>(kind)]; }
std::string_view name_of(EngineType type) { return kEngines[static_cast<std::size_t>(type)]; }

bool Label::allows(const std::string& zone) const {
  return any_zone || std::find(zones.begin(), zones.end(), zone) != zones.end();
}

bool Pool::statically_scheduled() const {
  if (!accelerator)
    return engine.type == EngineType::kStaticSchedule;
  switch (accelerator->kind) {
    case AcceleratorKind::kLpu:
      return true;
    // Some of these stream weights from beside the arithmetic as LPUs do, others from DRAM: the
    // constants say.
    case AcceleratorKind::kWafer:
    case AcceleratorKind::kDataflow:
      return constants.dataflow.t_layer_s > 0;
    default:
      return false;
  }
}

std::size_t Fleet::replica_count() const {
  std::size_t count = 0;
  for (const Pool& pool : pools)
    count += static_cast<std::size_t>(pool.replicas);
  return count;
}

std::vector<PoolId> Fleet::pools_of_replicas() const {
  std::vector<PoolId> owners;
  owners.reserve(replica_count());
  for (std::size_t pool = 0; pool < pools.size(); ++pool) {
    owners.insert(owners.end(), static_cast<std::size_t>(pools[pool].replicas), PoolId(pool));
  }
  return owners;
}

MoneyPerJoule Fleet::energy_price(Instant at) const {
  constexpr double kJoulesPerKwh = 3.6e6;
  return MoneyPerJoule(site.tariff_per_kwh[hour_of_day(at)] * site.pue / kJoulesPerKwh);
}

std::optional<Watts> Fleet::power_limit(Instant at) const {
  if (!site.power_limit_kw)
    return std::nullopt;
  return Watts((*site.power_limit_kw)[hour_of_day(at)] * 1000 / site.pue);
}

}  // namespace medley
