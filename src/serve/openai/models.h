// GET /v1/models and /v1/models/{id}: the names that may be asked for, and where they are served.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "domain/fleet.h"

namespace medley::serve::openai {

// `created` is in Unix seconds: fleets do not know how old their models are.
std::string models_json(const Fleet& fleet, std::int64_t created);
std::string model_json(const Fleet& fleet, OfferId offer, std::int64_t created);
std::optional<OfferId> find_offer(const Fleet& fleet, std::string_view name);
// ", did you mean …": for a name that find_offer() does not know.
std::string model_suggestion(const Fleet& fleet, std::string_view name);

}  // namespace medley::serve::openai
