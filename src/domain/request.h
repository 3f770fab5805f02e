// One piece of interactive or batch work, as the scheduler is told of it: no prompt text, no true
// length.
#pragma once

#include <cstddef>
#include <optional>

#include "domain/ids.h"
#include "domain/prefix.h"
#include "domain/service_class.h"

namespace medley {

// Through which of the endpoints it came.
enum class Endpoint { kChat, kCompletion };
inline constexpr std::size_t kEndpointCount = 2;

struct Request {
  RequestId id;
  Instant arrived_at;
  ServiceClass service_class = ServiceClass::kStandard;
  LabelId label;
  TenantId tenant;  // whose it is
  // Its place among what waits of the same class and tenant: lower first. It decides nothing else.
  long long priority = 0;
  OfferId model;  // the name asked for
  Endpoint endpoint = Endpoint::kChat;
  Tokens prompt_tokens;              // at least 1
  std::optional<Tokens> output_cap;  // the client's own limit on the answer (max_tokens)
  // Its true length, which only a study tells (PlacementPolicy::knows_lengths).
  std::optional<Tokens> output_known;
  // Its client is sent tokens as they come: after the first it cannot start over.
  bool streamed = false;
  Prefix prefix;    // what its prompt begins with
  Targets targets;  // overrides of the class's targets; unset ones follow the class
};

// Requests whose prompts are about as long: the power of two above its tokens, short ones alike.
int length_bucket(Tokens prompt_tokens);

}  // namespace medley
