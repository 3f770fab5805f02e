// Fleet files: every key of docs/fleet.md, checked and resolved to a complete Fleet.
//
// What a file may leave out:
//   site            zone "local"; jurisdiction unknown; pue 1; tariff 0 EUR per kWh (energy is
//   free) classes         default_policy() of each class; a target may be `none` labels one label,
//   "internal", that only the site's own zone may process default_label   "internal", or the only
//   label placement       medley; round_robin where a pool is timed by a table pool.model required
//   for hardware and services; a table pool without one serves "default" pool.precision  the
//   model's native one, else bf16 pool.zone       the site's; its jurisdiction is the site's in the
//   site's zone, else unknown pool.replicas   1, or one for each url pool.engine     llama_embedded
//   on this_machine, else emulated (virtual time in `simulate`) pool.batching   chunked_prefill,
//   chunks of 384, 2048 tokens a step, 256 running, blocks of 16 accept          nothing: every
//   pool's model is a name of its own, open to all classes
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "base/result.h"
#include "data/catalog.h"
#include "data/yaml.h"
#include "domain/fleet.h"

namespace medley::data {

struct FleetOptions {
  // Look up "${env:X}" and "${file:PATH}"; without, keys stay empty: a simulation needs no secrets.
  bool resolve_secrets = true;
};

Result<Fleet> read_fleet(const std::string& path, const Catalog& catalog,
                         const FleetOptions& options = {});
Result<Fleet> read_fleet(const Node& node, const Catalog& catalog,
                         const FleetOptions& options = {});

// For files in which the keys of a fleet stand among others (scenarios): reads them from `fields`,
// which the caller closes. Errors end in `fields`.
void read_fleet_keys(Fields& fields, const Catalog& catalog, const FleetOptions& options,
                     Fleet& fleet);

// The keys `site`, `classes`, `labels` and `default_label` alone, for files that say what a fleet
// is to be and not what it is (data/requirements_file.h).
void read_frame_keys(Fields& fields, Fleet& fleet);
// 24 numbers for the hours of the day, or one for all of them.
Result<std::array<double, 24>> read_hours(const Node& node, const Bounds& bounds);
// What a place may state. A market's hour may be negative, but a scheduler that is paid for burning
// energy would burn it.
inline constexpr Bounds kEnergyPrice{.max = 1000}, kPue{.min = 1, .max = 10}, kCarbon{.max = 5000};
// By its shape, three capitals (ISO 4217): a list of codes grows old, and what people write in
// place of one is "euros" or "$".
bool is_currency(std::string_view text);
Result<Jurisdiction> read_jurisdiction(const Node& node);
// The map under `metered`.
Result<Metered> read_metered(const Node& node);

// The policy that `placement` names (domain/placement_policy.h); empty where the key is absent.
// Errors end in `fields`.
std::optional<PlacementPolicy> read_placement_policy(Fields& fields);

// The place of a pool's offer: the name requests ask for, by the name of the model or an alias of
// it. kNotFound names the nearest.
Result<OfferId> offer_named(const Fleet& fleet, const std::string& name);
Result<LabelId> label_named(const Fleet& fleet, const std::string& name);
Result<TenantId> tenant_named(const Fleet& fleet, const std::string& name);

}  // namespace medley::data
