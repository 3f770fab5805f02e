// What a client asks for: the body of a completion request and the headers that go with it.
//
// The first step of the main path. Everything here is outside input: an error is kInvalid and names
// the field as the client wrote it. Fields that nobody here knows are no error; they travel on in
// the body.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "domain/fleet.h"
#include "engine/engine.h"
#include "net/http.h"

namespace medley::serve::openai {

// One thing that the request wants to be different from its class: a key of the body's `medley`
// object, or `priority`, which other servers take too.
struct BodyWish {
  std::string key, value;  // a header's name without "medley-", and what would stand there
  std::string param;       // as the client wrote it
};

struct CompletionRequest {
  bool chat = true;
  std::string model;
  std::vector<engine::Message> messages;  // chat
  std::string prompt;                     // not chat
  std::optional<Tokens> max_tokens;
  engine::Sampling sampling;
  bool stream = false;
  bool include_usage = false;
  std::optional<std::string> service_tier;  // as it came
  ServiceClass service_class = ServiceClass::kStandard;
  std::vector<BodyWish> wishes;  // each key once
};

Result<CompletionRequest> parse_chat_completion(std::string_view body);
Result<CompletionRequest> parse_completion(std::string_view body);

// The class that a service_tier of any known dialect means.
Result<ServiceClass> class_of_tier(std::string_view tier);

// What a request wants for itself, by the headers medley-class, -label, -tenant, -priority, -ttft,
// -tpot and -deadline, or by the same names without "medley-" in its body. A header goes before the
// body. An error's param is the header's name, or the place in the body.
struct Wishes {
  std::optional<ServiceClass> service_class;
  LabelId label;    // the fleet's default when not named
  TenantId tenant;  // the default one when none or an unknown one is named
  long long priority = 0;
  Targets targets;
};
Result<Wishes> parse_wishes(const net::HttpHeaders& headers, const std::vector<BodyWish>& in_body,
                            const Fleet& fleet);

// "200ms", "1.5s", "10m", "24h", "500us"; above zero and at most ten years.
std::optional<Duration> parse_duration(std::string_view text);

}  // namespace medley::serve::openai
