// What goes wrong, as OpenAI's clients expect to be told: a status, the error object, and when to
// come back.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/instant.h"
#include "base/result.h"
#include "domain/request.h"
#include "net/http.h"
#include "sched/decision.h"

namespace medley::serve::openai {

struct ApiError {
  int status = 400;
  std::string type = "invalid_request_error";
  std::string message;
  std::string param;  // null on the wire when empty
  std::string code;   // null on the wire when empty
  std::optional<Duration> retry_after;
};

// A request that is wrong in itself: kInvalid 400, kNotFound 404, kDenied 403.
ApiError of_bad_request(const Error& error);
// Being turned away by the core. `prompt_param` is "messages" or "prompt".
ApiError of_rejection(const sched::Reject& rejection, const Request& request,
                      std::string_view prompt_param, std::string_view label);
// An engine that failed for good.
ApiError of_failure(const Error& error);

// {"error":{"message","type","param","code"}}, all four keys always.
std::string error_json(const ApiError& error);
// The whole answer, with Retry-After and retry-after-ms where the client may come back.
net::HttpResponse error_response(const ApiError& error);

}  // namespace medley::serve::openai
