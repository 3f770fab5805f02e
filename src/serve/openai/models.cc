#include "serve/openai/models.h"

#include <fmt/format.h>

#include <set>

#include "base/nearest.h"
#include "data/fleet_file.h"
#include "serve/openai/json_text.h"

namespace medley::serve::openai {

std::string model_json(const Fleet& fleet, OfferId offer_id, std::int64_t created) {
  const Offer& offer = fleet.offers.at(offer_id.number());
  std::set<PoolId> pools;
  for (const auto& of_class : offer.pools)
    pools.insert(of_class.begin(), of_class.end());
  std::string out = R"({"id":)";
  append_json_string(out, offer.name);
  out += fmt::format(R"(,"object":"model","created":{},"owned_by":"medley","medley":{{"pools":[)",
                     created);
  bool first = true;
  for (const PoolId id : pools) {
    const Pool& pool = fleet.pool(id);
    out += first ? R"({"name":)" : R"(,{"name":)";
    first = false;
    append_json_string(out, pool.name);
    out += R"(,"model":)";
    append_json_string(out, pool.model.id);
    out += R"(,"zone":)";
    append_json_string(out, pool.zone);
    out += fmt::format(R"(,"engine":"{}","device":)", pool.emulated() ? "emulated" : "real");
    append_json_string(out, pool.device);
    out += '}';
  }
  return out += "]}}";
}

std::string models_json(const Fleet& fleet, std::int64_t created) {
  std::string out = R"({"object":"list","data":[)";
  for (std::size_t i = 0; i < fleet.offers.size(); ++i) {
    if (i > 0)
      out += ',';
    out += model_json(fleet, OfferId(i), created);
  }
  return out += "]}";
}

std::optional<OfferId> find_offer(const Fleet& fleet, std::string_view name) {
  const Result<OfferId> found = data::offer_named(fleet, std::string(name));
  if (!found.ok())
    return std::nullopt;
  return *found;
}

std::string model_suggestion(const Fleet& fleet, std::string_view name) {
  std::vector<std::string> names;
  for (const Offer& offer : fleet.offers)
    names.push_back(offer.name);
  return suggestion(name.substr(0, 128), names);
}

}  // namespace medley::serve::openai
