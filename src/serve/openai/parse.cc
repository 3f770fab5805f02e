#include "serve/openai/parse.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/nearest.h"

namespace medley::serve::openai {
namespace {

namespace dom = simdjson::dom;

// As many as OpenAI's own servers and vLLM's clients use; more is a mistake.
constexpr std::size_t kMostStops = 16;
constexpr std::int64_t kMostTokens = 1'000'000'000;
const std::array<std::string, 7> kWishes = {"class", "label", "tenant",  "priority",
                                            "ttft",  "tpot",  "deadline"};

struct Tier {
  std::string_view name;
  ServiceClass service_class;
};
// OpenAI's, Groq's and Anthropic's values (api-clients.md, section 2).
constexpr auto kTiers = std::to_array<Tier>({
    {"priority", ServiceClass::kGuaranteed},
    {"fast", ServiceClass::kGuaranteed},
    {"performance", ServiceClass::kGuaranteed},
    {"scale", ServiceClass::kGuaranteed},
    {"auto", ServiceClass::kStandard},
    {"default", ServiceClass::kStandard},
    {"on_demand", ServiceClass::kStandard},
    {"standard_only", ServiceClass::kStandard},
    {"flex", ServiceClass::kFlex},
});

Error invalid(std::string param, std::string message) {
  return Error{ErrorCode::kInvalid, std::move(message), std::move(param)};
}

std::string_view kind_of(const dom::element& element) {
  switch (element.type()) {
    case dom::element_type::ARRAY:
      return "an array";
    case dom::element_type::OBJECT:
      return "an object";
    case dom::element_type::INT64:
    case dom::element_type::UINT64:
    case dom::element_type::DOUBLE:
      return "a number";
    case dom::element_type::STRING:
      return "a string";
    case dom::element_type::BOOL:
      return "a boolean";
    case dom::element_type::NULL_VALUE:
      return "null";
    default:
      return "something else";
  }
}

Error wrong_type(std::string param, std::string_view expected, const dom::element& found) {
  std::string message = fmt::format("'{}' must be {}, not {}", param, expected, kind_of(found));
  return invalid(std::move(param), std::move(message));
}

// A key that comes twice could mean one thing here and another at the upstream. `place` is the
// object's, "" for the body itself.
Status refuse_double_keys(const std::string& place, const dom::object& object) {
  std::vector<std::string_view> keys;
  for (const auto field : object)
    keys.push_back(field.key);
  std::sort(keys.begin(), keys.end());
  const auto twice = std::adjacent_find(keys.begin(), keys.end());
  if (twice == keys.end())
    return Done{};
  const std::string param =
      fmt::format("{}{}{}", place, place.empty() ? "" : ".", twice->substr(0, 64));
  return invalid(param, fmt::format("'{}' is given twice", param));
}

Result<std::string> read_string(const std::string& param, const dom::element& value) {
  std::string_view text;
  if (value.get(text) != simdjson::SUCCESS)
    return wrong_type(param, "a string", value);
  return std::string(text);
}

Result<bool> read_bool(const std::string& param, const dom::element& value) {
  bool flag = false;
  if (value.get(flag) != simdjson::SUCCESS)
    return wrong_type(param, "a boolean", value);
  return flag;
}

Result<double> read_number(const std::string& param, const dom::element& value, double low,
                           double high) {
  double number = 0;
  if (value.get(number) != simdjson::SUCCESS)
    return wrong_type(param, "a number", value);
  if (!(number >= low && number <= high)) {
    return invalid(param,
                   fmt::format("'{}' must be between {} and {}, not {}", param, low, high, number));
  }
  return number;
}

Result<std::int64_t> read_whole(const std::string& param, const dom::element& value) {
  std::int64_t number = 0;
  if (value.get(number) == simdjson::SUCCESS)
    return number;
  if (!value.is_number())
    return wrong_type(param, "a whole number", value);
  return invalid(param, fmt::format("'{}' must be a whole number of at most 64 bits", param));
}

// `content` of a message, or the prompt's cousin: a string, or an array of text parts, which are
// joined.
Result<std::string> read_content(const std::string& param, const dom::element& value) {
  std::string_view text;
  if (value.get(text) == simdjson::SUCCESS)
    return std::string(text);
  dom::array parts;
  if (value.get(parts) != simdjson::SUCCESS)
    return wrong_type(param, "a string or an array of text parts", value);
  std::string joined;
  std::size_t i = 0;
  for (const dom::element part : parts) {
    const std::string place = fmt::format("{}[{}]", param, i++);
    dom::object object;
    if (part.get(object) != simdjson::SUCCESS)
      return wrong_type(place, "an object", part);
    MEDLEY_TRY_STATUS(refuse_double_keys(place, object));
    dom::element field;
    if (object["type"].get(field) != simdjson::SUCCESS) {
      return invalid(place + ".type", fmt::format("'{}.type' is missing", place));
    }
    std::string type;
    MEDLEY_TRY(type, read_string(place + ".type", field));
    if (type != "text") {
      return invalid(place + ".type",
                     fmt::format("'{}.type' is '{}'; only text parts are supported", place,
                                 type.substr(0, 64)));
    }
    if (object["text"].get(field) != simdjson::SUCCESS) {
      return invalid(place + ".text", fmt::format("'{}.text' is missing", place));
    }
    std::string piece;
    MEDLEY_TRY(piece, read_string(place + ".text", field));
    joined += piece;
  }
  return joined;
}

Result<engine::Message> read_message(const std::string& param, const dom::element& value) {
  static const std::array<std::string, 6> kRoles = {"system",    "developer", "user",
                                                    "assistant", "tool",      "function"};
  dom::object object;
  if (value.get(object) != simdjson::SUCCESS)
    return wrong_type(param, "an object", value);
  MEDLEY_TRY_STATUS(refuse_double_keys(param, object));
  engine::Message message;
  dom::element field;
  if (object["role"].get(field) != simdjson::SUCCESS) {
    return invalid(param + ".role", fmt::format("'{}.role' is missing", param));
  }
  MEDLEY_TRY(message.role, read_string(param + ".role", field));
  if (std::find(kRoles.begin(), kRoles.end(), message.role) == kRoles.end()) {
    return invalid(param + ".role",
                   fmt::format("'{}.role' is '{}'{}", param, message.role.substr(0, 64),
                               suggestion(message.role, kRoles)));
  }
  const bool absent = object["content"].get(field) != simdjson::SUCCESS || field.is_null();
  // An assistant that only called a tool said nothing.
  if (absent && message.role == "assistant")
    return message;
  if (absent)
    return invalid(param + ".content", fmt::format("'{}.content' is missing", param));
  MEDLEY_TRY(message.content, read_content(param + ".content", field));
  return message;
}

Status read_messages(const dom::element& value, CompletionRequest& request) {
  dom::array messages;
  if (value.get(messages) != simdjson::SUCCESS)
    return wrong_type("messages", "an array", value);
  std::size_t i = 0;
  for (const dom::element message : messages) {
    MEDLEY_TRY(engine::Message read, read_message(fmt::format("messages[{}]", i++), message));
    request.messages.push_back(std::move(read));
  }
  if (i == 0)
    return invalid("messages", "'messages' is empty: at least one message is needed");
  return Done{};
}

Status read_prompt(const dom::element& value, CompletionRequest& request) {
  std::string_view text;
  if (value.get(text) == simdjson::SUCCESS) {
    request.prompt = text;
    return Done{};
  }
  dom::array prompts;
  if (value.get(prompts) != simdjson::SUCCESS)
    return wrong_type("prompt", "a string", value);
  if (prompts.size() != 1) {
    return invalid("prompt",
                   "'prompt' must be one string: several prompts in one request are not supported");
  }
  for (const dom::element only : prompts) {
    if (only.get(text) != simdjson::SUCCESS)
      return wrong_type("prompt[0]", "a string", only);
  }
  request.prompt = text;
  return Done{};
}

Status read_stop(const dom::element& value, CompletionRequest& request) {
  std::string_view text;
  std::vector<std::string>& stops = request.sampling.stop;
  dom::array several;
  if (value.get(text) == simdjson::SUCCESS) {
    stops = {std::string(text)};
  } else if (value.get(several) == simdjson::SUCCESS) {
    for (const dom::element one : several) {
      MEDLEY_TRY(std::string stop, read_string(fmt::format("stop[{}]", stops.size()), one));
      stops.push_back(std::move(stop));
      if (stops.size() > kMostStops) {
        return invalid("stop", fmt::format("'stop' has more than {} strings", kMostStops));
      }
    }
  } else {
    return wrong_type("stop", "a string or an array of strings", value);
  }
  for (const std::string& stop : stops) {
    if (stop.empty())
      return invalid("stop", "'stop' holds an empty string, which would stop at once");
  }
  return Done{};
}

Status read_stream_options(const dom::element& value, CompletionRequest& request) {
  dom::object options;
  if (value.get(options) != simdjson::SUCCESS)
    return wrong_type("stream_options", "an object", value);
  MEDLEY_TRY_STATUS(refuse_double_keys("stream_options", options));
  dom::element field;
  if (options["include_usage"].get(field) == simdjson::SUCCESS && !field.is_null()) {
    MEDLEY_TRY(request.include_usage, read_bool("stream_options.include_usage", field));
  }
  return Done{};
}

// Refused here and not when the model calls one: nothing that comes after could relay the call.
Status refuse_tools(const std::string& name, const dom::element& value) {
  dom::array tools;
  if (value.get(tools) != simdjson::SUCCESS)
    return wrong_type(name, "an array", value);
  if (tools.size() == 0)
    return Done{};
  return invalid(
      name, fmt::format("'{}' is not supported yet: a tool call could not be relayed. Leave it out",
                        name));
}

Result<Tokens> read_token_limit(const std::string& name, const dom::element& value) {
  MEDLEY_TRY(const std::int64_t number, read_whole(name, value));
  if (number < 1 || number > kMostTokens) {
    return invalid(name,
                   fmt::format("'{}' must be between 1 and {}, not {}", name, kMostTokens, number));
  }
  return Tokens(number);
}

// The `medley` object, whose keys are the headers' names without "medley-".
Status read_medley(const dom::element& value, CompletionRequest& request) {
  dom::object object;
  if (value.get(object) != simdjson::SUCCESS)
    return wrong_type("medley", "an object", value);
  MEDLEY_TRY_STATUS(refuse_double_keys("medley", object));
  for (const auto field : object) {
    const std::string key(field.key.substr(0, 64));
    BodyWish wish{key, {}, "medley." + key};
    if (std::find(kWishes.begin(), kWishes.end(), field.key) == kWishes.end())
      return invalid(wish.param,
                     fmt::format("'{}' is unknown{}", wish.param, suggestion(key, kWishes)));
    if (field.value.is_null())
      continue;
    if (key == "priority") {
      MEDLEY_TRY(const std::int64_t priority, read_whole(wish.param, field.value));
      wish.value = std::to_string(priority);
    } else {
      MEDLEY_TRY(wish.value, read_string(wish.param, field.value));
    }
    // It says more clearly whom it is meant for than the body's own `priority`.
    std::erase_if(request.wishes, [&](const BodyWish& other) { return other.key == key; });
    request.wishes.push_back(std::move(wish));
  }
  return Done{};
}

// As vLLM has it.
Status read_priority(const dom::element& value, CompletionRequest& request) {
  const std::string key = "priority";
  MEDLEY_TRY(const std::int64_t priority, read_whole(key, value));
  const bool stated = std::any_of(request.wishes.begin(), request.wishes.end(),
                                  [&](const BodyWish& wish) { return wish.key == key; });
  if (!stated)
    request.wishes.push_back({key, std::to_string(priority), key});
  return Done{};
}

// One field of the body that is not null.
Status read_field(std::string_view key, const dom::element& value, CompletionRequest& request) {
  const std::string name(key);
  engine::Sampling& sampling = request.sampling;
  if (name == "model") {
    MEDLEY_TRY(request.model, read_string(name, value));
  } else if (name == "messages" && request.chat) {
    return read_messages(value, request);
  } else if (name == "prompt" && !request.chat) {
    return read_prompt(value, request);
  } else if (name == "max_tokens" || (name == "max_completion_tokens" && request.chat)) {
    MEDLEY_TRY(const Tokens limit, read_token_limit(name, value));
    // The newer name counts where both are given.
    if (name == "max_completion_tokens" || !request.max_tokens)
      request.max_tokens = limit;
  } else if (name == "stream") {
    MEDLEY_TRY(request.stream, read_bool(name, value));
  } else if (name == "stream_options") {
    return read_stream_options(value, request);
  } else if (name == "temperature") {
    MEDLEY_TRY(sampling.temperature, read_number(name, value, 0, 2));
  } else if (name == "top_p") {
    MEDLEY_TRY(sampling.top_p, read_number(name, value, 0, 1));
  } else if (name == "seed") {
    MEDLEY_TRY(const std::int64_t seed, read_whole(name, value));
    sampling.seed = static_cast<std::uint64_t>(seed);
  } else if (name == "stop") {
    return read_stop(value, request);
  } else if ((name == "tools" || name == "functions") && request.chat) {
    return refuse_tools(name, value);
  } else if (name == "n") {
    MEDLEY_TRY(const std::int64_t n, read_whole(name, value));
    if (n != 1)
      return invalid(name, fmt::format("'n' is {}; only one answer per request is supported", n));
  } else if (name == "service_tier") {
    MEDLEY_TRY(const std::string tier, read_string(name, value));
    MEDLEY_TRY(request.service_class, class_of_tier(tier));
    request.service_tier = tier;
  } else if (name == "priority") {
    return read_priority(value, request);
  } else if (name == "medley") {
    return read_medley(value, request);
  }
  return Done{};
}

Result<CompletionRequest> parse_body(std::string_view body, bool chat) {
  if (body.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    return invalid("", "the body is empty: a JSON object is needed");
  }
  dom::parser parser;
  dom::element root;
  if (const auto error = parser.parse(body.data(), body.size()).get(root);
      error != simdjson::SUCCESS) {
    return invalid("",
                   fmt::format("the body is not valid JSON: {}", simdjson::error_message(error)));
  }
  dom::object object;
  if (root.get(object) != simdjson::SUCCESS) {
    return invalid("", fmt::format("the body must be a JSON object, not {}", kind_of(root)));
  }
  MEDLEY_TRY_STATUS(refuse_double_keys("", object));
  CompletionRequest request;
  request.chat = chat;
  for (const auto field : object) {
    if (!field.value.is_null())
      MEDLEY_TRY_STATUS(read_field(field.key, field.value, request));
  }
  if (request.model.empty())
    return invalid("model", "'model' is missing");
  const std::string_view needed = chat ? "messages" : "prompt";
  dom::element value;
  if (object[needed].get(value) != simdjson::SUCCESS || value.is_null()) {
    return invalid(std::string(needed), fmt::format("'{}' is missing", needed));
  }
  return request;
}

// One wish; `place` is who says it in an error, "the header medley-ttft" or "'medley.ttft'".
Status read_wish(const BodyWish& wish, const std::string& place, const Fleet& fleet,
                 Wishes& wishes) {
  const std::string shown = wish.value.substr(0, 64);
  const auto wrong = [&](std::string_view what) {
    return invalid(wish.param, fmt::format("{} is '{}'{}", place, shown, what));
  };
  if (wish.key == "class") {
    wishes.service_class = service_class_named(wish.value);
    if (wishes.service_class)
      return Done{};
    std::vector<std::string> names;
    for (const ServiceClass known : kServiceClasses)
      names.emplace_back(name_of(known));
    return wrong(", which is no class" + suggestion(shown, names));
  }
  if (wish.key == "label") {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < fleet.labels.size(); ++i) {
      if (fleet.labels[i].name == wish.value) {
        wishes.label = LabelId(i);
        return Done{};
      }
      names.push_back(fleet.labels[i].name);
    }
    return wrong(", which is no label" + suggestion(shown, names));
  }
  if (wish.key == "tenant") {
    wishes.tenant = TenantId();  // whatever the body said
    for (std::size_t i = 0; i < fleet.tenants.size(); ++i) {
      if (fleet.tenants[i].name == wish.value)
        wishes.tenant = TenantId(i);
    }
    return Done{};
  }
  if (wish.key == "priority") {
    const char* const end = wish.value.data() + wish.value.size();
    const auto [stop, error] = std::from_chars(wish.value.data(), end, wishes.priority);
    if (error == std::errc{} && stop == end)
      return Done{};
    return wrong("; a whole number of at most 64 bits is needed");
  }
  const std::optional<Duration> duration = parse_duration(wish.value);
  if (!duration)
    return wrong("; a duration such as 200ms, 1.5s or 10m is needed");
  (wish.key == "ttft"   ? wishes.targets.ttft
   : wish.key == "tpot" ? wishes.targets.tpot
                        : wishes.targets.deadline) = duration;
  return Done{};
}

}  // namespace

Result<CompletionRequest> parse_chat_completion(std::string_view body) {
  return parse_body(body, true);
}
Result<CompletionRequest> parse_completion(std::string_view body) {
  return parse_body(body, false);
}

Result<ServiceClass> class_of_tier(std::string_view tier) {
  std::vector<std::string> names;
  for (const Tier& known : kTiers) {
    if (known.name == tier)
      return known.service_class;
    names.emplace_back(known.name);
  }
  return invalid("service_tier", fmt::format("'{}' is no service tier{}", tier.substr(0, 64),
                                             suggestion(tier.substr(0, 64), names)));
}

Result<Wishes> parse_wishes(const net::HttpHeaders& headers, const std::vector<BodyWish>& in_body,
                            const Fleet& fleet) {
  Wishes wishes;
  wishes.label = fleet.default_label;
  for (const BodyWish& wish : in_body)
    MEDLEY_TRY_STATUS(read_wish(wish, "'" + wish.param + "'", fleet, wishes));
  for (const std::string& key : kWishes) {
    const std::string name = "medley-" + key;
    if (const std::string* text = headers.find(name))
      MEDLEY_TRY_STATUS(read_wish({key, *text, name}, "the header " + name, fleet, wishes));
  }
  return wishes;
}

std::optional<Duration> parse_duration(std::string_view text) {
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [unit, error] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  if (error != std::errc{})
    return std::nullopt;
  const std::string_view name(unit, static_cast<std::size_t>(end - unit));
  double seconds = 0;
  if (name == "us") {
    seconds = number * 1e-6;
  } else if (name == "ms") {
    seconds = number * 1e-3;
  } else if (name == "s") {
    seconds = number;
  } else if (name == "m" || name == "min") {
    seconds = number * 60;
  } else if (name == "h") {
    seconds = number * 3600;
  } else if (name == "d") {
    seconds = number * 86400;
  } else {
    return std::nullopt;
  }
  constexpr double kTenYears = 10 * 365.25 * 86400;
  if (!(seconds > 0 && seconds <= kTenYears))
    return std::nullopt;
  return round_to_duration(Seconds(seconds));
}

}  // namespace medley::serve::openai
